import torch

from densezoo.engine import score
from densezoo.engine.build import build_dataset, build_dense_model
from densezoo.engine.checkpoint import save_checkpoint
from densezoo.engine.config import load_config


def test_answers_are_kept_of_the_model_and_not_of_the_baseline(tiny_config, tmp_path, monkeypatch):
    config = load_config(tiny_config)
    meta = build_dataset(config.train_data, config.data_root).meta
    model = build_dense_model(config, meta, torch.device("cpu"))
    save_checkpoint(tmp_path / "a.pt", {"model": model.state_dict(), "meta": meta.to_dict()})
    made = []
    real = score.evaluate
    monkeypatch.setattr(score, "evaluate", lambda *args, **more: made.append(real(*args, **more)) or made[-1])
    found, compared = score.score_checkpoint(config, tmp_path / "a.pt", baseline=True)
    assert [bool(one.results["pose"]) for one in made] == [bool(one.files) for one in made] == [True, False]
    assert found is made[0]
    assert found.meta == meta
    assert {name: scores.keys() for name, scores in compared.items()} == {"baseline": found.scores.keys()}
