"""The report of a study: a page that needs no network, the same as text, and its numbers for other programs.

    W/report.html     opens from disk; charts, tables and pictures in one file
    W/report.md       the same without charts
    W/summary.json    every number of it; null where there is none
    W/scores.csv      one row for each arm, seed and test image
    W/pictures/       the images that arms disagree on most

Charts are drawn by plotly.js (https://plotly.com/javascript/), which the page holds.
"""

import base64
import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from densezoo.comparison.disagreements import (
    NUM_IMAGES,
    Panel,
    draw_disagreements,
    encode_panels,
    image_score,
    rank_disagreements,
    sheet,
)
from densezoo.comparison.findings import Findings
from densezoo.comparison.protocol_words import versions
from densezoo.comparison.report_blocks import Chart, Pictures, Section, markdown
from densezoo.comparison.report_sections import (
    answer_section,
    costs_section,
    curves_section,
    differences_section,
    images_section,
    parts_section,
    protocol_section,
    ranking_section,
    rates_section,
)
from densezoo.comparison.report_words import answer_lines
from densezoo.comparison.study_results import ArmResults
from densezoo.engine.files import finite, remove, write_bytes, write_text
from densezoo.errors import ConfigError, DataError

_TEMPLATES = Path(__file__).with_name("templates")


def write_report(found: Findings, work_dir: str | Path) -> dict[str, Path]:
    """Write a study's report, of whatever runs are finished, over the last one.

    Args:
        found: what is known of the study.
        work_dir: of the study.

    Returns:
        `html`, `markdown`, `summary` and `scores` to their files.

    Raises:
        ConfigError: the folder cannot be written.
    """
    folder = Path(work_dir)
    paths = {
        "html": folder / "report.html",
        "markdown": folder / "report.md",
        "summary": folder / "summary.json",
        "scores": folder / "scores.csv",
    }
    sections = _sections(found, folder)
    title = f"Study {found.study.name}"
    write_text(paths["scores"], scores_csv(found.arms))
    write_text(paths["summary"], json.dumps(summary_of(found), indent=1, allow_nan=False) + "\n")
    write_text(paths["markdown"], markdown(title, sections))
    write_text(paths["html"], page(title, sections))
    return paths


def page(title: str, sections: Sequence[Section]) -> str:
    """Return sections as one HTML file that needs nothing else."""
    from plotly.offline import get_plotlyjs  # 5 MB of text, which no other command should read

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # in the order that they have here; a number that is none would not be JSON
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False, "allow_nan": False}
    environment.filters["data_uri"] = _data_uri
    charts = [block for section in sections for block in section.blocks if isinstance(block, Chart)]
    return environment.get_template("report.html.j2").render(
        title=title,
        sections=sections,
        charts={chart.name: {"figures": chart.figures, "labels": chart.labels} for chart in charts},
        style=_verbatim("report.css"),
        script=_verbatim("report.js"),
        plotly=_as_script(get_plotlyjs()),
    )


def scores_csv(arms: Sequence[ArmResults]) -> str:
    """Return a row for each arm, seed and test image, with every score of single images; empty where there is none."""
    runs = [(arm.name, arm.runs[seed]) for arm in arms for seed in sorted(arm.runs)]
    names = sorted({name for _, run in runs for row in run.per_image.values() for name in row})
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["arm", "seed", "image_id", *names])
    for arm, run in runs:
        for image_id, row in sorted(run.per_image.items()):
            values = [row.get(name, math.nan) for name in names]
            writer.writerow(
                [arm, run.seed, image_id, *("" if math.isnan(value) else f"{value:.6g}" for value in values)]
            )
    return text.getvalue()


def summary_of(found: Findings) -> dict[str, Any]:
    """Return every number of a report as plain values, None for one that is not finite."""
    study, conclusions = found.study, found.conclusions
    scores = {each.name: each.score for each in conclusions.scores}
    summary_values = {
        "study": study.name,
        "metric": study.metric,
        "higher_is_better": found.prepared.higher_is_better,
        "smallest_difference": study.smallest_difference,
        "base": found.base.name,
        "seeds": study.seeds,
        "answer": answer_lines(found),
        "arms": [_arm_values(arm, asdict(scores[arm.name])) for arm in found.arms],
        "all_pairs": study.all_pairs,
        "comparisons": [asdict(each) for each in conclusions.comparisons],
        "noise_floor": None if conclusions.noise is None else asdict(conclusions.noise),
        "missing": found.missing,
        "samples": found.prepared.images,
        "latency_measured_on": found.prepared.measured,
        "versions": versions(),
    }
    values: dict[str, Any] = finite(summary_values)
    return values


def _arm_values(arm: ArmResults, score: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": arm.name,
        "options": arm.options,
        "cost": asdict(arm.cost),
        "learning_rate": arm.learning_rate,
        "tries": arm.tries,
        "score": score,
        "runs": {
            seed: {"scores": run.scores, "seconds": run.seconds, "command": run.command}
            for seed, run in sorted(arm.runs.items())
        },
        "failed": arm.failed,
    }


def _sections(found: Findings, folder: Path) -> list[Section]:
    sections = [
        answer_section(found),
        ranking_section(found),
        differences_section(found),
        costs_section(found),
        curves_section(found),
        parts_section(found),
        _images(found, folder),
        rates_section(found),
        protocol_section(found),
    ]
    return [section for section in sections if section is not None]


def _images(found: Findings, folder: Path) -> Section:
    """Choose and draw the images that arms disagree on."""
    score = image_score(found.arms, found.study.metric)
    ranked = [] if score is None else rank_disagreements(found.arms, score)
    chosen = ranked[:NUM_IMAGES]
    drawn: dict[int, list[Panel]] = {}
    problem = None
    if chosen and score is not None:
        try:
            drawn = draw_disagreements(found.study, found.prepared, found.arms, chosen, score)
        except (ConfigError, DataError) as error:  # the numbers are there, though the files are not
            problem = str(error)
    spreads = {each.image_id: each.spread for each in chosen}
    files = _write_pictures(folder / "pictures", list(drawn.values()))
    pictures = [
        Pictures(f"Image {image_id}: {spreads[image_id]:.2f} between arms", panels, f"pictures/{file.name}")
        for image_id, panels, file in zip(drawn, encode_panels(list(drawn.values())), files, strict=True)
    ]
    return images_section(ranked, score, pictures, problem)


def _write_pictures(folder: Path, drawn: Sequence[Sequence[Panel]]) -> list[Path]:
    """Write one picture for each image, and take away those of a report that had more."""
    files = [folder / f"disagreement-{number}.jpg" for number in range(1, NUM_IMAGES + 1)]
    for file in files[len(drawn) :]:
        remove(file)
    for file, panels in zip(files, drawn, strict=False):
        write_bytes(file, sheet(panels))
    return files[: len(drawn)]


def _data_uri(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")


def _verbatim(name: str) -> Markup:
    return Markup((_TEMPLATES / name).read_text(encoding="utf-8"))


def _as_script(code: str) -> Markup:
    """Return code for a script element, which these words would end; as they are in strings, this is the same code."""
    return Markup(code.replace("</script", "<\\/script").replace("<!--", "<\\!--"))
