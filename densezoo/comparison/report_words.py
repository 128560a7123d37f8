"""What a report says in sentences: the answer, how sure it is, and how it was found."""

import math
import platform
from importlib.metadata import PackageNotFoundError, version

from densezoo.comparison.conclusions import Comparison
from densezoo.comparison.findings import Findings
from densezoo.comparison.power import POWER
from densezoo.comparison.report_blocks import MARKS
from densezoo.comparison.study import AGAIN, Study

PACKAGES = ("densezoo", "torch", "torchvision", "timm", "numpy", "scipy", "opencv-python", "plotly")
"""Whose versions a report names."""
FEW_CLUSTERS = 10
"""Of test images, below which the draws tell too little of others."""
_COST_NAMES = {"parameters": "parameters", "macs": "MACs", "latency": "latency"}


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
                lines.append((_sentence(each, found.study.smallest_difference), "" if each.reason else name))
    return lines


def _sentence(comparison: Comparison, smallest: float) -> str:
    if comparison.reason is not None:
        return f"{comparison.arm}: nothing can be concluded, since {comparison.reason}."
    difference = comparison.difference
    by = f"{signed(difference.mean)} (95 % interval {span(difference.low, difference.high)})"
    said = {
        "better": f"{comparison.arm} is better than {comparison.base}: {by}.",
        "worse": f"{comparison.arm} is worse than {comparison.base}: {by}.",
        "tie": f"{comparison.arm} ties with {comparison.base}: {by}, surely less than {smallest:g} apart.",
        "undecided": f"{comparison.arm} is undecided: {by}. {seeds_words(comparison, smallest)}",
    }
    return said[comparison.verdict]


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
    return "How many seeds it needs is not known."


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
    """Return what keeps a reader from believing too much: few seeds or images, lost runs, rates, the noise floor."""
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
    clusters = max((run.clusters for arm in found.arms for run in arm.runs.values()), default=FEW_CLUSTERS)
    if 1 < clusters < FEW_CLUSTERS:
        lines.append(
            f"There are only {clusters} independent groups of test images: what other images would say is hardly "
            "known, and the intervals may be too narrow."
        )
    return [*lines, _noise_words(found), *_edge_words(found)]


def _noise_words(found: Findings) -> str:
    """Return how far runs of the base's config are apart."""
    noise = found.conclusions.noise
    if noise is None or not math.isfinite(noise.sd):
        return "The noise floor is not known: it takes two runs of the base or its repetition."
    of_again = noise.comparison
    floor = (
        f"Noise floor: two single runs of {found.base.name} differ by up to {noise.single_runs:.4f} by their seeds "
        f"alone (95 % of pairs; standard deviation {noise.sd:.4f} over {noise.runs} runs)."
    )
    if of_again.reason is None:
        difference = of_again.difference
        floor += (
            f" The means of {found.base.name} and of its repetition with other seeds differ by "
            f"{signed(difference.mean)} (95 % interval {span(difference.low, difference.high)}); the verdict on this "
            f"pair of one config is: {of_again.verdict}."
        )
        if of_again.verdict in ("better", "worse"):
            floor += " One study in twenty has that by chance; where it happens, take the other verdicts with care."
    return floor


def _edge_words(found: Findings) -> list[str]:
    """Return which arms chose a learning rate beyond which none was tried."""
    rates = found.study.learning_rates
    if len(rates) == 1:
        return []
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


def statistics_words(found: Findings) -> list[str]:
    """Return how the verdicts are found."""
    study, comparisons = found.study, found.conclusions.comparisons
    clusters = max((run.clusters for arm in found.arms for run in arm.runs.values()), default=0)
    groups = f"{clusters} test images" if study.cluster is None else f"{clusters} groups of test images"
    return [
        "Unit of inference: the pair of runs with the same number. A difference is the mean over pairs; arms share the "
        "number's seed, the order of the data, its augmentation, and the start values of all parts that both have.",
        "Two errors are added: that of seeds (from the standard deviation of paired differences, t with pairs - 1 "
        f"degrees of freedom) and that of test images (from {study.draws} new draws out of {groups}, the same for "
        "every run). An interval from images alone would take two trainings of one config for different networks too "
        "often.",
        "The intervals are of 95 % for one difference by itself. Verdicts come from p values by Holm's method (number "
        f"of comparisons: {len(comparisons)}), so that the chance of any wrong better or worse is 5 % at most, and so "
        "is that of any wrong tie; an arm whose interval leaves zero out may still be undecided.",
        "This holds for a number of seeds that was set beforehand. To add seeds until an answer is there is to ask "
        "more than once, and is wrong more often.",
        "better, worse: the adjusted p of no difference is 0.05 at most. tie: by two one-sided tests the difference is "
        f"surely smaller than {study.smallest_difference:g}, the smallest difference of interest. undecided: neither "
        "can be said, which is not the same as a tie.",
        "Numbers of seeds needed rest on a standard deviation that few seeds tell only roughly.",
    ]


def protocol_words(found: Findings) -> list[str]:
    """Return how the runs were made."""
    study = found.study
    lines = [
        f"Study: {study.name}, from {study.path}.",
        f"Seeds: {', '.join(str(seed) for seed in study.seeds)}; {AGAIN} is {found.base.name} with "
        f"{', '.join(str(study.seed_of(AGAIN, seed)) for seed in study.seeds)}.",
        "Paired: runs of one number share seed, order of the data, augmentation and encoder weights, and parts that "
        "two arms have in common start from the same values.",
        rate_words(study),
        "Scored on the test set: the weights after the last epoch, never the best of several. The test set was used "
        "for nothing else.",
        "Matched: " + _matched_words(study),
    ]
    places = sorted({f"{each.host} ({each.device}, torch {each.torch})" for each in found.results.values()})
    if places:
        lines.append(f"Machines of the runs: {', '.join(places)}.")
    return lines


def versions() -> list[str]:
    """Return what this report was made with."""
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:  # OpenCV has other names, too
            continue
    return [f"Python {platform.python_version()}, {', '.join(found)}.", f"{platform.platform()}, {platform.machine()}."]


def rate_words(study: Study) -> str:
    """Return how learning rates were chosen."""
    if len(study.learning_rates) == 1:
        return f"Learning rate: {study.learning_rates[0]:g} for every arm; no other was tried."
    rates = ", ".join(f"{rate:g}" for rate in study.learning_rates)
    return (
        f"Learning rate: every arm was tried with {rates}, each for {percent(study.tuning_share)} of the epochs with "
        f"the first seed, and took the one that scores best on the validation set. The repetition of the base "
        "takes the base's."
    )


def _matched_words(study: Study) -> str:
    matches = {(arm.match.cost, arm.match.width, arm.match.tolerance): arm.match for arm in study.arms if arm.match}
    if not matches:
        return "nothing; every arm is as its options say, whatever it costs."
    words = [
        f"{_COST_NAMES[match.cost]}, by changing {match.width} until they are within {percent(match.tolerance)} of the "
        "base's, or as near as widths allow"
        for match in matches.values()
    ]
    free = [arm.name for arm in study.arms[1:] if arm.match is None and arm.name != AGAIN]
    return "; ".join(words) + (f". Taken as they are: {', '.join(free)}." if free else ".")
