"""What several tests of hourglasses need: names and shapes of the sources' tensors, and running what they become."""

import torch
from converting import convert
from filling import conv, norm

HOURGLASS = {"channels": (256, 256, 384, 384, 384, 512), "blocks": (2, 2, 2, 2, 2, 4), "stem": 128, "out": 256}
SMALL = {"channels": (16, 12, 20), "blocks": (1, 2, 3), "stem": 8, "out": 24}


def heatmaps(state_dict, source, images, **options):
    _, model = convert(state_dict, source, **options)
    with torch.no_grad():
        return [maps["heatmap"] for maps in model(images)["pose"]]


def features(state_dict, source, images, **options):
    _, model = convert(state_dict, source, **options)
    with torch.no_grad():
        return [pyramid[0] for pyramid in model.forward_features(images)]


def bottleneck(key, in_channels, out_channels):
    half = out_channels // 2
    yield from norm(f"{key}.bn1", in_channels)
    yield from conv(f"{key}.conv1", half, in_channels)
    yield from norm(f"{key}.bn2", half)
    yield from conv(f"{key}.conv2", half, half, 3)
    yield from norm(f"{key}.bn3", half)
    yield from conv(f"{key}.conv3", out_channels, half)
    if in_channels != out_channels:
        yield from conv(f"{key}.downsample.0", out_channels, in_channels)


def bearpaw(stacks, blocks, keypoints, stem=64, half=128):
    """Names and shapes of the source's network; 64 and 128 are its own widths."""
    width = 2 * half
    yield from conv("conv1", stem, 3, 7)
    yield from norm("bn1", stem)
    for layer, before, after in (("1", stem, 2 * stem), ("2", 2 * stem, 4 * stem), ("3", 4 * stem, width)):
        yield from bottleneck(f"layer{layer}.0", before, after)
    for stack in range(stacks):
        for level in range(4):
            for part in range(4 if level == 0 else 3):
                for block in range(blocks):
                    yield from bottleneck(f"hg.{stack}.hg.{level}.{part}.{block}", width, width)
        for block in range(blocks):
            yield from bottleneck(f"res.{stack}.{block}", width, width)
        yield from conv(f"fc.{stack}.0", width, width)
        yield from norm(f"fc.{stack}.1", width)
        yield from conv(f"score.{stack}", keypoints, width)
        if stack + 1 < stacks:
            yield from conv(f"fc_.{stack}", width, width)
            yield from conv(f"score_.{stack}", width, keypoints)


def block(key, in_channels, out_channels, stride, skip):
    yield from conv(f"{key}.conv1", out_channels, in_channels, 3, bias=False)
    yield from norm(f"{key}.bn1", out_channels)
    yield from conv(f"{key}.conv2", out_channels, out_channels, 3, bias=False)
    yield from norm(f"{key}.bn2", out_channels)
    if stride > 1 or in_channels != out_channels:
        yield from conv(f"{key}.{skip}.0", out_channels, in_channels, bias=False)
        yield from norm(f"{key}.{skip}.1", out_channels)


def hourglass(key, channels, blocks, skip="skip"):
    """Names and shapes of one of the basic-block hourglasses that several sources share."""
    here, below = channels[:2]
    for index in range(blocks[0]):
        yield from block(f"{key}.up1.{index}", here, here, 1, skip)
        yield from block(f"{key}.low1.{index}", below if index else here, below, 1 if index else 2, skip)
        yield from block(f"{key}.low3.{index}", below, here if index + 1 == blocks[0] else below, 1, skip)
    if len(channels) > 2:
        yield from hourglass(f"{key}.low2", channels[1:], blocks[1:], skip)
    else:
        for index in range(blocks[1]):
            yield from block(f"{key}.low2.{index}", below, below, 1, skip)


def conv_norm(key, out_channels, in_channels, kernel_size, names=("conv", "bn")):
    yield from conv(f"{key}.{names[0]}", out_channels, in_channels, kernel_size, bias=False)
    yield from norm(f"{key}.{names[1]}", out_channels)


def cornernet(stacks, channels, blocks, stem, out):
    """Names and shapes of the source's backbone."""
    yield from conv_norm("pre.0", stem, 3, 7)
    yield from block("pre.1", stem, channels[0], 2, "skip")
    for stack in range(stacks):
        yield from hourglass(f"kps.{stack}", channels, blocks)
        yield from conv_norm(f"cnvs.{stack}", out, channels[0], 3)
        if stack + 1 < stacks:
            yield from conv_norm(f"inters_.{stack}", channels[0], channels[0], 1, ("0", "1"))
            yield from conv_norm(f"cnvs_.{stack}", channels[0], out, 1, ("0", "1"))
            yield from block(f"inters.{stack}", channels[0], channels[0], 1, "skip")


def pool(key, width, hidden=128):
    """Names and shapes of a corner pooling module."""
    yield from conv_norm(f"{key}.p1_conv1", hidden, width, 3)
    yield from conv_norm(f"{key}.p2_conv1", hidden, width, 3)
    yield from conv(f"{key}.p_conv1", width, hidden, 3, bias=False)
    yield from norm(f"{key}.p_bn1", width)
    yield from conv(f"{key}.conv1", width, width, bias=False)
    yield from norm(f"{key}.bn1", width)
    yield from conv_norm(f"{key}.conv2", width, width, 3)


def branch(key, width, out_channels):
    yield from conv(f"{key}.0.conv", width, width, 3)
    yield from conv(f"{key}.1", out_channels, width)


def corner_heads(stacks, width, classes):
    """Names and shapes of the source's heads."""
    for stack in range(stacks):
        for corner in ("tl", "br"):
            yield from pool(f"{corner}_cnvs.{stack}", width)
            for part, channels in (("heats", classes), ("tags", 1), ("regrs", 2)):
                yield from branch(f"{corner}_{part}.{stack}", width, channels)
