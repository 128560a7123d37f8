from dataclasses import dataclass, field

import numpy as np
import pytest

from densezoo.engine.evaluate import Evaluation
from densezoo.engine.intervals import draw_scores, score_intervals


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
