"""What makes embeddings say which points belong to one object, in float32 whatever the maps are.

Newell, Huang, Deng 2017, "Associative Embedding" (https://arxiv.org/abs/1611.05424, section 3.2) for the keypoints of
people; Law and Deng 2018, "CornerNet" (https://arxiv.org/abs/1808.01244, section 3.3) for the corners of boxes. Both
pull the points of an object to their mean and push the means of different objects apart; they differ in how much two
means are pushed, `hinge` or `gaussian`.
"""

from collections.abc import Callable

import torch
from torch import Tensor

MARGIN = 1.0  # between the embeddings of two objects, CornerNet's


def hinge(distance: Tensor) -> Tensor:
    """Return how much two means are pushed apart, CornerNet's: what they lack of a distance of 1."""
    return (MARGIN - distance).relu()


def gaussian(distance: Tensor) -> Tensor:
    """Return how much two means are pushed apart, of associative embedding: exp(-distance²).

    The paper's exp(-distance² / 2 sigma²), with the sigma² of 1/2 that its code has.
    """
    return torch.exp(-distance.square())


def pull_and_push(
    points: Tensor, visible: Tensor, nearness: Callable[[Tensor], Tensor], slack: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Pull the embeddings of an object's points together, and push the means of different objects apart.

    Args:
        points: (N, P, M) embeddings of M points of every object.
        visible: (N, P, M) bool; points that count. An object without any does not count.
        nearness: distance of two means to how much they are pushed apart, 1 at most: `hinge` or `gaussian`.
        slack: added to what is divided by, as CornerNet's code does, and therefore to the push: it takes every
            object's distance from itself for one of the pairs, and off again only up to this. For an image with one
            object that is a constant of about 1, without a gradient.

    Returns:
        Two 0-d float32, each a mean over the objects (pairs of objects) of an image, summed over images. An image
        without objects (pairs) adds nothing. An object's pull is the mean of its points' squared distances from their
        mean.
    """
    points = points.float().where(visible, 0.0)
    known = visible.sum(2)
    present = known > 0
    known = known.clamp(min=1)
    counts = present.sum(1)
    least = slack or 1.0  # so that 0 is divided by something
    whole = (counts + slack).clamp(min=least)
    mean = points.sum(2) / known
    apart = ((points - mean[..., None]).square() * visible).sum(2) / known
    pull = (apart.sum(1) / whole).sum()
    pairs = present[:, :, None] & present[:, None, :]
    pairs = pairs & ~torch.eye(pairs.shape[-1], dtype=torch.bool, device=pairs.device)
    near = nearness((mean[:, :, None] - mean[:, None, :]).abs()) * pairs
    from_themselves = counts * slack / whole
    push = ((near.sum((1, 2)) + from_themselves) / (counts * (counts - 1) + slack).clamp(min=least)).sum()
    return pull, push
