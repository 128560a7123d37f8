import pytest
import torch
from torch import nn

from densezoo.errors import ConfigError
from densezoo.layers.normalise import make_activation, make_norm, norm_act, num_groups


@pytest.mark.parametrize(
    ("channels", "groups"), [(256, 32), (128, 32), (64, 16), (48, 12), (36, 9), (20, 5), (7, 1), (3, 1), (44, 11)]
)
def test_groups_divide_and_keep_four_channels(channels, groups):
    assert num_groups(channels) == groups


@pytest.mark.parametrize("name", ["group", "layer"])
def test_group_norms_ignore_the_batch(name):
    x = torch.randn(3, 16, 5, 4) * torch.tensor([1.0, 10.0, 100.0])[:, None, None, None]
    norm = make_norm(name, 16)
    torch.testing.assert_close(norm(x)[1:2], norm(x[1:2]))
    # four groups of four channels over the whole map; or all channels of each cell
    groups = norm(x).reshape(3, 4, -1) if name == "group" else norm(x).flatten(2).mT
    torch.testing.assert_close(groups.mean(-1), torch.zeros_like(groups[..., 0]), atol=1e-5, rtol=0)
    torch.testing.assert_close(groups.var(-1, unbiased=False), torch.ones_like(groups[..., 0]), atol=1e-3, rtol=0)


def test_norm_types():
    assert isinstance(make_norm("batch", 8), nn.BatchNorm2d)
    assert isinstance(make_norm("sync", 8), nn.SyncBatchNorm)
    assert isinstance(make_norm("none", 8), nn.Identity)


@pytest.mark.parametrize("name", ["batch", "sync"])
def test_a_single_value_per_channel_is_refused_with_the_way_out(name):
    norm = make_norm(name, 8)
    with pytest.raises(ConfigError, match="norm='group'"):
        norm(torch.randn(1, 8, 1, 1))
    norm(torch.randn(2, 8, 1, 1))
    norm.eval()(torch.randn(1, 8, 1, 1))


def test_wrong_names_are_named_with_near_ones():
    with pytest.raises(ConfigError, match=r"norm='bacth'.*'batch'"):
        make_norm("bacth", 8)
    with pytest.raises(ConfigError, match=r"activation='rellu'.*'relu'"):
        make_activation("rellu")


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "elu", "silu", "mish", "hardswish", "gelu", "none"])
def test_without_a_norm_the_input_is_left_alone(activation):
    x = torch.linspace(-2, 2, 16).reshape(1, 4, 2, 2)
    before = x.clone()
    norm_act(4, "none", activation)(x)
    assert torch.equal(x, before)
