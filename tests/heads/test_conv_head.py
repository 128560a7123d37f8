import pytest
import torch
import torch.nn.functional as F

from densezoo.errors import ConfigError
from densezoo.heads.conv_head import ConvHead


def test_default_is_one_convolution_per_map():
    head = ConvHead([8, 16], [4, 8], {"heat": 5, "offset": 2})
    pyramid = [torch.randn(2, 8, 6, 7), torch.randn(2, 16, 3, 4)]
    maps = head(pyramid)
    conv = head.branches["heat"][0]
    torch.testing.assert_close(maps["heat"], F.conv2d(pyramid[0], conv.weight, conv.bias))
    assert maps["offset"].shape == (2, 2, 6, 7)
    assert head.stride == 4
    assert sum(p.numel() for p in head.parameters()) == (8 + 1) * 7


def test_reads_the_level_it_is_told_to():
    head = ConvHead([8, 16], [4, 8], {"heat": 5}, level=1)
    assert head.stride == 8
    assert head([torch.empty(0), torch.randn(2, 16, 3, 4)])["heat"].shape == (2, 5, 3, 4)
    with pytest.raises(ConfigError, match="levels 0 to 1"):
        ConvHead([8, 16], [4, 8], {"heat": 5}, level=2)


def test_hidden_convolutions_and_initial_weights():
    head = ConvHead([8], [4], {"heat": 5}, hidden_channels=(6, 4), kernel_size=5, initial_std=0.0)
    assert [m.weight.shape for m in head.modules() if isinstance(m, torch.nn.Conv2d)] == [
        (6, 8, 5, 5),
        (4, 6, 5, 5),
        (5, 4, 1, 1),
    ]
    assert head([torch.randn(2, 8, 3, 3)])["heat"].eq(0).all()


def test_maps_are_float32_under_autocast():
    head = ConvHead([8], [4], {"heatmap": 3}, hidden_channels=[8])
    with torch.autocast("cpu", torch.bfloat16):
        maps = head([torch.rand(1, 8, 5, 5)])
    assert maps["heatmap"].dtype == torch.float32
    values = maps["heatmap"].flatten()
    assert not torch.equal(values, values.bfloat16().float())


@pytest.mark.parametrize(
    "arguments",
    [{"hidden_channels": [0]}, {"final_kernel_size": -1}, {"kernel_size": 2}, {"initial_std": -1.0}],
)
def test_sizes_that_cannot_be_are_named(arguments):
    with pytest.raises(ConfigError, match=next(iter(arguments))):
        ConvHead([8], [4], {"heatmap": 3}, **arguments)
