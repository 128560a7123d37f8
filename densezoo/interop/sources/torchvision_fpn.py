"""`torchvision.ops.FeaturePyramidNetwork`, a neck alone.

    config, weights = convert_state_dict(fpn.state_dict(), "torchvision_fpn")
    neck = NECKS.build(config)
    neck.load_state_dict(weights, strict=True)
    levels = neck(list(pyramid.values()))[-1]

In a detector's state dict these are the tensors of `backbone.fpn.`; take them out and that prefix off.
https://docs.pytorch.org/vision/stable/generated/torchvision.ops.FeaturePyramidNetwork.html
"""

from collections.abc import Sequence
from typing import Any

from densezoo.errors import ConfigError, DataError, near_names
from densezoo.interop.conversion import Weights, source
from densezoo.layers.normalise import num_groups

COARSEST = 32  # stride of the last level of torchvision's backbones
BLIND = ("group", "layer")
"""Normalisations whose tensors look the same."""


@source("torchvision_fpn")
def torchvision_fpn(
    weights: Weights,
    *,
    in_strides: Sequence[int] | None = None,
    pool: bool | None = None,
    norm: str | None = None,
    groups: int | None = None,
) -> dict[str, Any]:
    """Convert a feature pyramid network.

    Args:
        weights: its state dict; older ones, with `inner_blocks.0.weight`, will do as well.
        in_strides: image pixels per cell of the levels that it takes; None for strides that double up to 32.
        pool: whether it was built with `LastLevelMaxPool`, which has no tensors; None for not. `LastLevelP6P7` has
            some.
        norm: the normalisation where it has one without running statistics, which tensors do not tell apart: `'group'`,
            or `'layer'` for one over the channels of each cell, with eps 1e-6 as in torchvision's ConvNeXt; None for
            `'group'`. Batch normalisation is seen.
        groups: how many of them a group normalisation has; None for as many as ours.

    Returns:
        A config for `NECKS.build`.

    Raises:
        ConfigError: another number of strides than of levels, or a normalisation that ours is not.
        DataError: P6 and P7 of a pyramid that has a normalisation.
    """
    inside = "" if "inner_blocks.0.weight" in weights else ".0"
    count = max(weights.count("inner_blocks."), 1)
    shapes = [weights.shape(f"inner_blocks.{level}{inside}.weight") for level in range(count)]
    in_channels = [shape[1] for shape in shapes]
    channels = shapes[-1][0]
    if in_strides is None:
        in_strides = [max(COARSEST >> back, 1) for back in range(count - 1, -1, -1)]
        weights.assume("in_strides", in_strides, "torchvision's usual ones")
    if len(in_strides) != count:
        raise ConfigError(f"torchvision_fpn: in_strides={in_strides} must be {count} numbers, one for each level")
    config: dict[str, Any] = {
        "type": "FPN",
        "in_channels": in_channels,
        "in_strides": list(in_strides),
        "channels": channels,
        "norm": _norm(weights, channels, norm, groups),
    }
    for level in range(count):
        ours = {"inner_blocks": f"pathway.nodes.{level}.laterals.0", "layer_blocks": f"posts.{level}"}
        for theirs, place in ours.items():
            weights.layer(f"{theirs}.{level}{inside}", f"stages.0.walk.{place}.conv")
            if config["norm"] != "none":
                weights.layer(f"{theirs}.{level}.1", f"stages.0.walk.{place}.norm_act.0")
    if weights.has("extra_blocks."):
        if config["norm"] != "none":
            raise DataError(
                "torchvision_fpn: extra_blocks are bare convolutions behind a pyramid with normalisation; here a "
                "normalisation follows every convolution, so this one cannot be converted"
            )
        # torchvision chooses by this width, too
        of_output = weights.shape("extra_blocks.p6.weight")[1] == channels
        config |= {"extra": "conv" if of_output else "conv_of_input", "extra_levels": 2}
        for index, name in enumerate(("p6", "p7")):
            weights.layer(f"extra_blocks.{name}", f"stages.0.walk.beyond.{count + index}.1.conv")
    elif pool:
        config |= {"extra": "pool", "extra_levels": 1}
    elif pool is None:
        weights.assume("pool", False, "no P6, which would have no tensors")
    return config


def _norm(weights: Weights, channels: int, given: str | None, groups: int | None) -> str:
    """Return our name of the normalisation, and note what of it is assumed.

    Raises:
        ConfigError: it was given as one that the tensors are not of, or that ours is not.
    """
    seen = "batch" if weights.has("inner_blocks.0.1.") else "none"
    if seen == "none" or weights.has("inner_blocks.0.1.running_"):
        if given not in (None, seen) or groups is not None:
            raise ConfigError(f"torchvision_fpn: the tensors are of norm={seen!r}; leave out norm and groups")
        return seen
    if given not in (None, *BLIND):
        raise ConfigError(f"torchvision_fpn: the tensors are not of norm={given!r}; {near_names(str(given), BLIND)}")
    if given is None:
        weights.assume("norm", "group", "the usual one without running statistics; 'layer' is the other")
    ours = num_groups(channels)
    if given == "layer" and groups is None:
        return "layer"
    if groups is None:
        weights.assume("groups", ours, f"as of our norm='group' with {channels} channels")
    elif given == "layer" or groups != ours:
        raise ConfigError(
            f"torchvision_fpn: groups={groups} cannot be converted; ours are norm='group' with {ours} groups for "
            f"{channels} channels, and norm='layer' without groups"
        )
    return "group"
