import pytest
import torch

from densezoo.errors import ConfigError
from densezoo.heads.center import Center

OUTPUTS = {"heat": 3, "size": 2, "keypoint_heat": 5, "keypoint_heat_offset": 2}


def test_has_as_many_parameters_as_the_published_head():
    """Of an hourglass: 256 channels, and per map a 3×3 and a 1×1 convolution with biases."""
    with torch.device("meta"):
        head = Center([256], [4], {"heat": 80, "size": 2, "offset": 2})
    assert sum(p.numel() for p in head.parameters()) == 3 * 590_080 + 84 * 257


def test_heat_starts_at_a_tenth():
    head = Center([8], [4], OUTPUTS, channels=8)
    for name, branch in head.branches.items():
        rare = branch[-1].bias.sigmoid().sub(0.1).abs().max() < 1e-3
        assert rare == (name in ("heat", "keypoint_heat"))


def test_reads_the_level_it_is_told_to():
    head = Center([8, 16], [4, 8], {"heat": 2}, in_origins=[0.0, 6.0], level=1, channels=4)
    assert (head.stride, head.origin) == (8, 6.0)
    assert head([torch.empty(0), torch.randn(2, 16, 5, 3)])["heat"].shape == (2, 2, 5, 3)


def test_maps_are_float32_under_autocast():
    with torch.autocast("cpu", torch.bfloat16):
        maps = Center([8], [4], OUTPUTS, channels=8)([torch.rand(2, 8, 5, 5)])
    for values in maps.values():
        assert values.dtype == torch.float32
        assert not torch.equal(values, values.bfloat16().float())


def test_impossible_values_say_how():
    with pytest.raises(ConfigError, match="levels 0 to 0"):
        Center([8], [4], OUTPUTS, level=1)
    with pytest.raises(ConfigError, match="channels=0"):
        Center([8], [4], OUTPUTS, channels=0)
    with pytest.raises(ConfigError, match="relu"):
        Center([8], [4], OUTPUTS, activation="rely")
