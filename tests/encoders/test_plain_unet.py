import pytest
import torch

from densezoo.encoders.plain_unet import PlainUNet
from densezoo.errors import ConfigError
from densezoo.necks.unet import UNet


def test_widths_strides_and_parameter_count():
    encoder = PlainUNet(4, in_channels=1)
    assert (encoder.channels, encoder.strides) == ([4, 8, 16, 32, 64], [1, 2, 4, 8, 16])
    assert encoder.origins == [0.0] * 5
    assert (encoder.mean, encoder.std) == ((0.5,), (0.5,))
    # convolutions without bias, each with a normalisation
    pairs = [(1, 4), (4, 4), (4, 8), (8, 8), (8, 16), (16, 16), (16, 32), (32, 32), (32, 64), (64, 64)]
    assert sum(p.numel() for p in encoder.parameters()) == sum(
        9 * before * after + 2 * after for before, after in pairs
    )
    plain = PlainUNet([4, 6], norm="none")
    assert sum(p.numel() for p in plain.parameters()) == 9 * (3 * 4 + 4 * 4 + 4 * 6 + 6 * 6) + 2 * (4 + 6)


def test_pooling_rounds_up_or_down():
    images = torch.randn(1, 3, 19, 26)
    sizes = [tuple(level.shape[-2:]) for level in PlainUNet(2).eval()(images)]
    assert sizes == [(19, 26), (10, 13), (5, 7), (3, 4), (2, 2)]
    sizes = [tuple(level.shape[-2:]) for level in PlainUNet(2, ceil_mode=False).eval()(images)]
    assert sizes == [(19, 26), (9, 13), (4, 6), (2, 3), (1, 1)]


def test_valid_convolutions_lose_borders_and_say_so():
    encoder = PlainUNet([1, 1, 1], in_channels=1, padding="valid", norm="none")
    assert encoder.origins == [2.0, 6.0, 14.0]
    assert PlainUNet(2, padding="valid").origins == [2.0, 6.0, 14.0, 30.0, 62.0]
    with torch.no_grad():
        for name, values in encoder.named_parameters():
            values.zero_()
            if name.endswith("weight"):
                values[0, 0, 1, 1] = 1  # every convolution hands its centre on
    # blocks of 4 by 4 pixels that lie as the cells of the coarsest level do
    image = torch.rand(1, 1, 12, 12).repeat_interleave(4, -2).repeat_interleave(4, -1)[..., 2:-2, 2:-2]
    for level, origin, stride in zip(encoder(image), (2, 6, 14), (1, 2, 4), strict=True):
        assert torch.equal(level, image[..., origin : 44 - origin : stride, origin : 44 - origin : stride])


@pytest.mark.parametrize(
    ("arguments", "smallest", "way_out"),
    [
        ({"padding": "valid"}, 125, r"\(173×173 with a way up of valid convolutions\), or padding='same'"),
        ({"padding": "valid", "ceil_mode": False}, 140, r"\(188×188 .*\), or padding='same'"),
        ({"padding": "valid", "channels": [2, 2]}, 13, r"\(17×17 .*\), or padding='same'"),
        ({"ceil_mode": False}, 16, "or ceil_mode=True"),
        ({}, 1, ""),
    ],
)
def test_images_too_small_say_the_smallest(arguments, smallest, way_out):
    encoder = PlainUNet(**{"channels": 2, "norm": "none", **arguments})
    assert encoder.smallest == smallest
    coarsest = encoder(torch.randn(1, 3, smallest, smallest + 1))[-1]
    assert coarsest.shape[-2:] == (1, 1)
    if smallest > 1:
        size = rf"{smallest + 9}×{smallest - 1} pixels leaves nothing .* from {smallest}×{smallest} on.*{way_out}"
        with pytest.raises(ConfigError, match=size):
            encoder(torch.randn(1, 3, smallest + 9, smallest - 1))


@pytest.mark.parametrize(("ceil_mode", "smallest"), [(True, 173), (False, 188)])
def test_the_smallest_image_of_a_network_of_valid_convolutions(ceil_mode, smallest):
    encoder = PlainUNet(1, in_channels=1, padding="valid", ceil_mode=ceil_mode, norm="none")
    neck = UNet(encoder.channels, encoder.strides, align="crop", norm="none", in_origins=encoder.origins)
    assert encoder.smallest_up == smallest
    assert min(neck(encoder(torch.zeros(1, 1, smallest, smallest)))[0][0].shape[-2:]) >= 1
    with pytest.raises(ConfigError, match="only of one of 5×5 or more; take larger images"):
        neck(encoder(torch.zeros(1, 1, smallest, smallest - 1)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": 0}, "channels=0"),
        ({"channels": [8]}, "at least two"),
        ({"padding": "vaild"}, "did you mean 'valid'"),
        ({"norm": "bacth"}, "did you mean 'batch'"),
    ],
)
def test_impossible_values_say_how(arguments, message):
    with pytest.raises(ConfigError, match=message):
        PlainUNet(**arguments)
