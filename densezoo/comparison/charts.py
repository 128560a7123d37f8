"""The charts of a report, as plotly.js takes them: plain dicts of data and layout.

Colours are names (`@text`, `@grid`, `@arm3`), for which the page puts in those of its light or dark style. An arm has a
mark and a line style of its own, too, so that no chart hangs on colours. They are Okabe's and Ito's, which differ for
every kind of colour blindness (https://jfly.uni-koeln.de/color/), darker on white where they would be too pale.
"""

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from densezoo.comparison.report_blocks import Figure
from densezoo.comparison.report_numbers import CurvePoint, Interval, Point, mean_sd
from densezoo.comparison.study import AGAIN

NUM_COLOURS = 7
"""Of arms besides the base, after which colours, but not marks, begin anew."""
_MARKS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "x", "star", "pentagon", "hexagon")
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
_ROW_HEIGHT = 34  # pixels of a chart that has a row for each arm or part


@dataclass(frozen=True)
class Style:
    """How an arm looks in every chart."""

    colour: str
    band: str
    mark: str
    dash: str


def styles_of(names: Sequence[str]) -> dict[str, Style]:
    """Return arm to its style; the base, which comes first, is in the text's colour, its repetition in grey."""
    styles = {}
    for number, name in enumerate(names):
        key = "0" if number == 0 else "again" if name == AGAIN else str(1 + (number - 1) % NUM_COLOURS)
        styles[name] = Style(f"@arm{key}", f"@band{key}", _MARKS[number % len(_MARKS)], _DASHES[number % len(_DASHES)])
    return styles


def plain(text: str) -> str:
    """Return text of a user's in the way that plotly.js, which reads some HTML, shows as it is."""
    return html.escape(text, quote=False)


def forest_chart(rows: Sequence[tuple[str, Interval, Style]], smallest: float | None) -> Figure:
    """Draw a row for each name with its difference and the interval around it.

    Args:
        rows: name, interval and style, in order from the top.
        smallest: difference of interest, within which the chart is shaded; None for no shade.
    """
    intervals = [interval for _, interval, _ in rows]
    names = [plain(name) for name, _, _ in rows]
    trace = {
        "type": "scatter",
        "mode": "markers",
        "x": [_number(each.mean) for each in intervals],
        "y": names,
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [_number(each.high - each.mean) for each in intervals],
            "arrayminus": [_number(each.mean - each.low) for each in intervals],
            "color": "@text",
            "thickness": 1.5,
            "width": 5,
        },
        "marker": {
            "size": 11,
            "color": [style.colour for _, _, style in rows],
            "symbol": [style.mark for _, _, style in rows],
            "line": {"width": 1, "color": "@text"},
        },
        "hovertext": [
            f"{name}: {each.mean:+.4f} ({each.low:+.4f} to {each.high:+.4f})"
            for name, each in zip(names, intervals, strict=True)
        ],
        "hoverinfo": "text",
        "showlegend": False,
    }
    layout = _layout(60 + _ROW_HEIGHT * len(rows))
    layout["yaxis"] |= _rows_axis(names)
    layout["xaxis"] |= {"zeroline": True, "zerolinecolor": "@text", "zerolinewidth": 1.5}
    if smallest is not None:
        layout["shapes"] = [
            {
                "type": "rect",
                "yref": "paper",
                "x0": -smallest,
                "x1": smallest,
                "y0": 0,
                "y1": 1,
                "fillcolor": "@shade",
                "line": {"width": 0},
                "layer": "below",
            }
        ]
    return {"data": [trace], "layout": layout}


def seeds_chart(scores: Mapping[str, Sequence[float]], styles: Mapping[str, Style]) -> Figure:
    """Draw a row for each arm with the score of every seed, their mean and their standard deviation.

    Args:
        scores: arm to its seeds' scores, in order from the top.
        styles: of the arms.
    """
    data: list[dict[str, Any]] = []
    for name, values in scores.items():
        mean, sd = mean_sd(values)
        style = styles[name]
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "x": [_number(value) for value in values],
                "y": [plain(name)] * len(values),
                "marker": {"size": 9, "color": style.colour, "symbol": "line-ns-open", "line": {"width": 2}},
                "hovertext": [f"{plain(name)}, one seed: {value:.4f}" for value in values],
                "hoverinfo": "text",
                "showlegend": False,
            }
        )
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "x": [_number(mean)],
                "y": [plain(name)],
                "error_x": {"type": "data", "array": [_number(sd)], "color": "@text", "thickness": 1.5, "width": 5},
                "marker": _marker(style, 11),
                "hovertext": [f"{plain(name)}: mean {mean:.4f}"],
                "hoverinfo": "text",
                "showlegend": False,
            }
        )
    layout = _layout(60 + _ROW_HEIGHT * len(scores))
    layout["yaxis"] |= _rows_axis([plain(name) for name in scores])
    return {"data": data, "layout": layout}


def cost_chart(points: Sequence[Point], styles: Mapping[str, Style], cost: str) -> Figure:
    """Draw arms by what they cost and what they score, and the front that none is beyond.

    Args:
        points: of the arms.
        styles: of the arms.
        cost: unit of the costs, below their axis.
    """
    front = sorted((point for point in points if point.on_front), key=lambda point: point.cost)
    data: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": "Pareto front",
            "x": [point.cost for point in front],
            "y": [point.score for point in front],
            "line": {"color": "@muted", "width": 1.5, "dash": "dot"},
            "marker": {"size": 22, "symbol": "circle-open", "color": "@muted", "line": {"width": 1.5}},
            "hoverinfo": "skip",
        }
    ]
    for point in points:
        style = styles[point.arm]
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": plain(point.arm),
                "x": [point.cost],
                "y": [_number(point.score)],
                "error_y": {
                    "type": "data",
                    "array": [_number(point.sd)],
                    "color": style.colour,
                    "thickness": 1.2,
                    "width": 4,
                },
                "marker": _marker(style, 11),
                "hovertext": [f"{plain(point.arm)}: {point.score:.4f} at {point.cost:.4g} {plain(cost)}"],
                "hoverinfo": "text",
            }
        )
    layout = _layout(400, cost)
    costs = [point.cost for point in points]
    if costs:
        # arms of matched cost stay beside each other: the axis is never narrower than a third of what they cost
        margin = max(0.08 * (max(costs) - min(costs)), 0.15 * max(costs))
        layout["xaxis"]["range"] = [max(min(costs) - margin, 0), max(costs) + margin]
    return {"data": data, "layout": layout}


def curve_chart(curves: Mapping[str, Sequence[CurvePoint]], styles: Mapping[str, Style]) -> Figure:
    """Draw the mean over seeds of something by epoch, in a band of one standard deviation.

    Args:
        curves: arm to its curve; those without a number are left out.
        styles: of the arms.
    """
    data: list[dict[str, Any]] = []
    for name, curve in curves.items():
        style = styles[name]
        known = [row for row in curve if math.isfinite(row.mean)]
        if not known:
            continue
        spread = [row for row in known if math.isfinite(row.sd)]
        if spread:
            upper = [row.mean + row.sd for row in spread]
            lower = [row.mean - row.sd for row in spread[::-1]]
            data.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "x": [row.epoch for row in spread] + [row.epoch for row in spread[::-1]],
                    "y": upper + lower,
                    "fill": "toself",
                    "fillcolor": style.band,
                    "line": {"width": 0, "color": style.colour},
                    "hoverinfo": "skip",
                    "showlegend": False,
                    "legendgroup": plain(name),
                }
            )
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers" if len(known) <= 30 else "lines",
                "name": plain(name),
                "legendgroup": plain(name),
                "x": [row.epoch for row in known],
                "y": [row.mean for row in known],
                "line": {"color": style.colour, "width": 2, "dash": style.dash},
                "marker": _marker(style, 6),
                "hovertext": [f"{plain(name)}, epoch {row.epoch}: {row.mean:.4f}" for row in known],
                "hoverinfo": "text",
            }
        )
    return {"data": data, "layout": _layout(400, "epoch")}


def _marker(style: Style, size: int) -> dict[str, Any]:
    return {"size": size, "color": style.colour, "symbol": style.mark, "line": {"width": 1, "color": "@text"}}


def _layout(height: int, x_title: str = "") -> dict[str, Any]:
    """Everything around the data; what the values are is in the caption, where long words find room."""
    axis = {"automargin": True, "gridcolor": "@grid", "linecolor": "@grid", "zeroline": False}
    return {
        "height": height,
        "margin": {"l": 16, "r": 16, "t": 24, "b": 16},
        "paper_bgcolor": "rgba(0, 0, 0, 0)",
        "plot_bgcolor": "rgba(0, 0, 0, 0)",
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": "@text"},
        "hoverlabel": {"bgcolor": "@panel", "bordercolor": "@grid", "font": {"color": "@text"}, "align": "left"},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        "xaxis": {**axis, "title": {"text": plain(x_title), "standoff": 12}},
        "yaxis": dict(axis),
    }


def _rows_axis(names: Sequence[str]) -> dict[str, Any]:
    """An axis of names from the top down; they stay names where they look like numbers."""
    return {"type": "category", "categoryorder": "array", "categoryarray": list(names), "autorange": "reversed"}


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
