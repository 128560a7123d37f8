"""A neck drawn from itself: what computes what, level by level, as one forward pass shows it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from densezoo.necks.pathway import Node

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {
    "encoder": "#9aa5b1",
    "down": "#7fb0d8",
    "node": "#f0a35e",
    "post": "#8fc79a",
    "merge": "#c79ac2",
}
CELLS = 64  # of the finest level while the neck is watched: enough to tell the levels apart by their size


@dataclass
class Box:
    """One step of a neck.

    Attributes:
        kind: a key of `COLOURS`.
        text: what it does.
        inputs: indices of the boxes that it reads.
        level: 0 for the finest.
        column: how many steps lie before it.
    """

    kind: str
    text: str
    inputs: list[int]
    level: int
    column: int


def trace_neck(neck: Any, in_channels: Sequence[int], in_strides: Sequence[int]) -> list[Box]:
    """Watch one forward pass.

    Args:
        neck: built without feedback.
        in_channels: widths of the encoder's levels, finest first.
        in_strides: their strides.

    Returns:
        Boxes in the order in which they were computed, the encoder's levels first.
    """
    finest = min(in_strides[0], *neck.out_strides)
    pyramid = [
        torch.zeros(1, width, *[CELLS * finest // stride] * 2)
        for width, stride in zip(in_channels, in_strides, strict=True)
    ]
    boxes: list[Box] = []
    makers: dict[int, int] = {}
    kept: list[Tensor] = []  # a tensor that is gone could give its id to another

    def add(kind: str, text: str, sources: list[int], out: Tensor) -> None:
        level = round(torch.log2(torch.tensor(CELLS / out.shape[-1])).item())
        column = max((boxes[source].column + 1 for source in sources), default=0)
        kept.append(out)
        makers[id(out)] = len(boxes)
        boxes.append(Box(kind, text, sources, level, column))

    def watch(kind: str, text: str) -> Any:
        def hook(module: nn.Module, arguments: tuple[Any, ...], out: Tensor) -> None:
            if isinstance(module, Node) and not len(module.laterals):
                arguments = arguments[1:]  # of its skips it has looked at the size alone
            sources = [makers[id(tensor)] for tensor in _tensors(arguments) if id(tensor) in makers]
            add(kind, text, list(dict.fromkeys(sources)), out)

        return hook

    for level in pyramid:
        add("encoder", f"{level.shape[1]}", [], level)
    handles = [module.register_forward_hook(watch(kind, text)) for module, kind, text in _steps(neck)]
    training = neck.training
    try:
        with torch.no_grad():
            neck.eval()(pyramid)
    finally:
        neck.train(training)
        for handle in handles:
            handle.remove()
    return boxes


def _tensors(arguments: Any) -> list[Tensor]:
    if isinstance(arguments, Tensor):
        return [arguments]
    if isinstance(arguments, (list, tuple)):
        return [tensor for argument in arguments for tensor in _tensors(argument)]
    return []


def _steps(neck: nn.Module, name: str = "") -> list[tuple[nn.Module, str, str]]:
    """Return what is drawn, with kind and text: nodes, and the outermost modules without a node in them."""
    found: list[tuple[nn.Module, str, str]] = []
    for key, child in neck.named_children():
        path = f"{name}.{key}"
        if isinstance(child, nn.Identity):
            continue
        if isinstance(child, Node):
            found.append((child, "node", _describe(child)))
        elif isinstance(child, (nn.ModuleList, nn.ModuleDict)) or any(isinstance(p, Node) for p in child.modules()):
            found += _steps(child, path)
        else:
            kind = "merge" if ".merges" in path else "down" if ".downs" in path else "post"
            found.append((child, kind, kind))
    return found


def _describe(node: Node) -> str:
    """Return what a node computes, step by step: the blanks that are not the identity, and how it joins its maps."""
    blanks: dict[str, list[nn.Module | None]]
    blanks = {"lateral": list(node.laterals), "pre": [node.pre], "refine": [node.refine]}
    filled = {name for name, modules in blanks.items() if any(not isinstance(m, nn.Identity | None) for m in modules)}
    joined = [] if node.word == "lateral" else [node.word]
    steps = [*(name for name in ("lateral", "pre") if name in filled), *joined, *filled & {"refine"}]
    return "\n".join(steps) or "skip"


def draw_neck(axes: "Axes", boxes: Sequence[Box], title: str, finest_stride: int) -> None:
    """Draw traced boxes: columns in the order of computation, rows by stride."""
    texts = [
        axes.text(
            box.column,
            -box.level,
            box.text,
            ha="center",
            va="center",
            fontsize=6.5,
            bbox={"boxstyle": "round,pad=0.35", "facecolor": COLOURS[box.kind], "edgecolor": "none"},
        )
        for box in boxes
    ]
    for box, text in zip(boxes, texts, strict=True):
        for source in box.inputs:
            ends = {"patchA": texts[source].get_bbox_patch(), "patchB": text.get_bbox_patch()}
            style = {"arrowstyle": "->", "color": "#5b6570", "linewidth": 0.9, "shrinkA": 1, "shrinkB": 1}
            start = boxes[source]
            between = range(start.column + 1, box.column)
            passes = start.level == box.level and any(b.level == box.level and b.column in between for b in boxes)
            bend = {"connectionstyle": f"arc3,rad={-0.3 if passes else 0}"}
            axes.annotate(
                "", (box.column, -box.level), (start.column, -start.level), arrowprops=style | ends | bend, zorder=1
            )
    levels = sorted({box.level for box in boxes})
    axes.set_yticks([-level for level in levels], [f"1/{finest_stride * 2**level}" for level in levels], fontsize=7)
    axes.set_xticks([])
    axes.set_xlim(-0.6, max(box.column for box in boxes) + 0.6)
    axes.set_ylim(-max(levels) - 0.5, -min(levels) + 0.9)
    axes.set_title(title, fontsize=9, loc="left")
    for side in ("top", "right", "bottom", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0)
