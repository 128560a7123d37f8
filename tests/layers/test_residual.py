import pytest
import torch
import torch.nn.functional as F

from densezoo.layers.residual import Residual


def test_is_the_papers_bottleneck():
    block = Residual(8, 12)
    norms = [layer[0] for layer in list(block.body)[::2]]
    convs = list(block.body)[1::2]
    for norm in norms:
        torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
    x = torch.randn(2, 8, 5, 6)
    y = x
    for norm, conv, padding in zip(norms, convs, (0, 1, 0), strict=True):
        deviation = y.var((0, 2, 3), correction=0, keepdim=True).add(norm.eps).sqrt()
        y = (y - y.mean((0, 2, 3), keepdim=True)) / deviation * norm.weight[:, None, None]
        y = F.conv2d(y.relu(), conv.weight, conv.bias, padding=padding)
    expected = F.conv2d(x, block.skip.weight, block.skip.bias) + y
    torch.testing.assert_close(block(x), expected, atol=1e-5, rtol=1e-4)
    assert [conv.out_channels for conv in convs] == [6, 6, 12]


def test_skip_is_the_input_where_the_width_stays():
    block = Residual(8, 8)
    torch.nn.init.zeros_(block.body[-1].weight)
    torch.nn.init.zeros_(block.body[-1].bias)
    x = torch.randn(2, 8, 5, 6)
    assert torch.equal(block(x), x)
    # 214,528 parameters at width 256: 32,896 + 147,584 + 33,024 in convolutions, 1,024 in normalisations
    assert sum(p.numel() for p in Residual(256, 256).parameters()) == 214_528


@pytest.mark.parametrize("norm", ["batch", "group", "none"])
def test_leaves_its_input_alone(norm):
    x = torch.randn(2, 8, 5, 6)
    before = x.clone()
    Residual(8, 8, norm)(x)
    assert torch.equal(x, before)
