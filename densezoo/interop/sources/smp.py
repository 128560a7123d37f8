"""Models of https://github.com/qubvel-org/segmentation_models.pytorch on its ResNets: Unet, UnetPlusPlus, Linknet, FPN.

Which of them it is, which ResNet, and how FPN joins its levels is read from the tensors. What they do not show is
assumed to be smp's default, and said. Outputs are logits. smp's Unet brings the last map to the image's own size, ours
is twice the encoder's finest map, so the two agree for images of even size.
"""

from collections.abc import Callable, Sequence
from typing import Any

from densezoo.errors import ConfigError, DataError
from densezoo.interop.conversion import Weights, concat_order, given_statistics, source

RESNETS: dict[tuple[int, tuple[int, ...]], str] = {
    (2, (2, 2, 2, 2)): "resnet18",
    (2, (3, 4, 6, 3)): "resnet34",
    (3, (3, 4, 6, 3)): "resnet50",
    (3, (3, 4, 23, 3)): "resnet101",
    (3, (3, 8, 36, 3)): "resnet152",
}
"""Convolutions per block and blocks per stage to timm's name."""
TRUNK = "encoder.model"
HEAD = "segmentation_head.0"
GROUPED_AS_OURS = 128  # channels from which our group norm has smp's 32 groups
NODES = "neck.stages.0.walk.nodes"


@source("smp")
def convert_smp(
    weights: Weights,
    *,
    interpolation: str | None = None,
    upsampling: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> dict[str, Any]:
    """Move a state dict of `Unet`, `UnetPlusPlus`, `Linknet` or `FPN`; a classification head is left out.

    Args:
        weights: the state dict.
        interpolation: smp's `decoder_interpolation`: `'nearest'`, or for a Unet `'bilinear'`; None for `'nearest'`.
            A Linknet has none.
        upsampling: of an FPN's last map: 1, 2 or 4; None for 4. The others have none.
        mean: of values in 0–1, per input channel; None for ImageNet's with three channels and 0.5 with others.
        std: in the same way.

    Raises:
        ConfigError: an option that the model does not have, or a value that ours cannot do.
        DataError: another encoder or decoder.
    """
    config = _network(weights, interpolation, upsampling)
    channels = config["encoder"]["in_channels"]
    why = "ImageNet's, as for smp's pretrained encoders" if channels == 3 else "a guess, since smp names none"
    config["encoder"] |= given_statistics(weights, channels, mean, std, why)
    return config


def _network(weights: Weights, interpolation: str | None, upsampling: int | None) -> dict[str, Any]:
    """Move the tensors and return the config."""
    if "decoder.p5.weight" in weights:
        return _fpn(weights, interpolation, upsampling)
    found = [convert for key, convert in DECODERS.items() if key in weights]
    if not found:
        known = [*DECODERS, "decoder.p5.weight"]
        raise DataError(f"the state dict is of no known decoder, which would have one of {known}")
    if upsampling is not None:
        raise ConfigError(f"upsampling={upsampling} is an option of smp's FPN, and this is another model; leave it out")
    neck, widths = found[0](weights, interpolation)
    encoder = _resnet(weights, len(widths))
    kernel = weights.shape(f"{HEAD}.weight")[2]
    weights.layer(HEAD, "heads.0.segmentation.branches.logits.0")
    return _config(weights, encoder, neck, {"type": "ConvHead", "final_kernel_size": kernel})


def _config(weights: Weights, encoder: dict[str, Any], neck: dict[str, Any], head: dict[str, Any]) -> dict[str, Any]:
    """Join the parts, and leave out a classification head."""
    weights.dead("classification_head.", "it is no dense prediction")
    task = {"type": "Segmentation", "num_classes": weights.width(f"{HEAD}.weight"), "head": head}
    return {"encoder": encoder, "neck": neck, "tasks": {"segmentation": task}}


def _doubling(weights: Weights, given: str | None, model: str, known: Sequence[str] = ("nearest",)) -> str:
    """Return how maps are doubled, and note it if it was not given.

    Raises:
        ConfigError: in a way that ours cannot do.
    """
    if given is None and len(known) > 1:
        weights.assume("interpolation", known[0], "smp's default")
    elif given is None:
        weights.notes.append(
            f"assumed interpolation={known[0]!r} (smp's default); its {model} with another cannot be converted"
        )
    elif given not in known:
        raise ConfigError(f"interpolation={given!r} of smp's {model} cannot be converted; ours does {list(known)}")
    return given or known[0]


def _fpn(weights: Weights, interpolation: str | None, upsampling: int | None) -> dict[str, Any]:
    """Move an FPN: bare sums of its levels, then one branch per level, joined and enlarged."""
    _doubling(weights, interpolation, "FPN")
    if upsampling is None:
        upsampling = 4
        weights.assume("upsampling", upsampling, "smp's default")
    levels = 4
    encoder = _resnet(weights, levels + 1)
    encoder["strides"] = [2 ** (level + 2) for level in range(levels)]
    branch, target = "decoder.seg_blocks", "heads.0.segmentation"
    for level in range(levels):
        lateral = f"decoder.p{level + 2}" if level == levels - 1 else f"decoder.p{level + 2}.skip_conv"
        weights.layer(lateral, f"neck.stages.0.walk.pathway.nodes.{level}.laterals.0.conv")
        for block in range(max(level, 1)):
            here, there = f"{branch}.{levels - 1 - level}.block.{block}.block", f"{target}.branches.{level}.{block}"
            weights.layer(f"{here}.0", f"{there}.conv")
            weights.layer(f"{here}.1", f"{there}.norm_act.0")
    channels = weights.width(f"{branch}.0.block.0.block.0.weight")
    joined = weights.shape(f"{HEAD}.weight")[1]
    fusion = "sum" if joined == channels else "concat"
    order = concat_order(*[joined // levels] * levels, order=reversed(range(levels))) if fusion == "concat" else None
    weights.layer(HEAD, f"{target}.finals.logits", order)
    neck = {"type": "FPN", "channels": weights.width("decoder.p5.weight"), "post": False}
    head = {"type": "PyramidHead", "channels": channels, "fusion": fusion, "enlarge": upsampling, "align_corners": True}
    if channels < GROUPED_AS_OURS:
        raise DataError(f"branches of {channels} channels have other groups in smp than here; take 128 or more")
    return _config(weights, encoder, neck, head | {"dropout": 0.2})


def _unet(weights: Weights, interpolation: str | None) -> tuple[dict[str, Any], list[int]]:
    depth = weights.count("decoder.blocks.")
    widths = _widths(weights, depth)
    channels = [widths[-1]]
    for block in range(depth):
        node, level = f"decoder.blocks.{block}", depth - 1 - block
        _block(weights, node, f"{NODES}.{level}.refine", [channels[0], *widths[level - 1 : level]])
        channels.insert(0, weights.width(f"{node}.conv2.0.weight"))
    upsample = _doubling(weights, interpolation, "Unet", ("nearest", "bilinear"))
    return {"type": "UNet", "channels": channels, "finer_levels": 1, "upsample": upsample}, widths


def _unetplusplus(weights: Weights, interpolation: str | None) -> tuple[dict[str, Any], list[int]]:
    depth = weights.count("decoder.blocks.x_0_")
    widths = _widths(weights, depth)
    channels = [widths[-1]]
    for row in range(depth):  # from the coarsest up; smp counts the columns of a row from the last one
        level = depth - 1 - row
        for back in range(row + 1 if level else 1):
            node, column = f"decoder.blocks.x_{back}_{row}", row - back + 1 if level else 1
            above = channels[0] if back == 0 else widths[level]
            _block(weights, node, f"{NODES}.{level}_{column}.refine", [above, *widths[level - 1 : level] * column])
        channels.insert(0, weights.width(f"decoder.blocks.x_0_{row}.conv2.0.weight"))
    _doubling(weights, interpolation, "UnetPlusPlus")
    return {"type": "UNetPlusPlus", "channels": channels, "finer_levels": 1}, widths


def _linknet(weights: Weights, interpolation: str | None) -> tuple[dict[str, Any], list[int]]:
    if interpolation is not None:
        raise ConfigError(f"interpolation={interpolation!r}: a Linknet of smp has no such option; leave it out")
    depth = weights.count("decoder.blocks.")
    widths = _widths(weights, depth)
    channels = [widths[-1]]
    for block in range(depth):
        for part in range(3):
            node, target = f"decoder.blocks.{block}.block.{part}", f"{NODES}.{depth - 1 - block}.pre.{part}"
            weights.layer(f"{node}.0", f"{target}.conv")
            weights.layer(f"{node}.1", f"{target}.norm_act.0")
        channels.insert(0, weights.width(f"decoder.blocks.{block}.block.2.0.weight"))
    return {"type": "LinkNet", "channels": channels, "finer_levels": 1}, widths


DECODERS: dict[str, Callable[[Weights, str | None], tuple[dict[str, Any], list[int]]]] = {
    "decoder.blocks.0.conv1.0.weight": _unet,
    "decoder.blocks.x_0_0.conv1.0.weight": _unetplusplus,
    "decoder.blocks.0.block.0.0.weight": _linknet,
}
"""A key that only one decoder has, to what moves it; gives the neck and the widths of the encoder's levels."""


def _block(weights: Weights, source: str, target: str, widths: list[int]) -> None:
    """Move two convolutions; the first reads maps of these widths in an order that is ours reversed."""
    order = concat_order(*widths, order=range(len(widths) - 1, -1, -1))
    weights.layer(f"{source}.conv1.0", f"{target}.0.conv", order)
    weights.layer(f"{source}.conv1.1", f"{target}.0.norm_act.0")
    weights.layer(f"{source}.conv2.0", f"{target}.1.conv")
    weights.layer(f"{source}.conv2.1", f"{target}.1.norm_act.0")


def _convs(weights: Weights) -> int:
    """Return how many convolutions a block of the ResNet has."""
    return 3 if "encoder.layer1.0.conv3.weight" in weights else 2


def _widths(weights: Weights, depth: int) -> list[int]:
    """Return the widths of the ResNet's first `depth` levels, finest first."""
    last = f"0.conv{_convs(weights)}.weight"
    stages = [weights.width(f"encoder.layer{stage}.{last}") for stage in range(1, depth)]
    return [weights.width("encoder.conv1.weight"), *stages]


def _resnet(weights: Weights, depth: int) -> dict[str, Any]:
    """Move the ResNet and return its config; `depth` of its five levels are read.

    Raises:
        DataError: it is none of `RESNETS`.
    """
    convs = _convs(weights)
    blocks = tuple(weights.count(f"encoder.layer{stage}.") for stage in range(1, 5))
    grouped = convs == 3 and weights.shape("encoder.layer1.0.conv2.weight") != (64, 64, 3, 3)
    if grouped or (convs, blocks) not in RESNETS:
        kind = "grouped or wide blocks" if grouped else f"{blocks} blocks of {convs} convolutions"
        raise DataError(f"the encoder has {kind}, so it is none of {list(RESNETS.values())}")
    weights.layer("encoder.conv1", f"{TRUNK}.conv1")
    weights.layer("encoder.bn1", f"{TRUNK}.bn1")
    for stage in range(1, depth):
        for block in range(blocks[stage - 1]):
            node = f"layer{stage}.{block}"
            for index in range(1, convs + 1):
                weights.layer(f"encoder.{node}.conv{index}", f"{TRUNK}.{node}.conv{index}")
                weights.layer(f"encoder.{node}.bn{index}", f"{TRUNK}.{node}.bn{index}")
            if weights.has(f"encoder.{node}.downsample."):
                weights.layer(f"encoder.{node}.downsample.0", f"{TRUNK}.{node}.downsample.0")
                weights.layer(f"encoder.{node}.downsample.1", f"{TRUNK}.{node}.downsample.1")
    for stage in range(depth, 5):
        weights.dead(f"encoder.layer{stage}.", f"a decoder of {depth} blocks never reads it")
    return {
        "type": "Timm",
        "model": RESNETS[convs, blocks],
        "strides": [2 ** (level + 1) for level in range(depth)],
        "in_channels": weights.shape("encoder.conv1.weight")[1],
    }
