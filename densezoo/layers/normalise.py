"""Normalisation and activation by name, so that one config word reaches every layer of a network."""

import torch.distributed as dist
from timm.layers import LayerNorm2d
from torch import Tensor, nn

from densezoo.errors import ConfigError, near_names

# Wu and He 2018 (https://arxiv.org/abs/1803.08494) use 32 groups. A group of one channel would see a single value on
# a 1x1 map (the bottom of an hourglass) and normalise it away, so a group keeps at least four channels.
MAX_GROUPS = 32
MIN_GROUP_CHANNELS = 4

NORMS = ("batch", "sync", "group", "layer", "none")
_IN_PLACE: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "hardswish": nn.Hardswish,
}
ACTIVATIONS = (*_IN_PLACE, "gelu", "none")


def num_groups(channels: int) -> int:
    """Return the largest divisor of `channels` that is at most 32 and leaves four channels a group (1 if none)."""
    limit = min(MAX_GROUPS, channels // MIN_GROUP_CHANNELS)
    return next((groups for groups in range(limit, 0, -1) if channels % groups == 0), 1)


class BatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation whose error says what to do about a batch with a single value per channel."""

    def _check_input_dim(self, input: Tensor) -> None:
        super()._check_input_dim(input)
        _refuse_single_values(self, input)


class SyncBatchNorm(nn.SyncBatchNorm):
    """Batch normalisation over processes, with the same error where there is one process."""

    def _check_input_dim(self, input: Tensor) -> None:
        super()._check_input_dim(input)
        if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
            _refuse_single_values(self, input)


def _refuse_single_values(norm: nn.Module, input: Tensor) -> None:
    if norm.training and input.numel() == input.shape[1]:
        raise ConfigError(
            "batch normalisation cannot train on one image where its map is a single cell (or pooled to one); take a "
            "larger batch, or a normalisation that does not look at the batch (norm='group')"
        )


def make_norm(name: str, channels: int) -> nn.Module:
    """Make a normalisation of (N, `channels`, H, W) maps.

    Args:
        name: `'batch'`; `'sync'` (batch statistics over all processes); `'group'`; `'layer'` (over the channels of each
            cell, as in ConvNeXt); `'none'`.
        channels: C.

    Raises:
        ConfigError: an unknown name.
    """
    if name == "batch":
        return BatchNorm2d(channels)
    if name == "sync":
        return SyncBatchNorm(channels)
    if name == "group":
        return nn.GroupNorm(num_groups(channels), channels)
    if name == "layer":
        return LayerNorm2d(channels)
    if name == "none":
        return nn.Identity()
    raise ConfigError(f"no normalisation is called norm={name!r}; {near_names(name, NORMS)}")


def make_activation(name: str, inplace: bool = False) -> nn.Module:
    """Make an activation.

    Args:
        name: one of `ACTIVATIONS`.
        inplace: overwrite the input; only where nobody else reads it.

    Raises:
        ConfigError: an unknown name.
    """
    if name in _IN_PLACE:
        return _IN_PLACE[name](inplace=inplace)
    if name == "gelu":
        return nn.GELU()
    if name == "none":
        return nn.Identity()
    raise ConfigError(f"no activation is called activation={name!r}; {near_names(name, ACTIVATIONS)}")


def norm_act(channels: int, norm: str, activation: str) -> nn.Sequential:
    """Make a normalisation followed by an activation.

    The activation overwrites the normalised map, which no backward pass reads; without a normalisation that map would
    be the block's own input, so then it does not.

    Raises:
        ConfigError: an unknown name.
    """
    return nn.Sequential(make_norm(norm, channels), make_activation(activation, inplace=norm != "none"))
