import pytest

import densezoo.models  # noqa: F401  # registers the parts
from densezoo.engine.neck_diagram import draw_neck, trace_neck
from densezoo.registry import NECKS

CHANNELS, STRIDES = [8, 8, 8], [4, 8, 16]


def trace(kind, **more):
    neck = NECKS.build({"type": kind, "channels": 8, "num_stages": 1, **more}, in_channels=CHANNELS, in_strides=STRIDES)
    return trace_neck(neck, CHANNELS, STRIDES)


def told(boxes):
    """Each box as (text, level, what it reads)."""
    return [(box.text, box.level, sorted(box.inputs)) for box in boxes]


ENCODER = [("8", 0, []), ("8", 1, []), ("8", 2, [])]


def test_an_fpn_is_drawn_as_it_runs():
    assert told(trace("FPN")) == [
        *ENCODER,
        ("lateral", 2, [2]),
        ("lateral\nsum", 1, [1, 3]),
        ("lateral\nsum", 0, [0, 4]),
        ("post", 0, [5]),
        ("post", 1, [4]),
        ("post", 2, [3]),
    ]


def test_the_fusion_is_named_and_without_skips_nothing_is_read():
    assert [box.text for box in trace("UNet", fusion="gated")[3:]] == ["skip", "gated\nrefine", "gated\nrefine"]
    up = "up\nrefine"
    assert told(trace("UNet", fusion="none"))[3:] == [("skip", 2, [2]), (up, 1, [3]), (up, 0, [4])]


def test_a_node_says_what_fills_its_blanks():
    assert trace("StackedHourglass")[-2].text == "lateral\npre\nsum"
    assert trace("LinkNet")[-1].text == "pre\nsum"


def test_later_stages_go_down_by_themselves():
    boxes = trace("StackedHourglass", num_stages=2)
    kinds = [box.kind for box in boxes]
    assert kinds == ["encoder"] * 3 + ["node"] * 3 + ["post", "merge"] + ["down"] * 2 + ["node"] * 3 + ["post"]
    merge = boxes[7]
    assert sorted(merge.inputs) == [0, 6]
    assert [box.column for box in boxes[8:10]] == [merge.column + 1, merge.column + 2]


@pytest.mark.parametrize("kind", NECKS.names())
def test_every_neck_can_be_drawn(kind):
    from matplotlib.figure import Figure

    boxes = trace(kind)
    axes = Figure().subplots()
    draw_neck(axes, boxes, kind, 4)
    assert len(axes.texts) >= len(boxes)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["1/4", "1/8", "1/16"]
    reads = {source for box in boxes for source in box.inputs}
    assert all(number in reads or box.kind in ("encoder", "node", "post") for number, box in enumerate(boxes))
