import csv
import html
import json
import re
from dataclasses import replace

import numpy as np
import pytest

from densezoo.comparison.conclusions import conclude
from densezoo.comparison.findings import judge
from densezoo.comparison.ledger import Ledger
from densezoo.comparison.report import write_report
from densezoo.comparison.study import AGAIN
from densezoo.errors import ConfigError

METRIC = "pose/PCK@0.2"


def report(made_up, folder, arms=None, study=None):
    return write_report(judge(study or made_up.study, made_up.prepared, arms or made_up.arms, folder), folder)


@pytest.fixture(scope="module")
def written(made_up, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    paths = report(made_up, folder)
    return {name: path.read_text(encoding="utf-8") for name, path in paths.items()} | {"folder": folder}


@pytest.fixture(scope="module")
def page(written, read_page):
    return read_page(written["html"])


def test_the_answer_says_what_was_planted(written):
    found = json.loads(written["summary"])
    head, *lines = found["answer"]
    assert "All 30 runs are finished" in head
    assert "5 paired seeds" in head
    assert [re.sub(":.*", "", line) for line in lines[:4]] == [
        "concat is better than sum", "none is worse than sum", "weighted ties with sum", "gated is undecided",
    ]  # fmt: skip
    assert "Its 5 seeds would find 0.02 with a chance of 80 %" in lines[3]
    assert lines[4].startswith("Noise floor: two single runs of sum differ by up to 0.0")
    for line in found["answer"]:
        assert line in written["markdown"].replace("\\", "")
        assert html.escape(line).replace("&#x27;", "&#39;") in written["html"]


def test_the_summary_has_every_number(made_up, written):
    found = json.loads(written["summary"])
    expected = conclude(made_up.arms, made_up.study, True)
    assert [each["verdict"] for each in found["comparisons"]] == [each.verdict for each in expected.comparisons]
    for each, truth in zip(found["comparisons"], expected.comparisons, strict=True):
        assert each["difference"]["mean"] == truth.difference.mean
        assert each["adjusted_p"] == truth.adjusted_p
        assert each["needed"]["seeds"] == truth.needed.seeds
    assert found["noise_floor"]["single_runs"] == expected.noise.single_runs
    (base, *_) = found["arms"]
    assert base["runs"]["3"]["scores"] == made_up.arms[0].runs[3].scores
    assert base["cost"]["macs"] == made_up.arms[0].cost.macs
    assert base["score"]["mean"] == pytest.approx(
        np.mean([run.scores[METRIC] for run in made_up.arms[0].runs.values()])
    )
    assert found["arms"][1]["options"] == {"neck.fusion": "concat"}


def test_scores_have_a_row_for_each_arm_seed_and_image(made_up, written):
    rows = list(csv.DictReader(written["scores"].splitlines()))
    assert list(rows[0]) == ["arm", "seed", "image_id", METRIC, "pose/PCK_AUC"]
    assert len(rows) == 6 * 5 * 40
    found = {(row["arm"], int(row["seed"]), int(row["image_id"])): float(row[METRIC]) for row in rows}
    for arm in made_up.arms:
        for seed, run in arm.runs.items():
            for image_id, scores in run.per_image.items():
                assert found[arm.name, seed, image_id] == pytest.approx(scores[METRIC], rel=1e-5)


def test_tables_hold_the_numbers(made_up, page):
    ranking = page.rows_of(f"{METRIC} on the test set")
    assert list(ranking) == ["concat", "gated", "weighted", "sum", AGAIN, "none"]
    first = made_up.arms[1]
    scores = [run.scores[METRIC] for run in first.runs.values()]
    assert ranking["concat"]["mean"] == f"{np.mean(scores):.4f}"
    assert ranking["concat"]["sd over seeds"] == f"{np.std(scores, ddof=1):.4f}"
    assert ranking["concat"]["verdict"] == "▲ better"
    assert ranking["concat"]["million MACs"] == f"{first.cost.macs / 1e6:.1f}"
    assert ranking["sum"]["difference from the base"] == "base"
    assert ranking[AGAIN]["adjusted p"] != "–"
    parts = page.rows_of("Differences from sum in the parts")
    assert len(parts) == 14
    knee = [run.scores[f"{METRIC}/left_knee"] for run in made_up.arms[4].runs.values()]
    base = [run.scores[f"{METRIC}/left_knee"] for run in made_up.arms[0].runs.values()]
    assert parts["left_knee"]["none"].startswith(f"{np.mean(knee) - np.mean(base):+.3f} (")
    runs = page.rows_of(f"{METRIC} of every run")
    assert runs["gated"]["seed 4"] == f"{made_up.arms[3].runs[4].scores[METRIC]:.4f}"
    curves = page.rows_of(f"validation {METRIC} by epoch")
    assert list(curves) == ["3", "6", "9", "12"]
    at_end = [run.log[-1]["scores"][METRIC] for run in first.runs.values()]
    assert curves["12"]["concat"] == f"{np.mean(at_end):.4f} ± {np.std(at_end, ddof=1):.4f}"
    assert page.rows_of("Validation score of every try")["none"] == {
        "rate 0.002": "0.4600", "rate 0.004": "0.4500", "chosen": "0.002",
    }  # fmt: skip
    widths = page.rows_of("Arms")
    assert widths["concat"]["width"] == "neck.channels=65"
    assert widths["concat"]["matched cost over the base's"] == "1.012"


def test_markdown_has_the_same_tables(page, written):
    lines = html.unescape(written["markdown"].replace("\\", "")).splitlines()
    for table in page.tables:
        for row in table:
            cells = " | ".join(cell.strip() for cell in row)
            assert f"| {cells} |" in lines, cells
    headings = [line for line in lines if line.startswith("## ")]
    assert headings[0] == "## The answer"
    assert headings[-1] == "## Protocol"
    assert "--unit gated/seed-2" in written["markdown"]


def test_the_page_needs_nothing_else(page, written):
    for name, value in page.attributes:
        if name in ("src", "href", "action", "data"):
            assert value.startswith(("#", "data:")), value
    (charts, plotly, _) = page.scripts
    assert plotly.lstrip().startswith("/**\n* plotly.js")
    assert written["html"].count("* plotly.js v") == 1
    assert set(json.loads(charts)) == {"ranking", "costs", "curves", "parts"}
    assert list(json.loads(charts)["costs"]["figures"]) == ["MACs", "parameters", "latency", "memory"]
    assert len(written["html"]) < 9_000_000


def test_commands_begin_with_that_of_the_whole_study(written):
    commands = written["markdown"].partition("Every command:\n\n```text\n")[2].partition("\n```")[0].splitlines()
    assert commands[:2] == [
        "densezoo compare configs/compare/fusion.py --work-dir runs/fusion",
        "densezoo compare configs/compare/fusion.py --work-dir runs/fusion --unit sum/seed-0",
    ]
    assert len(commands) == 1 + 30


def test_the_base_is_shown_with_the_rate_that_it_was_trained_with(written):
    config = written["markdown"].partition("Config of sum:\n\n")[2].partition("\n```\n")[0]
    assert "'lr': 0.002" in config


def test_pictures_are_beside_the_text(written):
    names = re.findall(r"\]\((pictures/[^)]+)\)", written["markdown"])
    assert len(names) == 8
    assert sorted(path.name for path in (written["folder"] / "pictures").iterdir()) == sorted(
        name.partition("/")[2] for name in names
    )


def test_a_newer_report_takes_the_place_of_the_last(made_up, tmp_path):
    report(made_up, tmp_path)

    def first_images(run):
        return replace(run, per_image={image: row for image, row in run.per_image.items() if image <= 3})

    arms = [replace(arm, runs={seed: first_images(run) for seed, run in arm.runs.items()}) for arm in made_up.arms]
    report(made_up, tmp_path, arms)
    assert len(list((tmp_path / "pictures").iterdir())) == 3
    assert not [path for path in tmp_path.rglob("*") if "partial" in path.name]


def test_one_seed_concludes_nothing(make_up, tmp_path, read_page):
    one = make_up(1)
    paths = report(one, tmp_path)
    text = paths["markdown"].read_text()
    assert "Nothing can be concluded" in text
    assert "with one seed" in text
    assert not re.search(r"is better than|is worse than|ties with|is undecided", text)
    found = json.loads(paths["summary"].read_text())
    assert {each["difference"]["p"] for each in found["comparisons"]} == {None}
    ranking = read_page(paths["html"].read_text()).rows_of(METRIC)
    assert ranking["concat"]["verdict"] == "nothing can be concluded"
    assert ranking["concat"]["sd over seeds"] == "–"


def test_incomplete_studies_say_so(made_up, tmp_path, read_page):
    arms = [*made_up.arms]
    arms[1] = replace(arms[1], runs={}, learning_rate=None, tries={}, failed={"concat/lr-0.002": "no memory <here>"})
    arms[2] = replace(
        arms[2], runs={seed: arms[2].runs[seed] for seed in (0, 1)}, failed={"weighted/seed-2": "diverged"}
    )
    arms[5] = replace(arms[5], runs={})
    assert Ledger(tmp_path).claim("weighted/seed-3", "densezoo compare --unit weighted/seed-3")
    paths = report(made_up, tmp_path, arms)
    page = read_page(paths["html"].read_text())
    text = paths["markdown"].read_text()
    assert "Only 17 of 30 runs are finished" in text
    assert "concat: nothing can be concluded, since there is no seed that both have finished." in text
    missing = {name: row["why"] for name, row in page.rows_of("Runs that are missing").items()}
    assert missing["concat/lr-0.002"] == "no memory <here>"
    assert missing["concat/lr-0.004"] == missing["concat/seed-0"] == "not begun"
    assert missing["weighted/seed-2"] == "diverged"
    assert missing["weighted/seed-3"] == "running"
    assert len(missing) == 2 + 13
    found = json.loads(paths["summary"].read_text())["answer"]
    assert [line for line in found if "failed" in line] == [
        "1 of the 5 runs of weighted failed: weighted/seed-2. It is judged by the others alone, and an arm that fails "
        "where it is at its worst looks better than it is."
    ]
    ranking = page.rows_of(METRIC)
    assert list(ranking)[-2:] == ["concat", AGAIN]
    assert ranking["weighted"]["runs"] == "2 of 5"
    assert "--unit weighted/seed-3" in text


def test_a_study_that_has_only_begun_has_a_report(made_up, tmp_path, read_page):
    paths = report(made_up, tmp_path, [replace(arm, runs={}, tries={}, learning_rate=None) for arm in made_up.arms])
    page = read_page(paths["html"].read_text())
    assert json.loads(page.scripts[0]) == {}
    assert "Only 0 of 30 runs are finished" in paths["markdown"].read_text()
    assert json.loads(paths["summary"].read_text())["arms"][0]["score"]["mean"] is None
    assert paths["scores"].read_text() == "arm,seed,image_id\n"


def test_scores_that_are_no_numbers_do_not_stop_a_report(made_up, tmp_path, read_page):
    nan = float("nan")
    arms = [
        replace(arm, runs={seed: replace(run, scores={METRIC: nan, f"{METRIC}/neck": nan}, draws=run.draws * nan,
                                         per_image={1: {METRIC: nan}}, seconds=nan) for seed, run in arm.runs.items()})
        for arm in made_up.arms
    ]  # fmt: skip
    arms[1] = replace(arms[1], tries={0.002: nan})
    paths = report(made_up, tmp_path, arms)
    assert "is not a number" in paths["markdown"].read_text()
    assert read_page(paths["html"].read_text()).rows_of("Validation score of every try")["concat"] == {
        "rate 0.002": "no score", "rate 0.004": "–", "chosen": "0.002",
    }  # fmt: skip
    assert paths["scores"].read_text().splitlines()[1] == "sum,0,1,"


def test_pictures_that_cannot_be_drawn_leave_the_numbers(made_up, tmp_path):
    arms = [
        replace(arm, runs={seed: replace(run, folder=tmp_path / "gone") for seed, run in arm.runs.items()})
        for arm in made_up.arms
    ]
    text = report(made_up, tmp_path, arms)["markdown"].read_text()
    assert "They cannot be drawn:" in text
    assert "range over arms" in text
    assert not (tmp_path / "pictures").exists()


def test_arms_have_a_matrix_and_all_verdicts_on_request(made_up, tmp_path, read_page):
    matrix = read_page(report(made_up, tmp_path)["html"].read_text()).rows_of("Difference of the arm in the row")
    assert matrix["none"]["sum"].startswith("▼ -0.0")
    assert matrix["none"]["concat"].startswith("-0.0")
    assert "worse" not in matrix["none"]["concat"]
    study = replace(made_up.study, all_pairs=True)
    page = read_page(report(made_up, tmp_path, study=study)["html"].read_text())
    matrix = page.rows_of("Difference of the arm in the row")
    assert matrix["none"]["concat"].startswith("▼ -0.0")
    assert matrix["concat"]["none"] == matrix["none"]["concat"].replace("▼ -", "▲ +").replace("worse", "better")
    assert matrix["sum"]["sum"] == "same"


HOSTILE = "</script><script>alert(1)</script><b>&amp; `|*_x_*[y](z)"


def test_words_of_users_stay_words(made_up, tmp_path, read_page):
    arms = [
        replace(
            arm,
            options={"neck.fusion": HOSTILE},
            failed={HOSTILE: HOSTILE},
            runs={
                seed: replace(run, command=HOSTILE, scores={METRIC: run.scores[METRIC], f"{METRIC}/{HOSTILE}": 0.5})
                for seed, run in arm.runs.items()
            },
        )
        for arm in made_up.arms
    ]
    paths = report(made_up, tmp_path, arms, replace(made_up.study, name=HOSTILE, path=HOSTILE))
    text = paths["html"].read_text()
    page = read_page(text)  # tags are balanced
    assert len(page.scripts) == 3
    assert "<script>alert" not in text
    assert list(page.rows_of("Differences from sum in the parts")) == [HOSTILE]
    assert json.loads(page.scripts[0])["parts"]["figures"]["concat"]["data"][0]["y"] == [
        html.escape(HOSTILE, quote=False)
    ]
    inside_code = paths["markdown"].read_text().split("```")
    assert all("<script>" not in part and "<b>" not in part for part in inside_code[::2])


def test_a_folder_that_cannot_be_written_is_said(made_up, tmp_path):
    (tmp_path / "report.html").mkdir()
    with pytest.raises(ConfigError, match="cannot be written"):
        report(made_up, tmp_path)
