"""How far scores would move with other images of the same kind: bootstrap intervals over images."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from densezoo.contracts import Metric
from densezoo.engine.evaluate import Evaluation, add_scores
from densezoo.engine.files import finite, write_text
from densezoo.errors import ConfigError, near_names
from densezoo.types import Array

LEVEL = 0.95


@dataclass(frozen=True)
class Draws:
    """Scores of an evaluation on images drawn from its own.

    Attributes:
        image_ids: what was drawn from, ascending. With the same ids, clusters, number and seed, the same images were
            drawn, so that the draws of two models are pairs.
        seed: of the draws.
        scores: `task/score` to its value in every draw.
        clusters: how many groups of images were drawn from; None where images were drawn one by one.
    """

    image_ids: list[int]
    seed: int
    scores: dict[str, list[float]]
    clusters: int | None = None


def draw_scores(
    found: Evaluation,
    draws: int,
    seed: int = 0,
    groups: Mapping[int, str] | None = None,
    only: str | None = None,
) -> Draws:
    """Draw as many images as there are, with replacement, score them, and so on.

    Efron, Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13: the percentile interval. It says how much
    chance there is in the choice of test images, not in the training. Images that are like each other, such as those
    of one video, are drawn together (the cluster bootstrap; Davison, Hinkley, "Bootstrap Methods and their
    Application", 1997, section 3.8): one by one, they would be taken for more than they are.

    Args:
        found: an evaluation with its metrics' records.
        draws: how often; a thousand will do for intervals of 95 %.
        seed: of the draws. Evaluations on the same images see the same ones.
        groups: image id to the cluster that it is drawn with, as many as there are of these; None = one by one.
        only: the `task/score` to draw, by the metric that gives it alone; None for all.

    Raises:
        ConfigError: no metric gives `only`, or an image is in no group.
    """
    image_ids = np.array(sorted(found.per_image()), np.int64)
    members = np.arange(len(image_ids)) if groups is None else _members(image_ids.tolist(), groups)
    clusters = int(members.max(initial=-1)) + 1
    names, metrics = _metrics_of(found, only)
    rng = np.random.default_rng(seed)
    every: list[dict[str, float]] = []
    for _ in range(draws):
        counts = np.bincount(rng.integers(clusters, size=clusters), minlength=clusters)[members]
        chosen = counts > 0
        weights = dict(zip(image_ids[chosen].tolist(), counts[chosen].astype(float).tolist(), strict=True))
        every.append(_score(metrics, weights))
    scores = {name: [drawn[own] for drawn in every] for name, own in names.items()}
    return Draws(image_ids.tolist(), seed, scores, None if groups is None else clusters)


def score_intervals(draws: Draws) -> dict[str, tuple[float, float]]:
    """Return `task/score` to the ends of the interval that 95 % of its draws lie in."""
    return {name: interval(values) for name, values in draws.scores.items()}


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the ends of the interval that 95 % of the values lie in; NaN where none is a number."""
    numbers = np.array(values, np.float64)
    known = numbers[~np.isnan(numbers)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.percentile(known, (100 * (1 - LEVEL) / 2, 100 * (1 + LEVEL) / 2)).tolist()
    return low, high


def write_draws(path: Path, draws: Sequence[Draws]) -> None:
    """Write the draws of one test, of each of its data sets.

    Raises:
        ConfigError: the file cannot be written.
    """
    write_text(path, json.dumps(finite([asdict(each) for each in draws])))


def read_draws(path: Path) -> list[Draws]:
    """Read what `write_draws` wrote; nothing where there is no such file.

    Raises:
        ConfigError: it is something else.
    """
    if not path.is_file():
        return []
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        nan = float("nan")
        return [
            Draws(
                image_ids=[int(image_id) for image_id in each["image_ids"]],
                seed=int(each["seed"]),
                scores={name: [nan if v is None else float(v) for v in own] for name, own in each["scores"].items()},
                clusters=None if each.get("clusters") is None else int(each["clusters"]),
            )
            for each in content
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path} is not what densezoo test --intervals writes: {error}") from error


def _members(image_ids: Sequence[int], groups: Mapping[int, str]) -> Array:
    """Return the number of each image's cluster, (n,) int64; clusters count in the order of their names."""
    missing = [image_id for image_id in image_ids if image_id not in groups]
    if missing:
        raise ConfigError(f"{len(missing)} images are in no group that they could be drawn with, such as {missing[0]}")
    members: Array = np.unique([groups[image_id] for image_id in image_ids], return_inverse=True)[1]
    return members


def _metrics_of(found: Evaluation, only: str | None) -> tuple[dict[str, str], dict[str, list[Metric]]]:
    """Return what to compute for the scores asked for: their names to the names they have there, and the metrics."""
    if only is None:
        return {name: name for name in found.scores}, found.metrics
    owners: dict[str, tuple[str, str, Metric]] = {}
    for task, metrics in found.metrics.items():
        for metric in metrics:
            add_scores(owners, task, metric, {key: (task, key, metric) for key in metric.compute()})
    if only not in owners:
        raise ConfigError(f"no score is called {only!r}; {near_names(only, owners)}")
    task, key, metric = owners[only]
    return {only: f"{task}/{key}"}, {task: [metric]}


def _score(of_tasks: Mapping[str, Sequence[Metric]], weights: Mapping[int, float]) -> dict[str, float]:
    scores: dict[str, float] = {}
    for task, metrics in of_tasks.items():
        for metric in metrics:
            add_scores(scores, task, metric, metric.compute(weights))
    return scores
