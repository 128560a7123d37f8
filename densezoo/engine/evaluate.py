"""The evaluation loop: predict every sample once, over any number of processes, and score."""

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch

from densezoo.contracts import HasCurve, Metric, ScoredTask
from densezoo.engine.distributed import Processes
from densezoo.engine.loading import to_device
from densezoo.errors import ConfigError, DataError, near_names
from densezoo.functional.affine import apply_affine, transform_boxes
from densezoo.functional.answered_labels import labels_in_file
from densezoo.functional.label_maps import encode_labels
from densezoo.functional.volumes import INSIDE, encode_volume
from densezoo.types import ONE_VIEW, Batch, DatasetMeta, ImageTruth, InferenceViews, Prediction, Sample


class Predictor(Protocol):
    """What evaluation needs of a model."""

    def predict(self, batch: Batch, views: InferenceViews = ONE_VIEW) -> dict[str, list[Prediction]]:
        """Task name to N predictions in network pixels."""
        ...


_CURVE_POINTS = 41


@dataclass(frozen=True)
class AnnotatedFile:
    """An evaluated file.

    Attributes:
        path: of the image.
        truth: its annotations, without a semantic map and a volume.
        semantic: that map, label to compressed COCO RLE; None for a file without.
        volume: that volume, as `densezoo.functional.volumes.encode_volume` has it; None for a file without.
    """

    path: str
    truth: ImageTruth
    semantic: dict[int, dict[str, Any]] | None = None
    volume: dict[str, Any] | None = None

    @property
    def num_objects(self) -> int:
        """How many single objects are annotated, crowds aside."""
        return int((~self.truth["crowd"]).sum())

    @classmethod
    def of(cls, sample: Sample) -> "AnnotatedFile":
        """Return the file of an evaluated sample."""
        truth = sample["truth"].copy()
        labels = truth.pop("semantic", None)
        truth.pop("second_semantic", None)
        volume = truth.pop("volume", None)
        return cls(
            sample["path"],
            truth,
            None if labels is None else encode_labels(labels),
            None if volume is None else encode_volume(volume),
        )


@dataclass
class Evaluation:
    """What one evaluation gives; complete in the first process only.

    Attributes:
        scores: `task/score` to value.
        metrics: task name to its metrics, with their per-image records.
        results: task name to answers in COCO results format, in the files' pixels; empty where they are not kept.
        bad_images: why images were skipped.
        files: image id to its file and the annotations there; empty where answers are not kept.
        meta: of the evaluated set.
    """

    metrics: dict[str, list[Metric]]
    scores: dict[str, float] = field(default_factory=dict)
    results: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    bad_images: set[str] = field(default_factory=set)
    files: dict[int, AnnotatedFile] = field(default_factory=dict)
    meta: DatasetMeta = field(default_factory=DatasetMeta)

    def per_image(self) -> dict[int, dict[str, float]]:
        """Image id to `task/score` to value."""
        rows: dict[int, dict[str, float]] = {}
        for task, metrics in self.metrics.items():
            for metric in metrics:
                for image_id, scores in metric.per_image().items():
                    add_scores(rows.setdefault(image_id, {}), task, metric, scores)
        return dict(sorted(rows.items()))

    def ranked(self) -> list[tuple[int, float]]:
        """Image ids and scores by the first metric of the first task that has one, the best first.

        Images without a score are omitted, and files that nothing was looked for in.
        """
        metric = next(metrics[0] for metrics in self.metrics.values() if metrics)
        scores = [(image_id, next(iter(found.values()))) for image_id, found in metric.per_image().items()]
        known = [(image_id, score) for image_id, score in scores if image_id in self.files and not math.isnan(score)]
        return sorted(known, key=lambda pair: pair[1], reverse=metric.higher_is_better)

    def curves(self) -> dict[str, tuple[list[float], list[float]]]:
        """`task/score` to thresholds, from 0 to twice the metric's own, and the scores there."""
        found = {}
        for task, metrics in self.metrics.items():
            for metric in metrics:
                if isinstance(metric, HasCurve):
                    thresholds = np.linspace(0, 2 * metric.threshold, _CURVE_POINTS)
                    found[f"{task}/{metric.primary}"] = thresholds.tolist(), metric.curve(thresholds).tolist()
        return found


def evaluate(
    model: Predictor,
    tasks: Mapping[str, ScoredTask],
    batches: Iterable[Batch],
    processes: Processes,
    meta: DatasetMeta,
    *,
    amp: bool = False,
    views: InferenceViews = ONE_VIEW,
    max_bad_images: int = 0,
    unsampled: Iterable[tuple[int, ImageTruth]] = (),
    keep_answers: bool = True,
    on_batch: Callable[[int], None] | None = None,
) -> Evaluation:
    """Predict and score.

    Args:
        model: in evaluation mode.
        tasks: whose metrics.
        batches: this process's share; samples carry `truth`.
        processes: their records are brought together in the first one.
        meta: of the evaluated set, for the category ids of results.
        amp: bfloat16 autocast.
        views: how often to look at each image.
        max_bad_images: images that may be skipped because they cannot be read.
        unsampled: image ids and annotations of files that no sample comes from.
        keep_answers: also give the answers and their files, which scores do not need.
        on_batch: called with the number of samples done.

    Raises:
        DataError: more than `max_bad_images` could not be read.
    """
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in tasks}
    found = Evaluation({name: task.metrics() for name, task in tasks.items()}, results=results, meta=meta)
    with torch.inference_mode():
        for batch in batches:
            samples = batch["samples"]
            readable = [row for row, sample in enumerate(samples) if "error" not in sample]
            note_bad_images(samples, found.bad_images, max_bad_images)
            with torch.autocast(processes.device.type, torch.bfloat16, enabled=amp):
                predictions = model.predict(to_device(batch, processes.device), views)
            kept_samples = [samples[row] for row in readable]
            if keep_answers:
                found.files |= {sample["image_id"]: AnnotatedFile.of(sample) for sample in kept_samples}
            for name in tasks:
                kept = [predictions[name][row] for row in readable]
                for answer, sample in zip(kept, kept_samples, strict=True):
                    if "label_maps" in answer:  # once for all who read it
                        answer["file_labels"] = labels_in_file(answer, sample["to_original"], sample["truth"]["size"])
                        del answer["label_maps"]
                for metric in found.metrics[name]:
                    metric.update(kept, kept_samples)
                for answer, sample in zip(kept, kept_samples, strict=True) if keep_answers else ():
                    found.results[name] += coco_results(answer, sample, meta)
            if on_batch is not None:
                on_batch(len(samples))
    for other in processes.gather(found)[1:]:
        for name, metrics in found.metrics.items():
            for metric, theirs in zip(metrics, other.metrics[name], strict=True):
                metric.merge(theirs)
            found.results[name] += other.results[name]
        found.bad_images |= other.bad_images
        found.files |= other.files
    note_bad_images([], found.bad_images, max_bad_images)
    if processes.first:
        every_metric = [(name, metric) for name, metrics in found.metrics.items() for metric in metrics]
        for image_id, truth in unsampled:
            for _, metric in every_metric:
                metric.add_truth(image_id, truth)
        for name, metric in every_metric:
            add_scores(found.scores, name, metric, metric.compute())
    return found


def add_scores(known: dict[str, Any], task: str, metric: Metric, scores: Mapping[str, Any]) -> None:
    """Add a metric's scores to those of the metrics before it, as `task/score`.

    Where one of those has the name, as with the AP of boxes and that of keypoints, it is `task/Metric.score`.
    """
    kind = type(metric).__name__
    for key, value in scores.items():
        tries = itertools.chain([key, f"{kind}.{key}"], (f"{kind}{number}.{key}" for number in itertools.count(2)))
        known[next(name for name in (f"{task}/{each}" for each in tries) if name not in known)] = value


def note_bad_images(samples: Iterable[Sample], bad: set[str], limit: int) -> set[str]:
    """Add the errors of unreadable samples to `bad`.

    Returns:
        Those that are new.

    Raises:
        DataError: more than `limit` images are bad.
    """
    new = {sample["error"] for sample in samples if "error" in sample} - bad
    bad |= new
    if len(bad) > limit:
        shown = "; ".join(sorted(bad)[:3])
        raise DataError(f"{len(bad)} images could not be read (engine.max_bad_images={limit}): {shown}")
    return new


def choose_best(tasks: Mapping[str, ScoredTask], best: str | Sequence[str] | None) -> tuple[list[str], bool]:
    """Return the scores whose mean ranks checkpoints, and whether higher is better.

    Args:
        tasks: of the model.
        best: `task/score` from the config, or several, or None for the first metric of the first task.

    Raises:
        ConfigError: `best` names no score, or one of which higher is better beside one of which lower is.
    """
    names: dict[str, bool] = {}
    for name, task in tasks.items():
        for metric in task.metrics():
            # the primary score first: without another word it is the one that ranks
            opposite: frozenset[str] = getattr(metric, "opposite_scores", frozenset())
            keys = dict.fromkeys([metric.primary, *metric.compute()])
            add_scores(names, name, metric, {key: metric.higher_is_better == (key not in opposite) for key in keys})
    if not names:
        raise ConfigError("no task has a metric, so no checkpoint can be the best; give metrics=[dict(type='PCK')]")
    chosen = [next(iter(names))] if best is None else [best] if isinstance(best, str) else list(best)
    for name in chosen:
        if name not in names:
            raise ConfigError(f"engine.best: no score is called {name!r}; {near_names(name, names)}")
    directions = {names[name] for name in chosen}
    if len(directions) != 1:
        raise ConfigError(f"engine.best: {chosen} must be scores that are all better when higher, or all when lower")
    return chosen, directions.pop()


def mean_score(scores: Mapping[str, float], names: Sequence[str]) -> float | None:
    """Return the mean of the named scores; NaN where one of them is, None where one is not there."""
    values = [scores[name] for name in names if name in scores]
    return sum(values) / len(values) if len(values) == len(names) else None


def coco_results(prediction: Prediction, sample: Sample, meta: DatasetMeta) -> list[dict[str, Any]]:
    """Return one sample's answers in COCO results format, in the file's pixels.

    Keypoints are in the convention of the data set's own file (`DatasetMeta.keypoint_shift`), boxes count from the
    image's corner. A semantic map gives one entry for each of its labels, without a score, as COCO-Stuff has it; the
    label is its `category_id`. So does a volume, as voxels over the network's input, with `to_original` from its pixels
    to the file's.
    """
    affine = sample["to_original"]
    results: list[dict[str, Any]] = []
    if "semantic" in prediction:
        labels = labels_in_file(prediction, affine, sample["truth"]["size"])
        results += [
            {"image_id": int(sample["image_id"]), "category_id": label, "segmentation": rle}
            for label, rle in encode_labels(labels).items()
        ]
    if "volume" in prediction:
        voxels = encode_volume(prediction["volume"] >= INSIDE)
        results.append({"image_id": int(sample["image_id"]), "volume": voxels, "to_original": affine.tolist()})
    for person in range(len(prediction["scores"])):
        label = int(prediction["labels"][person]) if "labels" in prediction else _sample_label(sample)
        entry: dict[str, Any] = {
            "image_id": int(sample["image_id"]),
            "category_id": category_of(label, meta),
            "score": float(prediction["scores"][person]) * float(sample.get("score", 1.0)),
        }
        if "keypoints" in prediction:
            points = prediction["keypoints"][person].astype(float)
            points[:, :2] = apply_affine(affine, points[:, :2]) - meta.keypoint_shift
            entry["keypoints"] = [round(float(value), 4) for value in points.ravel()]
        if "boxes" in prediction:
            x1, y1, x2, y2 = transform_boxes(affine, prediction["boxes"][person].astype(float)[None])[0].tolist()
            entry["bbox"] = [round(value, 4) for value in (x1, y1, x2 - x1, y2 - y1)]
        if len(sample.get("ids", ())) == 1 and not sample.get("whole_image"):  # the sample is that instance
            entry["annotation_id"] = int(sample["ids"][0])
        results.append(entry)
    return results


def category_of(label: int, meta: DatasetMeta) -> int:
    """Return the category id of a label; the label itself where the data set has no ids."""
    return meta.category_ids[label] if label < len(meta.category_ids) else label


def _sample_label(sample: Sample) -> int:
    return int(sample["labels"][0]) if len(sample.get("labels", ())) else 0
