"""What a report says in sentences: the answer, and what keeps a reader from believing too much of it."""

import math

from densezoo.comparison.conclusions import Comparison
from densezoo.comparison.findings import Findings
from densezoo.comparison.ledger import LEDGER_FILES
from densezoo.comparison.power import MOST_SEEDS, POWER
from densezoo.comparison.report_blocks import MARKS
from densezoo.comparison.units import SEED, Unit

FEW_CLUSTERS = 10
"""Of test images, below which the draws tell too little of others."""
COST_NAMES = {"parameters": "parameters", "macs": "MACs", "latency": "latency"}
"""What can be matched to its name in sentences."""


def signed(value: float, decimals: int = 4) -> str:
    """Return a difference; a dash where it is no number."""
    return f"{value:+.{decimals}f}" if math.isfinite(value) else "–"


def span(low: float, high: float, decimals: int = 4) -> str:
    """Return the ends of an interval of differences; a dash where they are no numbers."""
    known = math.isfinite(low) and math.isfinite(high)
    return f"{signed(low, decimals)} to {signed(high, decimals)}" if known else "–"


def percent(share: float) -> str:
    """Return a share of 1 as a percentage."""
    return f"{100 * share:g} %"


def p_text(p: float) -> str:
    """Return a p value as it is written."""
    return "–" if math.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"


def answer(found: Findings) -> list[tuple[str, str]]:
    """Return what the study says of each arm: a sentence and its verdict, those of one verdict after each other."""
    lines: list[tuple[str, str]] = []
    for name in MARKS:
        for each in found.with_base:
            if each.verdict == name:
                lines.append((_sentence(each, found), "" if each.reason else name))
    return lines


def _sentence(comparison: Comparison, found: Findings) -> str:
    if comparison.reason is not None:
        return f"{comparison.arm}: nothing can be concluded, since {comparison.reason}."
    difference, smallest = comparison.difference, found.study.smallest_difference
    by = f"{signed(difference.mean)} (95 % interval {span(difference.low, difference.high)})"
    said = {
        "better": f"{comparison.arm} is better than {comparison.base}: {by}.",
        "worse": f"{comparison.arm} is worse than {comparison.base}: {by}.",
        "tie": f"{comparison.arm} ties with {comparison.base}: {by}, surely less than {smallest:g} apart.",
        "undecided": f"{comparison.arm} is undecided: {by}. {_family_words(comparison, found)}"
        + seeds_words(comparison, smallest),
    }
    return said[comparison.verdict]


def _family_words(comparison: Comparison, found: Findings) -> str:
    """Return why a difference is undecided whose interval leaves zero out; nothing for any other."""
    if comparison.difference.low <= 0 <= comparison.difference.high:
        return ""
    return (
        "The interval, which is for one comparison by itself, leaves zero out; with "
        f"{len(found.with_base)} comparisons the adjusted p is {p_text(comparison.adjusted_p)}, which is "
        "why. "
    )


def seeds_words(comparison: Comparison, smallest: float) -> str:
    """Return what a comparison needs to find the smallest difference that matters."""
    needed, chance, there = comparison.needed, f"a chance of {percent(POWER)}", len(comparison.seeds)
    if needed.seeds is not None and needed.seeds <= there:
        return f"Its {there} seeds would find {smallest:g} with {chance}; a smaller difference, or a tie, takes more."
    if needed.seeds is not None:
        return (
            f"To find a difference of {smallest:g} with {chance}, about {needed.seeds} seeds are needed; there are "
            f"{there}."
        )
    if comparison.difference.shared_error > needed.shared_error:
        return (
            f"To find a difference of {smallest:g} with {chance}, more test images are needed: no number of seeds will "
            "do."
        )
    return (
        f"To find a difference of {smallest:g} with {chance}, more than {MOST_SEEDS:,} seeds are needed; there are "
        f"{there}."
    )


def answer_lines(found: Findings) -> list[str]:
    """Return what was asked and what the study says, as plain sentences."""
    return [summary(found), *(line for line, _ in answer(found)), *doubt(found)]


def summary(found: Findings) -> str:
    """Return what was asked, and how much was run to answer it."""
    study, runs = found.study, sum(len(arm.runs) for arm in found.arms)
    wanted = len(study.seeds) * len(found.arms)
    better = "higher is better" if found.prepared.higher_is_better else "lower is better"
    done = (
        f"All {wanted} runs are finished."
        if runs >= wanted
        else f"Only {runs} of {wanted} runs are finished; the others are listed under Protocol."
    )
    count = len(study.seeds)
    seeds = f"{count} paired seeds" if count > 1 else "one seed"
    others = len(found.compared) - 1
    arms = "One arm is" if others == 1 else f"{others} arms are"
    return f"{arms} compared with {found.base.name} by {study.metric} ({better}) on the test set, with {seeds}. {done}"


def doubt(found: Findings) -> list[str]:
    """Return what keeps a reader from believing too much: few seeds or images, lost runs, noise, rates."""
    lines = []
    if max((len(each.seeds) for each in found.with_base), default=0) < 2:
        lines.append(
            "Nothing can be concluded: with fewer than two finished pairs of seeds it is not known how far runs of the "
            "same config are apart."
        )
    lines += [
        f"{len(arm.failed)} of the {len(found.study.seeds)} runs of {arm.name} failed: {', '.join(arm.failed)}. It is "
        "judged by the others alone, and an arm that fails where it is at its worst looks better than it is."
        for arm in found.arms
        if arm.failed and arm.runs
    ]
    lines += [*_left_out_words(found), *_other_rate_words(found), *_device_words(found), *_code_words(found)]
    lines += _far_words(found)
    clusters = max((run.clusters for arm in found.arms for run in arm.runs.values()), default=FEW_CLUSTERS)
    if 1 < clusters < FEW_CLUSTERS:
        lines.append(
            f"There are only {clusters} independent groups of test images: what other images would say is hardly "
            "known, and the intervals may be too narrow."
        )
    return [*lines, _noise_words(found), *_rate_words(found)]


def _left_out_words(found: Findings) -> list[str]:
    """Return which finished runs are not of the seeds that are asked for."""
    seeds = found.left_out
    if not seeds:
        return []
    *most, last = map(str, seeds)
    which = f"seeds {', '.join(most)} and {last}" if most else f"seed {last}"
    count = seeds[-1] - found.study.seeds[0] + 1
    return [f"Finished runs of the {which} are left out; --seeds {count} takes them in."]


def _other_rate_words(found: Findings) -> list[str]:
    """Return which runs had another learning rate than the one that their arm's tries choose."""
    lines = []
    for arm in found.arms:
        results = [found.results.get(Unit(arm.name, SEED, seed).name) for seed in sorted(arm.runs)]
        known = [result for result in results if result is not None and arm.learning_rate is not None]
        other = {result.unit: result.learning_rate for result in known if result.learning_rate != arm.learning_rate}
        if other:
            rates = ", ".join(f"{rate:g}" for rate in dict.fromkeys(other.values()))
            lines.append(
                f"Trained with another learning rate ({rates}) than the one that the tries of {arm.name} now choose, "
                f"{arm.learning_rate:g}: {', '.join(other)}. They run again without their folders and their "
                f"{LEDGER_FILES}."
            )
    return lines


def _device_words(found: Findings) -> list[str]:
    """Return on which devices runs were computed, where that is more than one."""
    names = [Unit(arm.name, SEED, seed).name for arm in found.arms for seed in arm.runs]
    devices = sorted({found.results[name].device for name in names if name in found.results})
    if len(devices) < 2:
        return []
    return [
        f"Runs were computed on different devices or numbers of threads ({'; '.join(devices)}), which round "
        "differently: an arm that had one of them more often than the base is compared by that, too."
    ]


def _code_words(found: Findings) -> list[str]:
    """Return by which code of densezoo runs were made, where that is more than one."""
    names = [Unit(arm.name, SEED, seed).name for arm in found.arms for seed in arm.runs]
    codes = sorted({found.results[name].code or "older code" for name in names if name in found.results})
    if len(codes) < 2:
        return []
    return [
        f"Runs were made by different code of densezoo ({'; '.join(codes)}), which may train or score otherwise: an "
        "arm that had one of them more often than the base is compared by that, too."
    ]


def _far_words(found: Findings) -> list[str]:
    """Return which arms do not cost what the base costs, though they were to be matched."""
    lines = []
    for arm in found.compared:
        match, ratio = found.study.arm(arm.name).match, arm.cost.ratio
        if match is not None and ratio is not None and abs(ratio - 1) > match.tolerance:
            lines.append(
                f"{arm.name} has {ratio:.3f} of {found.base.name}'s {COST_NAMES[match.cost]}, further away than "
                f"{percent(match.tolerance)}: no width comes nearer."
            )
    return lines


def _noise_words(found: Findings) -> str:
    """Return how far runs of the base's config are apart."""
    noise = found.conclusions.noise
    if noise is None or not math.isfinite(noise.sd):
        return "The noise floor is not known: it takes two runs of the base or its repetition."
    of_again = noise.comparison
    chance = "their seeds alone" if len(found.study.learning_rates) == 1 else "their seeds and choices of a rate alone"
    floor = (
        f"Noise floor: two single runs of {found.base.name} differ by up to {noise.single_runs:.4f} by {chance} "
        f"(95 % of pairs; standard deviation {noise.sd:.4f} over {noise.runs} runs)."
    )
    if of_again.reason is None:
        difference = of_again.difference
        floor += (
            f" The means of {found.base.name} and of its repetition with other seeds differ by "
            f"{signed(difference.mean)} (95 % interval {span(difference.low, difference.high)}); the verdict on this "
            f"pair of one config is: {of_again.verdict}."
        )
        if of_again.verdict in ("better", "worse"):
            floor += (
                " One study in twenty has that by chance, and more where two learning rates were chosen; where it "
                "happens, take the other verdicts with care."
            )
    return floor


def _rate_words(found: Findings) -> list[str]:
    """Return that no rate was chosen, or which arms chose one beyond which none was tried."""
    rates = found.study.learning_rates
    if len(rates) == 1:
        return [
            f"Every arm was trained with the learning rate {rates[0]:g}, and no other was tried: what suits the base "
            "may not suit an arm."
        ]
    lines = []
    for rate, end in ((min(rates), "lowest"), (max(rates), "highest")):
        names = [arm.name for arm in found.compared if arm.tries and arm.learning_rate == rate]
        if names:
            who = "Every arm" if len(names) == len(found.compared) else ", ".join(names)
            lines.append(
                f"{who} chose the {end} learning rate that was tried, {rate:g}. One beyond it might score "
                "better: a new study with a wider choice would tell."
            )
    return lines
