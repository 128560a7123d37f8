"""Batches of objects and made-up maps for the tests of tasks that find objects."""

import torch

from densezoo.types import Batch


def batch_of_objects(boxes, labels, size, **more):
    boxes, labels = torch.tensor(boxes, dtype=torch.float32), torch.tensor(labels, dtype=torch.int64)
    return Batch(
        images=torch.zeros(len(boxes), 3, *size, dtype=torch.uint8),
        boxes=boxes.reshape(*labels.shape, 4),
        labels=labels,
        valid=torch.ones(labels.shape, dtype=torch.bool),
        **more,
    )


def wave(*shape, step, scale=1.0):
    """Numbers that need no random generator."""
    count = torch.Size(shape).numel()
    return (torch.sin(torch.arange(count, dtype=torch.float64) * step) * scale).float().reshape(shape)
