"""How far scores would move with other images of the same kind: bootstrap intervals over images."""

from collections.abc import Mapping

import numpy as np

from densezoo.engine.evaluate import Evaluation, add_scores

LEVEL = 0.95


def score_intervals(found: Evaluation, draws: int, seed: int = 0) -> dict[str, tuple[float, float]]:
    """Draw as many images as there are, with replacement, score them, and so on.

    Efron, Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13: the percentile interval. It says how much
    chance there is in the choice of test images, not in the training.

    Args:
        found: an evaluation with its metrics' records.
        draws: how often; a thousand will do for intervals of 95 %.
        seed: of the draws. Evaluations on the same images see the same ones.

    Returns:
        `task/score` to the ends of the interval that 95 % of the draws lie in; NaN where a score never was a number.
    """
    image_ids = np.array(sorted(found.per_image()), np.int64)
    rng = np.random.default_rng(seed)
    every: list[dict[str, float]] = []
    for _ in range(draws):
        counts = np.bincount(rng.integers(len(image_ids), size=len(image_ids)), minlength=len(image_ids))
        chosen = counts > 0
        weights = dict(zip(image_ids[chosen].tolist(), counts[chosen].astype(float).tolist(), strict=True))
        every.append(_score(found, weights))
    ends = 100 * (1 - LEVEL) / 2, 100 * (1 + LEVEL) / 2
    intervals = {}
    for name in found.scores:
        values = np.array([scores[name] for scores in every])
        known = values[~np.isnan(values)]
        low, high = np.percentile(known, ends).tolist() if len(known) else (float("nan"),) * 2
        intervals[name] = low, high
    return intervals


def _score(found: Evaluation, weights: Mapping[int, float]) -> dict[str, float]:
    scores: dict[str, float] = {}
    for task, metrics in found.metrics.items():
        for metric in metrics:
            add_scores(scores, task, metric, metric.compute(weights))
    return scores
