import logging

import pytest
import torch
from converting import assert_every_tensor_counts, assert_named, assert_reads_pixels
from filling import assert_golden, conv, filled, hollow, image, norm
from hourglasses import heatmaps

from densezoo.errors import DataError
from densezoo.interop import convert_state_dict
from densezoo.models import create_model


def residual(key, in_channels, out_channels):
    half = out_channels // 2
    yield from norm(f"{key}.bn1", in_channels)
    yield from conv(f"{key}.conv1.conv", half, in_channels)
    yield from norm(f"{key}.bn2", half)
    yield from conv(f"{key}.conv2.conv", half, half, 3)
    yield from norm(f"{key}.bn3", half)
    yield from conv(f"{key}.conv3.conv", out_channels, half)
    yield from conv(f"{key}.skip_layer.conv", out_channels, in_channels)


def hourglass(key, width, increase, levels):
    lower = width + increase
    yield from residual(f"{key}.up1", width, width)
    yield from residual(f"{key}.low1", width, lower)
    yield from residual(f"{key}.low3", lower, width)
    if levels > 1:
        yield from hourglass(f"{key}.low2", lower, 0, levels - 1)
    else:
        yield from residual(f"{key}.low2", lower, lower)


def princeton(stacks, width, keypoints, increase=0):
    """Names and shapes of the source's network, below those of its trainer."""
    yield from conv("pre.0.conv", 64, 3, 7)
    yield from norm("pre.0.bn", 64)
    for place, before, after in ((1, 64, 128), (3, 128, 128), (4, 128, width)):
        yield from residual(f"pre.{place}", before, after)
    for stack in range(stacks):
        yield from hourglass(f"hgs.{stack}.0", width, increase, 4)
        yield from residual(f"features.{stack}.0", width, width)
        yield from conv(f"features.{stack}.1.conv", width, width)
        yield from norm(f"features.{stack}.1.bn", width)
        yield from conv(f"outs.{stack}.conv", keypoints, width)
        if stack + 1 < stacks:
            yield from conv(f"merge_features.{stack}.conv.conv", width, width)
            yield from conv(f"merge_preds.{stack}.conv.conv", width, keypoints)


def test_golden_heatmaps_of_every_stage():
    """Two stacks that are wider below their first level, at a size of which the source's stem drops a row."""
    maps = heatmaps(filled(princeton(2, 16, 5, increase=4)), "princeton", image(66, 63))
    assert_golden(maps, PRINCETON)


PRINCETON = [
    ((-2.2648029, 7.8021345, 3.0801983), [3.1394079, 2.2846408, 0.87381935, 3.2000992, 5.2222309, 2.2440753]),
    ((-22.489923, 61.458691, 14.681325), [37.366756, 42.396557, 14.183414, 14.538848, -7.5123372, 28.505939]),
]


def test_images_are_in_0_to_1():
    assert_reads_pixels(filled(princeton(1, 16, 3)), "princeton", [0.0] * 3, [1.0] * 3)


@pytest.mark.slow
def test_full_size():
    """The published network of eight stacks; the first and the last of them."""
    maps = heatmaps(filled(princeton(8, 256, 16)), "princeton", image(64, 64))
    assert len(maps) == 8
    assert_golden([maps[0], maps[7]], FULL_SIZE, tolerance=3e-5)


FULL_SIZE = [
    ((-16.605127, 21.52879, 0.53326842), [12.015032, 10.918873, -7.9497833, -5.2055407, 6.790236, -11.463152]),
    (
        (-8716341.0, 15016382.0, -240906.72),
        [-3065984.5, -2687114.5, -1512060.9, -7706982.5, 331042.5, -312796.25],
    ),
]


@pytest.mark.parametrize("stacks", [1, 8])
def test_the_network_is_the_named_one(stacks):
    config, _ = convert_state_dict(hollow(princeton(stacks, 256, 16)), "princeton")
    assert_named(config, f"newell_hourglass_s{stacks}")


def test_checkpoints_hold_the_trainer_around_the_network():
    shapes = [(f"model.module.{key}", shape) for key, shape in princeton(1, 16, 3)]
    config, weights = convert_state_dict(hollow(shapes), "princeton")
    assert config["neck"]["channels"] == 16
    assert "heads.0.pose.branches.heatmap.0.weight" in weights


@pytest.mark.parametrize(("stacks", "count"), [(1, 3_426_448), (2, 6_570_400), (4, 12_858_304), (8, 25_434_112)])
def test_the_network_is_the_papers_without_the_unused_skips(stacks, count, caplog):
    with caplog.at_level(logging.WARNING, "densezoo"):
        config, _ = convert_state_dict(hollow(princeton(stacks, 256, 16)), "princeton")
    with torch.device("meta"):
        assert sum(values.numel() for values in create_model(config).parameters()) == count
    # one of the stem and fourteen of every stack, each with a weight and a bias
    left_out = 128 * 128 + 128 + stacks * 14 * (256 * 256 + 256)
    assert f"left out {2 * (1 + 14 * stacks)} tensors of 'pre.3.skip_layer" in caplog.text
    assert f"({left_out / 1e6:.2f} M numbers): the source builds them and never runs them" in caplog.text


def test_the_unused_skips_need_not_be_there():
    complete = hollow(princeton(1, 16, 3))
    pruned = {
        key: value for key, value in complete.items() if ".skip_layer." not in key or key[:6] in ("pre.1.", "pre.4.")
    }
    assert len(pruned) == len(complete) - 2 * 15
    assert convert_state_dict(pruned, "princeton")[1].keys() == convert_state_dict(complete, "princeton")[1].keys()


def test_every_tensor_counts(monkeypatch):
    def unread(key):
        return ".skip_layer." in key and key[:6] not in ("pre.1.", "pre.4.")

    assert_every_tensor_counts(monkeypatch, hollow(princeton(1, 16, 3)), "princeton", unread)


def test_what_is_missing_or_unknown_is_named():
    complete = hollow(princeton(2, 16, 3))
    needed = [key for key in complete if not key.endswith("num_batches_tracked") and ".skip_layer." not in key]
    for key in [*needed[::37], "pre.1.skip_layer.conv.weight"]:
        with pytest.raises(DataError, match=f"{key}(?![\\w.])"):
            convert_state_dict({name: value for name, value in complete.items() if name != key}, "princeton")
    with pytest.raises(DataError, match=r"unknown hgs.0.0.up3.bn1.weight \(16,\)"):
        convert_state_dict({**complete, "hgs.0.0.up3.bn1.weight": torch.empty(16)}, "princeton")
    with pytest.raises(DataError, match="is it of another source"):
        convert_state_dict(complete, "bearpaw")
