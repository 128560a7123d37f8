import pytest
import torch
from filling import assert_golden, conv, filled, hollow, image, norm

from densezoo.errors import DataError
from densezoo.interop import convert_state_dict
from densezoo.models import create_model

BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3)}


def conv_norm(name, before, after, size):
    yield from conv(f"{name}.0", after, before, size, bias=False)
    yield from norm(f"{name}.1", after)


def resnet(name, in_channels=3):
    """Names and shapes of torchvision's ResNet without its classifier."""
    expansion = 1 if name == "resnet18" else 4
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
    return [64] + [64 * 2**stage * (1 if name == "resnet18" else 4) for stage in range(4)]


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


def shapes(kind, name="resnet18", depth=5, in_channels=3):
    """Names and shapes of a model of the source with two classes."""
    channels = (40, 32, 24, 16, 8)[:depth]
    yield from resnet(name, in_channels)
    if kind == "Unet":
        yield from unet(name, channels)
    elif kind == "UnetPlusPlus":
        yield from unetplusplus(name, channels)
    else:
        yield from linknet(name, depth)
    size, width = (1, 32) if kind == "Linknet" else (3, channels[-1])
    yield from conv("segmentation_head.0", 2, width, size)


GOLDEN = {
    "Unet": ((-0.332808, 0.321019, 0.068425), [-0.001264, 0.129341, 0.039664, 0.021904, 0.198257, 0.037375]),
    "UnetPlusPlus": ((-0.106286, 0.543299, 0.17712), [0.057721, 0.439322, 0.060597, 0.142381, 0.0172, 0.407827]),
    "Linknet": ((-0.361585, 0.713168, 0.125194), [-0.042803, 0.049062, 0.002196, 0.115384, 0.488086, 0.079361]),
}
"""Model to the logits of the source on image(64, 96)."""


@pytest.mark.parametrize("kind", ["Unet", "UnetPlusPlus", "Linknet"])
def test_logits_are_those_of_the_source(kind):
    config, weights = convert_state_dict(filled(shapes(kind)), "smp")
    model = create_model(config)
    model.load_state_dict(weights, strict=True)
    with torch.no_grad():
        (maps,) = model.eval()(image(64, 96))["segmentation"]
    assert maps["logits"].shape == (1, 2, 64, 96)
    assert_golden([maps["logits"]], [GOLDEN[kind]])


def fpn(merge, channels=128):
    """Names and shapes of the source's FPN on a ResNet-18 with two classes."""
    yield from resnet("resnet18")
    yield from conv("decoder.p5", 256, 512)
    for level, width in zip((4, 3, 2), (256, 128, 64), strict=True):
        yield from conv(f"decoder.p{level}.skip_conv", 256, width)
    for branch, blocks in enumerate((3, 2, 1, 1)):  # from the coarsest level to the finest
        for block in range(blocks):
            prefix = f"decoder.seg_blocks.{branch}.block.{block}.block"
            yield from conv(f"{prefix}.0", channels, channels if block else 256, 3, bias=False)
            yield f"{prefix}.1.weight", (channels,)
            yield f"{prefix}.1.bias", (channels,)
    yield from conv("segmentation_head.0", 2, channels if merge == "add" else 4 * channels)


GOLDEN_FPN = {
    "add": ((-4.132436, 1.380441, -1.214427), [-0.287129, -0.283591, -0.743668, -1.32906, 0.31815, 0.470422]),
    "cat": ((-0.855095, 1.668697, 0.413092), [0.320133, 0.219505, 0.079701, 0.130104, 0.243402, 0.452283]),
}


@pytest.mark.parametrize(("merge", "fusion"), [("add", "sum"), ("cat", "concat")])
def test_logits_of_the_fpn_are_those_of_the_source(merge, fusion):
    config, weights = convert_state_dict(filled(fpn(merge)), "smp")
    assert config["tasks"]["segmentation"]["head"]["fusion"] == fusion
    model = create_model(config)
    model.load_state_dict(weights, strict=True)
    with torch.no_grad():
        (maps,) = model.eval()(image(64, 96))["segmentation"]
    assert_golden([maps["logits"]], [GOLDEN_FPN[merge]])


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
    assert config["encoder"] == {"type": "Timm", "model": "resnet50", "strides": [2, 4, 8, 16, 32], "in_channels": 1}
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
