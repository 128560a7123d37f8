"""Sums of losses over heat, embeddings and offsets of objects, in float32 whatever the maps are.

Law and Deng 2018, "CornerNet" (https://arxiv.org/abs/1808.01244, sections 3.2 and 3.3). Deviation: the focal loss is
taken of logits, where the published code clamps probabilities to 0.0001–0.9999 and learns nothing beyond.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

MARGIN = 1.0  # between the embeddings of two objects, the paper's


def focal_weights(target: Tensor) -> Tensor:
    """Return how much each cell counts: 1 at peaks, elsewhere (1 - target)⁴, with the paper's exponent.

    Args:
        target: (N, C, h, w) in 0–1, exactly 1 at the peaks.

    Returns:
        (N, C, h, w) float32.
    """
    return (1 - target).square().square().masked_fill_(target == 1, 1)


def focal_loss(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Focal loss against Gaussians, summed over all cells.

    A cell's cross-entropy counts by the square (the paper's exponent) of the probability of its wrong answer.

    Args:
        logits: (N, C, h, w).
        target: (N, C, h, w) in 0–1; cells of exactly 1 should be found, all others not.
        weight: broadcasts to the target; see `focal_weights`.

    Returns:
        0-d float32.
    """
    values, target = logits.float().flatten(2).contiguous(), target.flatten(2)  # one layout is faster than two
    log_right = F.logsigmoid(torch.where(target == 1, values, -values))
    wrong = -torch.expm1(log_right)  # which 1 - exp(…) would round to 0
    return -(weight.flatten(2) * wrong.square() * log_right).sum()


def pull_and_push(first: Tensor, second: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    """Pull the embeddings of an object's two points together, and push the means of different objects apart.

    Args:
        first: (N, P) embeddings of the objects' first points.
        second: (N, P) of their second points.
        present: (N, P) bool; objects that count.

    Returns:
        Two 0-d float32, each a mean over the objects (pairs of objects) of an image, summed over images. An image
        without objects (pairs) adds nothing.
    """
    first, second = first.float(), second.float()
    counts = present.sum(1)
    mean = (first + second) / 2
    apart = ((first - mean).square() + (second - mean).square()) * present
    pull = (apart.sum(1) / counts.clamp(min=1)).sum()
    pairs = present[:, :, None] & present[:, None, :]
    pairs = pairs & ~torch.eye(pairs.shape[-1], dtype=torch.bool, device=pairs.device)
    near = (MARGIN - (mean[:, :, None] - mean[:, None, :]).abs()).relu() * pairs
    push = (near.sum((1, 2)) / (counts * (counts - 1)).clamp(min=1)).sum()
    return pull, push


def offset_loss(offsets: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Smooth L1 of offsets in cells, summed over x and y and over all cells.

    Args:
        offsets: (N, 2, h, w).
        target: (N, 2, h, w).
        weight: (N, 1, h, w); 0 where no object is.

    Returns:
        0-d float32; zero where nothing counts.
    """
    return (F.smooth_l1_loss(offsets.float(), target, reduction="none") * weight).sum()
