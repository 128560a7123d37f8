"""What a model costs: parameters, multiply-accumulates, memory held for the backward pass, time; part by part."""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from densezoo.models import Model

PARTS = ("encoder", "neck", "heads", "model")
_HELD_IN = {"neck": "neck", "heads": "heads", "projections": "heads", "detector": "heads"}
"""Attribute of a model to the part that the modules in it belong to."""


@dataclass(frozen=True)
class PartCost:
    """Cost of one part.

    Attributes:
        name: `encoder`, `neck`, `heads` (or what a detector of torchvision's does with its levels) or `model`.
        parameters: count.
        macs: multiply-accumulates of convolutions and matrix products, per image.
        activation_bytes: tensors kept for the backward pass, per image; each storage counted once.
        milliseconds: median time of a forward pass of the batch.
    """

    name: str
    parameters: int
    macs: int
    activation_bytes: int
    milliseconds: float


def profile_model(
    model: Model, size: tuple[int, int], batch_size: int = 1, repeats: int = 10, amp: bool = False
) -> list[PartCost]:
    """Measure a model on images of `size` (height, width), on the device that it is on.

    Returns:
        Encoder, neck, heads, and the whole model last.
    """
    images = blank_images(model, size, batch_size)
    model.eval()
    times = median_times(model, images, repeats, amp)
    macs = count_macs(model, images)
    kept = _kept_bytes(model, images, _part_of_module(model), amp)
    return [
        PartCost(part, count_parameters(model, part), macs[part] // batch_size, kept[part] // batch_size, times[part])
        for part in PARTS
    ]


def blank_images(model: Model, size: tuple[int, int], batch_size: int = 1) -> Tensor:
    """Return black images of `size` (height, width) with the channels of the model's encoder, on its device."""
    device = next(model.parameters()).device
    images = torch.zeros(batch_size, len(model.encoder.mean), *size, dtype=torch.uint8, device=device)
    return images.contiguous(memory_format=torch.channels_last)


def count_parameters(model: Model, part: str) -> int:
    """Return the number of parameters of one of `PARTS`."""
    if part == "heads":  # whatever is left
        return count_parameters(model, "model") - sum(count_parameters(model, each) for each in ("encoder", "neck"))
    module = {"encoder": model.encoder, "neck": model.neck, "model": model}[part]
    return sum(item.numel() for item in module.parameters()) if isinstance(module, nn.Module) else 0


def cost_table(costs: list[PartCost]) -> str:
    """Return costs as text."""
    lines = [f"{'part':10}{'parameters':>12}{'GMAC':>9}{'kept MiB':>10}{'ms':>9}"]
    for cost in costs:
        lines.append(
            f"{cost.name:10}{cost.parameters / 1e6:10.3f} M{cost.macs / 1e9:9.3f}"
            f"{cost.activation_bytes / 2**20:10.1f}{cost.milliseconds:9.2f}"
        )
    return "\n".join(lines)


def _part_of_module(model: Model) -> dict[nn.Module, str]:
    """Map the modules whose calls are measured to the part they belong to: what the model calls itself."""
    owners: dict[nn.Module, str] = {model: "model"}
    for name, module in model.named_modules():
        top, _, rest = name.partition(".")
        if top == "encoder" and not rest:
            owners[module] = "encoder"
        # a neck is called stage by stage, through the modules that it holds, and so are heads
        elif top in _HELD_IN and rest and not _inside(name, model, owners):
            owners[module] = _HELD_IN[top]
    return owners


def _inside(name: str, model: Model, owners: dict[nn.Module, str]) -> bool:
    """Whether the module is a list, which is never called, or lies in one that is measured already."""
    if isinstance(model.get_submodule(name), (nn.ModuleList, nn.ModuleDict)):
        return True
    parents = name.split(".")[:-1]
    return any(model.get_submodule(".".join(parents[:depth])) in owners for depth in range(2, len(parents) + 1))


@contextmanager
def _around(owners: dict[nn.Module, str], enter: Callable[[str], None], leave: Callable[[str], None]) -> Iterator[None]:
    """Call `enter` and `leave` with the part's name around every call of a measured module."""
    handles = []
    for module, part in owners.items():
        handles.append(module.register_forward_pre_hook(lambda *_, part=part: enter(part)))
        handles.append(module.register_forward_hook(lambda *_, part=part: leave(part)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def median_times(model: Model, images: Tensor, repeats: int, amp: bool = False) -> dict[str, float]:
    """Return each part's median milliseconds of `repeats` forward passes, in the mode that the model is in."""
    runs: dict[str, list[float]] = {part: [] for part in PARTS}
    spent = dict.fromkeys(PARTS, 0.0)
    started: dict[str, float] = {}

    def now() -> float:
        if images.is_cuda:
            torch.cuda.synchronize(images.device)
        return time.perf_counter()

    def enter(part: str) -> None:
        started[part] = now()

    def leave(part: str) -> None:
        spent[part] += now() - started[part]

    with (
        torch.inference_mode(),
        torch.autocast(images.device.type, torch.bfloat16, enabled=amp),
        _around(_part_of_module(model), enter, leave),
    ):
        for run in range(repeats + 2):  # the first two warm up
            for part in PARTS:
                spent[part] = 0.0
            model(images)
            if run >= 2:
                for part in PARTS:
                    runs[part].append(spent[part] * 1000)
    return {part: statistics.median(times) for part, times in runs.items()}


def count_macs(model: Model, images: Tensor) -> dict[str, int]:
    """Return each part's multiply-accumulates for all images; meta tensors will do where no layer looks at values."""
    counted = dict.fromkeys(PARTS, 0)
    before: dict[str, int] = {}
    with torch.no_grad(), FlopCounterMode(display=False) as counter:

        def enter(part: str) -> None:
            before[part] = counter.get_total_flops()

        def leave(part: str) -> None:
            counted[part] += counter.get_total_flops() - before[part]

        with _around(_part_of_module(model), enter, leave):
            model(images)
    return {part: flops // 2 for part, flops in counted.items()}


def _kept_bytes(model: Model, images: Tensor, owners: dict[nn.Module, str], amp: bool) -> dict[str, int]:
    """Bytes of distinct storages that autograd keeps, other than the parameters."""
    kept: dict[str, dict[int, int]] = {part: {} for part in PARTS}
    inside: list[str] = []
    weights = {item.untyped_storage().data_ptr() for item in [*model.parameters(), *model.buffers()]}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            for part in {*inside}:
                kept[part][storage.data_ptr()] = storage.nbytes()
        return tensor

    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        torch.autocast(images.device.type, torch.bfloat16, enabled=amp),
        _around(owners, inside.append, lambda part: inside.remove(part)),
    ):
        outputs = model(images)  # alive until the end of the block, so that no storage is freed and counted again
    del outputs
    return {part: sum(sizes.values()) for part, sizes in kept.items()}
