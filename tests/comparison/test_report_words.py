from dataclasses import replace

import pytest

from densezoo.comparison.conclusions import conclude
from densezoo.comparison.findings import judge
from densezoo.comparison.ledger import Record
from densezoo.comparison.power import SeedsNeeded
from densezoo.comparison.protocol_words import protocol_words, rate_words, statistics_words
from densezoo.comparison.report_words import answer, doubt, seeds_words
from densezoo.comparison.units import UnitResult


@pytest.fixture
def found(made_up, tmp_path):
    """What is known of the made-up study."""
    return judge(made_up.study, made_up.prepared, made_up.arms, tmp_path)


def result(unit, rate=0.002, device="cpu"):
    return UnitResult(unit, "pose/PCK@0.2", 0.5, True, rate, 1.0, "here", "2.0", device)


@pytest.mark.parametrize(
    ("seeds", "largest", "words"),
    [
        (5, 1.0, "Its 5 seeds would find"),
        (9, 1.0, "about 9 seeds are needed; there are 5."),
        (None, 1e-9, "more test images are needed: no number of seeds will do."),
        (None, 1.0, "more than 1,000 seeds are needed; there are 5."),
    ],
)
def test_an_undecided_arm_says_what_it_takes(made_up, seeds, largest, words):
    comparison = conclude(made_up.arms, made_up.study, True).comparisons[2]
    assert words in seeds_words(replace(comparison, needed=SeedsNeeded(seeds, largest)), 0.02)


def test_an_interval_without_zero_that_decides_nothing_says_why(found):
    comparisons = found.conclusions.comparisons
    difference = replace(comparisons[2].difference, low=0.001)
    comparisons[2] = replace(comparisons[2], verdict="undecided", adjusted_p=0.0714, difference=difference)
    words = {verdict: line for line, verdict in answer(found)}["undecided"]
    assert "leaves zero out; with 4 comparisons the adjusted p is 0.071, which is why. " in words
    comparisons[2] = replace(comparisons[2], difference=replace(difference, low=-0.001))
    assert not any("leaves zero out" in line for line, _ in answer(found))


def test_a_complete_study_leaves_the_noise_alone(found):
    (noise,) = [line for line in doubt(found) if "learning rate that was tried" not in line]
    assert noise.startswith("Noise floor")
    assert "by their seeds and choices of a rate alone" in noise


def test_few_groups_of_images_are_a_doubt(found):
    for clusters, few in ((9, True), (10, False)):
        arms = [
            replace(arm, runs={seed: replace(run, clusters=clusters) for seed, run in arm.runs.items()})
            for arm in found.arms
        ]
        words = " ".join(doubt(replace(found, arms=arms)))
        assert (f"only {clusters} independent groups of test images" in words) == few


def test_a_rate_beyond_which_none_was_tried_is_a_doubt(found):
    study = replace(found.study, learning_rates=[0.001, 0.002, 0.004])
    found = replace(found, study=study)  # all took 0.002, which is in the middle
    assert "learning rate that was tried" not in " ".join(doubt(found))
    arms = [*found.arms]
    arms[0] = replace(arms[0], learning_rate=0.004, tries={0.002: 0.5, 0.004: 0.6})
    arms[2] = replace(arms[2], learning_rate=0.004, tries={0.002: 0.5, 0.004: 0.6})
    arms[3] = replace(arms[3], learning_rate=0.001, tries={0.001: 0.5, 0.002: 0.4})
    found = replace(found, arms=arms)
    assert [line.partition(".")[0] for line in doubt(found) if "learning rate that was tried" in line] == [
        f"{arms[3].name} chose the lowest learning rate that was tried, 0",
        f"{arms[0].name}, {arms[2].name} chose the highest learning rate that was tried, 0",
    ]


def test_a_single_rate_is_a_doubt(found):
    found = replace(found, study=replace(found.study, learning_rates=[0.002]))
    assert doubt(found)[-1] == (
        "Every arm was trained with the learning rate 0.002, and no other was tried: what suits the base may not suit "
        "an arm."
    )
    assert "by their seeds alone" in doubt(found)[-2]


@pytest.mark.parametrize(
    ("seeds", "words"),
    [
        ((7,), "Finished runs of the seed 7 are left out; --seeds 8 takes them in."),
        ((5, 6), "Finished runs of the seeds 5 and 6 are left out; --seeds 7 takes them in."),
        ((9, 5, 10), "Finished runs of the seeds 5, 9 and 10 are left out; --seeds 11 takes them in."),
    ],
)
def test_finished_runs_that_are_not_asked_for_are_named(found, seeds, words):
    units = {f"concat/seed-{seed}": "done" for seed in (*seeds, 4)}
    units |= {"sum/seed-12": "failed", "sum/lr-0.002": "done"}
    records = {unit: Record(unit, status, 1, "here", "", 1, "", "", "") for unit, status in units.items()}
    assert [line for line in doubt(replace(found, records=records)) if "left out" in line] == [words]
    del records[f"concat/seed-{seeds[0]}"]
    assert words not in doubt(replace(found, records=records))


def test_runs_with_another_rate_than_the_chosen_one_are_named(found):
    results = {unit: result(unit, rate) for unit, rate in (("concat/seed-1", 0.004), ("concat/seed-2", 0.002))}
    (line,) = [line for line in doubt(replace(found, results=results)) if "another learning rate" in line]
    assert "(0.004) than the one that the tries of concat now choose, 0.002: concat/seed-1. They run again" in line


def test_several_versions_of_the_code_are_a_doubt(found):
    results = {unit: replace(result(unit), code=code) for unit, code in (("sum/seed-1", "code a"), ("sum/seed-2", ""))}
    (line,) = [line for line in doubt(replace(found, results=results)) if "different code" in line]
    assert "different code of densezoo (code a; older code)" in line
    assert "Made by densezoo with the code a, a digest of its source files." in protocol_words(
        replace(found, results=results)
    )
    alike = {unit: result(unit) for unit in results}
    assert not any("different code" in line for line in doubt(replace(found, results=alike)))


def test_people_that_the_metric_cannot_score_are_counted(found):
    assert "out of 40 test images, the same" in " ".join(statistics_words(found))
    arms = [
        replace(
            arm,
            runs={
                seed: replace(run, scores={**run.scores, "pose/PCK_skipped": 7.0, "pose/NME_skipped": 9.0})
                for seed, run in arm.runs.items()
            },
        )
        for arm in found.arms
    ]
    assert "out of 40 test images (of which 7 annotated instances have no pose/PCK@0.2, and count nothing), the" in (
        " ".join(statistics_words(replace(found, arms=arms)))
    )


def test_the_protocol_has_the_sizes_of_the_sets(found):
    images = {"train_data": 3587, "val_data": 404, "test_data": 1000}
    words = protocol_words(replace(found, prepared=replace(found.prepared, images=images)))
    assert "Samples of sum: 3,587 to train on, 404 to choose learning rates on, 1,000 to test on." in words


def test_several_devices_are_a_doubt(found):
    results = {unit: result(unit, device=device) for unit, device in (("sum/seed-1", "cpu"), ("sum/seed-2", "cuda, X"))}
    (line,) = [line for line in doubt(replace(found, results=results)) if "devices" in line]
    assert "on different devices or numbers of threads (cpu; cuda, X)" in line
    alike = {unit: result(unit) for unit in results} | {"sum/lr-0.002": result("sum/lr-0.002", device="cuda, X")}
    assert not any("devices" in line for line in doubt(replace(found, results=alike)))


def test_an_arm_that_could_not_be_matched_is_a_doubt(found):
    arms = [*found.arms]
    arms[1] = replace(arms[1], cost=replace(arms[1].cost, ratio=1.0317))
    (line,) = [line for line in doubt(replace(found, arms=arms)) if "no width" in line]
    assert line == "concat has 1.032 of sum's MACs, further away than 2 %: no width comes nearer."


def test_the_protocol_says_how_rates_were_chosen(found):
    assert rate_words(found.study) == (
        "Learning rate: every arm, and the repetition of the base, was tried with 0.002, 0.004, each for 3 of 12 "
        "epochs with its first seed, and took the one that scores best on the validation set."
    )
    longer = replace(found.study.arms[1], config=replace(found.study.base.config, epochs=2))
    assert "3 of 12 or 1 of 2 epochs" in rate_words(replace(found.study, arms=[found.study.base, longer]))
    assert any("unless an option of the arm changes them" in line for line in protocol_words(found))
    assert any("Each learning rate was tried once" in line for line in statistics_words(found))
    single = replace(found, study=replace(found.study, learning_rates=[0.002]))
    assert not any("Each learning rate was tried once" in line for line in statistics_words(single))
