"""Boxes of objects as one of torchvision's detectors gives them: their classes and how they are scored.

It needs no maps: heads, targets, losses and decoding are the detector's (`densezoo.models.detector`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from densezoo.registry import TASKS
from densezoo.tasks.finds_objects import FindsObjects
from densezoo.types import DatasetMeta


@TASKS.register()
class Boxes(FindsObjects):
    """The task of a model with `detector` in its config, which says what `max_objects` is."""

    def __init__(
        self,
        num_classes: int,
        meta: DatasetMeta | None = None,
        metrics: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        """Make the task.

        Args:
            num_classes: of the data set, without a background.
            meta: what the data set's labels mean; metrics need it.
            metrics: configs of the metrics, the first of which ranks models; None takes BoxAP.

        Raises:
            ConfigError: `num_classes` is below 1 or differs from the data set's.
        """
        super().__init__(num_classes, meta, False, metrics)
