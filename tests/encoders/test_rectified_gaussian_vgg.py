from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from densezoo.encoders.rectified_gaussian_vgg import RectifiedGaussianVGG
from densezoo.errors import ConfigError
from densezoo.registry import ENCODERS

WIDTHS = {"channels": (4, 6, 8, 10, 12), "fc_channels": 14}
NAMES = [f"conv{block}_{index}" for block, last in enumerate((2, 2, 3, 3, 3), 1) for index in range(1, last + 1)]
NAMES += ["fc6", "fc7"]
POOLED = {"conv1_2", "conv2_2", "conv3_3", "conv4_3", "conv5_3"}


def lively(passes, norm="batch"):
    """A small encoder in double precision whose units are far from 0, with normalisations that do something."""
    torch.manual_seed(0)
    encoder = RectifiedGaussianVGG(passes, **WIDTHS, norm=norm).double().eval()
    for module in encoder.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
            nn.init.normal_(module.bias, 0, 0.3)
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.weight, module.running_var):
                nn.init.uniform_(values, 0.5, 1.5)
            for values in (module.bias, module.running_mean):
                nn.init.normal_(values, 0, 0.3)
    return encoder


def images_of(*size):
    return torch.randn(2, 3, *size, dtype=torch.double, generator=torch.Generator().manual_seed(1))


def pooled(name, x):
    return F.max_pool2d(x, 2, ceil_mode=True) if name in POOLED else x


def test_second_pass_adds_normalisations_and_no_filters():
    with torch.device("meta"):
        one, two = (dict(RectifiedGaussianVGG(passes).named_parameters()) for passes in (1, 2))
    # by hand: VGG-16 with batch normalisation, less its last layer, and a scale and bias for each unit of fc6 and fc7
    assert sum(p.numel() for p in one.values()) == 138_365_992 - 4_097_000 + 4 * 4096
    added = {name: p for name, p in two.items() if name not in one}
    assert {name: p.shape for name, p in two.items() if name in one} == {name: p.shape for name, p in one.items()}
    assert all(p.ndim == 1 for p in added.values())
    # fc6; pool5, conv5_2, conv5_1, pool4, conv4_2, conv4_1; pool3, conv3_2, conv3_1; pool2
    assert sum(p.numel() for p in added.values()) == 2 * (4096 + 6 * 512 + 3 * 256 + 128)


def test_bottom_up_maps_are_torchvisions():
    vgg = pytest.importorskip("torchvision.models.vgg")
    torch.manual_seed(0)
    features = vgg.make_layers(vgg.cfgs["D"], batch_norm=True).eval()
    encoder = RectifiedGaussianVGG(1, fc_channels=4).eval()
    theirs = [module for module in features if list(module.parameters())]
    ours = [part for name in NAMES[:-2] for part in (encoder.layers[name].conv, encoder.layers[name].norm_act[0])]
    for source, target in zip(theirs, ours, strict=True):
        target.load_state_dict(source.state_dict())
    x, expected = torch.randn(1, 3, 64, 96), []
    levels = encoder(x)
    for module in features:
        x = module(x)
        if isinstance(module, nn.MaxPool2d):
            expected.append(x)
    for level, reference in zip(levels, expected[1:4], strict=False):
        torch.testing.assert_close(level, reference, atol=1e-5, rtol=1e-5)
    assert levels[3].shape == (1, 4, 2, 3)


def unroll(encoder, images):
    """Both passes, one layer at a time: the units so far, after each update."""
    units, sums, below = {}, {}, images
    for name in NAMES:
        sums[name] = pooled(name, encoder.layers[name](below)).detach()
        below = sums[name].relu()
        units = {**units, name: below}
        yield units
    bottom_up = units
    for name, below in zip(NAMES[:3:-1], NAMES[-2:2:-1], strict=True):
        # a linear map's adjoint is the derivative of <W z, above>, here of convolution and pooling
        z = bottom_up[below].clone().requires_grad_()
        reached = (pooled(name, encoder.layers[name].conv(z)) * units[name]).sum()
        message = encoder.top_down[name](torch.autograd.grad(reached, z)[0])
        units = {**units, below: (sums[below] + message).relu().detach()}
        yield units


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_second_pass_sends_down_the_derivative_of_the_first(norm):
    encoder, images = lively(2, norm), images_of(45, 70)
    history = list(unroll(encoder, images))
    bottom_up, refined = history[len(NAMES) - 1], history[-1]
    for name, level in zip(["conv2_2", "conv3_3", "conv4_3", "fc7"], encoder(images), strict=True):
        torch.testing.assert_close(level, refined[name])
        assert name == "fc7" or not torch.allclose(level, bottom_up[name], atol=0.1)


def test_without_normalisation_every_update_raises_the_score():
    encoder, images = lively(2, "none"), images_of(45, 70)

    def score(units):
        total, below = 0.0, images
        for name, z in units.items():  # those above are 0 and add nothing
            total += (z * pooled(name, encoder.layers[name](below)) - z.square() / 2).sum().item()
            below = z
        return total

    scores = [0.0, *(score(units) for units in unroll(encoder, images))]
    assert all(after > before for before, after in pairwise(scores))


@pytest.mark.parametrize("passes", [1, 2])
@pytest.mark.parametrize("size", [(64, 64), (37, 70), (1, 1), (3, 130)])
def test_sizes_round_up(passes, size):
    levels = lively(passes)(images_of(*size))
    sizes = [(-(-size[0] // stride), -(-size[1] // stride)) for stride in (4, 8, 16, 32)]
    assert [level.shape for level in levels] == [
        (2, width, *cells) for width, cells in zip((6, 8, 10, 14), sizes, strict=True)
    ]


def test_a_silent_second_pass_changes_nothing():
    two = lively(2)
    one = RectifiedGaussianVGG(1, **WIDTHS).double().eval()
    one.load_state_dict({name: values for name, values in two.state_dict().items() if "top_down" not in name})
    for norm in two.top_down.values():
        nn.init.zeros_(norm.weight)
        nn.init.zeros_(norm.bias)
    for level, alone in zip(two(images_of(41, 66)), one(images_of(41, 66)), strict=True):
        assert torch.equal(level, alone)


def test_compiled_and_channels_last_give_the_same():
    encoder, images = lively(2), images_of(41, 66)
    expected = encoder(images)
    encoder.to(memory_format=torch.channels_last)
    compiled = torch.compile(encoder, fullgraph=True, backend="eager")
    for level, plain in zip(compiled(images.contiguous(memory_format=torch.channels_last)), expected, strict=True):
        torch.testing.assert_close(level, plain)


def test_arguments_are_checked():
    for wrong, message in [({"passes": 3}, "passes=3"), ({"channels": (8, 8)}, "five"), ({"fc_channels": 0}, "=0")]:
        with pytest.raises(ConfigError, match=message):
            RectifiedGaussianVGG(**wrong)
    with pytest.raises(ConfigError, match="activation"):  # units are rectified, or it is another model
        ENCODERS.build({"type": "RectifiedGaussianVGG", "activation": "gelu"})
