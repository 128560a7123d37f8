import logging

import pytest
import torch

from densezoo.comparison import costs
from densezoo.comparison.costs import cost_of, count, image_size, latencies, measure
from densezoo.engine.build import build_dense_model
from densezoo.engine.config import EngineOptions, RunConfig
from densezoo.engine.profile import profile_model
from densezoo.errors import ConfigError
from densezoo.types import DatasetMeta

META = DatasetMeta(classes=("a", "b"), category_ids=(1, 2), keypoint_names=("x", "y", "z"))
STEM = {"type": "NewellStem", "channels": 8, "norm": "group"}
TIMM = {"type": "Timm", "model": "test_resnet"}
POSE = {"pose": {"type": "Pose", "num_keypoints": 3}}
BOXES = {"boxes": {"type": "Boxes", "num_classes": 2}}


def config_of(encoder=STEM, neck=None, **keys):
    values = {"tasks": POSE, "warp": {"size": (48, 32)}, "train_data": {}, "engine": EngineOptions(device="cpu")}
    return RunConfig(encoder=encoder, neck=neck, **{**values, **keys})


@pytest.fixture
def devices(monkeypatch):
    """Where networks were built."""
    found = []

    def spy(config, meta, device, starts=False):
        found.append(device.type)
        return build(config, meta, device, starts)

    build = costs.build_silently
    monkeypatch.setattr(costs, "build_silently", spy)
    return found


def assert_profiled(config):
    model = costs.build_silently(config, META, torch.device("cpu"))
    whole = profile_model(model, image_size(config, META), repeats=1)[-1]
    assert (count(config, META, "parameters"), count(config, META, "macs")) == (whole.parameters, whole.macs)


@pytest.mark.parametrize("encoder", [STEM, TIMM], ids=["stem", "timm"])
@pytest.mark.parametrize("neck", ["StackedHourglass", "FPN", "UNet", "BiFPN", "PAFPN", "UNetPlusPlus"])
def test_counts_are_the_profiles_and_make_no_weights(neck, encoder, devices):
    config = config_of(encoder, {"type": neck, "channels": 8, "num_levels": 3 if encoder is STEM else 5})
    assert_profiled(config)
    assert devices == ["cpu", "meta", "meta"]


def test_counts_of_attention_and_of_corner_pools_are_the_profiles(devices):
    assert_profiled(config_of({"type": "Timm", "model": "test_vit"}, {"type": "FPN", "channels": 8, "num_levels": 2}))
    corners = {"corners": {"type": "Corners", "num_classes": 2, "head": {"type": "Corner", "channels": 8}}}
    assert_profiled(config_of(STEM, {"type": "StackedHourglass", "num_stages": 2, "num_levels": 2}, tasks=corners))
    assert devices == ["cpu", "meta", "meta"] * 2


@pytest.mark.parametrize("detector", ["FCOS", "RetinaNet", "FasterRCNN"])
def test_what_a_detector_finds_is_counted_on_the_cpu(detector, devices):
    neck = {"type": "FPN", "channels": 32}
    assert_profiled(config_of(TIMM, neck, tasks=BOXES, detector={"type": detector, "levels": [2, 3]}))
    assert devices == ["cpu", "meta", "cpu"]


def test_a_network_that_looks_at_values_is_counted_on_the_cpu(devices, monkeypatch):
    config = config_of(neck={"type": "FPN", "channels": 8, "num_levels": 2})
    expected = count(config, META, "macs")
    forward = costs.Model._normalise

    def look(self, images):
        assert images.sum().item() == 0
        return forward(self, images)

    monkeypatch.setattr(costs.Model, "_normalise", look)
    assert count(config, META, "macs") == expected
    assert devices == ["meta", "meta", "cpu"]


def test_what_is_wrong_with_a_config_is_said():
    with pytest.raises(ConfigError, match="no neck is called 'FNP'"):
        count(config_of(neck={"type": "FNP"}), META, "macs")


def test_counting_and_measuring_report_nothing(caplog):
    unread = {"type": "FPN", "channels": 32, "out_levels": [0, 3, 4]}  # a detector freezes the first, and says so
    config = config_of(TIMM, unread, tasks=BOXES, detector={"type": "FCOS", "levels": [3, 4]})
    with caplog.at_level(logging.INFO, "densezoo"):
        count(config, META, "parameters")
        assert caplog.records == []
        build_dense_model(config, META, torch.device("cpu"))
    assert "froze" in caplog.text


def test_costs_are_of_the_size_that_the_network_sees():
    assert image_size(config_of(), META) == (48, 32)
    assert image_size(config_of(warp={"size": None, "crop": 40}), META) == (40, 40)
    assert image_size(config_of(warp={"size": 64, "crop": 40}), META) == (64, 64)
    assert image_size(config_of(warp={"size": None}), META) == (256, 256)
    small, large = (count(config_of(warp={"size": side}), META, "macs") for side in (32, 64))
    assert large == 4 * small


def test_a_measured_cost_is_the_profile_in_the_precision_of_the_config():
    config = config_of(neck={"type": "StackedHourglass", "num_stages": 1, "num_levels": 2})
    full, half = measure(config, META), measure(config.with_engine(amp=True), META)
    assert (
        full.parameters == half.parameters == count(config, META, "parameters") == cost_of(config, META, "parameters")
    )
    assert full.macs == half.macs == count(config, META, "macs")
    assert 0 < half.activation_bytes < full.activation_bytes
    assert full.milliseconds > 0
    assert (full.width, full.ratio) == (None, None)


def test_latencies_are_medians_of_turns(monkeypatch):
    turns = []

    def time(model, images, repeats, amp):
        turns.append((tuple(images.shape[-2:]), amp, model.training))
        return {"model": {48: [3.0, 90.0, 5.0], 16: [1.0, 2.0, 0.5]}[images.shape[-2]][(len(turns) - 1) // 2]}

    monkeypatch.setattr(costs, "median_times", time)
    other = config_of(warp={"size": 16}).with_engine(amp=True)
    assert latencies([config_of(), other], META) == [5.0, 1.0]
    assert turns == [((48, 32), False, False), ((16, 16), True, False)] * 3
    turns.clear()
    monkeypatch.setattr(costs, "median_times", lambda *_: {"model": 7.0})
    assert cost_of(config_of(), META, "latency") == 7.0
