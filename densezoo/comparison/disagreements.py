"""The test images that arms disagree on most, and pictures of what each arm answers there."""

import bisect
import json
import math
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from densezoo.comparison.prepared import Prepared
from densezoo.comparison.report_blocks import Picture
from densezoo.comparison.report_numbers import mean_sd
from densezoo.comparison.study import AGAIN, Study
from densezoo.comparison.study_results import ArmResults
from densezoo.engine.build import build_dataset
from densezoo.engine.eval_sets import parts_of_test
from densezoo.engine.evaluate import AnnotatedFile
from densezoo.engine.pictures import draw_annotated, draw_answers
from densezoo.errors import DataError
from densezoo.types import Array, DatasetMeta, Sample
from densezoo.visualization.canvas import montage

NUM_IMAGES = 8
_MOST_BYTES = 1_900_000  # of all pictures together, as text in the page
_SIDES = (400, 320, 256, 192)  # longer sides of pictures, of which the largest is taken that fits into that
_SHEET_SIDE = 1600  # of one picture of them all
_QUALITY = 82  # of JPEG

Answers = list[dict[str, Any]]
"""In COCO results format."""


@dataclass(frozen=True)
class Panel:
    """One picture of an image: caption, what it shows in words, (H, W, 3) uint8."""

    caption: str
    alt: str
    image: Array


@dataclass(frozen=True)
class Disagreement:
    """A test image.

    Attributes:
        image_id: of the image.
        scores: arm to the mean of the image's score over seeds.
    """

    image_id: int
    scores: dict[str, float]

    @property
    def spread(self) -> float:
        """From the lowest arm to the highest."""
        return max(self.scores.values()) - min(self.scores.values())


def image_score(arms: Sequence[ArmResults], metric: str) -> str | None:
    """Return the score of single images that arms are told apart by: the metric, or the first of its task.

    None where no run has one.
    """
    rows = [row for arm in arms for run in arm.runs.values() for row in run.per_image.values()]
    names = dict.fromkeys(name for row in rows for name in row)
    task = metric.partition("/")[0]
    return metric if metric in names else next((name for name in names if name.startswith(f"{task}/")), None)


def rank_disagreements(arms: Sequence[ArmResults], score: str) -> list[Disagreement]:
    """Return the images that arms score differently, the most spread out first; the base's repetition is left out.

    All arms that have runs must have a score of an image. With fewer than two of them there is none.
    """
    means: dict[int, dict[str, float]] = defaultdict(dict)
    compared = _compared(arms)
    if len(compared) < 2:
        return []
    for arm in compared:
        values: dict[int, list[float]] = defaultdict(list)
        for run in arm.runs.values():
            for image_id, row in run.per_image.items():
                values[image_id].append(row.get(score, math.nan))
        for image_id, found in values.items():
            means[image_id][arm.name] = mean_sd(found)[0]
    complete = [
        Disagreement(image_id, scores)
        for image_id, scores in means.items()
        if len(scores) == len(compared) and np.isfinite(list(scores.values())).all()
    ]
    differing = [each for each in complete if each.spread > 0]
    return sorted(differing, key=lambda each: (-each.spread, each.image_id))


def draw_disagreements(
    study: Study, prepared: Prepared, arms: Sequence[ArmResults], chosen: Sequence[Disagreement], score: str
) -> dict[int, list[Panel]]:
    """Draw images with their annotations and with what every arm answers.

    Answers are those of the first pair that all arms have finished, or each arm's own first.

    Args:
        study: for the test set.
        prepared: of the study.
        arms: with the runs that the images' scores are of.
        chosen: images.
        score: name of theirs.

    Returns:
        Image id to its pictures, in the order of `chosen`; without images that cannot be found or read.

    Raises:
        ConfigError: the test set cannot be built.
        DataError: its files, or those of the answers, are missing or broken.
    """
    task = study.metric.partition("/")[0]
    meta, samples = _read_samples(study, prepared, task, arms, [each.image_id for each in chosen])
    compared = _compared(arms)
    common = set.intersection(*(set(arm.runs) for arm in compared))
    runs = [(arm.name, arm.runs[min(common or arm.runs)]) for arm in compared]
    answers = {name: _read_answers(run.folder, task, set(samples)) for name, run in runs}
    every = [answer for own in answers.values() for found in own.values() for answer in found]
    drawn: dict[int, list[Panel]] = {}
    for each in chosen:
        if each.image_id not in samples:
            continue
        sample, named = samples[each.image_id], f"image {each.image_id}"
        file = AnnotatedFile.of(sample)
        annotated = draw_annotated(sample["image"], file, meta, every)
        panels = [Panel("annotated", f"{named} with its annotations", annotated)]
        for name, run in runs:
            own = run.per_image.get(each.image_id, {}).get(score, math.nan)
            results = [{task: answers[name][each.image_id]}]
            shown = draw_answers(sample["image"], results, meta, joint_score=0.0, at_least=file.num_objects)
            alt = f"{named} with the answer of {name}, seed {run.seed}, which scores {own:.2f}"
            panels.append(Panel(f"{name}: {own:.2f}, mean {each.scores[name]:.2f}", alt, shown))
        drawn[each.image_id] = panels
    return drawn


def encode_panels(drawn: Sequence[Sequence[Panel]]) -> list[list[Picture]]:
    """Return pictures as JPEG, the largest that stay below two megabytes as text, all together."""
    encoded: list[list[Picture]] = []
    for side in _SIDES:
        encoded = [[_encode(panel, side) for panel in panels] for panels in drawn]
        if sum(len(picture.jpeg) for panels in encoded for picture in panels) * 4 / 3 < _MOST_BYTES:
            break
    return encoded


def sheet(panels: Sequence[Panel]) -> bytes:
    """Return all pictures of one image as one JPEG."""
    pictures = montage([panel.image for panel in panels], min(len(panels), 4), [panel.caption for panel in panels])
    return _jpeg(_shrink(pictures, _SHEET_SIDE))


def _compared(arms: Sequence[ArmResults]) -> list[ArmResults]:
    return [arm for arm in arms if arm.runs and arm.name != AGAIN]


def _read_samples(
    study: Study, prepared: Prepared, task: str, arms: Sequence[ArmResults], wanted: Sequence[int]
) -> tuple[DatasetMeta, dict[int, Sample]]:
    """Return what the test set of a task means, and the samples of images, with `truth`, of those that are found."""
    parts = parts_of_test(study.base.config, prepared.meta)
    config = next(config for tasks, config in parts if tasks is None or task in tasks)
    assert config.test_data is not None, "a study has a test set"
    dataset = build_dataset(config.test_data, config.data_root)
    known = sorted({image_id for arm in arms for run in arm.runs.values() for image_id in run.per_image})
    samples: dict[int, Sample] = {}
    for index in _likely_first(len(dataset), known, wanted):
        if len(samples) == len(set(wanted)):
            break
        try:
            sample = dataset.read(index)
        except DataError:  # it was skipped in the evaluation, too
            continue
        if sample["image_id"] in wanted and sample["image_id"] not in samples:
            sample["truth"] = dataset.truth(index)
            samples[sample["image_id"]] = sample
    return dataset.meta, samples


def _likely_first(length: int, known: Sequence[int], wanted: Sequence[int]) -> list[int]:
    """Return all indices of a data set, beginning with where images are if the set is in the order of their ids."""
    ranks = (bisect.bisect_left(known, image_id) for image_id in wanted)
    guesses = [rank * length // max(len(known), 1) for rank in ranks]
    return list(dict.fromkeys([*(guess for guess in guesses if guess < length), *range(length)]))


def _read_answers(folder: Path, task: str, wanted: Collection[int]) -> dict[int, Answers]:
    """Return image id to a run's answers of one task.

    Raises:
        DataError: there is no such file, or it is something else.
    """
    # a network of several tasks has a file for each
    paths = [folder / "test" / name for name in (f"predictions_{task}.json", "predictions.json")]
    path = next((path for path in paths if path.is_file()), paths[1])
    of_image: dict[int, Answers] = {image_id: [] for image_id in wanted}
    try:
        for answer in json.loads(path.read_text(encoding="utf-8")):
            if answer["image_id"] in of_image:
                of_image[answer["image_id"]].append(answer)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is not what densezoo test writes: {error}") from error
    return of_image


def _encode(panel: Panel, side: int) -> Picture:
    image = _shrink(panel.image, side)
    return Picture(panel.caption, panel.alt, _jpeg(image), image.shape[:2])


def _shrink(image: Array, side: int) -> Array:
    """Return an image whose longer side has at most `side` pixels."""
    factor = side / max(image.shape[:2])
    if factor >= 1:
        return image
    return cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)


def _jpeg(image: Array) -> bytes:
    encoded, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    assert encoded, "a picture in memory can be encoded"
    return data.tobytes()
