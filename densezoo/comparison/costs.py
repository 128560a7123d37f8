"""What a config's network costs for one image: counted without making its weights where that is possible, or measured.

The image has the size that the network sees in training: the view's, that of the crop where views keep the file's
pixels, and 256×256 where images of any size come whole.
"""

import logging
import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from densezoo.comparison.study_results import Cost
from densezoo.engine.build import build_dense_model, build_warp
from densezoo.engine.config import RunConfig
from densezoo.engine.distributed import choose_device
from densezoo.engine.profile import blank_images, count_macs, count_parameters, median_times, profile_model
from densezoo.errors import ConfigError
from densezoo.models import Model
from densezoo.types import DatasetMeta

ROUNDS, REPEATS = 3, 5  # of latencies: how often the turn of each model comes, and its passes in a row


def measure(config: RunConfig, meta: DatasetMeta) -> Cost:
    """Profile a config's network for one image, on the device and in the precision that the config trains with.

    Args:
        config: whose `engine` says where and how.
        meta: of the training set.

    Raises:
        ConfigError: the network cannot be built, or there is no such device.
    """
    model = build_silently(config, meta, choose_device(config.engine.device))
    whole = profile_model(model, image_size(config, meta), amp=config.engine.amp)[-1]
    return Cost(whole.parameters, whole.macs, whole.milliseconds, whole.activation_bytes)


def cost_of(config: RunConfig, meta: DatasetMeta, kind: str) -> float:
    """Return one of `COSTS`: a count of parameters or of multiply-accumulates, or milliseconds; see `measure`."""
    return latencies([config], meta)[0] if kind == "latency" else count(config, meta, kind)


def count(config: RunConfig, meta: DatasetMeta, kind: str) -> int:
    """Return the same number as `measure`, in milliseconds: on torch's meta device, which has shapes alone.

    What looks at values (the answers of torchvision's detectors, some encoders of timm's) is counted on the CPU.

    Args:
        config: of the network.
        meta: of the training set.
        kind: `'parameters'` or `'macs'`.

    Raises:
        ConfigError: the network cannot be built.
    """
    if config.detector is None or kind == "parameters":
        try:
            return _count(config, meta, kind, torch.device("meta"))
        except (ConfigError, RuntimeError):  # it may have looked at values; what is wrong with the config comes again
            pass
    return _count(config, meta, kind, torch.device("cpu"))


def _count(config: RunConfig, meta: DatasetMeta, kind: str, device: torch.device) -> int:
    with device:
        model = build_silently(config, meta, device).eval()
        if kind == "parameters":
            return count_parameters(model, "model")
        return count_macs(model, blank_images(model, image_size(config, meta)))["model"]


def latencies(configs: Sequence[RunConfig], meta: DatasetMeta) -> list[float]:
    """Return each config's median milliseconds of a forward pass on one image.

    The networks take turns, so that what else the machine does falls on all of them alike.

    Raises:
        ConfigError: a network cannot be built, or there is no such device.
    """
    models = [build_silently(config, meta, choose_device(config.engine.device)).eval() for config in configs]
    times: list[list[float]] = [[] for _ in configs]
    for _ in range(ROUNDS):
        for own, model, config in zip(times, models, configs, strict=True):
            images = blank_images(model, image_size(config, meta))
            own.append(median_times(model, images, REPEATS, config.engine.amp)["model"])
    return [statistics.median(own) for own in times]


def image_size(config: RunConfig, meta: DatasetMeta) -> tuple[int, int]:
    """Return (height, width) of the image that costs are for."""
    warp = build_warp(config, meta, training=False)
    return warp.size or warp.blank_size(training=True)


def build_silently(config: RunConfig, meta: DatasetMeta, device: torch.device, starts: bool = False) -> Model:
    """Build the config's model as training would, without the notes that training gives on it."""
    with _silence():
        return build_dense_model(config, meta, device, starts)


@contextmanager
def _silence() -> Iterator[None]:
    """Let the package report nothing: a network is built many times here before it is trained."""
    logger = logging.getLogger("densezoo")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
