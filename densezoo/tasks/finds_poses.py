"""What tasks share whose answers are poses: the keypoints, which of them can be learned, and the metrics."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from densezoo.contracts import Metric
from densezoo.errors import ConfigError
from densezoo.functional.oks import sigmas_of
from densezoo.registry import METRICS
from densezoo.types import Batch, DatasetMeta

logger = logging.getLogger("densezoo")


class FindsPoses:
    """A task that finds the K keypoints of people.

    Attributes:
        num_keypoints: K.
        meta: what the data set's annotations mean; None where nobody said.
    """

    def __init__(
        self, num_keypoints: int, meta: DatasetMeta | None, metrics: Sequence[Mapping[str, Any]] | None
    ) -> None:
        """Check and keep what the task is about; `metrics` None takes `default_metrics`.

        Raises:
            ConfigError: `num_keypoints` differs from the data set's.
        """
        self.name = type(self).__name__
        if meta is not None and meta.num_keypoints != num_keypoints:
            raise ConfigError(
                f"{self.name}: num_keypoints={num_keypoints}, but the data set has {meta.num_keypoints} keypoints; "
                f"set num_keypoints={meta.num_keypoints} or choose other data"
            )
        self.num_keypoints = num_keypoints
        self.meta = meta
        self.metric_configs = None if metrics is None else [dict(metric) for metric in metrics]

    def metrics(self) -> list[Metric]:
        """Return new metrics.

        Raises:
            ConfigError: the task was built without `meta`, or a metric refuses its config or the data set.
        """
        meta = self._known_meta("a metric")
        configs = default_metrics(meta) if self.metric_configs is None else self.metric_configs
        return [METRICS.build(config, meta=meta) for config in configs]

    def _known_meta(self, who: str) -> DatasetMeta:
        if self.meta is None:
            raise ConfigError(
                f"{self.name}: {who} needs to know the keypoints; build the model with the data set's meta"
            )
        return self.meta

    def _keypoints(self, batch: Batch) -> Tensor:
        return keypoints_of(batch, self.num_keypoints, self.name)


def keypoints_of(batch: Batch, num_keypoints: int, task: str) -> Tensor:
    """Return (N, P, K, 3), unlabelled where the batch has none.

    Raises:
        ConfigError: the batch has another K; `task` is who asks.
    """
    if "keypoints" not in batch:
        valid = batch["valid"]
        return torch.zeros(*valid.shape, num_keypoints, 3, device=valid.device)
    keypoints = batch["keypoints"]
    if keypoints.shape[2] != num_keypoints:
        raise ConfigError(f"{task}: num_keypoints={num_keypoints}, but the data has {keypoints.shape[2]}")
    return keypoints


def labelled_inside(keypoints: Tensor, size: Sequence[int]) -> Tensor:
    """Say which of (N, P, K, 3) keypoints are labelled and lie on an image of (height, width): (N, P, K) bool."""
    height, width = size
    x, y, visibility = keypoints.unbind(-1)
    return (visibility > 0) & (x >= 0) & (x < width) & (y >= 0) & (y < height)


def default_metrics(meta: DatasetMeta) -> list[dict[str, Any]]:
    """Return configs of OKS AP and PCK, or of PCK alone, and then say why in the log."""
    pck = {"type": "PCK", "normalizer": "torso" if meta.has_torso else "box"}
    if sigmas_of(meta):
        return [{"type": "KeypointAP"}, pck]
    logger.warning(
        "no OKS AP, only PCK: no published OKS sigmas are known for these %d keypoints; to get AP, give "
        "dict(type='KeypointAP', sigmas=[…]) with one number per keypoint in the task's metrics",
        meta.num_keypoints,
    )
    return [pck]
