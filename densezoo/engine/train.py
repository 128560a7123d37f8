"""The training loop.

    densezoo train configs/pose/newell_s2_synthetic.py --work-dir runs/demo

One optimizer step sees `accumulate` batches on every process. What a loss is divided by (joints, objects, pixels) is
summed over all of them first, so that the gradient is that of one batch of all the samples.
"""

import time
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from rich.console import Console
from torch import Tensor

from densezoo.engine.checkpoint import load_checkpoint, save_checkpoint
from densezoo.engine.config import RunConfig
from densezoo.engine.distributed import Processes, join_processes
from densezoo.engine.evaluate import evaluate, mean_score, note_bad_images
from densezoo.engine.loading import WarpedDataset, collate, to_device
from densezoo.engine.log import ProgressReport, RunLog
from densezoo.engine.run import Run
from densezoo.engine.work_dir import WorkDir
from densezoo.errors import DenseZooError, DivergedError
from densezoo.types import ONE_VIEW
from densezoo.visualization.curves import draw_curves

Value = TypeVar("Value")


def train(
    config: RunConfig,
    work_dir: str | Path,
    resume: bool = False,
    launcher: str | None = None,
    start: Mapping[str, Tensor] | None = None,
) -> dict[str, float]:
    """Train a config's model.

    Args:
        config: from `load_config`.
        work_dir: where everything is written; must be new, or `resume`.
        resume: go on from the work dir's last checkpoint as if the run had never stopped.
        launcher: `'pytorch'` under torchrun.
        start: the model's whole state dict, to start from in place of what the seed draws; `init_from` is loaded on
            top of it. A run that resumes does without.

    Returns:
        The scores of the last evaluation (in the first process).

    Raises:
        DenseZooError: anything that the user can mend; nothing of an earlier run is lost.
    """
    folder = WorkDir(work_dir)
    with join_processes(launcher, config.engine.device) as processes:
        resumes = _in_first(processes, lambda: folder.check(config, resume))
        run = Run.build(config, processes, resumes)
        if not resumes:
            look_ahead(run)
        _in_first(processes, lambda: folder.begin(config))
        if resumes:
            run.restore(load_checkpoint(folder.last))
        else:
            run.start_from(start)
        log = RunLog(folder.metrics, folder.tensorboard, run.epoch + 1) if processes.first else None
        with ProgressReport(Console(), processes.first) as report:
            run.describe(report)
            if run.epoch >= config.epochs:
                report.say(f"{folder.root} has finished its {config.epochs} epochs; nothing to resume")
            while run.epoch < config.epochs:
                train_epoch(run, report, log)
                score = validate(run, report, log)
                run.schedule.end_epoch(score)
                if processes.first:
                    keep(run, folder, score, report)
        if log is not None:
            log.close()
        return run.scores


def look_ahead(run: Run) -> None:
    """Look at a validation image as evaluation will: windows or views that do not fit are found before the training.

    Raises:
        ConfigError: they do not fit.
    """
    engine, model = run.config.engine, run.evaluated_model
    if engine.views == ONE_VIEW:
        return
    model.eval()
    for _, batches in run.val_sets:
        sample = cast(WarpedDataset, batches.dataset)[(0, 0)]
        if "error" in sample:
            continue
        batch = to_device(collate([sample]), run.processes.device)
        with torch.inference_mode(), torch.autocast(run.processes.device.type, torch.bfloat16, enabled=engine.amp):
            model.predict(batch, engine.views)


def train_epoch(run: Run, report: ProgressReport, log: RunLog | None) -> None:
    """Pass over the training set once and log the mean loss, its parts, the rate, the speed and the wait for data."""
    config, processes = run.config, run.processes
    run.train_sampler.epoch = run.epoch
    run.step_module.train()
    steps = run.steps_per_epoch
    report.start(f"epoch {run.epoch + 1}/{config.epochs}", steps)
    parts: dict[str, Tensor] = {}
    started, waited, images = time.perf_counter(), 0.0, 0
    batches = iter(run.train_loader)
    for done in range(1, steps + 1):
        asked = time.perf_counter()
        group = list(islice(batches, config.engine.accumulate))
        waited += time.perf_counter() - asked
        for batch in group:
            for error in note_bad_images(batch["samples"], run.bad_images, config.engine.max_bad_images):
                report.say(f"skipped: {error}")
        losses = run.optimize([to_device(batch, processes.device) for batch in group])
        for name, value in losses.items():
            parts[name] = parts[name] + value if name in parts else value
        images += processes.count * sum(len(batch["images"]) for batch in group)
        figures = None
        if report.due():
            # this process's share of the loss, times their number, stands for the whole
            mean = torch.stack(list(parts.values())).sum().item() * processes.count / done
            seconds = time.perf_counter() - started
            _require_finite(mean, run)
            figures = f"loss {mean:.5f}  {images / seconds:.0f} images/s  data wait {waited / seconds:.0%}"
        report.advance(figures=figures)
    seconds = time.perf_counter() - started
    names = list(parts)
    means = processes.sum(torch.stack([parts[name] for name in names]).double() / steps).tolist()
    _require_finite(sum(means), run)
    everywhere = processes.union(run.bad_images)
    for error in sorted(everywhere - run.bad_images):
        report.say(f"skipped: {error}")
    run.bad_images |= everywhere
    note_bad_images([], run.bad_images, config.engine.max_bad_images)
    run.epoch += 1
    values: dict[str, Any] = {
        "loss": sum(means),
        "losses": dict(zip(names, means, strict=True)),
        "lr": run.optimizer.param_groups[0]["lr"],
        "images_per_second": images / seconds,
        "data_wait": waited / seconds,
        "seconds": seconds,
    }
    if run.model.loss_weights is not None:
        values["loss_weights"] = run.model.loss_weights.values()
    report.say(
        f"epoch {run.epoch}/{config.epochs}  loss {values['loss']:.5f}  lr {values['lr']:.2e}  "
        f"{values['images_per_second']:.0f} images/s  data wait {values['data_wait']:.0%}  {seconds:.0f} s"
    )
    for task in run.model.tasks:
        if not any(value for name, value in values["losses"].items() if name.startswith(f"{task}/")):
            report.say(f"task {task!r} learned nothing in this epoch: no sample of train_data is annotated for it")
    if log is not None:
        log.write("train", run.epoch, run.step, values)


def validate(run: Run, report: ProgressReport, log: RunLog | None) -> float | None:
    """Score the evaluated weights if the epoch is one for that; log the scores and keep them in `run.scores`.

    Returns:
        The score that ranks checkpoints, in every process; None without an evaluation.
    """
    config, model = run.config, run.evaluated_model
    if not run.val_sets or (run.epoch % config.engine.eval_every and run.epoch < config.epochs):
        return None
    model.eval()
    run.processes.share_buffers(model)
    report.start("evaluating", sum(len(batches) for _, batches in run.val_sets))
    scores: dict[str, float] = {}
    for of_set, batches in run.val_sets:
        found = evaluate(
            model,
            {name: model.tasks[name] for name in of_set.tasks},
            batches,
            run.processes,
            of_set.dataset.meta,
            amp=config.engine.amp,
            views=config.engine.views,
            max_bad_images=config.engine.max_bad_images,
            unsampled=cast(WarpedDataset, batches.dataset).truths_without_samples(),
            keep_answers=False,
            on_batch=lambda _: report.advance(figures="" if report.due() else None),
        )
        for error in sorted(found.bad_images - run.bad_images):
            report.say(f"skipped: {error}")
        run.bad_images |= found.bad_images
        scores |= found.scores
    run.scores = scores
    if log is not None:
        log.write("eval", run.epoch, run.step, {"scores": scores})
    return run.processes.share(mean_score(scores, run.best_names))


def keep(run: Run, folder: WorkDir, score: float | None, report: ProgressReport) -> None:
    """Write the checkpoints, and the curves where there is something new to see."""
    improved = run.note_score(score)
    # the best first: what last.pt knows of, a resumed run will not write again
    if improved or run.best_score is None or not folder.best.is_file():
        save_checkpoint(folder.best, run.model_checkpoint())
    save_checkpoint(folder.last, run.checkpoint())
    if score is not None:
        name = run.best_names[0] if len(run.best_names) == 1 else f"mean of {', '.join(run.best_names)}"
        report.say(f"  {name} {score:.4f}" + (", the best so far" if improved else ""))
        new = [name for name in run.best_names if run.scores[name] != run.scores[name] and name not in run.nan_scores]
        run.nan_scores.update(new)
        for name in new:
            report.say(f"  {name} is NaN, so this epoch is not the best; until one is, best.pt has the newest weights")
    if score is not None or run.epoch == run.config.epochs:
        try:
            draw_curves(folder.metrics, folder.curves)
        except OSError as error:  # a picture is not worth a run
            report.say(f"{folder.curves} cannot be written: {error}")


def _in_first(processes: Processes, act: Callable[[], Value]) -> Value:
    """Act in the first process and share its answer; an error there is an error in all, not a wait without end."""
    answer: Value | None = None
    error: DenseZooError | None = None
    if processes.first:
        try:
            answer = act()
        except DenseZooError as raised:
            error = raised
    answer, error = processes.share((answer, error))
    if error is not None:
        raise error
    return cast(Value, answer)


def _require_finite(loss: float, run: Run) -> None:
    if loss != loss or loss in (float("inf"), float("-inf")):
        raise DivergedError(
            f"the loss is {loss} in epoch {run.epoch + 1}; lower optimizer.lr or set engine.clip. "
            "The checkpoints of earlier epochs are untouched"
        )
