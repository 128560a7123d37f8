import pytest
import torch
from torch.nn.functional import interpolate

from densezoo.encoders.plain_unet import PlainUNet
from densezoo.errors import ConfigError
from densezoo.necks.unet import UNet


def count(module):
    return sum(p.numel() for p in module.parameters())


def nodes_of(neck, stage=0):
    return neck.stages[stage].walk.nodes


def pyramid_of(widths, sizes):
    return [torch.randn(1, width, *size) for width, size in zip(widths, sizes, strict=True)]


def test_the_network_of_2015():
    with torch.device("meta"):
        encoder = PlainUNet(in_channels=1, padding="valid", norm="none")
        neck = UNet(
            encoder.channels,
            encoder.strides,
            upsample="transposed",
            align="crop",
            norm="none",
            in_origins=encoder.origins,
        )
        (level,) = neck(encoder(torch.zeros(1, 1, 572, 572)))[0]
    assert level.shape == (1, 64, 388, 388)
    assert (neck.out_channels, neck.out_strides, neck.out_origins) == ([64], [1], [[92.0]])
    assert count(encoder) + count(neck) + 64 * 2 + 2 == 31_030_658  # with a 1×1 head of two classes


@pytest.mark.parametrize("upsample", ["bilinear", "nearest", "transposed"])
def test_a_level_is_its_formula(upsample):
    neck = UNet([3, 5], [1, 2], upsample=upsample).eval()
    fine, coarse = pyramid_of([3, 5], [(6, 4), (3, 2)])
    node = nodes_of(neck)["0"]
    if upsample == "transposed":
        assert (node.pre.kernel_size, node.pre.out_channels) == ((2, 2), 3)
        doubled = node.pre(coarse)
    else:
        doubled = interpolate(coarse, scale_factor=2, mode=upsample)
    torch.testing.assert_close(neck([fine, coarse])[0][0], node.refine(torch.cat([fine, doubled], 1)))


def test_odd_sizes_lose_the_last_row_of_what_was_doubled():
    for upsample in ("bilinear", "nearest", "transposed"):
        neck = UNet([3, 5], [1, 2], upsample=upsample).eval()
        fine, coarse = pyramid_of([3, 5], [(5, 3), (3, 2)])
        node = nodes_of(neck)["0"]
        doubled = node.pre(coarse) if upsample == "transposed" else interpolate(coarse, scale_factor=2, mode=upsample)
        expected = node.refine(torch.cat([fine, doubled[..., :5, :3]], 1))
        torch.testing.assert_close(neck([fine, coarse])[0][0], expected)


def test_pad_puts_zeros_around_what_was_doubled():
    for upsample in ("bilinear", "nearest", "transposed"):
        neck = UNet([3, 5], [1, 2], upsample=upsample, align="pad").eval()
        fine, coarse = pyramid_of([3, 5], [(7, 4), (3, 2)])
        node = nodes_of(neck)["0"]
        corners = True if upsample == "bilinear" else None
        padded = torch.zeros(1, 3 if upsample == "transposed" else 5, 7, 4)
        padded[..., :6, :] = (
            node.pre(coarse)
            if upsample == "transposed"
            else interpolate(coarse, scale_factor=2.0, mode=upsample, align_corners=corners)
        )
        torch.testing.assert_close(neck([fine, coarse])[0][0], node.refine(torch.cat([fine, padded], 1)))


@pytest.mark.parametrize("from_skip", [True, False])
@pytest.mark.parametrize("num_levels", [3, 4])
def test_crops_lie_where_the_origins_say(from_skip, num_levels):
    encoder = PlainUNet([1, 1, 1], in_channels=1, padding="valid", norm="none")
    neck = UNet(
        encoder.channels,
        encoder.strides,
        num_levels=num_levels,
        out_levels=None,
        upsample="nearest",
        align="crop",
        norm="none",
        in_origins=encoder.origins,
    )
    with torch.no_grad():
        for name, values in [*encoder.named_parameters(), *neck.named_parameters()]:
            values.zero_()
            if name.endswith("weight"):  # every convolution hands the centre of one of its inputs on
                values[0, 0 if from_skip else -1, 1, 1] = 1
    assert neck.out_origins == [[20.0, 18.0, 14.0] if num_levels == 3 else [44.0, 42.0, 38.0, 30.0]]
    # blocks of 8 by 8 pixels that lie as the cells of a fourth level do
    image = torch.rand(1, 1, 14, 14).repeat_interleave(8, -2).repeat_interleave(8, -1)[..., 2:110, 2:110]
    for level, origin, stride in zip(neck(encoder(image))[0], neck.out_origins[0], neck.out_strides, strict=True):
        kept = slice(int(origin), 108 - int(origin), stride)
        assert torch.equal(level, image[..., kept, kept])


def test_stages_of_valid_convolutions_lose_borders_one_after_the_other():
    encoder = PlainUNet([1, 1], in_channels=1, padding="valid", norm="none")
    neck = UNet(
        encoder.channels,
        encoder.strides,
        num_stages=2,
        out_levels=None,
        upsample="nearest",
        align="crop",
        norm="none",
        in_origins=encoder.origins,
    )
    with torch.no_grad():
        for name, values in [*encoder.named_parameters(), *neck.named_parameters()]:
            values.zero_()
            if name.endswith("weight"):  # every convolution hands the centre of its first input on
                values[0, 0, values.shape[-2] // 2, values.shape[-1] // 2] = 1
    # the encoder loses 2 pixels and 4 at half the size, the way up 2; the second stage 4 at half the size and 2
    assert neck.out_origins == [[8.0, 6.0], [14.0, 12.0]]
    image = torch.rand(1, 1, 16, 16).repeat_interleave(4, -2).repeat_interleave(4, -1)
    for times, pyramid, origins in zip((1, 2), neck(encoder(image)), neck.out_origins, strict=True):
        for level, origin, stride in zip(pyramid, origins, neck.out_strides, strict=True):
            kept = slice(int(origin), 64 - int(origin), stride)
            assert torch.equal(level, times * image[..., kept, kept])  # features and input are added in between


def test_widths_are_the_encoders_unless_given():
    neck = UNet([16, 32], [4, 8], finer_levels=2, num_levels=3, out_levels=None)
    assert neck.out_channels == [4, 8, 16, 32, 32]
    assert neck.out_strides == [1, 2, 4, 8, 16]
    sizes = [level.shape for level in neck.eval()(pyramid_of([16, 32], [(5, 3), (3, 2)]))[0]]
    assert sizes == [(1, 4, 20, 12), (1, 8, 10, 6), (1, 16, 5, 3), (1, 32, 3, 2), (1, 32, 2, 1)]
    assert UNet([16, 32], [4, 8], channels=8, out_levels=(0, 1)).out_channels == [8, 8]
    assert UNet([16, 32], [4, 8], channels=[6, 7]).out_channels == [6]


def test_the_coarsest_map_goes_in_as_it_is():
    neck = UNet([4, 6], [4, 8], channels=8)
    assert count(neck) == 9 * (10 * 8 + 8 * 8) + 2 * 2 * 8


def test_width_between_the_convolutions():
    neck = UNet([4, 6], [4, 8], mid_channels=[9])
    assert count(neck) == 9 * (10 * 9 + 9 * 4) + 2 * (9 + 4)


def test_one_level_can_go_up_alone():
    neck = UNet([32], [16], num_levels=1, finer_levels=2).eval()
    assert neck([torch.randn(1, 32, 3, 2)])[0][0].shape == (1, 8, 12, 8)


def test_levels_without_another_in_between_are_resized_outright():
    neck = UNet([4, 6], [4, 16], upsample="transposed").eval()
    assert neck(pyramid_of([4, 6], [(9, 7), (3, 2)]))[0][0].shape == (1, 4, 9, 7)


def test_later_stages_go_down_by_pooling_and_two_convolutions():
    neck = UNet([4, 6], [4, 8], num_stages=2).eval()
    pyramid = pyramid_of([4, 6], [(5, 7), (3, 4)])
    first, second = neck(pyramid)
    merged = neck.merge(0, pyramid, first[0])[0]
    pool, convolve = neck.stages[1].downs[0]
    assert pool.ceil_mode
    expected = nodes_of(neck, 1)["0"]([merged], convolve(pool(merged)))
    torch.testing.assert_close(second[0], expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"upsample": "bilinaer"}, "did you mean 'bilinear'"),
        ({"align": "padd"}, "did you mean 'pad'"),
        ({"in_origins": [2.0, 6.0]}, "align='crop'"),
        ({"mid_channels": [8, 8]}, "must be 1 widths"),
        ({"mid_channels": [0]}, "must be 1 widths from 1 on"),
        ({"channels": [8, 8, 8]}, "or 2 of them"),
        ({"num_levels": 0}, "num_levels=0"),
        ({"fusion": "concta"}, "did you mean 'concat'"),
    ],
)
def test_impossible_values_say_how(arguments, message):
    with pytest.raises(ConfigError, match=message):
        UNet([4, 6], [4, 8], **arguments)


@pytest.mark.parametrize("align", ["pad", "crop"])
def test_what_doubles_maps_needs_strides_that_double(align):
    with pytest.raises(ConfigError, match=rf"align='{align}' doubles maps, .*\[4, 16\].*align='resize'"):
        UNet([4, 6], [4, 16], align=align)
    assert UNet([4, 6], [4, 16], align="resize").out_strides == [4]
