from dataclasses import replace

import pytest
import torch

from densezoo.engine import build
from densezoo.engine.config import load_config
from densezoo.errors import ConfigError
from densezoo.types import DatasetMeta


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


def test_only_training_needs_keypoints_for_half_bodies(tiny_config):
    config = load_config(tiny_config)
    config = replace(config, warp={**config.warp, "half_body": 0.3})
    assert build.build_warp(config, DatasetMeta(), training=False).half_body == 0
    with pytest.raises(ConfigError, match="half_body needs keypoints"):
        build.build_warp(config, DatasetMeta(), training=True)
    with pytest.raises(ConfigError, match="half_bodies"):
        build.build_warp(replace(config, warp={**config.warp, "half_bodies": 0.3}), DatasetMeta(), training=False)
