"""Which samples of a batch have an annotation: what has none is unknown, not empty."""

from torch import Tensor

from densezoo.types import Batch

ANNOTATIONS = ("keypoints", "boxes", "masks", "semantic", "volume")
"""The keys of a sample, and of a batch, that one may have and another not."""
MEANINGS = {
    "keypoints": "keypoint_names",
    "boxes": "classes",
    "semantic": "semantic_classes",
    "volume": "volume_slices",
}
"""Annotation to the field of `DatasetMeta` that is empty for a data set without it."""


def annotated(batch: Batch, name: str) -> Tensor:
    """Say which samples are annotated, so that their loss counts.

    A sample that is annotated with nothing, such as an image without an object, is annotated all the same.

    Args:
        batch: of any device.
        name: of the annotation in the batch, such as `'boxes'`.

    Returns:
        (N,) bool; nowhere true where the batch has no such annotation.
    """
    valid = batch["valid"]
    if name not in batch:
        return valid.new_zeros(len(valid))
    known = batch.get("annotated", {}).get(name)
    return valid.new_ones(len(valid)) if known is None else known
