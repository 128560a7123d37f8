import torch
import torch.nn.functional as F

from densezoo.layers.conv import ConvNormAct


def test_convolution_then_norm_then_activation():
    layer = ConvNormAct(3, 4, 5, 2).eval()
    torch.nn.init.uniform_(layer.norm_act[0].running_mean, -1, 1)
    x = torch.randn(2, 3, 7, 9)
    y = F.conv2d(x, layer.conv.weight, layer.conv.bias, stride=2, padding=2)
    expected = ((y - layer.norm_act[0].running_mean[:, None, None]) / (1 + 1e-5) ** 0.5).relu()
    torch.testing.assert_close(layer(x), expected)
    assert layer(x).shape == (2, 4, 4, 5)


def test_convolution_has_a_bias():
    assert sum(p.numel() for p in ConvNormAct(3, 64, 7, 2).parameters()) == 3 * 64 * 49 + 64 + 2 * 64
