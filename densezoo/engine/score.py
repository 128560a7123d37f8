"""Test a trained model on a config's test set, and write what it scored and answered."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from densezoo.engine.baseline import ConstantPredictor
from densezoo.engine.build import (
    build_dataset,
    build_dense_model,
    build_loader,
    build_samples,
    require_same_annotations,
)
from densezoo.engine.checkpoint import load_weights
from densezoo.engine.config import RunConfig
from densezoo.engine.distributed import Processes, choose_device
from densezoo.engine.eval_sets import unmixed
from densezoo.engine.evaluate import Evaluation, evaluate
from densezoo.engine.files import finite, write_text
from densezoo.engine.input_notes import input_notes
from densezoo.engine.load import checkpoint_meta
from densezoo.engine.log import ProgressReport
from densezoo.engine.second_observer import SecondObserver
from densezoo.errors import ConfigError
from densezoo.visualization.curves import draw_threshold_curves


def score_checkpoint(
    config: RunConfig, checkpoint: str | Path, baseline: bool = False, tasks: Sequence[str] | None = None
) -> tuple[Evaluation, dict[str, dict[str, float]]]:
    """Evaluate a checkpoint on `test_data` (or `val_data` where a config has none).

    Args:
        config: of the model and the data, which is one set; `eval_sets.parts_of_test` takes several apart.
        checkpoint: its `model` is loaded exactly.
        baseline: also score the constant prediction of the training set.
        tasks: those that the data set is for; None for all.

    Returns:
        The evaluation, and what to compare its scores with: those of the `baseline` if asked for, and of a `second
        observer` where the data set has one.

    Raises:
        DenseZooError: anything that the user can mend.
    """
    data, which = (config.val_data, "val_data") if config.test_data is None else (config.test_data, "test_data")
    if data is None:
        raise ConfigError("the config has neither test_data nor val_data; give one, e.g. --cfg-options test_data=…")
    sets = unmixed(data, which)
    if len(sets) > 1:
        raise ConfigError(f"{which} has {len(sets)} data sets, which are scored one by one; give one of them")
    engine = config.engine
    processes = Processes(0, 1, choose_device(engine.device))
    meta = checkpoint_meta(checkpoint)
    dataset = build_dataset(sets[0], config.data_root)
    wanted = {name: cfg for name, cfg in config.tasks.items() if tasks is None or name in tasks}
    require_same_annotations(meta, dataset.meta, wanted, which)
    samples = build_samples(config, dataset, training=False)
    batches, _ = build_loader(config, samples, processes)
    model = build_dense_model(config, dataset.meta if tasks is None else meta, processes.device)
    if not any(task.metrics() for task in model.tasks.values()):
        raise ConfigError("no task has a metric, so there is nothing to score; give metrics=[dict(type='PCK')]")
    load_weights(model, checkpoint)
    model.eval()
    scored = {name: model.tasks[name] for name in wanted}
    predictors: list[Any] = [model]
    if baseline:
        training_set = build_dataset(config.train_data, config.data_root)
        predictors.append(ConstantPredictor(scored, build_samples(config, training_set, training=False)))
    found = []
    second = SecondObserver(scored)
    with ProgressReport(Console(stderr=True), enabled=True) as report:
        for line in input_notes(dataset, scored, which):
            report.say(line)
        for predictor in predictors:
            report.start("testing" if predictor is model else "baseline", len(batches))
            found.append(
                evaluate(
                    predictor,
                    scored,
                    second.watch(batches) if predictor is model else batches,
                    processes,
                    dataset.meta,
                    amp=engine.amp,
                    views=engine.views,
                    max_bad_images=engine.max_bad_images,
                    unsampled=samples.truths_without_samples(),
                    keep_answers=predictor is model,
                    on_batch=lambda _: report.advance(figures="" if report.due() else None),
                )
            )
        for error in sorted(found[0].bad_images):
            report.say(f"skipped: {error}")
    compared = {"baseline": found[1].scores} if baseline else {}
    ceiling = second.scores()
    return found[0], compared | ({"second observer": ceiling} if ceiling else {})


def describe_test(
    config: RunConfig, source: str, checkpoint: str | Path, training: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what the scores of a test are of, for `write_results`.

    Args:
        config: that was tested.
        source: its file.
        checkpoint: that was tested.
        training: see `densezoo.engine.training_record`.
    """
    return {
        "checkpoint": str(checkpoint),
        "config": source,
        "flip_test": config.engine.flip_test,
        "scales": list(config.engine.scales),
        "tested_config": config.to_dict(),
        "training": dict(training),
        "window": None if config.engine.window is None else list(config.engine.window),
        "window_overlap": config.engine.window_overlap,
    }


def write_results(
    folder: Path, found: Evaluation, compared: Mapping[str, Mapping[str, float]], about: Mapping[str, Any]
) -> None:
    """Write `metrics.json`, `predictions.json` (COCO results format), `per_image.csv` and a picture of PCK curves.

    `folder` exists. With several tasks, each has its own `predictions_TASK.json`.

    Raises:
        ConfigError: the folder cannot be written.
    """
    curves = found.curves()
    more = {
        "curves": {name: {"thresholds": x, "scores": y} for name, (x, y) in curves.items()},
        "skipped_images": sorted(found.bad_images),
        **about,
    }
    write_metrics(folder, found.scores, compared, more)
    for task, results in found.results.items():
        name = "predictions.json" if len(found.results) == 1 else f"predictions_{task}.json"
        write_text(folder / name, json.dumps(results))
    write_text(folder / "per_image.csv", _csv(found.per_image()))
    if curves:
        try:
            draw_threshold_curves(curves, folder / "curves.png")
        except OSError as error:
            raise ConfigError(f"{folder / 'curves.png'} cannot be written: {error}") from error


def write_metrics(
    folder: Path, scores: Mapping[str, float], compared: Mapping[str, Mapping[str, float]], about: Mapping[str, Any]
) -> None:
    """Write `metrics.json` into a folder that exists: scores, those to compare with, and what they are `about`.

    Raises:
        ConfigError: the folder cannot be written.
    """
    columns = {name.replace(" ", "_"): dict(column) for name, column in compared.items()}
    metrics = {"scores": dict(scores), "baseline": {}, **columns, **about}
    write_text(folder / "metrics.json", json.dumps(finite(metrics), indent=2) + "\n")


def score_table(
    scores: Mapping[str, float],
    compared: Mapping[str, Mapping[str, float]],
    intervals: Mapping[str, tuple[float, float]],
) -> str:
    """Return scores as text: one line per score, per-joint and per-class ones indented under theirs.

    Args:
        scores: of the model, by name.
        compared: title of a further column to scores.
        intervals: name to both ends; empty for none.
    """
    lines = []
    width = max(len(name) for name in scores) + 2
    if compared or intervals:
        head = f"{'':{width}}{'model':>9}" + (f"{'interval of 95 %':>20}" if intervals else "")
        lines.append(head + "".join(f"{title:>{len(title) + 3}}" for title in compared))
    for name, value in scores.items():
        shown = "  " + name.split("/", 2)[2] if name.count("/") == 2 else name
        line = f"{shown:{width}}{value:9.4f}"
        if intervals:
            low, high = intervals[name]
            line += f"{f'{low:.4f} to {high:.4f}':>20}"
        others = (f"{column.get(name, math.nan):{len(title) + 3}.4f}" for title, column in compared.items())
        lines.append(line + "".join(others))
    return "\n".join(lines)


def _csv(rows: Mapping[int, Mapping[str, float]]) -> str:
    names = sorted({name for scores in rows.values() for name in scores})
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image_id", *names])
    for image_id, scores in rows.items():
        values = [scores.get(name, math.nan) for name in names]
        writer.writerow([image_id, *("" if math.isnan(value) else f"{value:.6g}" for value in values)])
    return text.getvalue()
