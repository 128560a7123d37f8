"""Sums of losses over maps, in float32 whatever the maps are. The caller divides by its normaliser."""

import torch
from torch import Tensor


def squared_error(maps: Tensor, target: Tensor, weight: Tensor, foreground: float = 0.0) -> Tensor:
    """Squared error, averaged over the cells of a map and summed over maps.

    Args:
        maps: (N, K, h, w) outputs.
        target: (N, K, h, w) in 0–1.
        weight: (N, K, 1, 1), or (N, K, h, w) of cells; 0 leaves a map or a cell out.
        foreground: a cell counts 1 + foreground · target. Zero is the plain error, whose targets are nearly all
            background, so that it hardly tells a found joint from an empty map.

    Returns:
        0-d float32; zero where nothing counts.
    """
    error = (maps.float() - target).square()
    if foreground:
        error = error * (1 + foreground * target)
    return (error * weight).mean((-2, -1)).sum()


def spatial_cross_entropy(maps: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Cross-entropy between the softmax over all cells of a map and the target as a distribution, less its entropy.

    Args:
        maps: (N, K, h, w) logits.
        target: (N, K, h, w), not negative; need not sum to one.
        weight: (N, K, 1, 1); 0 leaves a map out. A map whose target is all zero must be left out.

    Returns:
        0-d float32, summed over maps; zero for a perfect answer and where nothing counts.
    """
    logits = maps.float().flatten(-2).log_softmax(-1)
    values = target.flatten(-2)
    total = values.sum(-1, keepdim=True)
    distribution = values / total.clamp(min=torch.finfo(total.dtype).tiny)
    divergence = torch.xlogy(distribution, distribution) - distribution * logits
    return (divergence.sum(-1) * weight[..., 0, 0]).sum()
