"""What images are normalised with: mean and deviation per channel, of values in 0–1."""

from collections.abc import Sequence

from densezoo.errors import ConfigError

# of RGB, as torchvision publishes them; any numbers near them would do for training from scratch
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def image_statistics(
    encoder: str,
    in_channels: int,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    rgb_mean: Sequence[float] = IMAGENET_MEAN,
    rgb_std: Sequence[float] = IMAGENET_STD,
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and deviation per input channel, of values in 0–1.

    Args:
        encoder: its name, for messages.
        in_channels: number of input channels.
        mean: None for `rgb_mean` with three channels and 0.5 with others.
        std: in the same way.
        rgb_mean: of three channels.
        rgb_std: of three channels.

    Raises:
        ConfigError: no input channels, not one number for each, a mean outside 0–1, or a deviation outside 0–1 or of 0.
    """
    if in_channels < 1:
        raise ConfigError(f"{encoder}: in_channels={in_channels} must be at least 1")
    found = []
    for name, given, rgb in (("mean", mean, rgb_mean), ("std", std, rgb_std)):
        values = (rgb if in_channels == 3 else (0.5,) * in_channels) if given is None else given
        if len(values) != in_channels:
            raise ConfigError(f"{encoder}: {name}={list(values)} must have in_channels={in_channels} numbers")
        if not all(0 <= value <= 1 and (value or name == "mean") for value in values):
            limits = "from 0 to 1" if name == "mean" else "above 0 and up to 1"
            raise ConfigError(
                f"{encoder}: {name}={list(values)} must be {limits}, as of pixels in 0–1; divide numbers of 0–255"
            )
        found.append(tuple(values))
    return found[0], found[1]
