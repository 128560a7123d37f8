from dataclasses import dataclass, field

import numpy as np
import pytest

from densezoo.engine.evaluate import Evaluation
from densezoo.engine.intervals import draw_scores, read_draws, score_intervals, write_draws
from densezoo.errors import ConfigError


@dataclass
class Mean:
    """A metric that is the mean of one number per image."""

    values: dict = field(default_factory=dict)
    primary = "mean"

    def per_image(self):
        return {image_id: {"mean": value} for image_id, value in self.values.items()}

    def compute(self, weights=None):
        weights = dict.fromkeys(self.values, 1.0) if weights is None else weights
        return {
            "mean": sum(self.values[key] * weight for key, weight in weights.items()) / sum(weights.values()),
            "images": sum(weights.values()),
            "never": float("nan"),
        }


def evaluated(*metrics):
    found = Evaluation({"task": list(metrics)})
    found.scores = {"task/mean": 0.0, "task/images": 0.0, "task/never": 0.0}
    if len(metrics) > 1:
        found.scores["task/Mean.mean"] = 0.0
    return found


def test_the_interval_of_a_mean_is_that_of_the_theory():
    values = np.random.default_rng(1).normal(0.6, 0.2, 400)
    found = evaluated(Mean(dict(enumerate(values.tolist()))))
    low, high = score_intervals(draw_scores(found, 2000))["task/mean"]
    error = values.std() / np.sqrt(len(values))
    assert (low, high) == pytest.approx((values.mean() - 1.96 * error, values.mean() + 1.96 * error), abs=0.1 * error)
    assert score_intervals(draw_scores(found, 5))["task/images"] == (400, 400)
    assert np.isnan(score_intervals(draw_scores(found, 5))["task/never"]).all()


def test_draws_depend_on_the_seed_alone():
    found = evaluated(Mean({7: 0.1, 3: 0.9, 5: 0.4}), Mean({7: 0.2, 3: 0.3, 5: 0.5}))
    first, again, other = (score_intervals(draw_scores(found, 50, seed)) for seed in (0, 0, 1))
    assert first["task/mean"] == again["task/mean"]
    assert first["task/Mean.mean"] != first["task/mean"]
    assert first["task/mean"] != other["task/mean"]


def test_clusters_are_drawn_whole():
    # three clusters, of two, one and three images
    values = {1: 0.0, 2: 0.5, 3: 0.25, 4: 1.0, 5: 0.0, 6: 0.75}
    groups = {1: "b", 2: "b", 3: "a", 4: "c", 5: "c", 6: "c"}
    drawn = draw_scores(evaluated(Mean(values)), 30, groups=groups)
    assert (drawn.image_ids, drawn.clusters) == ([1, 2, 3, 4, 5, 6], 3)
    members = [[3], [1, 2], [4, 5, 6]]  # in the order of their names
    rng = np.random.default_rng(0)
    for mean, images in zip(drawn.scores["task/mean"], drawn.scores["task/images"], strict=True):
        chosen = [values[image_id] for cluster in rng.integers(3, size=3) for image_id in members[cluster]]
        assert (mean, images) == (pytest.approx(np.mean(chosen)), len(chosen))


def test_images_alike_within_clusters_are_worth_one_each():
    centres = np.random.default_rng(2).normal(0.5, 0.1, 200)
    values = dict(enumerate(np.repeat(centres, 5).tolist()))
    groups = {image_id: f"video {image_id // 5}" for image_id in values}
    apart, together = (
        score_intervals(draw_scores(evaluated(Mean(values)), 500, groups=own))["task/mean"] for own in (None, groups)
    )
    error = centres.std() / np.sqrt(200)
    assert np.diff(together)[0] == pytest.approx(2 * 1.96 * error, rel=0.1)
    assert np.diff(apart)[0] == pytest.approx(2 * 1.96 * error / np.sqrt(5), rel=0.1)


def test_as_many_clusters_as_images_are_images():
    values = {number: float(number) for number in range(10)}
    alone = draw_scores(evaluated(Mean(values)), 20)
    grouped = draw_scores(evaluated(Mean(values)), 20, groups={number: f"{number}" for number in range(10)})
    assert alone.scores["task/mean"] == grouped.scores["task/mean"]
    assert (alone.clusters, grouped.clusters) == (None, 10)
    with pytest.raises(ConfigError, match="2 images are in no group that they could be drawn with, such as 8"):
        draw_scores(evaluated(Mean(values)), 20, groups=dict.fromkeys(range(8), "all"))


def refuse_weights(compute):
    def unweighted(weights=None):
        assert weights is None
        return compute()

    return unweighted


def test_one_score_is_drawn_by_its_metric_alone(monkeypatch):
    first, second = Mean({7: 0.1, 3: 0.9, 5: 0.4}), Mean({7: 0.2, 3: 0.3, 5: 0.5})
    every = draw_scores(evaluated(first, second), 50)
    for name, other in (("task/mean", second), ("task/Mean.mean", first)):
        with monkeypatch.context() as patch:
            patch.setattr(other, "compute", refuse_weights(other.compute))
            assert draw_scores(evaluated(first, second), 50, only=name).scores == {name: every.scores[name]}
    with pytest.raises(ConfigError, match="no score is called 'task/men'; did you mean 'task/mean'"):
        draw_scores(evaluated(first), 50, only="task/men")


def test_draws_survive_the_file_and_those_without_clusters_are_read(tmp_path):
    found = evaluated(Mean({1: 0.5, 2: 0.25}))
    drawn = [draw_scores(found, 3, only="task/mean"), draw_scores(found, 3, groups={1: "a", 2: "a"}, only="task/mean")]
    write_draws(tmp_path / "draws.json", drawn)
    assert read_draws(tmp_path / "draws.json") == drawn
    (tmp_path / "old.json").write_text('[{"image_ids": [1], "seed": 0, "scores": {"a": [0.5, null]}}]')
    (old,) = read_draws(tmp_path / "old.json")
    assert (old.clusters, old.scores["a"][0]) == (None, 0.5)
