"""Answers that are neither all right nor all wrong, for commands whose tiny networks find nothing."""

import numpy as np
import pytest

from densezoo.models.dense_model import DenseModel
from densezoo.models.detector import Detector
from densezoo.types import Prediction


@pytest.fixture
def answers_near_the_truth(monkeypatch):
    """Return a function after which every model finds the annotated boxes, moved a little, in the network's pixels."""

    def answer(task):
        def predict(self, batch, views=None):
            rng = np.random.default_rng(0)
            answers = []
            for boxes, labels, valid in zip(batch["boxes"], batch["labels"], batch["valid"], strict=True):
                found = boxes[valid].numpy()
                sides = np.tile(found[:, 2:] - found[:, :2], 2)
                found = found + (rng.normal(0, 0.06, found.shape) * sides).astype(np.float32)
                scores = np.sort(rng.random(len(found)).astype(np.float32))[::-1]
                answers.append(Prediction(boxes=found, labels=labels[valid].numpy(), scores=scores))
            return {task: answers}

        for model in (DenseModel, Detector):
            monkeypatch.setattr(model, "predict", predict)

    return answer
