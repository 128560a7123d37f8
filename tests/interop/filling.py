"""Fixed noise for the tensors of a state dict, so that no random generator decides a golden number."""

import zlib

import torch

SPOTS = (0, 101, 503, 1009, 2003, 4001)
"""Where golden maps are looked at, counted through the flattened map and on from its start."""


def fill(key, shape):
    """Values of one tensor: they depend on its name and shape alone, and keep signals of about unit size.

    Convolutions are scaled by their fan-in, factors of normalisations and variances lie around 1, the rest around 0.
    """
    if key.endswith("num_batches_tracked"):
        return torch.zeros((), dtype=torch.int64)
    count = torch.Size(shape).numel()
    phase = torch.arange(count, dtype=torch.float64) * 12.9898 + (zlib.crc32(key.encode()) % 1000) * 78.233
    noise = (((phase.sin() * 43758.5453) % 1) * 2 - 1).reshape(shape)
    if len(shape) > 1:
        noise = noise * (3 / max(count // shape[0], 1)) ** 0.5
    elif key.endswith(("weight", "running_var")):
        noise = 1 + 0.1 * noise
    else:
        noise = 0.1 * noise
    return noise.float()


def image(height, width, channels=3):
    """A smooth float image, (1, C, H, W)."""
    row, column = torch.meshgrid(torch.arange(float(height)), torch.arange(float(width)), indexing="ij")
    return torch.stack([torch.sin(column / 5 + c) + torch.cos(row / 7 - c) for c in range(channels)])[None]


def pixels(height, width, channels=3):
    """The same as a uint8 image."""
    return ((image(height, width, channels) + 2) * 63).to(torch.uint8)


def conv(key, out_channels, in_channels, kernel_size=1, bias=True):
    """Names and shapes of a convolution's tensors."""
    yield f"{key}.weight", (out_channels, in_channels, kernel_size, kernel_size)
    if bias:
        yield f"{key}.bias", (out_channels,)


def norm(key, channels):
    """Names and shapes of a batch normalisation's tensors."""
    for part in ("weight", "bias", "running_mean", "running_var"):
        yield f"{key}.{part}", (channels,)
    yield f"{key}.num_batches_tracked", ()


def filled(shapes):
    """A state dict of fixed noise from names and shapes."""
    return {key: fill(key, shape) for key, shape in shapes}


def hollow(shapes):
    """A state dict without numbers, to count with."""
    return {key: torch.empty(shape, device="meta") for key, shape in shapes}


def assert_golden(stages, golden, tolerance=1e-5):
    """Compare a map per stage with the reference's: (lowest, highest, mean), values at `SPOTS`.

    The tolerance is a share of the range. At full size, where sums are of thousands of products, float32 alone makes
    4e-6 of a difference, and another processor adds up in another order.
    """
    assert len(stages) == len(golden)
    for found, ((lowest, highest, mean), values) in zip(stages, golden, strict=True):
        flat = found.flatten()
        spots = [flat[spot % flat.numel()] for spot in SPOTS]
        numbers = torch.stack([flat.min(), flat.max(), flat.double().mean().float(), *spots])
        expected = torch.tensor([lowest, highest, mean, *values])
        torch.testing.assert_close(numbers, expected, rtol=0, atol=tolerance * (highest - lowest))
