import logging
from collections import OrderedDict
from functools import partial

import pytest
import torch
from converting import assert_every_tensor_counts
from filling import fill, image
from torch import nn
from torchvision.models.convnext import LayerNorm2d
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool, LastLevelP6P7

from densezoo.errors import ConfigError, DataError
from densezoo.interop import convert_state_dict
from densezoo.registry import NECKS

WIDTHS = [6, 10, 14]


def filled(extra=None, norm=None, channels=8):
    fpn = FeaturePyramidNetwork(WIDTHS, channels, extra_blocks=extra, norm_layer=norm)
    fpn.load_state_dict({key: fill(key, value.shape) for key, value in fpn.state_dict().items()})
    return fpn.eval()


def group(channels):
    return nn.GroupNorm(2, channels)  # as many groups as ours has for 8 channels


layer = partial(LayerNorm2d, eps=1e-6)


@pytest.mark.parametrize(
    ("extra", "options", "strides"),
    [
        (None, {}, [8, 16, 32]),
        (LastLevelMaxPool(), {"pool": True}, [8, 16, 32, 64]),
        (LastLevelP6P7(8, 8), {}, [8, 16, 32, 64, 128]),
        (LastLevelP6P7(14, 8), {"in_strides": [4, 8, 16]}, [4, 8, 16, 32, 64]),
    ],
)
@pytest.mark.parametrize("norm", [None, nn.BatchNorm2d, group, layer])
@torch.no_grad()
def test_it_gives_what_torchvision_gives(extra, options, strides, norm):
    fpn = filled(extra, norm)
    options = options | ({"norm": "layer"} if norm is layer else {})
    if norm is not None and isinstance(extra, LastLevelP6P7):
        with pytest.raises(DataError, match="bare convolutions"):
            convert_state_dict(fpn.state_dict(), "torchvision_fpn", **options)
        return
    config, weights = convert_state_dict(fpn.state_dict(), "torchvision_fpn", **options)
    neck = NECKS.build(config)
    neck.load_state_dict(weights, strict=True)
    pyramid = [image(33, 21, 6), image(17, 11, 10), image(9, 6, 14)]
    expected = list(fpn(OrderedDict(enumerate(pyramid))).values())
    out = neck.eval()(pyramid)[-1]
    assert (neck.out_strides, len(out)) == (strides, len(expected))
    for one, other in zip(out, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5 * float(other.abs().max()))


def test_extra_levels_read_the_output_where_widths_are_equal_as_torchvisions_do():
    fpn = filled(LastLevelP6P7(14, 14), channels=14)
    assert convert_state_dict(fpn.state_dict(), "torchvision_fpn")[0]["extra"] == "conv"


def test_names_of_older_versions_will_do():
    fpn = filled()
    old = {key.replace(".0.weight", ".weight").replace(".0.bias", ".bias"): v for key, v in fpn.state_dict().items()}
    assert "inner_blocks.2.weight" in old
    config, weights = convert_state_dict(old, "torchvision_fpn")
    expected = convert_state_dict(fpn.state_dict(), "torchvision_fpn")
    assert config == expected[0]
    assert all(torch.equal(weights[key], value) for key, value in expected[1].items())


def test_what_tensors_do_not_show_is_reported(caplog):
    with caplog.at_level(logging.WARNING, "densezoo"):
        convert_state_dict(filled().state_dict(), "torchvision_fpn")
    assert [record.getMessage().split("=")[0] for record in caplog.records] == [
        "torchvision_fpn: assumed in_strides",
        "torchvision_fpn: assumed pool",
    ]
    assert "assumed pool=False (no P6, " in caplog.text
    for options, assumed in [
        ({}, ["norm='group'", "groups=2"]),
        ({"norm": "group"}, ["groups=2"]),
        ({"norm": "group", "groups": 2}, []),
        ({"groups": 2}, ["norm='group'"]),
        ({"norm": "layer"}, []),
    ]:
        caplog.clear()
        given = {"in_strides": [4, 8, 16], "pool": False, **options}
        convert_state_dict(filled(norm=group).state_dict(), "torchvision_fpn", **given)
        found = [
            record.getMessage().removeprefix("torchvision_fpn: assumed ").split(" ")[0] for record in caplog.records
        ]
        assert found == assumed


@pytest.mark.parametrize(
    ("norm", "options", "message"),
    [
        (group, {"norm": "gruop"}, "not of norm='gruop'; did you mean 'group'"),
        (group, {"norm": "batch"}, "not of norm='batch'"),
        (group, {"groups": 4}, "groups=4 cannot be converted; ours are norm='group' with 2 groups for 8"),
        (group, {"norm": "layer", "groups": 2}, "norm='layer' without groups"),
        (nn.BatchNorm2d, {"norm": "group"}, "the tensors are of norm='batch'"),
        (None, {"groups": 2}, "the tensors are of norm='none'"),
    ],
)
def test_a_normalisation_that_the_tensors_are_not_of_is_refused(norm, options, message):
    with pytest.raises(ConfigError, match=message):
        convert_state_dict(filled(norm=norm).state_dict(), "torchvision_fpn", **options)


@pytest.mark.parametrize(("extra", "norm"), [(LastLevelP6P7(14, 8), None), (None, nn.BatchNorm2d), (None, group)])
def test_every_tensor_counts(monkeypatch, extra, norm):
    assert_every_tensor_counts(monkeypatch, filled(extra, norm).state_dict(), "torchvision_fpn")


def test_what_does_not_fit_is_listed():
    state = filled().state_dict()
    state["layer_blocks.7.0.weight"] = state.pop("layer_blocks.1.0.weight")
    with pytest.raises(DataError, match=r"(?s)missing layer_blocks.1.0.weight.*unknown layer_blocks.7.0.weight"):
        convert_state_dict(state, "torchvision_fpn")
    with pytest.raises(ConfigError, match="must be 3 numbers"):
        convert_state_dict(filled().state_dict(), "torchvision_fpn", in_strides=[4, 8])
    with pytest.raises(DataError, match="another source"):
        convert_state_dict({"conv1.weight": torch.ones(1, 1, 1, 1)}, "torchvision_fpn")
