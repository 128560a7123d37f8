"""Fixed noise for the tensors of a state dict, so that no random generator decides a golden number."""

import zlib

import torch


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
