"""What tasks share whose answers are boxes: the classes, the metrics, and the answer that needs no image."""

import math
from collections.abc import Iterable, Mapping, Sequence
from inspect import signature
from typing import Any

from densezoo.contracts import Metric
from densezoo.errors import ConfigError
from densezoo.functional.boxes import commonest_box
from densezoo.registry import METRICS
from densezoo.types import DatasetMeta, Prediction, Sample


class FindsObjects:
    """A task that finds boxes of objects, of some classes.

    Attributes:
        meta_fields: of `DatasetMeta`, whose values a model learns and must find again in other data.
        max_objects: most boxes per image.
        limited_by: name of the option that says so, or names of several.
        num_classes: C; labels are 0 to C − 1.
        class_agnostic: whether objects of all classes are found as label 0.
        meta: what the data set's annotations mean; None where nobody said.
    """

    meta_fields: tuple[str, ...] = ("classes",)
    max_objects: int
    limited_by: str

    def __init__(
        self,
        num_classes: int,
        meta: DatasetMeta | None,
        class_agnostic: bool,
        metrics: Sequence[Mapping[str, Any]] | None,
    ) -> None:
        """Check and keep what the task is about; `metrics` None takes BoxAP.

        Raises:
            ConfigError: `num_classes` is below 1 or differs from the data set's, or a metric contradicts
                `class_agnostic`.
        """
        self.name = type(self).__name__
        if num_classes < 1:
            raise ConfigError(f"{self.name}: num_classes={num_classes} must be at least 1")
        if meta is not None and len(meta.classes) != num_classes:
            raise ConfigError(
                f"{self.name}: num_classes={num_classes}, but the data set has {len(meta.classes)} classes; set "
                f"num_classes={len(meta.classes)} (a background does not count) or choose other data"
            )
        self.num_classes = num_classes
        self.meta = meta
        self.class_agnostic = class_agnostic
        given = [{"type": "BoxAP"}] if metrics is None else metrics
        self.metric_configs = [self._for_our_classes(metric) for metric in given]

    def _for_our_classes(self, metric: Mapping[str, Any]) -> dict[str, Any]:
        """Return a metric's config that takes all labels for one where the task does.

        Raises:
            ConfigError: it says that it does not.
        """
        takes = "type" in metric and "class_agnostic" in signature(METRICS.get(metric["type"])).parameters
        if not self.class_agnostic or not takes:
            return dict(metric)
        if not metric.get("class_agnostic", True):
            raise ConfigError(
                f"{self.name}: class_agnostic=True finds objects of all classes as label 0, which {metric['type']} "
                "with class_agnostic=False would take for the first class; take it out of the metric"
            )
        return {**metric, "class_agnostic": True}

    def check_weights(self, **weights: float) -> None:
        """Check weights of losses, by their names.

        Raises:
            ConfigError: one is negative, infinite or no number.
        """
        for name, weight in weights.items():
            if not 0 <= weight < math.inf:
                raise ConfigError(f"{self.name}: {name}={weight} must be at least 0")

    def constant_prediction(self, samples: Iterable[Sample]) -> Prediction:
        """Return the mean box of the most frequent class (the lowest label of equals), in network pixels.

        Args:
            samples: warped to the network's size. Crowds and boxes without an area are left out.

        Raises:
            DataError: no sample has a box.
        """
        return commonest_box(samples, self.class_agnostic)

    def metrics(self) -> list[Metric]:
        """Return new metrics.

        Raises:
            ConfigError: the task was built without `meta`, or a metric refuses its config or the data set.
        """
        meta = self.known_meta("a metric")
        return [METRICS.build(config, meta=meta) for config in self.metric_configs]

    def known_meta(self, who: str) -> DatasetMeta:
        """Return the meaning of the annotations for `who` needs it.

        Raises:
            ConfigError: the task was built without `meta`.
        """
        if self.meta is None:
            raise ConfigError(
                f"{self.name}: {who} needs to know what the annotations mean; build the model with the data set's meta"
            )
        return self.meta
