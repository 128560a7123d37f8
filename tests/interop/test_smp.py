import logging

import pytest
import torch
from converting import assert_every_tensor_counts, assert_named, assert_reads_pixels, convert
from filling import assert_golden, conv, filled, hollow, image, norm

from densezoo.errors import ConfigError, DataError
from densezoo.interop import convert_state_dict

IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
BASIC = ("resnet18", "resnet34")
BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3), "resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3)}


def conv_norm(name, before, after, size):
    yield from conv(f"{name}.0", after, before, size, bias=False)
    yield from norm(f"{name}.1", after)


def resnet(name, in_channels=3):
    """Names and shapes of torchvision's ResNet without its classifier."""
    expansion = 1 if name in BASIC else 4
    yield from conv("encoder.conv1", 64, in_channels, 7, bias=False)
    yield from norm("encoder.bn1", 64)
    before = 64
    for stage, blocks in enumerate(BLOCKS[name]):
        width = 64 * 2**stage
        for block in range(blocks):
            prefix = f"encoder.layer{stage + 1}.{block}"
            kernels = [(before, width, 3), (width, width, 3)]
            if expansion == 4:
                kernels = [(before, width, 1), (width, width, 3), (width, 4 * width, 1)]
            for index, (source, target, size) in enumerate(kernels, 1):
                yield from conv(f"{prefix}.conv{index}", target, source, size, bias=False)
                yield from norm(f"{prefix}.bn{index}", target)
            after = width * expansion
            if block == 0 and (stage or expansion == 4):
                yield from conv_norm(f"{prefix}.downsample", before, after, 1)
            before = after


def widths_of(name):
    return [64] + [64 * 2**stage * (1 if name in BASIC else 4) for stage in range(4)]


def block(name, before, after):
    yield from conv_norm(f"{name}.conv1", before, after, 3)
    yield from conv_norm(f"{name}.conv2", after, after, 3)


def unet(name, channels):
    above, *skips = reversed(widths_of(name)[: len(channels)])
    for index, (skip, after) in enumerate(zip([*skips, 0], channels, strict=True)):
        yield from block(f"decoder.blocks.{index}", above + skip, after)
        above = after


def unetplusplus(name, channels):
    head, *skips = reversed(widths_of(name)[: len(channels)])
    above = [head, *channels]
    for row, skip in enumerate(skips):
        for back in range(row + 1):
            before = above[row] if back == 0 else skips[row - 1]
            after = channels[row] if back == 0 else skip
            yield from block(f"decoder.blocks.x_{back}_{row}", before + skip * (row + 1 - back), after)
    yield from block(f"decoder.blocks.x_0_{len(skips)}", above[len(skips)], channels[-1])


def linknet(name, depth):
    head, *after = [*reversed(widths_of(name)[:depth]), 32]
    for index, width in enumerate(after):
        prefix, thin = f"decoder.blocks.{index}.block", head // 4
        yield from conv_norm(f"{prefix}.0", head, thin, 1)
        yield from conv(f"{prefix}.1.0", thin, thin, 4)
        yield from norm(f"{prefix}.1.1", thin)
        yield from conv_norm(f"{prefix}.2", thin, width, 1)
        head = width


def shapes(kind, name="resnet18", depth=5, in_channels=3, channels=(40, 32, 24, 16, 8), classes=2):
    """Names and shapes of a model of the source."""
    channels = channels[:depth]
    yield from resnet(name, in_channels)
    if kind == "Unet":
        yield from unet(name, channels)
    elif kind == "UnetPlusPlus":
        yield from unetplusplus(name, channels)
    else:
        yield from linknet(name, depth)
    size, width = (1, 32) if kind == "Linknet" else (3, channels[-1])
    yield from conv("segmentation_head.0", classes, width, size)


GOLDEN = {
    "Unet": ((-0.332808, 0.321019, 0.068425), [-0.001264, 0.129341, 0.039664, 0.021904, 0.198257, 0.037375]),
    "UnetPlusPlus": ((-0.106286, 0.543299, 0.17712), [0.057721, 0.439322, 0.060597, 0.142381, 0.0172, 0.407827]),
    "Linknet": ((-0.361585, 0.713168, 0.125194), [-0.042803, 0.049062, 0.002196, 0.115384, 0.488086, 0.079361]),
}
"""Model to the logits of the source on image(64, 96)."""


def logits(state_dict, **options):
    _, model = convert(state_dict, "smp", **options)
    with torch.no_grad():
        (maps,) = model(image(64, 96))["segmentation"]
    return maps["logits"]


@pytest.mark.parametrize("kind", ["Unet", "UnetPlusPlus", "Linknet"])
def test_logits_are_those_of_the_source(kind):
    found = logits(filled(shapes(kind)))
    assert found.shape == (1, 2, 64, 96)
    assert_golden([found], [GOLDEN[kind]])


def fpn(merge, channels=128, name="resnet18", classes=2):
    """Names and shapes of the source's FPN on a ResNet of basic blocks."""
    yield from resnet(name)
    yield from conv("decoder.p5", 256, 512)
    for level, width in zip((4, 3, 2), (256, 128, 64), strict=True):
        yield from conv(f"decoder.p{level}.skip_conv", 256, width)
    for branch, blocks in enumerate((3, 2, 1, 1)):  # from the coarsest level to the finest
        for block in range(blocks):
            prefix = f"decoder.seg_blocks.{branch}.block.{block}.block"
            yield from conv(f"{prefix}.0", channels, channels if block else 256, 3, bias=False)
            yield f"{prefix}.1.weight", (channels,)
            yield f"{prefix}.1.bias", (channels,)
    yield from conv("segmentation_head.0", classes, channels if merge == "add" else 4 * channels)


GOLDEN_FPN = {
    "add": ((-4.132436, 1.380441, -1.214427), [-0.287129, -0.283591, -0.743668, -1.32906, 0.31815, 0.470422]),
    "cat": ((-0.855095, 1.668697, 0.413092), [0.320133, 0.219505, 0.079701, 0.130104, 0.243402, 0.452283]),
}


@pytest.mark.parametrize(("merge", "fusion"), [("add", "sum"), ("cat", "concat")])
def test_logits_of_the_fpn_are_those_of_the_source(merge, fusion):
    config, _ = convert_state_dict(hollow(fpn(merge)), "smp")
    assert config["tasks"]["segmentation"]["head"]["fusion"] == fusion
    assert_golden([logits(filled(fpn(merge)))], [GOLDEN_FPN[merge]])


GOLDEN_OPTIONS = {
    "bilinear": (
        (-0.25205022, 0.31152076, 0.065765427),
        [-0.011917103, 0.10878126, 0.045214348, 0.061912812, 0.15610132, 0.045533568],
    ),
    1: (
        (-4.1837821, 1.4581275, -1.1988277),
        [-0.28712916, -0.66477668, -0.8284384, 0.81601208, -1.8309636, 0.60384309],
    ),
    2: (
        (-4.1487551, 1.3186734, -1.2091063),
        [-0.28712916, -0.37063906, 0.058586035, 0.6872102, -1.8241229, 1.1228769],
    ),
}
"""Interpolation of a Unet, or upsampling of an FPN, to the logits of the source on image(64, 96)."""


def test_what_the_tensors_do_not_show_can_be_given():
    assert_golden([logits(filled(shapes("Unet")), interpolation="bilinear")], [GOLDEN_OPTIONS["bilinear"]])
    for upsampling in (1, 2):
        assert_golden([logits(filled(fpn("add")), upsampling=upsampling)], [GOLDEN_OPTIONS[upsampling]])


@pytest.mark.parametrize(
    ("kind", "options", "assumed"),
    [
        (
            "Unet",
            {"interpolation": "nearest"},
            ["assumed interpolation='nearest' (smp's default); give interpolation="],
        ),
        (
            "UnetPlusPlus",
            {"interpolation": "nearest"},
            ["assumed interpolation='nearest' (smp's default); its UnetPlusPlus with"],
        ),
        ("Linknet", {}, []),
        (
            "FPN",
            {"interpolation": "nearest", "upsampling": 2},
            ["its FPN with", "assumed upsampling=4 (smp's default)"],
        ),
    ],
)
def test_what_is_assumed_is_said_and_what_is_given_is_not(kind, options, assumed, caplog):
    tensors = hollow(fpn("add") if kind == "FPN" else shapes(kind))
    with caplog.at_level(logging.WARNING, "densezoo"):
        convert_state_dict(tensors, "smp")
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == len(assumed) + 2
    for message, expected in zip(messages, [*assumed, "mean=(0.485, 0.456", "std=(0.229, 0.224"], strict=True):
        assert expected in message
    caplog.clear()
    with caplog.at_level(logging.WARNING, "densezoo"):
        convert_state_dict(tensors, "smp", **IMAGENET, **options)
    assert not caplog.records


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (
            "Unet",
            {"interpolation": "bicubic"},
            r"'bicubic' of smp's Unet cannot be converted; ours does \['nearest'",
        ),
        ("UnetPlusPlus", {"interpolation": "bilinear"}, r"'bilinear' of smp's UnetPlusPlus cannot"),
        ("FPN", {"interpolation": "bilinear"}, r"'bilinear' of smp's FPN cannot"),
        ("FPN", {"upsampling": 8}, "enlarge=8 a divisor of the stride 4"),
        ("Linknet", {"interpolation": "nearest"}, "Linknet of smp has no such option"),
        ("Unet", {"upsampling": 2}, "an option of smp's FPN"),
        ("Unet", {"mean": [0.5]}, "must have in_channels=3 numbers"),
    ],
)
def test_options_that_cannot_be_are_refused(kind, options, message):
    with pytest.raises(ConfigError, match=message):
        convert_state_dict(hollow(fpn("add") if kind == "FPN" else shapes(kind)), "smp", **options)


def test_images_are_normalised_by_imagenet_or_as_given():
    state_dict = filled(shapes("Unet", depth=3))
    assert_reads_pixels(state_dict, "smp", IMAGENET["mean"], IMAGENET["std"])
    assert_reads_pixels(state_dict, "smp", [0.0] * 3, [1.0] * 3, options={"mean": [0.0] * 3, "std": [1.0] * 3})
    grey = filled(shapes("Unet", depth=3, in_channels=1))
    assert_reads_pixels(grey, "smp", [0.5], [0.5], channels=1)


DEFAULT_CHANNELS = (256, 128, 64, 32, 16)
NAMED = {
    "unet_resnet34": list(shapes("Unet", "resnet34", channels=DEFAULT_CHANNELS, classes=1)),
    "unetplusplus_resnet34": list(shapes("UnetPlusPlus", "resnet34", channels=DEFAULT_CHANNELS, classes=1)),
    "linknet_resnet34": list(shapes("Linknet", "resnet34", classes=1)),
    "fpn_resnet34": list(fpn("add", name="resnet34", classes=1)),
}
"""Named model to names and shapes of the source's, with its defaults."""


@pytest.mark.parametrize("name", NAMED)
def test_the_network_is_the_named_one(name):
    config, _ = convert_state_dict(hollow(NAMED[name]), "smp")
    assert_named(config, name)


FULL_SIZE = {
    "unet_resnet34": (
        (-0.081161916, 0.47336945, 0.20130318),
        [0.025694139, 0.23569316, 0.22220126, 0.22693455, 0.35893852, 0.19932011],
    ),
    "unetplusplus_resnet34": (
        (-0.062171012, 0.23631409, 0.092684271),
        [0.0055851527, 0.069915429, 0.070834972, 0.10727864, 0.12415869, 0.08655753],
    ),
    "linknet_resnet34": (
        (-0.099697866, 0.58260393, 0.1198696),
        [-0.043381453, 0.050692864, -0.013089267, 0.097558483, 0.44020537, 0.064013228],
    ),
    "fpn_resnet34": (
        (-2.0630431, 2.1236145, 0.13100848),
        [-0.79354417, -0.82849962, -0.62178737, -0.00056808215, 0.66285121, 1.1920986],
    ),
}
"""Named model to the logits of the source on image(64, 96)."""


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMED)
def test_full_size(name):
    assert_golden([logits(filled(NAMED[name]))], [FULL_SIZE[name]], tolerance=3e-5)


def test_narrow_branches_of_the_fpn_are_refused():
    with pytest.raises(DataError, match="64 channels have other groups"):
        convert_state_dict(hollow(fpn("add", 64)), "smp")


@pytest.mark.parametrize(
    ("kind", "neck"),
    [
        ("Unet", {"type": "UNet", "channels": [8, 16, 24, 32, 40, 2048], "finer_levels": 1, "upsample": "nearest"}),
        ("UnetPlusPlus", {"type": "UNetPlusPlus", "channels": [8, 16, 24, 32, 40, 2048], "finer_levels": 1}),
        ("Linknet", {"type": "LinkNet", "channels": [32, 64, 256, 512, 1024, 2048], "finer_levels": 1}),
    ],
)
def test_decoder_and_encoder_are_read_from_the_tensors(kind, neck):
    config, _ = convert_state_dict(hollow(shapes(kind, "resnet50", in_channels=1)), "smp")
    assert config["encoder"] == {
        "type": "Timm",
        "model": "resnet50",
        "strides": [2, 4, 8, 16, 32],
        "in_channels": 1,
        "mean": [0.5],
        "std": [0.5],
    }
    assert config["neck"] == neck
    kernel = 1 if kind == "Linknet" else 3
    head = {"type": "ConvHead", "final_kernel_size": kernel}
    assert config["tasks"] == {"segmentation": {"type": "Segmentation", "num_classes": 2, "head": head}}


@pytest.mark.parametrize("kind", ["Unet", "UnetPlusPlus", "Linknet"])
def test_stages_that_a_shallow_decoder_never_reads_are_left_out(kind, caplog):
    tensors = hollow(shapes(kind, depth=3)) | {"classification_head.3.weight": torch.zeros(5, 512)}
    config, weights = convert_state_dict(tensors, "smp")
    assert config["encoder"]["strides"] == [2, 4, 8]
    assert not [key for key in weights if "layer3" in key or "layer4" in key or "classification" in key]
    for left_out in ("encoder.layer3.", "encoder.layer4.", "classification_head."):
        assert left_out in caplog.text


@pytest.mark.parametrize("kind", ["Unet", "UnetPlusPlus", "Linknet", "FPN"])
def test_every_tensor_counts(monkeypatch, kind):
    shallow = {} if kind == "FPN" else hollow(shapes(kind, depth=3))
    tensors = shallow or hollow(fpn("cat"))
    left_out = ("encoder.layer3.", "encoder.layer4.") if shallow else ()
    # of what a shallow decoder leaves out, only the number of blocks is read
    assert_every_tensor_counts(monkeypatch, tensors, "smp", lambda key: key.startswith(left_out))


@pytest.mark.parametrize(
    ("kind", "block", "missing"),
    [
        ("Unet", "decoder.blocks.1.", "decoder.blocks.1.conv2.0.weight"),
        ("UnetPlusPlus", "decoder.blocks.x_0_2.", "decoder.blocks.x_0_2.conv2.0.weight"),
        ("Linknet", "decoder.blocks.2.", "decoder.blocks.2.block.2.0.weight"),
    ],
)
def test_a_block_that_is_missing_is_named(kind, block, missing):
    tensors = {key: value for key, value in hollow(shapes(kind)).items() if not key.startswith(block)}
    with pytest.raises(DataError, match=missing):
        convert_state_dict(tensors, "smp")


def test_other_encoders_and_decoders_are_refused():
    wide = hollow(shapes("Unet", "resnet50")) | {"encoder.layer1.0.conv2.weight": torch.zeros(128, 4, 3, 3)}
    with pytest.raises(DataError, match="grouped or wide"):
        convert_state_dict(wide, "smp")
    short = {key: value for key, value in hollow(shapes("Unet")).items() if not key.startswith("encoder.layer1.1.")}
    with pytest.raises(DataError, match=r"so it is none of \['resnet18'"):
        convert_state_dict(short, "smp")
    encoder = {key: value for key, value in hollow(shapes("Unet")).items() if key.startswith("encoder.")}
    with pytest.raises(DataError, match="no known decoder"):
        convert_state_dict(encoder, "smp")
    attention = hollow(shapes("Unet")) | {"decoder.blocks.0.attention1.attention.sSE.0.bias": torch.zeros(1)}
    with pytest.raises(DataError, match=r"unknown decoder\.blocks\.0\.attention1"):
        convert_state_dict(attention, "smp")
