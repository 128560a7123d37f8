#!/usr/bin/env python
"""Rebuild the `coco_person` data set from COCO's own files, so that its numbers can be reproduced anywhere.

    wget http://images.cocodataset.org/zips/val2017.zip
    wget http://images.cocodataset.org/annotations/annotations_trainval2017.zip
    python tools/make_coco_person.py --annotations annotations/person_keypoints_val2017.json --images val2017 \
        --out data/coco_person

The set is 1,234 images of val2017, those in tools/coco_person_ids.txt, with COCO's own person annotations. Images are
made smaller where their longer side is over 400 pixels (area interpolation, JPEG quality 88); boxes, polygons and
keypoints are multiplied by the same factor and rounded to two decimals, areas by its square, crowd masks are resized
to the nearest pixel. Images whose id is a multiple of 5 are the test set, the others the training set: COCO's own split
is not kept.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

# The repository in place of this folder, whose profile.py would hide the standard library's.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from densezoo.errors import DataError

LONG_SIDE, JPEG_QUALITY, TEST_FOLD = 400, 88, 5
IDS = Path(__file__).with_name("coco_person_ids.txt")


def scaled_size(width: int, height: int) -> tuple[float, tuple[int, int]]:
    """Return the factor by which an image shrinks, and its new (width, height)."""
    scale = min(1.0, LONG_SIDE / max(width, height))
    return scale, (round(width * scale), round(height * scale))


def scaled_annotation(annotation: dict[str, Any], scale: float, size: tuple[int, int]) -> dict[str, Any]:
    """Return an annotation of an image that shrinks by `scale` to `size` (width, height)."""
    shape = annotation["segmentation"]
    joints = annotation["keypoints"]
    return annotation | {
        "bbox": _scaled(annotation["bbox"], scale),
        "area": round(annotation["area"] * scale * scale, 2),
        "keypoints": [value if place % 3 == 2 else round(value * scale, 2) for place, value in enumerate(joints)],
        "segmentation": _scaled_runs(shape, size)
        if isinstance(shape, dict)
        else [_scaled(part, scale) for part in shape],
    }


def _scaled(values: list[float], scale: float) -> list[float]:
    return [round(value * scale, 2) for value in values]


def _scaled_runs(rle: dict[str, Any], size: tuple[int, int]) -> dict[str, Any]:
    """Resize an uncompressed RLE: runs of 0 and 1 in turn, column by column."""
    height, width = rle["size"]
    bits = np.repeat(np.arange(len(rle["counts"]), dtype=np.uint8) & 1, rle["counts"])
    mask = cv2.resize(np.ascontiguousarray(bits.reshape(width, height).T), size, interpolation=cv2.INTER_NEAREST)
    return {"size": [size[1], size[0]], "counts": runs_of(mask)}


def runs_of(mask: npt.NDArray[np.uint8]) -> list[int]:
    """Return the run lengths of a mask (H, W) of 0 and 1, column by column; the first run is of zeros."""
    bits = mask.T.ravel()
    changes = np.flatnonzero(np.diff(bits)) + 1
    runs = np.diff(np.concatenate([[0], changes, [len(bits)]])).tolist()
    return [0, *runs] if bits[0] else runs


def split_records(official: dict[str, Any], image_ids: list[int]) -> dict[str, dict[str, Any]]:
    """Return the JSON of `train` and `test` from the official one.

    Raises:
        DataError: the official file lacks an image.
    """
    images = {image["id"]: image for image in official["images"]}
    missing = [image_id for image_id in image_ids if image_id not in images]
    if missing:
        raise DataError(
            f"{len(missing)} images, {missing[0]} the first, are not in the annotations; "
            "give person_keypoints_val2017.json as COCO publishes it"
        )
    wanted = set(image_ids)
    annotations = [annotation for annotation in official["annotations"] if annotation["image_id"] in wanted]
    annotations.sort(key=lambda annotation: (annotation["image_id"], annotation["id"]))
    parts = {}
    for part in ("train", "test"):
        own = [image_id for image_id in sorted(wanted) if (image_id % TEST_FOLD == 0) == (part == "test")]
        sizes = {image_id: scaled_size(images[image_id]["width"], images[image_id]["height"]) for image_id in own}
        parts[part] = {
            "info": {"description": f"COCO val2017 person subset, resized long side<={LONG_SIDE}"},
            "images": [_scaled_image(images[image_id], sizes[image_id][1]) for image_id in own],
            "annotations": [
                scaled_annotation(annotation, *sizes[annotation["image_id"]])
                for annotation in annotations
                if annotation["image_id"] in sizes
            ],
            "categories": [category for category in official["categories"] if category["name"] == "person"],
            "licenses": official.get("licenses", []),
        }
    return parts


def _scaled_image(image: dict[str, Any], size: tuple[int, int]) -> dict[str, Any]:
    return {
        "id": image["id"],
        "file_name": image["file_name"],
        "width": size[0],
        "height": size[1],
        "license": image.get("license"),
        "flickr_url": image.get("flickr_url"),
        "orig_width": image["width"],
        "orig_height": image["height"],
    }


def shrink_image(source: Path, target: Path, size: tuple[int, int]) -> None:
    """Write `source` as a JPEG of `size` (width, height).

    Raises:
        DataError: the image is missing or does not decode, or cannot be written.
    """
    image = cv2.imread(str(source), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        raise DataError(f"{source} is missing or does not decode; --images must be the folder of val2017.zip")
    shrunk = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    if not cv2.imwrite(str(target), shrunk, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]):
        raise DataError(f"{target} cannot be written")


def rebuild(options: argparse.Namespace) -> None:
    """Write the set.

    Raises:
        DataError: a file is missing or is not COCO's own.
    """
    if options.out.exists() and any(options.out.iterdir()):
        raise DataError(f"{options.out} is not empty; name another folder")
    try:
        official = json.loads(options.annotations.read_text())
        image_ids = [int(line) for line in options.ids.read_text().split()]
    except (OSError, json.JSONDecodeError) as error:
        raise DataError(f"{options.annotations} or {options.ids} cannot be read: {error}") from error
    parts = split_records(official, image_ids)
    for folder in ("annotations", "images"):
        (options.out / folder).mkdir(parents=True)
    for part, records in parts.items():
        for image in records["images"] if options.images else ():
            target = options.out / "images" / image["file_name"]
            shrink_image(options.images / image["file_name"], target, (image["width"], image["height"]))
        path = options.out / "annotations" / f"person_{part}.json"
        path.write_text(json.dumps(records, separators=(",", ":")))
        posed = sum(annotation["num_keypoints"] > 0 for annotation in records["annotations"])
        people = len(records["annotations"])
        print(f"{path}: {len(records['images'])} images, {people} people, {posed} of them with keypoints")


def main(arguments: list[str] | None = None) -> int:
    """Read the command line, write the set, return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--annotations", type=Path, required=True, help="official person_keypoints_val2017.json")
    parser.add_argument("--images", type=Path, help="folder of val2017; without it only the annotations are written")
    parser.add_argument("--out", type=Path, required=True, help="folder to write; must not exist or be empty")
    parser.add_argument("--ids", type=Path, default=IDS, help="image ids, one per line (default: %(default)s)")
    try:
        rebuild(parser.parse_args(arguments))
    except (DataError, OSError) as error:  # OSError: a full disk, or a folder of somebody else's
        print(f"make_coco_person: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
