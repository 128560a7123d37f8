"""What metrics of instances keep of every image, and how the records of several processes come together."""

from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from densezoo.contracts import Metric
from densezoo.types import ImageTruth, Prediction, Sample

Kind = TypeVar("Kind", bound=Metric)


@dataclass
class ImageRecord:
    """Annotated and predicted instances of one file, in its pixels.

    Attributes:
        truth: the file's annotations.
        predictions: one of every sample of the file, in float64: what the metric reads of them, scores times the
            sample's, and poses as (P, K, 2).
    """

    truth: ImageTruth
    predictions: list[Prediction] = field(default_factory=list)


class Records(dict[int, ImageRecord]):
    """Image id to record. The annotations of an image are kept once, however many samples show it."""

    def add(self, prediction: Prediction, sample: Sample) -> None:
        """Add a prediction that has been mapped to the file's pixels."""
        record = self.setdefault(sample["image_id"], ImageRecord(sample["truth"]))
        scores = np.asarray(prediction["scores"], np.float64) * sample.get("score", 1.0)
        record.predictions.append(Prediction(**{**prediction, "scores": scores}))

    def take_over(self, other: "Records") -> None:
        """Add the records of `other`."""
        for image_id, record in other.items():
            self.setdefault(image_id, ImageRecord(record.truth)).predictions.extend(record.predictions)


def same_kind(kind: type[Kind], other: Metric) -> Kind:
    """Return `other`, whose records a metric of this kind can take over.

    Raises:
        TypeError: it is another metric.
    """
    if not isinstance(other, kind):
        raise TypeError(f"{kind.__name__} cannot take over the records of a {type(other).__name__}")
    return other
