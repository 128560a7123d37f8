"""Sums of losses over heat and offsets of objects, in float32 whatever the maps are.

Law and Deng 2018, "CornerNet" (https://arxiv.org/abs/1808.01244, section 3.2). The focal loss is taken of logits, so
that nothing is lost where a probability rounds to 0 or 1. Embeddings are in `densezoo.functional.embedding_losses`.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


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
