import pytest
import torch

from densezoo.errors import ConfigError
from densezoo.layers.double_conv import DoubleConv


def test_two_convolutions_with_or_without_padding_and_bias():
    x = torch.randn(1, 2, 7, 5)
    assert DoubleConv(2, 3).eval()(x).shape == (1, 3, 7, 5)
    assert DoubleConv(2, 3, padding=0).eval()(x).shape == (1, 3, 3, 1)
    assert sum(p.numel() for p in DoubleConv(2, 3, 4).parameters()) == 9 * (2 * 4 + 4 * 3) + 2 * (4 + 3)
    assert sum(p.numel() for p in DoubleConv(2, 3, 4, norm="none").parameters()) == 9 * (2 * 4 + 4 * 3) + 4 + 3


def test_without_normalisation_images_and_gradients_come_through_many_layers():
    torch.manual_seed(0)
    layers = torch.nn.Sequential(*(DoubleConv(16, 16, norm="none") for _ in range(9)))
    x = torch.randn(2, 16, 24, 24, requires_grad=True)
    found = layers(x)
    assert 0.1 < found.square().mean() < 10
    (gradient,) = torch.autograd.grad(found.square().sum(), x)
    assert 0.1 < gradient.square().mean().sqrt() < 100


def test_a_map_of_which_nothing_would_be_left_is_refused():
    layers = DoubleConv(2, 3, padding=0).eval()
    assert layers(torch.randn(1, 2, 5, 6)).shape == (1, 3, 1, 2)
    with pytest.raises(ConfigError, match="leave nothing of a map of 9×4 cells, only of one of 5×5 or more"):
        layers(torch.randn(1, 2, 9, 4))
    assert DoubleConv(2, 3).eval()(torch.randn(1, 2, 1, 1)).shape == (1, 3, 1, 1)
