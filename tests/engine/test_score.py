import pytest
import torch

from densezoo.engine import score
from densezoo.engine.build import build_dataset, build_dense_model
from densezoo.engine.checkpoint import save_checkpoint
from densezoo.engine.config import load_config
from densezoo.engine.load import checkpoint_meta
from densezoo.errors import ConfigError


@pytest.fixture
def checkpoint(tiny_config, tmp_path):
    config = load_config(tiny_config)
    meta = build_dataset(config.train_data, config.data_root).meta
    model = build_dense_model(config, meta, torch.device("cpu"))
    save_checkpoint(tmp_path / "a.pt", {"model": model.state_dict(), "meta": meta.to_dict()})
    return tmp_path / "a.pt"


def test_answers_are_kept_of_the_model_and_not_of_the_baseline(tiny_config, checkpoint, monkeypatch):
    config = load_config(tiny_config)
    made = []
    real = score.evaluate
    monkeypatch.setattr(score, "evaluate", lambda *args, **more: made.append(real(*args, **more)) or made[-1])
    found, compared = score.score_checkpoint(config, checkpoint, baseline=True)
    assert [bool(one.results["pose"]) for one in made] == [bool(one.files) for one in made] == [True, False]
    assert found is made[0]
    assert found.meta == checkpoint_meta(checkpoint)
    assert {name: scores.keys() for name, scores in compared.items()} == {"baseline": found.scores.keys()}


def test_without_a_metric_nothing_is_predicted(tiny_config, checkpoint, monkeypatch):
    monkeypatch.setattr(score, "evaluate", None)
    with pytest.raises(ConfigError, match="no task has a metric, so there is nothing to score; give metrics="):
        score.score_checkpoint(load_config(tiny_config, {"tasks.pose.metrics": []}), checkpoint)
