"""Boxes: clipping, overlap, which of several answers for one object stand, and the answer that needs no image.

xyxy; any unit where none is named.
"""

from collections import Counter
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from densezoo.errors import DataError
from densezoo.types import Array, Prediction, Sample


def clip_boxes(boxes: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Clip boxes to an image.

    Args:
        boxes: (..., 4).
        size: (height, width) of the image.

    Returns:
        (..., 4) boxes, and (...) bool: which of them have an area left.
    """
    height, width = size
    x, y = boxes[..., 0::2].clamp(0, width), boxes[..., 1::2].clamp(0, height)
    clipped = torch.stack([x, y], -1).flatten(-2)
    return clipped, (clipped[..., 2:] > clipped[..., :2]).all(-1)


def box_iou(boxes: Tensor, others: Tensor, border: float = 0.0) -> Tensor:
    """Intersection over union, with broadcasting: (..., 4) and (..., 4) -> (...).

    Args:
        boxes: xyxy with a positive area.
        others: likewise.
        border: added to every width and height: 1 where coordinates are indices of pixels, both of which count.
    """
    low, high = torch.maximum(boxes[..., :2], others[..., :2]), torch.minimum(boxes[..., 2:], others[..., 2:])
    shared = (high - low + border).clamp(min=0).prod(-1)
    areas = [(each[..., 2:] - each[..., :2] + border).prod(-1) for each in (boxes, others)]
    return shared / (areas[0] + areas[1] - shared)


def soft_nms(
    boxes: Tensor,
    scores: Tensor,
    labels: Tensor,
    count: int,
    sigma: float = 0.5,
    threshold: float = 0.001,
    border: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Take the best box, lower the scores of those of its class that overlap it, and so on.

    Bodla et al. 2017, "Soft-NMS" (https://arxiv.org/abs/1704.04503), with its Gaussian: a score is multiplied by
    exp(-iou² / sigma). All images and classes are walked at once, in `count` steps: since scores only fall, the first
    `count` boxes that are taken are the best ones. Small steps: a CPU is the place for it.

    Args:
        boxes: (N, M, 4).
        scores: (N, M); 0 or below for none.
        labels: (N, M) int64.
        count: how many boxes to take at most.
        sigma: of the Gaussian.
        threshold: boxes whose score has fallen below are dropped.
        border: see `box_iou`.

    Returns:
        index (N, D) int64 and score (N, D) of the boxes taken, best first, 0 for none; D is the most of any image.
    """
    left = scores.clone()
    indices, values = [], []
    for _ in range(min(count, scores.shape[1])):
        value, index = left.max(1, keepdim=True)
        if not bool((value >= threshold).any()):
            break
        indices.append(index)
        values.append(value.where(value >= threshold, 0.0))
        best = boxes.gather(1, index[..., None].expand(-1, -1, 4))
        # boxes without an area, which have no overlap, take nothing from others
        decay = torch.exp(box_iou(best, boxes, border).nan_to_num(0.0, 0.0, 0.0).square() / -sigma)
        left = torch.where(labels == labels.gather(1, index), left * decay, left).scatter(1, index, -1.0)
    if not indices:
        return labels[:, :0], scores[:, :0]
    return torch.cat(indices, 1), torch.cat(values, 1)


def commonest_box(samples: Iterable[Sample], class_agnostic: bool = False) -> Prediction:
    """Return the mean box of the most frequent class (the lowest label of equals), with a score of 1.

    Args:
        samples: of one size. Crowds and boxes without an area are left out.
        class_agnostic: take all labels for 0.

    Raises:
        DataError: no sample has a box.
    """
    totals: dict[int, Array] = {}
    counts: Counter[int] = Counter()
    for sample in samples:
        boxes = sample.get("boxes", np.zeros((0, 4))).astype(np.float64)
        chosen = (boxes[:, 2:] > boxes[:, :2]).all(axis=1) & ~sample.get("crowd", np.zeros(len(boxes), bool))
        labels = np.zeros(len(boxes), np.int64) if class_agnostic else sample.get("labels", np.zeros(0, np.int64))
        for box, label in zip(boxes[chosen], labels[chosen].tolist(), strict=True):
            totals[label] = totals.get(label, np.zeros(4)) + box
            counts[label] += 1
    if not counts:
        raise DataError("the mean box needs samples with boxes, and there is none")
    best = min(counts, key=lambda label: (-counts[label], label))
    return Prediction(
        boxes=(totals[best] / counts[best])[None].astype(np.float32),
        labels=np.array([best], np.int64),
        scores=np.ones(1, np.float32),
    )
