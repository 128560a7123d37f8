"""Draw every registered neck from itself: `python tools/draw_necks.py docs/images/necks.svg`."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

import math

import matplotlib

import densezoo.models  # noqa: F401  # registers the parts
from densezoo.engine.neck_diagram import draw_neck, trace_neck
from densezoo.registry import NECKS

IN_CHANNELS, IN_STRIDES = [16, 16, 16, 16], [4, 8, 16, 32]


def main(out: str) -> None:
    """Draw all necks on an encoder of four levels, one stage each, and the hourglass with two."""
    from matplotlib.figure import Figure

    matplotlib.rcParams["svg.hashsalt"] = "densezoo"  # the same drawing gives the same file
    drawn = [(name, {"type": name}) for name in NECKS.names()]
    drawn.append(("StackedHourglass, num_stages=2", {"type": "StackedHourglass", "num_stages": 2}))
    columns = 2
    figure = Figure(figsize=(13, 2.6 * math.ceil(len(drawn) / columns)), layout="constrained")
    axes = figure.subplots(math.ceil(len(drawn) / columns), columns, squeeze=False).flatten()
    for place in axes[len(drawn) :]:
        place.axis("off")
    for place, (title, config) in zip(axes, drawn, strict=False):
        stages = {"num_stages": 1, **config}
        if config["type"] == "BiFPN":
            stages["repeats"] = 1  # of three, which look alike
        neck = NECKS.build({"channels": 16, **stages}, in_channels=IN_CHANNELS, in_strides=IN_STRIDES)
        boxes = trace_neck(neck, IN_CHANNELS, IN_STRIDES)
        draw_neck(place, boxes, title, min(IN_STRIDES[0], *neck.out_strides))
    figure.savefig(out, metadata={"Date": None} if out.endswith(".svg") else None)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
