import json
import math

import plotly.graph_objects as go
import pytest

from densezoo.comparison.charts import cost_chart, curve_chart, forest_chart, seeds_chart, styles_of
from densezoo.comparison.report_numbers import CurvePoint, Interval, Point

NAN = float("nan")
NAMES = ["base", "a", "b", "c", "d", "e", "f", "g", "h", "again"]
STYLES = styles_of(NAMES)


def checked(figure):
    """The figure, after plotly has found no attribute or value that it does not know."""

    def painted(value, key=""):
        if isinstance(value, dict):
            return {name: painted(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return [painted(item, key) for item in value]
        return "#000000" if key.lower().endswith("color") and str(value).startswith("@") else value

    go.Figure(painted(figure))
    assert "@" not in json.dumps(painted(figure), allow_nan=False)
    return figure


def test_arms_differ_in_more_than_colour():
    looks = {(style.mark, style.colour) for style in STYLES.values()}
    assert len(looks) == len(NAMES)
    assert len({style.mark for style in STYLES.values()}) == len(NAMES)
    assert STYLES["base"].colour == "@arm0"
    assert STYLES["again"].colour == "@armagain"
    assert STYLES["a"].colour == STYLES["h"].colour  # seven colours, and again


def test_intervals_reach_where_they_should():
    rows = [("1", Interval(0.2, 0.1, 0.4), STYLES["a"]), ("<b>", Interval(0.1, NAN, NAN), STYLES["b"])]
    figure = checked(forest_chart(rows, 0.05))
    (trace,) = figure["data"]
    assert trace["x"] == [0.2, 0.1]
    assert trace["error_x"]["array"] == [pytest.approx(0.2), None]
    assert trace["error_x"]["arrayminus"] == [pytest.approx(0.1), None]
    assert trace["y"] == figure["layout"]["yaxis"]["categoryarray"] == ["1", "&lt;b&gt;"]
    assert figure["layout"]["yaxis"]["type"] == "category"  # a name that looks like a number is none
    assert (figure["layout"]["shapes"][0]["x0"], figure["layout"]["shapes"][0]["x1"]) == (-0.05, 0.05)
    assert "shapes" not in checked(forest_chart(rows, None))["layout"]


def test_every_run_is_drawn_with_the_mean():
    figure = checked(seeds_chart({"base": [0.5, 0.7], "a": [0.4]}, STYLES))
    assert [trace["x"] for trace in figure["data"]] == [[0.5, 0.7], [pytest.approx(0.6)], [0.4], [0.4]]
    assert figure["data"][1]["error_x"]["array"] == [pytest.approx(math.sqrt(0.02))]
    assert figure["data"][3]["error_x"]["array"] == [None]


def test_the_front_goes_up_with_cost_and_the_axis_is_never_narrow():
    points = [Point("a", 101, 0.6, NAN, True), Point("base", 100, 0.5, 0.01, True), Point("b", 102, 0.4, 0.01, False)]
    figure = checked(cost_chart(points, STYLES, "million MACs"))
    front, *arms = figure["data"]
    assert (front["x"], front["y"]) == ([100, 101], [0.5, 0.6])
    assert [trace["name"] for trace in arms] == ["a", "base", "b"]
    low, high = figure["layout"]["xaxis"]["range"]
    assert low < 90
    assert high > 115
    assert figure["layout"]["xaxis"]["title"]["text"] == "million MACs"


def test_bands_are_where_there_are_several_seeds():
    curves = {
        "base": [CurvePoint(1, 0.2, 0.1, 2), CurvePoint(2, 0.4, NAN, 1), CurvePoint(3, 0.5, 0.2, 2)],
        "a": [CurvePoint(1, 0.1, NAN, 1)],
        "b": [CurvePoint(1, NAN, NAN, 0)],
    }
    band, line, alone = checked(curve_chart(curves, STYLES))["data"]
    assert band["x"] == [1, 3, 3, 1]
    assert band["y"] == pytest.approx([0.3, 0.7, 0.3, 0.1])
    assert (line["x"], line["y"]) == ([1, 2, 3], [0.2, 0.4, 0.5])
    assert alone["name"] == "a"
