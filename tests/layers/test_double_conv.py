import torch

from densezoo.layers.double_conv import DoubleConv


def test_two_convolutions_with_or_without_padding_and_bias():
    x = torch.randn(1, 2, 7, 5)
    assert DoubleConv(2, 3).eval()(x).shape == (1, 3, 7, 5)
    assert DoubleConv(2, 3, padding=0).eval()(x).shape == (1, 3, 3, 1)
    assert sum(p.numel() for p in DoubleConv(2, 3, 4).parameters()) == 9 * (2 * 4 + 4 * 3) + 2 * (4 + 3)
    assert sum(p.numel() for p in DoubleConv(2, 3, 4, norm="none").parameters()) == 9 * (2 * 4 + 4 * 3) + 4 + 3
