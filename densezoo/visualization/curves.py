"""Training curves from the log of a run.

The log holds one JSON object per line: `{"kind": "train", "epoch", "step", "loss", "lr", "losses": {name: value}, …}`
and `{"kind": "eval", "epoch", "step", "scores": {name: value}}`. `null` stands for a value that was not finite.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from densezoo.errors import DataError

COUNTS = ("_skipped", "_missed")
MOST_SCORES = 8  # as many lines as a legend stays readable with

Curve = tuple[list[float], list[float]]
"""Steps and values; NaN where the log has none."""


def draw_curves(metrics_path: str | Path, out_path: str | Path) -> None:
    """Draw loss (logarithmic), learning rate and scores over steps, epochs along the top.

    Args:
        metrics_path: the run's `metrics.jsonl`.
        out_path: picture to write; its ending chooses the format. Replaced in one move where it exists.

    Raises:
        DataError: the log is missing, has a line that is not JSON, or has no record yet.
    """
    # Imported here: matplotlib takes half a second, which no other command should pay. Figure without pyplot keeps
    # no global state and needs no display.
    from matplotlib.figure import Figure

    records = read_log(metrics_path)
    train = [record for record in records if record["kind"] == "train"]
    evaluations = [record for record in records if record["kind"] == "eval"]
    figure = Figure(figsize=(7, 9), layout="constrained")
    loss_axes, rate_axes, score_axes = figure.subplots(3, 1, sharex=True, height_ratios=[3, 1, 3])

    losses = {"loss": _curve(train, lambda record: record.get("loss"))}
    parts = _names(train, "losses")
    if len(parts) > 1:
        losses |= {name: _curve(train, lambda record, n=name: record["losses"].get(n)) for name in parts}
    _draw_lines(loss_axes, losses)
    if all(value > 0 for _, values in losses.values() for value in values if not math.isnan(value)):
        loss_axes.set_yscale("log")
    loss_axes.set_ylabel("training loss")

    _draw_lines(rate_axes, {"lr": _curve(train, lambda record: record.get("lr"))})
    rate_axes.set_ylabel("learning rate")
    rate_axes.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))

    names = main_scores(_names(evaluations, "scores"))
    scores = {name: _curve(evaluations, lambda record, n=name: record["scores"].get(n)) for name in names}
    _draw_lines(score_axes, scores)
    score_axes.set_ylabel("validation score")
    score_axes.set_xlabel("step")
    _number_epochs(loss_axes, records)

    out = Path(out_path)
    partial = out.with_name(f".partial-{out.name}")  # a viewer never sees half a picture
    figure.savefig(partial, dpi=110)
    partial.replace(out)


def read_log(path: str | Path) -> list[dict[str, Any]]:
    """Return the records of a log in step order; of records of one kind and step, the last.

    A last line that was cut off, as a killed run leaves it, is passed over.

    Raises:
        DataError: the file is missing, a line is not a record, or there is none.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such log; a run writes it into its work dir")
    lines = path.read_text(encoding="utf-8").splitlines()
    records: dict[tuple[str, int], dict[str, Any]] = {}
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
            records[record["kind"], record["step"]] = record
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            if number == len(lines) and isinstance(error, json.JSONDecodeError):
                break
            raise DataError(f"{path}, line {number}: not a record with kind and step; delete the line") from error
    if not records:
        raise DataError(f"{path}: no record yet; train for an epoch first")
    return sorted(records.values(), key=lambda record: int(record["step"]))


def main_scores(names: Sequence[str]) -> list[str]:
    """Choose the scores to draw, at most eight: no counts, and none of a family (`PCK/left_wrist` beside `PCK`)."""
    known = set(names)
    chosen = [name for name in names if name.rpartition("/")[0] not in known and not name.endswith(COUNTS)]
    return chosen[:MOST_SCORES]


def draw_threshold_curves(curves: Mapping[str, Curve], out_path: str | Path) -> None:
    """Draw the share of correct joints over the allowed distance.

    Args:
        curves: name to thresholds and shares (0–1; NaN is left out).
        out_path: picture to write; its ending chooses the format.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    _draw_lines(axes, curves)
    axes.set_xlabel("allowed distance, in lengths of the normaliser")
    axes.set_ylabel("share of joints within it")
    axes.set_ylim(0, 1)
    figure.savefig(out_path, dpi=110)


def _names(records: Sequence[Mapping[str, Any]], key: str) -> list[str]:
    """Names in the dicts under `key`, in order of appearance."""
    return list(dict.fromkeys(name for record in records for name in record.get(key, {})))


def _curve(records: Sequence[Mapping[str, Any]], value: Any) -> Curve:
    """Steps, and what `value` finds in each record."""
    found = [value(record) for record in records]
    numbers = [float(number) if isinstance(number, (int, float)) else math.nan for number in found]
    return [float(record["step"]) for record in records], numbers


def _draw_lines(axes: Any, curves: Mapping[str, Curve]) -> None:
    for name, (steps, values) in curves.items():
        known = [value for value in values if not math.isnan(value)]
        if known:
            axes.plot(steps, values, marker="." if len(steps) <= 40 else "", label=f"{name} {known[-1]:.4g}")
    axes.grid(alpha=0.3)
    if axes.lines:
        axes.legend(fontsize=8, loc="best")


def _number_epochs(axes: Any, records: Sequence[Mapping[str, Any]]) -> None:
    """Put up to ten epoch numbers along the top."""
    last_steps = {record["epoch"]: record["step"] for record in records if "epoch" in record}
    epochs = sorted(last_steps)[:: max(math.ceil(len(last_steps) / 10), 1)]
    top = axes.secondary_xaxis("top")
    top.set_ticks([last_steps[epoch] for epoch in epochs], [str(epoch) for epoch in epochs])
    top.set_xlabel("epoch")
