"""The hourglasses of CornerNet and of the two CenterNets that build on it.

https://github.com/princeton-vl/CornerNet (models/py_utils/kp.py), https://github.com/Duankaiwen/CenterNet (the same
file) and https://github.com/xingyizhou/CenterNet (src/lib/models/networks/large_hourglass.py) have one backbone, of any
number of stacks, widths and blocks. CornerNet's heads become corner maps; those of the CenterNets have no counterpart
here and are left out. All of them read images as BGR.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from densezoo.interop.conversion import Weights, one_or_list, source

BGR_MEAN = (0.40789654, 0.44719302, 0.47026115)  # of values in 0–1, in all three sources
BGR_STD = (0.28863828, 0.27408164, 0.27809835)


@dataclass(frozen=True)
class Names:
    """What a source calls the parts of the network.

    Attributes:
        stem: the convolution and the block of the stem.
        stacks: the hourglasses.
        after: the convolution after each hourglass.
        between: the block between two stacks.
        projections: what brings a stack's input, and what brings its features, to the next stack.
        projection: the convolution and the normalisation inside one of these.
        skip: a block's own projection.
    """

    stem: tuple[str, str]
    stacks: str
    after: str
    between: str
    projections: tuple[str, str]
    projection: tuple[str, str]
    skip: str


CORNERNET = Names(
    stem=("pre.0", "pre.1"),
    stacks="kps",
    after="cnvs",
    between="inters",
    projections=("inters_", "cnvs_"),
    projection=("0", "1"),
    skip="skip",
)


@dataclass(frozen=True)
class CornerNames:
    """What a source calls the parts of the corner heads; each name begins with `tl_` or `br_`.

    Attributes:
        module: the corner modules.
        layers: our name of a layer of theirs to convolution and normalisation.
        branches: our name of a kind of map to theirs of its branches.
        final: the last convolution of a branch.
        prefix: of all of them.
    """

    module: str
    layers: dict[str, tuple[str, str]]
    branches: dict[str, str]
    final: str
    prefix: str = ""


CORNERNET_CORNERS = CornerNames(
    module="cnvs",
    layers={
        "before.0": ("p1_conv1.conv", "p1_conv1.bn"),
        "before.1": ("p2_conv1.conv", "p2_conv1.bn"),
        "after": ("p_conv1", "p_bn1"),
        "skip": ("conv1", "bn1"),
        "last": ("conv2.conv", "conv2.bn"),
    },
    branches={"heat": "heats", "embedding": "tags", "offset": "regrs"},
    final="1",
)
CORNERS = {"top_left": "tl", "bottom_right": "br"}
CORNER_HEADS = tuple(f"{corner}_{part}." for corner in CORNERS.values() for part in ("cnvs", "heats", "tags", "regrs"))
"""Prefixes of CornerNet's heads."""
CENTRES = ("ct_cnvs.", "ct_heats.", "ct_regrs.")  # of Duan's CenterNet, whose corners are pooled in another way, too
POINTS = ("hm.", "hm_", "wh.", "reg.", "reg_", "hps.", "hp_offset.", "dep.", "rot.", "dim.")  # of Zhou's CenterNet


@source("cornernet")
def convert_cornernet(weights: Weights, *, heads: bool = True, rgb: bool | None = None) -> dict[str, Any]:
    """Convert a network to corner maps per stage, or a backbone to feature pyramids per stage.

    Args:
        weights: the state dict of the network, or of its backbone alone.
        heads: whether to convert CornerNet's heads; without them it is a backbone.
        rgb: turn the first convolution's channels around, so that the network takes RGB, as all images of densezoo are.
            None leaves it at BGR and says so.
    """
    config = move_hourglasses(weights, CORNERNET, (lambda weight: weight.flip(1)) if rgb else None)
    order = -1 if rgb else 1
    config["encoder"] |= {"mean": list(BGR_MEAN[::order]), "std": list(BGR_STD[::order])}
    if rgb is None:
        weights.notes.append("the network takes BGR images; give rgb=True to have it take RGB, as densezoo's data is")
    if heads and weights.has("tl_cnvs.") and not weights.has("ct_cnvs."):
        corners = move_corner_heads(weights, CORNERNET_CORNERS, config["neck"]["num_stages"])
        return config | {"tasks": {"corners": corners | {"rules": "published"}}}
    why = "these heads have no counterpart here" if heads else "heads=False"
    weights.dead((*CORNER_HEADS, *CENTRES, *POINTS), f"{why}; the backbone is converted alone")
    return config


def move_corner_heads(weights: Weights, names: CornerNames, stacks: int) -> dict[str, Any]:
    """Take CornerNet's heads and return the config of the task.

    Raises:
        DataError: tensors that show the sizes are missing.
    """
    for stack in range(stacks):
        head = f"heads.{stack}.corners"
        for corner, short in CORNERS.items():
            for layer, (conv, norm) in names.layers.items():
                module, target = f"{names.prefix}{short}_{names.module}.{stack}", f"{head}.corners.{corner}.{layer}"
                weights.layer(f"{module}.{conv}", f"{target}.conv")
                weights.layer(f"{module}.{norm}", f"{target}.norm_act.0")
            for part, theirs in names.branches.items():
                branch, target = f"{names.prefix}{short}_{theirs}.{stack}", f"{head}.branches.{corner}_{part}"
                weights.layer(f"{branch}.0.conv", f"{target}.0.conv")
                weights.layer(f"{branch}.{names.final}", f"{target}.1")
    first = f"{names.prefix}tl_{names.module}.0"
    return {
        "type": "Corners",
        "num_classes": weights.width(f"{names.prefix}tl_{names.branches['heat']}.0.{names.final}.weight"),
        "cells": "image",
        "head": {
            "type": "Corner",
            "channels": weights.width(f"{first}.{names.layers['last'][0]}.weight"),
            "pool_channels": weights.width(f"{first}.{names.layers['before.0'][0]}.weight"),
        },
    }


def move_hourglasses(
    weights: Weights, names: Names, change_first: Callable[[Tensor], Tensor] | None = None
) -> dict[str, Any]:
    """Take stem and hourglasses, and return the config of encoder and neck.

    Args:
        weights: the state dict.
        names: of the source.
        change_first: is done to the weight of the first convolution.

    Raises:
        DataError: tensors that show the sizes are missing.
    """
    channels, blocks = [], []
    module = f"{names.stacks}.0"
    while weights.has(f"{module}.up1."):
        channels.append(weights.width(f"{module}.up1.0.conv1.weight"))
        blocks.append(weights.count(f"{module}.up1."))
        module += ".low2"
    channels.append(weights.width(f"{module}.0.conv1.weight"))
    blocks.append(weights.count(f"{module}."))
    bottom, stacks = len(channels) - 1, weights.count(f"{names.stacks}.")

    def conv_norm(name: str, target: str, parts: tuple[str, str] = ("conv", "bn")) -> None:
        weights.layer(f"{name}.{parts[0]}", f"{target}.conv")
        weights.layer(f"{name}.{parts[1]}", f"{target}.norm_act.0")

    def block(name: str, target: str) -> None:
        for index in range(2):
            weights.layer(f"{name}.conv{index + 1}", f"{target}.body.{index}.conv")
            weights.layer(f"{name}.bn{index + 1}", f"{target}.body.{index}.norm_act.0")
        if weights.has(f"{name}.{names.skip}."):
            conv_norm(f"{name}.{names.skip}", f"{target}.skip", ("0", "1"))

    def chain(name: str, target: str, count: int) -> None:
        for index in range(count):
            block(f"{name}.{index}", f"{target}.{index}")

    conv, first_block = names.stem
    weights.layer(f"{conv}.conv", "encoder.layers.0.conv", change_first)
    weights.layer(f"{conv}.bn", "encoder.layers.0.norm_act.0")
    block(first_block, "encoder.layers.1")
    for stack in range(stacks):
        stage, module = f"neck.stages.{stack}", f"{names.stacks}.{stack}"
        for level in range(bottom):
            chain(f"{module}.up1", f"{stage}.walk.nodes.{level}.laterals.0", blocks[level])
            chain(f"{module}.low1", f"{stage}.downs.{level}.1", blocks[level])
            chain(f"{module}.low3", f"{stage}.walk.nodes.{level}.pre", blocks[level])
            module += ".low2"
        chain(module, f"{stage}.walk.nodes.{bottom}.laterals.0", blocks[bottom])
        conv_norm(f"{names.after}.{stack}", f"{stage}.posts.0.1")
        if stack + 1 < stacks:
            for name, target in zip(names.projections, ("input", "features"), strict=True):
                conv_norm(f"{name}.{stack}", f"neck.merges.{stack}.{target}", names.projection)
            block(f"{names.between}.{stack}", f"neck.merges.{stack}.block")
    return {
        "encoder": {"type": "CornerNetStem", "channels": weights.width(f"{first_block}.conv2.weight")},
        "neck": {
            "type": "StackedHourglass",
            "channels": one_or_list(channels),
            "num_stages": stacks,
            "num_levels": bottom + 1,
            "block": "basic",
            "blocks": one_or_list(blocks),
            "out_channels": weights.width(f"{names.after}.0.conv.weight"),
        },
    }
