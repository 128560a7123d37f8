"""The sections of a report, in the order in which they are read: the answer first, how it was found last."""

import math
import re
from collections.abc import Sequence

from densezoo.comparison.charts import cost_chart, curve_chart, forest_chart, seeds_chart, styles_of
from densezoo.comparison.disagreements import NUM_IMAGES, Disagreement
from densezoo.comparison.findings import Findings
from densezoo.comparison.protocol_words import protocol_words, rate_words, statistics_words, versions
from densezoo.comparison.report_blocks import Block, Chart, Code, Items, Pictures, Section, Text, Verdicts
from densezoo.comparison.report_numbers import (
    COSTS,
    Interval,
    curve_over_seeds,
    mean_sd,
    paired_interval,
    parts_of,
    points_of,
    score_of,
    scores_of,
)
from densezoo.comparison.report_tables import (
    arms_table,
    comparison_table,
    cost_table,
    curve_table,
    disagreement_table,
    matrix_table,
    missing_table,
    parts_table,
    ranking_table,
    rates_table,
    seeds_table,
    units_table,
)
from densezoo.comparison.report_words import answer, doubt, seeds_words, summary
from densezoo.comparison.study import AGAIN
from densezoo.comparison.units import with_rate


def answer_section(found: Findings) -> Section:
    """Return which arms are better, worse, tied or undecided, and how much is noise."""
    blocks: list[Block] = [Text(summary(found)), Verdicts(answer(found))]
    blocks += [Text(line) for line in doubt(found)]
    return Section("answer", "The answer", blocks)


def ranking_section(found: Findings) -> Section:
    """Return the arms in order, with a chart of their differences and one of every run."""
    styles = styles_of([arm.name for arm in found.arms])
    compared = [*found.with_base, *([found.conclusions.noise.comparison] if found.conclusions.noise else [])]
    known = [each for each in compared if math.isfinite(each.difference.mean)]
    known.sort(key=lambda each: each.difference.mean, reverse=found.prepared.higher_is_better)
    rows = [
        (each.arm, Interval(each.difference.mean, each.difference.low, each.difference.high), styles[each.arm])
        for each in known
    ]
    metric, base = found.study.metric, found.base.name
    scores = {arm.name: scores_of(arm, metric) for arm in found.arms}
    blocks: list[Block] = [ranking_table(found)]
    figures, labels = {}, {}
    if rows:
        figures["difference from the base"] = forest_chart(rows, found.study.smallest_difference)
        labels["difference from the base"] = (
            f"Mean difference of each arm from {base} in {metric}, with its 95 % interval by seeds and test images. "
            f"Shaded: smaller than the smallest difference of interest, {found.study.smallest_difference:g}."
        )
    run = {name: list(own.values()) for name, own in scores.items() if any(map(math.isfinite, own.values()))}
    if run:
        figures["every run"] = seeds_chart(run, styles)
        labels["every run"] = (
            f"{metric} of each arm: a stroke for every seed, their mean, and one standard deviation to each side."
        )
    if figures:
        blocks.append(Chart("ranking", figures, labels, "Show"))
    blocks.append(seeds_table(scores, found.study.seeds, metric))
    return Section("ranking", "Ranking", blocks)


def differences_section(found: Findings) -> Section:
    """Return every comparison, and what it would take to decide those that are undecided."""
    blocks: list[Block] = [matrix_table(found), comparison_table(found)]
    smallest = found.study.smallest_difference
    lines = [
        f"{each.arm} – {each.base}: {each.reason or seeds_words(each, smallest)}"
        for each in found.conclusions.comparisons
        if each.verdict == "undecided"
    ]
    if lines:
        blocks += [Text("What it takes to decide the undecided:"), Items(lines)]
    return Section("differences", "Differences and verdicts", blocks)


def costs_section(found: Findings) -> Section:
    """Return what is paid for scores."""
    metric = found.study.metric
    points = {cost: points_of(found.compared, metric, cost, found.prepared.higher_is_better) for cost in COSTS}
    if not any(points.values()):
        return Section("costs", "Score against cost", [Text("No arm has a score yet.")])
    styles = styles_of([arm.name for arm in found.arms])
    figures = {cost: cost_chart(own, styles, COSTS[cost][0]) for cost, own in points.items()}
    labels = {
        cost: f"Mean {metric} of each arm against its {cost}, with one standard deviation over seeds. Ringed and "
        "joined: the Pareto front, arms that no other beats in score without costing more."
        for cost in COSTS
    }
    images = [arm.cost.image for arm in found.compared if arm.cost.image is not None]
    sizes = " or ".join(dict.fromkeys(f"{height}×{width}" for height, width in images))
    of_size = f" of {sizes} pixels" if sizes else ""
    where = f" ({found.prepared.measured})" if found.prepared.measured else ""
    words = (
        f"Costs are of one image{of_size}. Milliseconds are of the machine that began the study{where}, with the arms "
        "taking turns. Fronts are of means, whatever their uncertainty: an arm may be on one, or off it, by chance."
    )
    return Section(
        "costs",
        "Score against cost",
        [Chart("costs", figures, labels, "Cost"), Text(words), cost_table(points, metric)],
    )


def curves_section(found: Findings) -> Section:
    """Return how the arms learned."""
    styles = styles_of([arm.name for arm in found.arms])
    titles = {f"validation {found.study.metric}": found.study.metric, "training loss": None}
    curves = {
        title: {arm.name: curve_over_seeds(arm, metric) for arm in found.arms} for title, metric in titles.items()
    }
    curves = {title: own for title, own in curves.items() if any(own.values())}
    if not curves:
        return Section("curves", "Learning curves", [Text("No run has a log yet.")])
    figures = {title: curve_chart(own, styles) for title, own in curves.items()}
    labels = {
        title: f"{title[0].upper()}{title[1:]} of each arm by epoch: mean over seeds, in a band of one standard "
        "deviation to each side."
        for title in curves
    }
    words = "A training loss is a sum over stages and tasks: arms that have other ones are not to be compared by it."
    blocks: list[Block] = [Chart("curves", figures, labels, "Curve"), Text(words)]
    return Section("curves", "Learning curves", blocks + [curve_table(own, title) for title, own in curves.items()])


def parts_section(found: Findings) -> Section | None:
    """Return the differences in classes or joints; None where the metric has none."""
    metric, others = found.study.metric, [arm for arm in found.arms[1:] if arm.runs]
    parts = parts_of(found.arms, metric)
    if not parts or not found.base.runs or not others:
        return None
    styles = styles_of([arm.name for arm in found.arms])
    base = {part: mean_sd([score_of(run, f"{metric}/{part}") for run in found.base.runs.values()])[0] for part in parts}
    differences = {
        arm.name: {part: paired_interval(found.base, arm, f"{metric}/{part}") for part in parts} for arm in others
    }
    figures, labels = {}, {}
    for name, own in differences.items():
        rows = sorted(own.items(), key=lambda row: -row[1].mean if math.isfinite(row[1].mean) else math.inf)
        figures[name] = forest_chart([(part, interval, styles[name]) for part, interval in rows], None)
        labels[name] = f"Mean difference of {name} from {found.base.name} in every part of {metric}."
    words = (
        "Intervals are of 95 % by seeds alone, for each part by itself: among twenty parts one is expected to leave "
        f"zero out by chance. What the base's repetition, {AGAIN}, shows is nothing but chance."
    )
    blocks: list[Block] = [
        Chart("parts", figures, labels, "Arm"),
        Text(words),
        parts_table(base, differences, found.base.name, metric),
    ]
    return Section("parts", "Classes or joints", blocks)


def images_section(
    ranked: Sequence[Disagreement], score: str | None, pictures: Sequence[Pictures], problem: str | None
) -> Section:
    """Return the images that arms disagree on.

    Args:
        ranked: images, those with the widest range first.
        score: of single images; None where runs have none.
        pictures: of the first of them.
        problem: why there are none.
    """
    if not ranked or score is None:
        return Section("images", "Where arms disagree", [Text("There are no scores of single images to compare.")])
    words = (
        f"The images with the widest range over arms of {score}, mean over seeds. They are chosen for their range: "
        "that an arm does well on them says nothing of the rest. Answers are of the first pair that all arms "
        "have finished; captions have their scores, and the means over seeds."
    )
    blocks: list[Block] = [Text(words), *pictures]
    if problem is not None:
        blocks.append(Text(f"They cannot be drawn: {problem}"))
    return Section("images", "Where arms disagree", [*blocks, disagreement_table(ranked[:NUM_IMAGES], score)])


def rates_section(found: Findings) -> Section:
    """Return the tries of learning rates."""
    tried = [arm for arm in found.arms if arm.tries]
    if not tried:
        return Section("rates", "Learning rates", [Text(rate_words(found.study))])
    rates = sorted({*found.study.learning_rates, *(rate for arm in tried for rate in arm.tries)})
    return Section("rates", "Learning rates", [Text(rate_words(found.study)), rates_table(found.arms, rates)])


def protocol_section(found: Findings) -> Section:
    """Return how everything was done, with every command."""
    config = found.prepared.configs[found.base.name]
    if found.base.learning_rate is not None:
        config = with_rate(config, found.base.learning_rate)
    blocks: list[Block] = [Items(protocol_words(found)), arms_table(found)]
    if found.missing:
        blocks.append(missing_table(found.missing))
    blocks += [
        Text("Statistics:"),
        Items(statistics_words(found)),
        units_table(found),
        Code("Every command", "\n".join(_commands(found)) or "none yet"),
        Code(f"Config of {found.base.name}", config.to_text()),
        Text("This report was made with:"),
        Items(versions()),
    ]
    return Section("protocol", "Protocol", blocks)


def _commands(found: Findings) -> list[str]:
    """Return the commands of the whole study, which are those of units without the unit, and then those of units."""
    commands = [run.command for arm in found.arms for run in arm.runs.values()]
    commands += [record.command for record in found.records.values()]
    of_units = [command for command in commands if command]
    whole = [re.sub(r" --unit \S+", "", command) for command in of_units]
    return list(dict.fromkeys([*whole, *of_units]))
