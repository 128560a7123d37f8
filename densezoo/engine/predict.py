"""Predict on image files of any size, without annotations."""

import json
import logging
import math
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from densezoo.datasets.images import read_image
from densezoo.engine.build import build_samples
from densezoo.engine.config import RunConfig
from densezoo.engine.evaluate import coco_results, note_bad_images
from densezoo.engine.loading import collate, to_device
from densezoo.errors import ConfigError, DataError
from densezoo.models import DenseModel, Model
from densezoo.models.tiles import stitch
from densezoo.types import Array, DatasetMeta, Grid, ImageTruth, Maps, Prediction, Sample

logger = logging.getLogger("densezoo")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")


@dataclass(frozen=True)
class Region:
    """Part of an image file to look at.

    Attributes:
        path: the file.
        image_id: in the results.
        box: xyxy in the file's pixels; None = the whole image.
        score: confidence of the box.
    """

    path: Path
    image_id: int
    box: tuple[float, float, float, float] | None = None
    score: float = 1.0


@dataclass(frozen=True)
class Answer:
    """What the model says of one region.

    Attributes:
        region: what was looked at.
        results: task name to answers in COCO results format, in the file's pixels.
        predictions: task name to the same answer in network pixels.
        sample: the network's input.
        maps: task name to the activated maps of the last stage at the scale nearest 1, (1, C, h, w) each; empty if not
            asked for.
    """

    region: Region
    results: dict[str, list[dict[str, Any]]]
    predictions: dict[str, Prediction]
    sample: Sample
    maps: dict[str, Maps]


class RegionSet:
    """Regions of image files as a data set without annotations."""

    def __init__(self, regions: Sequence[Region], meta: DatasetMeta) -> None:
        """Hold `regions`; `meta` is the model's."""
        self.regions, self.meta = regions, meta
        self._last: tuple[Path, Array] | None = None

    def __len__(self) -> int:
        """Number of regions."""
        return len(self.regions)

    def read(self, index: int) -> Sample:
        """Read the image of region `index`."""
        region = self.regions[index]
        image = self._image(region.path)
        height, width = image.shape[:2]
        frame = np.array(region.box or (0, 0, width, height), np.float32)
        return Sample(
            image=image,
            image_id=region.image_id,
            path=str(region.path),
            to_original=np.eye(2, 3),
            frame=frame,
            score=region.score,
        )

    def truth(self, index: int) -> ImageTruth:
        """Return no annotations, and the file's size."""
        nothing = np.zeros(0, np.int64)
        boxes, areas = np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
        height, width = self._image(self.regions[index].path).shape[:2]
        size = height, width
        return ImageTruth(ids=nothing, labels=nothing, boxes=boxes, areas=areas, crowd=np.zeros(0, bool), size=size)

    def _image(self, path: Path) -> Array:
        """Read a file. The last one is kept, since `truth` follows `read`, and a file's regions each other."""
        if self._last is None or self._last[0] != path:
            self._last = path, read_image(path)
        return self._last[1]


def predict_regions(
    model: Model,
    config: RunConfig,
    meta: DatasetMeta,
    regions: Sequence[Region],
    device: torch.device,
    keep_maps: bool = False,
) -> Iterator[Answer]:
    """Yield the model's answer for each region, in order; unreadable images are left out.

    Args:
        model: on `device`, with its weights.
        config: warp, batch size and how to test.
        meta: what the model was trained with.
        regions: what to look at.
        device: of the model.
        keep_maps: also give the maps.

    Raises:
        ConfigError: maps are asked of a model that has none.
        DataError: more images than `engine.max_bad_images` could not be read.
    """
    if keep_maps and not isinstance(model, DenseModel):
        raise ConfigError("a detector has no heatmaps; leave --heatmaps out")
    samples = build_samples(config, RegionSet(regions, meta), training=False)
    bad: set[str] = set()
    model.eval()
    # files of different size one by one, so that no answer depends on the images beside it
    together = 1 if samples.warp.size is None else config.batch_size
    for start in range(0, len(regions), together):
        rows = range(start, min(start + together, len(regions)))
        warped = [samples[(0, row)] for row in rows]
        for error in sorted(note_bad_images(warped, bad, config.engine.max_bad_images)):
            logger.warning("skipped: %s", error)
        batch = to_device(collate(warped), device)
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=config.engine.amp):
            maps: dict[str, Maps] = {}
            if keep_maps and isinstance(model, DenseModel):
                looks = model.look(batch, config.engine.views)
                predictions = model.decode(looks)
                maps = {task: _maps_of_first_scale(views) for task, views in looks.items()}
            else:
                predictions = model.predict(batch, config.engine.views)
        for number, (row, sample) in enumerate(zip(rows, warped, strict=True)):
            if "error" in sample:
                continue
            results = {task: coco_results(answers[number], sample, meta) for task, answers in predictions.items()}
            own = {
                task: {name: value[number : number + 1] for name, value in of_task.items()}
                for task, of_task in maps.items()
            }
            found = {task: answers[number] for task, answers in predictions.items()}
            yield Answer(regions[row], results, found, sample, own)


def _maps_of_first_scale(views: Sequence[tuple[Maps, Grid]]) -> Maps:
    """Return the maps of the whole image; a detector has those of each window."""
    stride = views[0][1].stride
    return stitch([view for view in views if view[1].stride == stride])[0]


def find_images(paths: Sequence[str | Path]) -> list[Path]:
    """Return image files: those named, and those of folders that are named, sorted.

    Raises:
        DataError: a path does not exist, or a folder has no image.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            images = sorted(file for file in path.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)
            if not images:
                raise DataError(f"{path} holds no image ({', '.join(IMAGE_SUFFIXES)})")
            found += images
        elif path.is_file():
            found.append(path)
        else:
            raise DataError(f"no image or folder {path}")
    return found


def regions_of(images: Sequence[Path], boxes: str | Path | None, meta: DatasetMeta) -> list[Region]:
    """Return what to look at: the boxes of a COCO JSON that lie in `images`, or each image whole.

    Args:
        images: files; each is matched with the `file_name` of the JSON that shares the longest end with its path, at
            least the file's name.
        boxes: COCO JSON with `images` and `annotations` (bbox xywh, optional score); None = whole images.
        meta: the model's; only its categories count where it names any.

    Raises:
        DataError: the JSON is missing or broken, does not tell which image is which, or has no box in any of them.
    """
    if boxes is None:
        return [Region(path, number) for number, path in enumerate(images)]
    names, annotations = _read_boxes(boxes)
    paths = _match_files(images, names, boxes)
    of_image: dict[int, list[Region]] = defaultdict(list)
    left_out: Counter[str] = Counter()
    for image_id, category, (x, y, width, height), score, crowd in annotations:
        if image_id not in paths:
            left_out["of other images (names must match file_name)"] += 1
        elif meta.category_ids and category not in meta.category_ids:
            known = ", ".join(map(str, meta.category_ids))
            left_out[f"of another category_id than the model's ({known})"] += 1
        elif crowd:
            left_out["of a crowd"] += 1
        elif width <= 0 or height <= 0:
            left_out["without an area"] += 1
        else:
            of_image[image_id].append(Region(paths[image_id], image_id, (x, y, x + width, y + height), score))
    if not of_image:
        why = ", ".join(f"{number} {reason}" for reason, number in left_out.items()) or "it has no annotation"
        raise DataError(f"--boxes {boxes} has no box in any of the {len(images)} images: {why}")
    return [region for image_id in sorted(of_image) for region in of_image[image_id]]


_Annotation = tuple[int, Any, tuple[float, float, float, float], float, bool]


def _read_boxes(boxes: str | Path) -> tuple[dict[int, Path], list[_Annotation]]:
    """Return file names by image id, and of each annotation its image id, category id, bbox, score and `iscrowd`."""
    try:
        content = json.loads(Path(boxes).read_text(encoding="utf-8"))
        names = {int(image["id"]): Path(image["file_name"]) for image in content["images"]}
        items = list(content["annotations"])
    except OSError as error:
        raise DataError(f"--boxes {boxes} cannot be read: {error}") from error
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise DataError(
            f"--boxes {boxes} must be a COCO JSON with images (id, file_name) and annotations "
            f"(image_id, category_id, bbox): {type(error).__name__} {error}"
        ) from error
    annotations = []
    for number, item in enumerate(items):
        try:
            x, y, width, height = map(float, item["bbox"])
            score = float(item.get("score", 1.0))
            if not all(map(math.isfinite, (x, y, width, height, score))):
                raise ValueError("not every number is finite")
            box = (x, y, width, height)
            annotations.append((int(item["image_id"]), item["category_id"], box, score, bool(item.get("iscrowd"))))
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise DataError(
                f"--boxes {boxes}: annotations[{number}] must have image_id, category_id, a bbox of four finite "
                f"numbers, and a finite score or none: {type(error).__name__} {error}"
            ) from error
    return names, annotations


def _match_files(images: Sequence[Path], names: Mapping[int, Path], boxes: str | Path) -> dict[int, Path]:
    """Return the file of each image id that has one: the two are the nearest to each other, and nothing is as near.

    Raises:
        DataError: something else is as near.
    """
    given = {Path(os.path.abspath(path)): path for path in images}
    files = dict(enumerate(given))
    ids_of, files_of = _longest_ends(files, names), _longest_ends(names, files)
    found = {}
    for number, ids in ids_of.items():
        for image_id in ids:
            rivals = files_of[image_id]
            if number not in rivals:  # another file is nearer to that image
                continue
            if len(ids) > 1 or len(rivals) > 1:
                here = " or ".join(str(files[each]) for each in rivals[:2])
                there = " or ".join(f"{names[each]} (id {each})" for each in ids[:2])
                raise DataError(
                    f"--boxes {boxes} does not tell which image is which: {here} may be {there}; give paths and "
                    "file_name ends that tell them apart"
                )
            found[image_id] = given[files[number]]
    return found


def _longest_ends(own: Mapping[int, Path], others: Mapping[int, Path]) -> dict[int, list[int]]:
    """Return for each path the others that share the longest end with it; none where no other has its name."""
    ends: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for key, path in others.items():
        for start in range(len(path.parts)):
            ends[path.parts[start:]].append(key)
    return {
        key: next((ends[tail] for start in range(len(path.parts)) if (tail := path.parts[start:]) in ends), [])
        for key, path in own.items()
    }
