import logging

import pytest
import torch
from filling import assert_golden, conv, filled, hollow, image
from hourglasses import HOURGLASS, SMALL, block, conv_norm, features, heatmaps, hourglass

from densezoo.errors import DataError
from densezoo.interop import convert_state_dict
from densezoo.models import create_model


def openmmlab(stacks, channels, blocks, stem, out, prefix=""):
    """Names and shapes of both libraries' HourglassNet."""
    yield from conv_norm(f"{prefix}stem.0", stem, 3, 7)
    yield from block(f"{prefix}stem.1.0", stem, channels[0], 2, "downsample")
    for stack in range(stacks):
        yield from hourglass(f"{prefix}hourglass_modules.{stack}", channels, blocks, "downsample")
        yield from conv_norm(f"{prefix}out_convs.{stack}", out, channels[0], 3)
    for stack in range(stacks - 1):
        yield from conv_norm(f"{prefix}conv1x1s.{stack}", channels[0], channels[0], 1)
        yield from conv_norm(f"{prefix}remap_convs.{stack}", channels[0], out, 1)
    for index in range(max(stacks - 1, 1)):
        yield from block(f"{prefix}inters.{index}", channels[0], channels[0], 1, "downsample")


def test_golden_features_of_mmdet():
    """Two stacks on an image whose levels are odd: 12×10, 6×5, 3×3."""
    assert_golden(features(filled(openmmlab(2, **SMALL)), "mmdet", image(45, 38)), MMDET)


MMDET = [
    ((0.0, 3.2143359, 0.43657425), [0.52995139, 0.97392863, 0.0, 1.359253, 0.0, 0.0]),
    ((0.0, 4.2261748, 0.36468198), [0.0, 1.5528979, 0.0, 0.0, 0.0, 0.74346268]),
]


def test_golden_heatmaps_of_mmpose():
    """One stack with a plain final layer."""
    sizes = {"channels": (256, 8, 12), "blocks": (1, 2, 1), "stem": 128, "out": 10}
    state_dict = {f"backbone.{key}": value for key, value in filled(openmmlab(1, **sizes)).items()}
    state_dict |= filled(conv("head.multi_final_layers.0", 5, 10))
    assert_golden(heatmaps(state_dict, "mmpose", image(48, 61)), MMPOSE)


MMPOSE = [
    (
        (-4.3687077, 1.7640147, -0.61359275),
        [-0.22006884, 0.29889536, -3.2669625, -0.60140651, -0.054730438, -0.38845527],
    ),
]


@pytest.mark.parametrize("source", ["mmpose", "mmdet"])
@pytest.mark.parametrize(("stacks", "count"), [(1, 93_662_848), (2, 187_700_352)])
def test_published_parameter_counts(source, stacks, count, caplog):
    with caplog.at_level(logging.WARNING, "densezoo"):
        config, _ = convert_state_dict(hollow(openmmlab(stacks, **HOURGLASS)), source)
    with torch.device("meta"):
        assert sum(values.numel() for values in create_model(config).parameters()) == count
    assert ("left out 12 tensors of 'inters.' (1.18 M numbers)" in caplog.text) == (stacks == 1)


def test_heads_of_every_stack_become_heatmaps():
    heads = [item for stack in range(2) for item in conv(f"keypoint_head.multi_final_layers.{stack}", 17, 24, 3)]
    state_dict = hollow([*openmmlab(2, **SMALL, prefix="backbone."), *heads])
    config, weights = convert_state_dict(state_dict, "mmpose")
    assert config["tasks"]["pose"]["num_keypoints"] == 17
    assert weights["heads.1.pose.branches.heatmap.0.weight"].shape == (17, 24, 3, 3)
    del state_dict["keypoint_head.multi_final_layers.1.bias"]
    with pytest.raises(DataError, match=r"missing keypoint_head.multi_final_layers.1.bias"):
        convert_state_dict(state_dict, "mmpose")


@pytest.mark.parametrize(
    ("source", "head"),
    [
        ("mmpose", "head.multi_deconv_layers.0.0.weight"),
        ("mmpose", "head.final_layer.weight"),
        ("mmdet", "bbox_head.tl_heat.0.0.conv.weight"),
    ],
)
def test_other_heads_are_left_out_and_named(source, head, caplog):
    backbone = hollow(openmmlab(2, **SMALL, prefix="backbone."))
    with caplog.at_level(logging.WARNING, "densezoo"):
        config, weights = convert_state_dict({**backbone, head: torch.empty(3, 24, 1, 1)}, source)
    assert "tasks" not in config
    assert len(weights) == len(backbone)
    assert f"left out 1 tensors of '{head.split('.')[0]}.'" in caplog.text
    with pytest.raises(DataError, match=r"unknown neck.lateral.weight \(3,\)"):
        convert_state_dict({**backbone, "neck.lateral.weight": torch.empty(3)}, source)


def test_what_is_missing_is_named():
    complete = hollow(openmmlab(2, **SMALL))
    for key in [key for key in complete if not key.endswith("num_batches_tracked")][::13]:
        with pytest.raises(DataError, match=rf"{key}(?![\w.])"):
            convert_state_dict({name: value for name, value in complete.items() if name != key}, "mmdet")
