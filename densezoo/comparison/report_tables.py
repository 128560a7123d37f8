"""The tables of a report."""

import math
from collections.abc import Mapping, Sequence

from densezoo.comparison.conclusions import Comparison
from densezoo.comparison.disagreements import Disagreement
from densezoo.comparison.findings import Findings
from densezoo.comparison.power import MOST_SEEDS
from densezoo.comparison.report_blocks import Cell, Table, number_cell
from densezoo.comparison.report_numbers import COSTS, CurvePoint, Interval, Point, paired_interval
from densezoo.comparison.report_words import p_text, percent, signed, span
from densezoo.comparison.statistics import Verdict
from densezoo.comparison.study_results import ArmResults
from densezoo.comparison.units import SEED, Unit

_OPPOSITE: dict[Verdict, Verdict] = {"better": "worse", "worse": "better", "tie": "tie", "undecided": "undecided"}


def ranking_table(found: Findings) -> Table:
    """Return the arms from the best to the worst mean, those without a run last."""
    scores = {each.name: each.score for each in found.conclusions.scores}
    compared = {each.arm: each for each in found.with_base}
    if found.conclusions.noise is not None:
        compared[found.conclusions.noise.comparison.arm] = found.conclusions.noise.comparison
    sign = -1 if found.prepared.higher_is_better else 1

    def rank(arm: ArmResults) -> tuple[bool, float]:
        mean = scores[arm.name].mean
        return math.isnan(mean), 0.0 if math.isnan(mean) else sign * mean

    rows = []
    for arm in sorted(found.arms, key=rank):
        score, each = scores[arm.name], compared.get(arm.name)
        own = [Cell("base", 0.0), Cell("–"), Cell("–"), Cell("–")] if each is None else _judged(each)
        cost = arm.cost
        rows.append(
            [
                Cell(arm.name, arm.name),
                number_cell(score.mean),
                number_cell(score.sd),
                number_cell(len(arm.runs), f"{len(arm.runs)} of {len(found.study.seeds)}"),
                *own,
                number_cell(arm.learning_rate, f"{arm.learning_rate:g}" if arm.learning_rate is not None else None),
                number_cell(cost.parameters, f"{cost.parameters:,}"),
                number_cell(cost.macs / 1e6, f"{cost.macs / 1e6:,.1f}"),
                number_cell(cost.milliseconds, f"{cost.milliseconds:.2f}"),
            ]
        )
    columns = ["arm", "mean", "sd over seeds", "runs", "difference from the base", "95 % interval", "adjusted p"]
    columns += ["verdict", "learning rate", "parameters", "million MACs", "ms per image"]
    order = {"mean": "descending" if found.prepared.higher_is_better else "ascending"}
    title = f"{found.study.metric} on the test set, the best mean first"
    return Table(title, columns, rows, sortable=True, order=order)


def _judged(comparison: Comparison) -> list[Cell]:
    difference = comparison.difference
    return [
        number_cell(difference.mean, signed(difference.mean)),
        number_cell(difference.low, span(difference.low, difference.high)),
        number_cell(comparison.adjusted_p, p_text(comparison.adjusted_p)),
        verdict_cell(comparison),
    ]


def verdict_cell(comparison: Comparison) -> Cell:
    """Return a comparison's verdict; that there is none where nothing can be said."""
    if comparison.reason is not None:
        return Cell("nothing can be concluded", "~")
    return Cell(comparison.verdict, comparison.verdict, comparison.verdict)


def needed_cell(comparison: Comparison) -> Cell:
    """Return how many seeds would find the smallest difference that matters, or what is in the way."""
    needed = comparison.needed
    if needed.seeds is not None:
        return Cell(str(needed.seeds), needed.seeds)
    if comparison.reason is not None:
        return Cell("–")
    wants_images = comparison.difference.shared_error > needed.shared_error
    return Cell("more images") if wants_images else Cell(f"> {MOST_SEEDS:,}", MOST_SEEDS + 1)


def matrix_table(found: Findings) -> Table:
    """Return every arm's difference from every other, the row's less the column's; verdicts only where asked for."""
    arms = {arm.name: arm for arm in found.compared}
    pairs = {(each.arm, each.base): each for each in found.conclusions.comparisons}
    names = [arm.name for arm in found.compared]
    rows = []
    for name in names:
        cells = [Cell(name, name)]
        for other in names:
            each = pairs.get((name, other))
            turned = pairs.get((other, name))
            if each is not None:
                cells.append(_matrix_cell(each.difference.mean, each.verdict, each.reason))
            elif turned is not None:
                cells.append(_matrix_cell(-turned.difference.mean, _OPPOSITE[turned.verdict], turned.reason))
            elif name == other:
                cells.append(Cell("same"))
            else:
                mean = paired_interval(arms[other], arms[name], found.study.metric).mean
                cells.append(number_cell(mean, signed(mean)))
        rows.append(cells)
    unasked = "" if found.study.all_pairs else "; between other arms than the base without a verdict"
    return Table(f"Difference of the arm in the row from the arm in the column{unasked}", ["arm", *names], rows)


def _matrix_cell(difference: float, verdict: Verdict, reason: str | None) -> Cell:
    if reason is not None:
        return Cell(f"{signed(difference)} (no verdict)", difference)
    return Cell(f"{signed(difference)} {verdict}", difference, verdict)


def comparison_table(found: Findings) -> Table:
    """Return every comparison with all that its verdict rests on; the base's repetition last."""
    noise = found.conclusions.noise
    rows = []
    for each in [*found.conclusions.comparisons, *([] if noise is None else [noise.comparison])]:
        difference = each.difference
        rows.append(
            [
                Cell(f"{each.arm} – {each.base}", f"{each.arm} {each.base}"),
                number_cell(len(each.seeds), str(len(each.seeds))),
                number_cell(difference.mean, signed(difference.mean)),
                number_cell(difference.low, span(difference.low, difference.high)),
                number_cell(difference.sd),
                number_cell(difference.seed_error),
                number_cell(difference.image_error),
                number_cell(difference.shared_error),
                number_cell(difference.p, p_text(difference.p)),
                number_cell(each.adjusted_p, p_text(each.adjusted_p)),
                number_cell(each.adjusted_p_tie, p_text(each.adjusted_p_tie)),
                verdict_cell(each),
                needed_cell(each),
            ]
        )
    columns = ["difference", "pairs", "mean", "95 % interval", "sd of pairs", "error by seeds", "error by images"]
    columns += ["of it shared by all seeds", "p", "adjusted p", "adjusted p of a tie", "verdict", "seeds needed"]
    return Table("Every comparison, with what its verdict rests on", columns, rows, sortable=True)


def cost_table(points: Mapping[str, Sequence[Point]], metric: str) -> Table:
    """Return what arms cost.

    Args:
        points: every one of `COSTS` to the arms' points.
        metric: of the scores.
    """
    arms = {point.arm: point for point in next(iter(points.values()))}
    rows = []
    for name, any_point in arms.items():
        cells = [Cell(name, name), number_cell(any_point.score)]
        fronts = []
        for cost, of_cost in points.items():
            point = next(each for each in of_cost if each.arm == name)
            cells.append(number_cell(point.cost, f"{point.cost:,.2f}"))
            fronts += [cost] if point.on_front else []
        rows.append([*cells, Cell(", ".join(fronts) or "none", len(fronts))])
    return Table(
        f"Costs for one image, and mean {metric}",
        ["arm", "score", *(unit for unit, _ in COSTS.values()), "on the front of"],
        rows,
        True,
    )


def seeds_table(scores: Mapping[str, Mapping[int, float]], seeds: Sequence[int], metric: str) -> Table:
    """Return the score of every run, folded."""
    rows = [[Cell(name, name), *(number_cell(own.get(seed)) for seed in seeds)] for name, own in scores.items()]
    return Table(f"{metric} of every run", ["arm", *(f"seed {seed}" for seed in seeds)], rows, True, True)


def curve_table(curves: Mapping[str, Sequence[CurvePoint]], what: str) -> Table:
    """Return curves by epoch, folded: the mean over seeds, and the standard deviation where there are several."""
    epochs = sorted({row.epoch for curve in curves.values() for row in curve})
    of_arm = {name: {row.epoch: row for row in curve} for name, curve in curves.items()}
    rows = []
    for epoch in epochs:
        cells = [Cell(str(epoch), epoch)]
        for known in of_arm.values():
            row = known.get(epoch)
            spread = "" if row is None or math.isnan(row.sd) else f" ± {row.sd:.4f}"
            cells.append(Cell("–") if row is None else number_cell(row.mean, f"{row.mean:.4f}{spread}"))
        rows.append(cells)
    return Table(f"{what} by epoch: mean over seeds ± standard deviation", ["epoch", *curves], rows, folded=True)


def parts_table(
    base: Mapping[str, float], differences: Mapping[str, Mapping[str, Interval]], base_name: str, metric: str
) -> Table:
    """Return the differences from the base in every class or joint.

    Args:
        base: part to the base's mean.
        differences: arm to part to its difference.
        base_name: name of the base.
        metric: whose parts they are.
    """
    rows = []
    for part, mean in base.items():
        found = [own[part] for own in differences.values()]
        cells = [number_cell(each.mean, f"{signed(each.mean, 3)} ({span(each.low, each.high, 3)})") for each in found]
        rows.append([Cell(part, part), number_cell(mean), *cells])
    return Table(
        f"Differences from {base_name} in the parts of {metric}, with 95 % intervals over seeds",
        ["part", f"mean of {base_name}", *differences],
        rows,
        sortable=True,
    )


def disagreement_table(chosen: Sequence[Disagreement], score: str) -> Table:
    """Return the images that arms disagree on, and what each arm scores there."""
    names = list(chosen[0].scores)
    rows = [
        [
            Cell(str(each.image_id), each.image_id),
            number_cell(each.spread),
            *(number_cell(each.scores[name]) for name in names),
        ]
        for each in chosen
    ]
    caption = f"{score} of single images, mean over seeds, where arms are furthest apart"
    return Table(caption, ["image", "range over arms", *names], rows, sortable=True)


def rates_table(arms: Sequence[ArmResults], rates: Sequence[float]) -> Table:
    """Return what the tries of learning rates scored, and which was taken; those that diverged have no score."""
    rows = []
    for arm in arms:
        cells = [
            Cell("no score") if math.isnan(arm.tries.get(rate, 0.0)) else number_cell(arm.tries.get(rate))
            for rate in rates
        ]
        chosen = Cell("–") if arm.learning_rate is None else Cell(f"{arm.learning_rate:g}", arm.learning_rate)
        rows.append([Cell(arm.name, arm.name), *cells, chosen])
    return Table(
        "Validation score of every try", ["arm", *(f"rate {rate:g}" for rate in rates), "chosen"], rows, sortable=True
    )


def arms_table(found: Findings) -> Table:
    """Return what each arm is."""
    rows = []
    for arm in found.arms:
        cost, match = arm.cost, found.study.arm(arm.name).match
        changes = ", ".join(f"{key}={value!r}" for key, value in arm.options.items()) or "nothing"
        width = f"{match.width}={cost.width}" if match is not None and cost.width is not None else "–"
        far = match is not None and cost.ratio is not None and abs(cost.ratio - 1) > match.tolerance
        note = f" (further than {percent(match.tolerance)})" if far and match is not None else ""
        ratio = Cell("–") if cost.ratio is None else number_cell(cost.ratio, f"{cost.ratio:.3f}{note}")
        same = (
            Cell("–") if cost.same_start is None else number_cell(cost.same_start, percent(round(cost.same_start, 3)))
        )
        rows.append([Cell(arm.name, arm.name), Cell(changes), Cell(width), ratio, same])
    columns = ["arm", "what it changes", "width", "matched cost over the base's", "starts as the base does"]
    return Table("Arms", columns, rows, words=True)


def units_table(found: Findings) -> Table:
    """Return how every unit went, folded."""
    seconds = {Unit(arm.name, SEED, seed).name: run.seconds for arm in found.arms for seed, run in arm.runs.items()}
    seconds |= {name: result.seconds for name, result in found.results.items() if result.seconds is not None}
    rows = []
    for unit, how in found.units.items():
        record, result = found.records.get(unit), found.results.get(unit)
        host = result.host if result is not None else record.host if record is not None else "–"
        rows.append(
            [
                Cell(unit, unit),
                Cell(how, how),
                Cell(str(record.tries), record.tries) if record is not None else Cell("–"),
                Cell(host, host),
                number_cell(seconds.get(unit), decimals=0),
            ]
        )
    columns = ["unit", "status", "tries", "machine", "seconds of training"]
    return Table("Every unit", columns, rows, sortable=True, folded=True, words=True)


def missing_table(missing: Mapping[str, str]) -> Table:
    """Return the runs that failed or are not there."""
    rows = [[Cell(unit, unit), Cell(why, why)] for unit, why in missing.items()]
    return Table("Runs that are missing", ["unit", "why"], rows, words=True)
