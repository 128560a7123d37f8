import torch
from torch.nn.functional import interpolate

from densezoo.layers.upsample import TransposedConvNormAct, cut_or_resize


def test_a_transposed_convolution_doubles():
    layer = TransposedConvNormAct(2, 3, norm="none", activation="none", bias=False)
    assert layer(torch.randn(1, 2, 5, 1)).shape == (1, 3, 10, 2)
    assert sum(p.numel() for p in layer.parameters()) == 16 * 2 * 3
    biased = TransposedConvNormAct(2, 3)
    assert sum(p.numel() for p in biased.parameters()) == 16 * 2 * 3 + 3 + 2 * 3


def test_what_is_one_too_many_is_cut_and_the_rest_resized():
    x = torch.randn(1, 2, 6, 4)
    assert cut_or_resize(x, (6, 4)) is x
    assert torch.equal(cut_or_resize(x, (5, 4)), x[..., :5, :])
    expected = interpolate(x, size=(12, 8), mode="bilinear", align_corners=False)
    assert torch.equal(cut_or_resize(x, (12, 8)), expected)
    assert cut_or_resize(x, (7, 4)).shape == (1, 2, 7, 4)
