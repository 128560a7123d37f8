"""Sums of losses over heat, embeddings and offsets of objects, in float32 whatever the maps are.

Law and Deng 2018, "CornerNet" (https://arxiv.org/abs/1808.01244, sections 3.2 and 3.3). The focal loss is taken of
logits, so that nothing is lost where a probability rounds to 0 or 1.
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


def focal_loss(logits: Tensor, target: Tensor, weight: Tensor, limit: float = torch.inf) -> Tensor:
    """Focal loss against Gaussians, summed over all cells.

    A cell's cross-entropy counts by the square (the paper's exponent) of the probability of its wrong answer.

    Args:
        logits: (N, C, h, w).
        target: (N, C, h, w) in 0–1; cells of exactly 1 should be found, all others not.
        weight: broadcasts to the target; see `focal_weights`.
        limit: logits are clamped to ± this, and nothing is learned beyond.

    Returns:
        0-d float32.
    """
    values, target = logits.float().flatten(2).contiguous(), target.flatten(2)  # one layout is faster than two
    if limit < torch.inf:
        values = values.clamp(-limit, limit)
    log_right = F.logsigmoid(torch.where(target == 1, values, -values))
    wrong = -torch.expm1(log_right)  # which 1 - exp(…) would round to 0
    return -(weight.flatten(2) * wrong.square() * log_right).sum()


def pull_and_push(first: Tensor, second: Tensor, present: Tensor, slack: float = 0.0) -> tuple[Tensor, Tensor]:
    """Pull the embeddings of an object's two points together, and push the means of different objects apart.

    Args:
        first: (N, P) embeddings of the objects' first points.
        second: (N, P) of their second points.
        present: (N, P) bool; objects that count.
        slack: added to what is divided by, as the published code does, and therefore to the push: it takes every
            object's distance from itself for one of the pairs, and off again only up to this. For an image with one
            object that is a constant of about 1, without a gradient.

    Returns:
        Two 0-d float32, each a mean over the objects (pairs of objects) of an image, summed over images. An image
        without objects (pairs) adds nothing.
    """
    first, second = first.float(), second.float()
    counts = present.sum(1)
    least = slack or 1.0  # so that 0 is divided by something
    whole = (counts + slack).clamp(min=least)
    mean = (first + second) / 2
    apart = ((first - mean).square() + (second - mean).square()) * present
    pull = (apart.sum(1) / whole).sum()
    pairs = present[:, :, None] & present[:, None, :]
    pairs = pairs & ~torch.eye(pairs.shape[-1], dtype=torch.bool, device=pairs.device)
    near = (MARGIN - (mean[:, :, None] - mean[:, None, :]).abs()).relu() * pairs
    from_themselves = counts * slack / whole
    push = ((near.sum((1, 2)) + from_themselves) / (counts * (counts - 1) + slack).clamp(min=least)).sum()
    return pull, push


def offset_loss(offsets: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Smooth L1 of offsets in cells, summed over x and y and over all cells, or over all objects.

    Args:
        offsets: (N, 2, h, w), or (N, 2, P) of objects.
        target: likewise.
        weight: (N, 1, h, w) or (N, 1, P); 0 where no object is.

    Returns:
        0-d float32; zero where nothing counts.
    """
    return (F.smooth_l1_loss(offsets.float(), target, reduction="none") * weight).sum()
