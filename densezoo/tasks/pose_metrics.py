"""What tasks share whose answers are poses: the metrics that nobody has to ask for."""

import logging
from typing import Any

from densezoo.functional.oks import sigmas_of
from densezoo.types import DatasetMeta

logger = logging.getLogger("densezoo")


def default_metrics(meta: DatasetMeta) -> list[dict[str, Any]]:
    """Return configs of OKS AP and PCK, or of PCK alone, and then say why in the log."""
    pck = {"type": "PCK", "normalizer": "torso" if meta.has_torso else "box"}
    if sigmas_of(meta):
        return [{"type": "KeypointAP"}, pck]
    logger.warning(
        "no OKS AP, only PCK: nobody published OKS sigmas for these %d keypoints; to get AP, give "
        "dict(type='KeypointAP', sigmas=[…]) with one number per keypoint in the task's metrics",
        meta.num_keypoints,
    )
    return [pck]
