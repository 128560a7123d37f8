"""Losses of semantic segmentation, as sums over pixels or images. The caller divides by its normaliser.

Every function takes logits (N, C, H, W) float32 and labels (N, H, W) int64, in which 255 leaves a pixel out, and gives
a 0-d float32 that is zero, with gradients, where nothing is labelled. C = 1 is binary: the logit of label 1 against
label 0.
"""

from collections.abc import Sequence
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from densezoo.functional.label_maps import IGNORE


def cross_entropy(
    logits: Tensor,
    labels: Tensor,
    class_weights: Sequence[float] | None = None,
    label_smoothing: float = 0.0,
    pixel_weights: Tensor | None = None,
) -> Tensor:
    """Cross-entropy, summed over pixels.

    Args:
        logits: (N, C, H, W).
        labels: (N, H, W).
        class_weights: factor for the pixels of each label; two of them where C = 1.
        label_smoothing: share of the target that is spread over all classes.
        pixel_weights: (N, H, W), added to the factor of each pixel.
    """
    two = at_least_two(logits)
    weights = None if class_weights is None else _by_label(tuple(class_weights), logits.device)[: two.shape[1]]
    total = F.cross_entropy(
        two,
        labels,
        weights,
        ignore_index=IGNORE,
        reduction="sum",
        label_smoothing=label_smoothing,
    )
    if pixel_weights is None:
        return total
    each = F.cross_entropy(two, labels, ignore_index=IGNORE, reduction="none", label_smoothing=label_smoothing)
    return total + (pixel_weights * each).sum()


def focal(
    logits: Tensor,
    labels: Tensor,
    class_weights: Sequence[float] | None = None,
    gamma: float = 2.0,
    pixel_weights: Tensor | None = None,
) -> Tensor:
    """Cross-entropy times (1 - p)^gamma, p being the probability of the pixel's label; summed over pixels.

    Of Lin et al. 2017, https://arxiv.org/abs/1708.02002, section 3; its alpha is `class_weights`.

    Args:
        logits: (N, C, H, W).
        labels: (N, H, W).
        class_weights: factor for the pixels of each label; two of them where C = 1.
        gamma: at 0 this is the cross-entropy.
        pixel_weights: (N, H, W), added to the factor of each pixel.
    """
    two = at_least_two(logits)
    # from the log-probability, which stays exact where a probability rounds to 1
    known = -F.cross_entropy(two, labels, ignore_index=IGNORE, reduction="none")
    # and not below a smallest number, where a power below 1 has no gradient
    total = (-torch.expm1(known)).clamp(min=1e-7).pow(gamma) * -known
    weights = None if class_weights is None else _by_label(tuple(class_weights), logits.device)[labels]
    if pixel_weights is not None:
        weights = pixel_weights + (1.0 if weights is None else weights)
    return total.sum() if weights is None else (total * weights).sum()


def dice(logits: Tensor, labels: Tensor) -> Tensor:
    """1 - Dice of the probabilities of each image, averaged over the classes on it, and summed over images.

    Of Milletari et al. 2016, https://arxiv.org/abs/1606.04797, with plain sums in the denominator as is usual now.
    Classes that are not on an image say nothing there; a binary image without foreground gives zero.

    Args:
        logits: (N, C, H, W).
        labels: (N, H, W).
    """
    probabilities = at_least_two(logits).softmax(1).flatten(2)
    truth, known = _one_hot(labels, probabilities.shape[1])
    if logits.shape[1] == 1:
        probabilities, truth = probabilities[:, 1:], truth[:, 1:]
    probabilities = probabilities * known
    sizes = truth.sum(-1)
    overlap = 2 * (probabilities * truth).sum(-1) / (probabilities.sum(-1) + sizes).clamp(min=1)
    return _mean_of_present(1 - overlap, sizes > 0)


def lovasz(logits: Tensor, labels: Tensor) -> Tensor:
    """Lovász extension of 1 - IoU of each image, averaged over the classes on it, and summed over images.

    Of Berman, Triki, Blaschko 2018, https://arxiv.org/abs/1705.08790: the Lovász-Softmax, and where C = 1 the Lovász
    hinge, which counts images without foreground, too.

    Args:
        logits: (N, C, H, W).
        labels: (N, H, W).
    """
    truth, known = _one_hot(labels, max(logits.shape[1], 2))
    if logits.shape[1] == 1:
        truth = truth[:, 1:]
        errors = 1 - logits.flatten(2) * (2 * truth - 1)
    else:
        found = logits.softmax(1).flatten(2)
        if not torch.compiler.is_compiling():  # classes that are on no image of the batch count nowhere
            there = truth.any(-1).any(0)
            truth, found = truth[:, there], found[:, there]
        errors = (truth - found).abs()
    # ignored pixels are sorted behind all others, where they change no number
    errors, order = errors.masked_fill(~known, -torch.inf).sort(-1, descending=True)
    sorted_truth = truth.gather(-1, order)
    sizes = truth.sum(-1, keepdim=True)
    jaccard = 1 - (sizes - sorted_truth.cumsum(-1)) / (sizes + (1 - sorted_truth).cumsum(-1))
    steps = torch.cat([jaccard[..., :1], jaccard.diff(dim=-1)], -1)
    losses = (errors.relu() * steps).sum(-1)
    return losses.sum() if logits.shape[1] == 1 else _mean_of_present(losses, sizes[..., 0] > 0)


def at_least_two(logits: Tensor) -> Tensor:
    """Return the logits with those of label 0, which are zero, in front where only label 1 has any."""
    return logits if logits.shape[1] > 1 else torch.cat([torch.zeros_like(logits), logits], 1)


@lru_cache(maxsize=16)
def _by_label(class_weights: tuple[float, ...], device: torch.device) -> Tensor:
    """Return (256,) float32, the weight of each label, then zeros. Kept, since a copy to a GPU makes the host wait."""
    with torch.inference_mode(False):  # or no later loss could be differentiated with it
        return torch.tensor([*class_weights, *[0.0] * (IGNORE + 1 - len(class_weights))], device=device)


def _one_hot(labels: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Return (N, C, H·W) float32 ones at each pixel's label, none where it is ignored; and (N, 1, H·W) bool, known."""
    flat = labels.flatten(1)[:, None]
    known = flat != IGNORE
    truth = torch.zeros(len(flat), num_classes, flat.shape[-1], device=flat.device)
    return truth.scatter_(1, flat.where(known, 0), known.float()), known


def _mean_of_present(losses: Tensor, present: Tensor) -> Tensor:
    """Average (N, C) losses over the classes that are present, and sum over images."""
    return ((losses * present).sum(1) / present.sum(1).clamp(min=1)).sum()
