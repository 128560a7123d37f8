"""Pictures of a run: answers on the files they belong to, and samples as the network sees them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from densezoo.datasets.images import read_image
from densezoo.engine.evaluate import AnnotatedFile, Evaluation, category_of
from densezoo.engine.files import write_bytes
from densezoo.engine.loading import collate
from densezoo.engine.predict import Answer
from densezoo.errors import ConfigError
from densezoo.functional.label_maps import IGNORE, decode_labels
from densezoo.functional.volumes import decode_volume
from densezoo.models import DenseModel, Model
from densezoo.types import Array, DatasetMeta, Sample
from densezoo.visualization.canvas import montage
from densezoo.visualization.heatmaps import blend_heatmap, draw_heatmaps
from densezoo.visualization.overlay import draw_boxes, draw_masks, draw_pose, draw_semantic
from densezoo.visualization.volumes import draw_volume

JOINT_SCORE, BOX_SCORE = 0.1, 0.3
"""Keypoints and boxes that score more are drawn, unless others are asked for."""
_MIN_SIDE = 320  # smaller pictures are enlarged, so that drawings on them can be seen


def write_image(path: Path, image: Array) -> None:
    """Write an (H, W, 3) uint8 RGB image, or an (H, W) uint8 label map, as PNG.

    Raises:
        ConfigError: the file cannot be written.
    """
    encoded, data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image)
    if not encoded:
        raise ConfigError(f"{path}: the picture cannot be encoded as PNG")
    write_bytes(path, data.tobytes(), sync=False)


def draw_answers(
    image: Array,
    results: Sequence[Mapping[str, Sequence[Mapping[str, Any]]]],
    meta: DatasetMeta,
    joint_score: float = JOINT_SCORE,
    box_score: float = BOX_SCORE,
    at_least: int = 0,
) -> Array:
    """Draw every answer of one file.

    Args:
        image: (H, W, 3) uint8, the file.
        results: of each region, task name to answers in COCO results format.
        meta: for the skeleton, the names of classes, what results have taken off their keypoints, and the thickness
            of slices.
        joint_score: keypoints that do not score more are left out.
        box_score: boxes that do not score more are left out, and people who have one with their box.
        at_least: so many of them, those that score highest, are drawn in any case.
    """
    answers = [answer for region in results for found in region.values() for answer in found]
    for answer in answers:
        if "volume" in answer:
            image = draw_volume(
                image, decode_volume(answer["volume"]), meta.volume_slices[1], np.array(answer["to_original"])
            )
    boxes = sorted((answer for answer in answers if "bbox" in answer), key=lambda answer: -answer["score"])
    sure = [answer for answer in answers if "bbox" not in answer]
    sure += [answer for rank, answer in enumerate(boxes) if rank < at_least or answer["score"] > box_score]
    people = [np.reshape(answer["keypoints"], (-1, 3)) for answer in sure if "keypoints" in answer]
    # joints show where somebody is, but only those that are sure are drawn
    boxed = [
        answer
        for answer in sure
        if "bbox" in answer and max(answer.get("keypoints", ())[2::3], default=0) <= joint_score
    ]
    if boxed:
        corners = np.array([(x, y, x + w, y + h) for x, y, w, h in (answer["bbox"] for answer in boxed)], np.float32)
        label_of = {category: label for label, category in enumerate(meta.category_ids)}
        labels = [label_of.get(answer["category_id"], answer["category_id"]) for answer in boxed]
        image = _draw_classes(image, corners, labels, meta, [answer["score"] for answer in boxed])
    points = np.array(people, np.float32).reshape(len(people), meta.num_keypoints, 3)
    points[..., :2] += meta.keypoint_shift
    return _draw(image, meta, label_map(results, image.shape[:2]), points, threshold=joint_score)


def draw_each_task(
    image: Array,
    results: Sequence[Mapping[str, Sequence[Mapping[str, Any]]]],
    meta: DatasetMeta,
    joint_score: float = JOINT_SCORE,
    box_score: float = BOX_SCORE,
) -> Array:
    """Draw the answers of one file as `draw_answers` does; those of several tasks beside each other, named."""
    pictures = _pictures_of_tasks(image, results, meta, joint_score, box_score)
    if len(pictures) < 2:
        return draw_answers(image, results, meta, joint_score, box_score)
    return montage(list(pictures.values()), columns=len(pictures), captions=list(pictures))


def _pictures_of_tasks(
    image: Array,
    results: Sequence[Mapping[str, Sequence[Mapping[str, Any]]]],
    meta: DatasetMeta,
    joint_score: float = JOINT_SCORE,
    box_score: float = BOX_SCORE,
    at_least: int = 0,
) -> dict[str, Array]:
    """Return task name to a picture of its answers."""
    tasks = dict.fromkeys(task for region in results for task in region)
    own = {task: [{task: region[task]} for region in results if task in region] for task in tasks}
    return {task: draw_answers(image, each, meta, joint_score, box_score, at_least) for task, each in own.items()}


def _draw_classes(
    image: Array, boxes: Array, labels: Sequence[int], meta: DatasetMeta, scores: Sequence[float] | None = None
) -> Array:
    """Draw boxes (P, 4) in the colours of their classes, named where there are several."""
    names = [meta.classes[label] if label < len(meta.classes) else str(label) for label in labels]
    texts = names if len(meta.classes) > 1 else [""] * len(names)
    if scores is not None:
        texts = [f"{text} {score:.2f}".strip() for text, score in zip(texts, scores, strict=True)]
    return draw_boxes(image, boxes, texts if any(texts) else None, labels)


def label_map(results: Sequence[Mapping[str, Sequence[Mapping[str, Any]]]], size: tuple[int, int]) -> Array | None:
    """Return the (H, W) uint8 semantic map among the answers of one file, 255 where there is none; None without any.

    Args:
        results: of each region, task name to answers in COCO results format.
        size: (height, width) of the file.
    """
    masks = [
        (answer["category_id"], answer["segmentation"])
        for region in results
        for found in region.values()
        for answer in found
        if _is_label(answer)
    ]
    return decode_labels(masks, size) if masks else None


def _is_label(answer: Mapping[str, Any]) -> bool:
    """Whether an answer is a label of a semantic map; with a score it is the mask of an instance."""
    return "segmentation" in answer and "score" not in answer


def _draw(
    image: Array,
    meta: DatasetMeta,
    semantic: Array | None,
    points: Array,
    boxes: Array | None = None,
    hidden: Array | None = None,
    threshold: float = 0.0,
) -> Array:
    """Draw a semantic map and people, enlarged; arguments as of `draw_semantic` and `draw_pose`."""
    scale = 1.0
    if semantic is not None:
        # it has a legend, which must not be enlarged, so the picture is enlarged here and people drawn to scale
        enlarged = draw_semantic(image, semantic, meta.semantic_classes, min_side=_MIN_SIDE)
        scale = enlarged.shape[1] / image.shape[1]
        image = enlarged
    return draw_pose(
        image,
        points * np.array([scale, scale, 1], np.float32),
        meta.skeleton,
        meta.flip_pairs,
        threshold,
        hidden,
        None if boxes is None else boxes * scale,
        min_side=_MIN_SIDE,
    )


def draw_annotated(image: Array, file: AnnotatedFile, meta: DatasetMeta, answers: Sequence[Mapping[str, Any]]) -> Array:
    """Draw the annotations of one file.

    Args:
        image: (H, W, 3) uint8, the file.
        file: its annotations.
        meta: see `draw_answers`.
        answers: in COCO results format, of any files; people, boxes and label maps are drawn where some of these are of
            their kind.
    """
    posed = any("keypoints" in answer for answer in answers)
    boxed = any("bbox" in answer and "keypoints" not in answer for answer in answers)
    kinds = {answer["category_id"] for answer in answers if "bbox" in answer}
    truth = file.truth
    nobody = np.zeros((0, meta.num_keypoints, 3), np.float32)
    points = truth.get("keypoints", nobody) if posed else nobody
    mapped = any(_is_label(answer) for answer in answers)
    labels = None if file.semantic is None or not mapped else decode_labels(file.semantic.items(), truth["size"])
    # as among answers, things without a joint are boxes
    jointed = (points[..., 2] > 0).any(1) if len(points) else np.zeros(len(truth["labels"]), bool)
    categories = [category_of(label, meta) for label in truth["labels"].tolist()]
    shown = boxed | (~jointed & np.isin(categories, list(kinds)))
    annotated = _draw_classes(image, truth["boxes"][shown], truth["labels"][shown].tolist(), meta)
    if file.volume is not None:
        annotated = draw_volume(annotated, decode_volume(file.volume), meta.volume_slices[1])
    return _draw(annotated, meta, labels, points, hidden=points[..., 2] == 1)


def draw_cases(found: Evaluation, chosen: Sequence[tuple[int, float]]) -> Array:
    """Draw images of an evaluation, each with its annotations at the left and every task's answers at the right.

    People, boxes and label maps are drawn where they are answered, and as many objects as are annotated even where the
    network is sure of none.

    Args:
        found: the evaluation.
        chosen: image ids and the scores to write above them; at least one.
    """
    meta = found.meta
    results: dict[int, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: {task: [] for task in found.results})
    for task, answers in found.results.items():
        for answer in answers:
            results[answer["image_id"]][task].append(answer)
    every = [answer for answers in found.results.values() for answer in answers]
    pictures = []
    for image_id, _ in chosen:
        file = found.files[image_id]
        image = read_image(Path(file.path))
        annotated = draw_annotated(image, file, meta, every)
        answered = _pictures_of_tasks(image, [results[image_id]], meta, at_least=file.num_objects)
        captions = ["annotated", *answered] if len(answered) > 1 else None
        pictures.append(montage([annotated, *answered.values()], 1 + len(answered), captions))
    columns = 3 if len(found.results) == 1 else 1
    return montage(pictures, columns, captions=[f"{image_id}: {score:.2f}" for image_id, score in chosen])


def draw_answer_heatmaps(answer: Answer, meta: DatasetMeta) -> Array:
    """Draw the last stage's maps of one region on what the network saw; of maps for objects the heat alone."""
    sheets = []
    for found in answer.maps.values():
        heat = {name: value for name, value in found.items() if "heat" in name}
        for value in (heat or found).values():
            maps = value[0].float().cpu().numpy()
            known = (meta.keypoint_names, meta.semantic_classes, meta.classes)
            names = next((names for names in known if len(names) == len(maps)), None)
            sheets.append(draw_heatmaps(answer.sample["image"], maps, names))
    return sheets[0] if len(sheets) == 1 else montage(sheets, columns=1)


def draw_sample(sample: Sample, model: Model, meta: DatasetMeta) -> Array:
    """Draw a sample beside the targets that the model's tasks make of it on the last stage.

    Returns:
        (H, W, 3) uint8: annotations at the left; at the right the maximum over each target's channels, or the semantic
        map that the target stands for, without the pixels that the loss ignores. A detector of torchvision's keeps its
        targets to itself.
    """
    image = sample["image"]
    annotated = draw_masks(image, sample["masks"]) if "masks" in sample else image
    if "volume" in sample:
        annotated = draw_volume(annotated, sample["volume"], meta.volume_slices[1])
    points = sample.get("keypoints", np.zeros((0, meta.num_keypoints, 3), np.float32))
    hidden = points[..., 2] == 1
    annotated = _draw(annotated, meta, sample.get("semantic"), points, sample.get("boxes"), hidden)
    if not isinstance(model, DenseModel):
        return annotated
    batch = collate([sample])
    with torch.no_grad():
        outputs = model.eval()(batch["images"])
    pictures = [annotated]
    for name, task in model.tasks.items():
        grid = model.grid(len(outputs[name]) - 1, name, outputs[name][-1], batch["images"])
        targets = task.encode(batch, grid)
        maps = targets["maps"]
        (answer,) = task.decode(maps, grid)
        if "volume" in answer:
            pictures.append(draw_volume(image, answer["volume"], meta.volume_slices[1], min_side=_MIN_SIDE))
            continue
        if "semantic" in answer:
            labels = answer["semantic"]
            if "semantic" in targets:  # a cell that nothing is learned in decodes to some label, too
                labels = np.where(targets["semantic"][0].numpy() == IGNORE, IGNORE, labels).astype(np.uint8)
            pictures.append(draw_semantic(image, labels, meta.semantic_classes, min_side=_MIN_SIDE))
            continue
        scale = annotated.shape[1] / image.shape[1]
        enlarged = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
        pictures += [blend_heatmap(enlarged, value[0].amax(0).numpy()) for value in maps.values()]
    return montage(pictures, columns=len(pictures))
