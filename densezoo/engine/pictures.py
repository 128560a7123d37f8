"""Pictures of a run: answers on the files they belong to, and samples as the network sees them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from densezoo.datasets.images import read_image
from densezoo.engine.evaluate import Evaluation
from densezoo.engine.loading import collate
from densezoo.engine.predict import Answer
from densezoo.errors import ConfigError
from densezoo.models import DenseModel
from densezoo.types import Array, DatasetMeta, Sample
from densezoo.visualization.canvas import montage
from densezoo.visualization.heatmaps import blend_heatmap, draw_heatmaps
from densezoo.visualization.overlay import draw_boxes, draw_masks, draw_pose, draw_semantic

_MIN_SIDE = 320  # smaller pictures are enlarged, so that drawings on them can be seen


def write_image(path: Path, image: Array) -> None:
    """Write an (H, W, 3) uint8 RGB image as PNG.

    Raises:
        ConfigError: the file cannot be written.
    """
    encoded, data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    if not encoded:
        raise ConfigError(f"{path}: the picture cannot be encoded as PNG")
    try:
        path.write_bytes(data.tobytes())
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error}") from error


def draw_answers(
    image: Array, results: Sequence[Mapping[str, Sequence[Mapping[str, Any]]]], meta: DatasetMeta, threshold: float
) -> Array:
    """Draw every answer of one file.

    Args:
        image: (H, W, 3) uint8, the file.
        results: of each region, task name to answers in COCO results format.
        meta: for the skeleton.
        threshold: keypoints that score less are left out.
    """
    answers = [answer for region in results for found in region.values() for answer in found]
    people = [np.reshape(answer["keypoints"], (-1, 3)) for answer in answers if "keypoints" in answer]
    boxes = [answer["bbox"] for answer in answers if "bbox" in answer and "keypoints" not in answer]
    if boxes:
        corners = np.array([(x, y, x + width, y + height) for x, y, width, height in boxes], np.float32)
        image = draw_boxes(image, corners)
    points = np.array(people, np.float32).reshape(len(people), -1, 3)
    return draw_pose(image, points, meta.skeleton, meta.flip_pairs, threshold, min_side=_MIN_SIDE)


def draw_cases(
    found: Evaluation, chosen: Sequence[tuple[int, float]], meta: DatasetMeta, threshold: float = 0.1
) -> Array:
    """Draw images of an evaluation, each with its annotations at the left and the answers at the right.

    Args:
        found: the evaluation.
        chosen: image ids and the scores to write above them; at least one.
        meta: for the skeleton.
        threshold: answered keypoints that score less are left out.
    """
    results: dict[int, list[Mapping[str, Sequence[Mapping[str, Any]]]]] = defaultdict(list)
    for task, answers in found.results.items():
        for answer in answers:
            results[answer["image_id"]].append({task: [answer]})
    pictures = []
    for image_id, _ in chosen:
        path, truth = found.files[image_id]
        image = read_image(Path(path))
        points = truth.get("keypoints", np.zeros((0, meta.num_keypoints, 3), np.float32))
        annotated = draw_pose(
            image, points, meta.skeleton, meta.flip_pairs, hidden=points[..., 2] == 1, min_side=_MIN_SIDE
        )
        answered = draw_answers(image, results[image_id], meta, threshold)
        pictures.append(montage([annotated, answered], columns=2))
    return montage(pictures, columns=3, captions=[f"{image_id}: {score:.2f}" for image_id, score in chosen])


def draw_answer_heatmaps(answer: Answer, meta: DatasetMeta) -> Array:
    """Draw the last stage's maps of one region on what the network saw."""
    sheets = []
    for found in answer.maps.values():
        for value in found.values():
            maps = value[0].float().cpu().numpy()
            names = meta.keypoint_names if len(maps) == meta.num_keypoints else None
            sheets.append(draw_heatmaps(answer.sample["image"], maps, names))
    return sheets[0] if len(sheets) == 1 else montage(sheets, columns=1)


def draw_sample(sample: Sample, model: DenseModel, meta: DatasetMeta) -> Array:
    """Draw a sample beside the targets that the model's tasks make of it on the last stage.

    Returns:
        (H, W, 3) uint8: annotations at the left, the maximum over each target's channels at the right.
    """
    image = sample["image"]
    annotated = draw_semantic(image, sample["semantic"]) if "semantic" in sample else image
    if "masks" in sample:
        annotated = draw_masks(annotated, sample["masks"])
    points = sample.get("keypoints", np.zeros((0, meta.num_keypoints, 3), np.float32))
    annotated = draw_pose(
        annotated,
        points,
        meta.skeleton,
        meta.flip_pairs,
        hidden=points[..., 2] == 1,
        boxes=sample.get("boxes"),
        min_side=_MIN_SIDE,
    )
    batch = collate([sample])
    with torch.no_grad():
        outputs = model.eval()(batch["images"])
    pictures = [annotated]
    for name, task in model.tasks.items():
        targets = task.encode(batch, model.grid(len(outputs[name]) - 1, name, outputs[name][-1]))
        scale = annotated.shape[1] / image.shape[1]
        enlarged = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
        pictures += [blend_heatmap(enlarged, value[0].amax(0).numpy()) for value in targets["maps"].values()]
    return montage(pictures, columns=len(pictures))
