"""What a report says of how it was found: the statistics, the runs, the learning rates, the versions."""

import platform
from importlib.metadata import PackageNotFoundError, version

from densezoo.comparison.findings import Findings
from densezoo.comparison.report_words import COST_NAMES, percent
from densezoo.comparison.study import AGAIN, Study

PACKAGES = ("densezoo", "torch", "torchvision", "timm", "numpy", "scipy", "opencv-python", "plotly")
"""Whose versions a report names."""


def statistics_words(found: Findings) -> list[str]:
    """Return how the verdicts are found."""
    study = found.study
    clusters = max((run.clusters for arm in found.arms for run in arm.runs.values()), default=0)
    groups = f"{clusters} {'test images' if study.cluster is None else 'groups of test images'}{_skipped_words(found)}"
    return [
        "Unit of inference: the pair of runs with the same number. A difference is the mean over pairs; arms share the "
        "number's seed, the order of the data, its augmentation, and the start values of all parts that both have.",
        "Two errors are added: that of seeds (from the standard deviation of paired differences, t with pairs - 1 "
        f"degrees of freedom) and that of test images (from {study.draws} new draws out of {groups}, the same for "
        "every run). An interval from images alone would take two trainings of one config for different networks too "
        "often.",
        "The intervals are of 95 % for one difference by itself. Verdicts come from p values by Holm's method over the "
        f"comparisons with {found.base.name} (their number: {len(found.with_base)}), so that the chance of any wrong "
        "better or worse is 5 % at most, and so is that of any wrong tie; an arm whose interval leaves zero out may "
        "still be undecided.",
        *_other_pairs_words(found),
        "This holds for a number of seeds that was set beforehand. To add seeds until an answer is there is to ask "
        "more than once, and is wrong more often.",
        "better, worse: the adjusted p of no difference is 0.05 at most. tie: by two one-sided tests the difference is "
        f"surely smaller than {study.smallest_difference:g}, the smallest difference of interest. undecided: neither "
        "can be said, which is not the same as a tie.",
        *_choice_words(study),
        "Numbers of seeds needed rest on a standard deviation that few seeds tell only roughly.",
    ]


def _skipped_words(found: Findings) -> str:
    """Return how many annotated instances the metric cannot score, such as people without a torso."""
    metric = found.study.metric
    scores = next((run.scores for arm in found.arms for run in arm.runs.values()), {})
    skipped = [value for name, value in scores.items() if _counts_skipped(name, metric) and value > 0]
    return f" (of which {skipped[0]:.0f} annotated instances have no {metric}, and count nothing)" if skipped else ""


def _counts_skipped(name: str, metric: str) -> bool:
    return name.endswith("_skipped") and metric.startswith(name.removesuffix("_skipped"))


def _other_pairs_words(found: Findings) -> list[str]:
    """Return how the comparisons without the base are judged, where they were asked for."""
    others = len(found.conclusions.comparisons) - len(found.with_base)
    if not found.study.all_pairs or not others:
        return []
    return [
        f"Comparisons of other arms with each other ({others}) are a family of their own, with the same chances, so "
        f"that asking for them changes no verdict on {found.base.name}."
    ]


def _choice_words(study: Study) -> list[str]:
    """Return what the intervals do not hold, where learning rates were chosen."""
    if len(study.learning_rates) == 1:
        return []
    return [
        "Each learning rate was tried once, so that there is chance in an arm's choice, and it is not in the "
        f"intervals. {AGAIN}, which chose for itself, shows how much it is."
    ]


def protocol_words(found: Findings) -> list[str]:
    """Return how the runs were made."""
    study = found.study
    lines = [
        f"Study: {study.name}, from {study.path}.",
        f"Seeds: {', '.join(str(seed) for seed in study.seeds)}; {AGAIN} is {found.base.name} with "
        f"{', '.join(str(study.seed_of(AGAIN, seed)) for seed in study.seeds)}.",
        "Paired: unless an option of the arm changes them, runs of one number share seed, order of the data, "
        "augmentation and encoder weights, and parts that two arms have in common start from the same values.",
        rate_words(study),
        "Scored on the test set: the weights after the last epoch, never the best of several. The test set was used "
        "for nothing else.",
        "Matched: " + _matched_words(study),
    ]
    if found.prepared.images:
        train, val, test = (found.prepared.images[name] for name in ("train_data", "val_data", "test_data"))
        choose = f"{val:,} to {'choose learning rates on' if len(study.learning_rates) > 1 else 'validate on'}"
        lines.append(f"Samples of {found.base.name}: {train:,} to train on, {choose}, {test:,} to test on.")
    places = sorted({f"{each.host} ({each.device}, torch {each.torch})" for each in found.results.values()})
    if places:
        lines.append(f"Machines of the runs: {', '.join(places)}.")
    codes = sorted({each.code for each in found.results.values() if each.code})
    if codes:
        lines.append(f"Made by densezoo with the {'; '.join(codes)}, a digest of its source files.")
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
    epochs = dict.fromkeys(arm.config.epochs for arm in study.arms)
    lengths = " or ".join(f"{study.epochs_of_try(whole)} of {whole}" for whole in epochs)
    return (
        f"Learning rate: every arm, and the repetition of the base, was tried with {rates}, each for {lengths} epochs "
        "with its first seed, and took the one that scores best on the validation set."
    )


def _matched_words(study: Study) -> str:
    matches = {(arm.match.cost, arm.match.width, arm.match.tolerance): arm.match for arm in study.arms if arm.match}
    if not matches:
        return "nothing; every arm is as its options say, whatever it costs."
    words = [
        f"{COST_NAMES[match.cost]}, by changing {match.width} until they are within {percent(match.tolerance)} of the "
        "base's, or as near as widths allow"
        for match in matches.values()
    ]
    free = [arm.name for arm in study.arms[1:] if arm.match is None and arm.name != AGAIN]
    return "; ".join(words) + (f". Taken as they are: {', '.join(free)}." if free else ".")
