from dataclasses import replace

import pytest
import torch

from densezoo.engine import build
from densezoo.engine.config import load_config


@pytest.mark.parametrize("starts", [True, False])
def test_pretrained_weights_are_fetched_only_where_training_starts(tiny_config, monkeypatch, starts):
    config = load_config(tiny_config)
    config = replace(config, encoder={**config.encoder, "pretrained": True})
    asked = []

    def build_model(encoder, **_):
        asked.append(encoder["pretrained"])
        return real(encoder={key: value for key, value in encoder.items() if key != "pretrained"}, **_)

    real = build.build_model
    monkeypatch.setattr(build, "build_model", build_model)
    build.build_dense_model(config, None, torch.device("cpu"), starts=starts)
    assert asked == [starts]
    assert config.encoder["pretrained"] is True
