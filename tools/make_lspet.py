#!/usr/bin/env python
"""Write the part of Leeds Sports Pose Extended that the configs `*_lspet.py` learn from, as COCO JSON and small images.

    wget http://sam.johnson.io/research/lspet_dataset.zip
    unzip lspet_dataset.zip -d lspet_dataset
    python tools/make_lspet.py --source lspet_dataset --out data/lspet

Johnson and Everingham, "Learning Effective Human Pose Estimation from Inaccurate Annotation", CVPR 2011; images of
Flickr, for research. The set is a training set, so the split is ours: of images 1 to 9000 the 3,991 in
tools/lspet_train_ids.txt, about four of nine, without those nearly equal to a test image; and all of 9001 to 10000 to
test. Joints that are not visible, or lie outside the image, are not labelled. An image is cut around the labelled
joints (a fifth of their longer side and 6 pixels beyond them), made smaller where its longer side is over 224 pixels
(area interpolation), and written as JPEG of quality 72. Its box is 8 % of the longer side beyond the joints, and its
area, 0.53 of the box, is an estimate.
"""

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

# The repository in place of this folder, whose profile.py would hide the standard library's.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from densezoo.datasets.coco_records import PERSON_OF_BOX
from densezoo.datasets.lsp import META
from densezoo.datasets.matlab import read_variable
from densezoo.errors import DataError

LONG_SIDE, JPEG_QUALITY = 224, 72
IDS = Path(__file__).with_name("lspet_train_ids.txt")
TEST_IDS = range(9001, 10001)
JOINTS = list(META.keypoint_names)
SKELETON = [[1, 2], [2, 3], [3, 4], [4, 5], [5, 6], [7, 8], [8, 9], [9, 13], [13, 10], [10, 11], [11, 12], [13, 14],
            [9, 3], [10, 4]]  # fmt: skip


def cut(joints: npt.NDArray[np.float64], size: tuple[int, int]) -> tuple[list[int], float, tuple[int, int]]:
    """Say what of an image is kept.

    Args:
        joints: (J, 2) x, y of the labelled joints.
        size: (width, height) of the image.

    Returns:
        Left, top, right and bottom of the part; the factor by which it shrinks; and its new (width, height).
    """
    low, high = joints.min(0), joints.max(0)
    margin = 0.2 * (high - low).max() + 6
    left, top = (int(side) for side in np.maximum(np.floor(low - margin), 0))
    right, bottom = (int(side) for side in np.minimum(np.ceil(high + margin), size))
    scale = min(1.0, LONG_SIDE / max(right - left, bottom - top))
    return [left, top, right, bottom], scale, (round((right - left) * scale), round((bottom - top) * scale))


def annotation_of(
    image_id: int, joints: npt.NDArray[np.float64], labelled: npt.NDArray[np.bool_], size: tuple[int, int]
) -> dict[str, Any]:
    """Return the annotation of an image of `size` (width, height) with joints (14, 2) in its pixels."""
    low, high = joints[labelled].min(0), joints[labelled].max(0)
    margin = 0.08 * (high - low).max()
    low, high = np.maximum(low - margin, 0), np.minimum(high + margin, size)
    width, height = high - low
    points = [
        [round(float(x), 2), round(float(y), 2), 2] if known else [0, 0, 0]
        for (x, y), known in zip(joints, labelled, strict=True)
    ]
    return {
        "id": image_id,
        "image_id": image_id,
        "category_id": 1,
        "bbox": [round(float(value), 2) for value in (*low, width, height)],
        "area": round(float(PERSON_OF_BOX * width * height), 1),
        "area_is_estimate": 1,
        "iscrowd": 0,
        "keypoints": [value for point in points for value in point],
        "num_keypoints": int(labelled.sum()),
    }


def read_joints(source: Path, image_ids: Iterable[int]) -> npt.NDArray[np.float64]:
    """Return (14, 3, 10000) x, y and visibility, after a look at whether all images are there.

    Raises:
        DataError: a file is missing or is not LSPET's.
    """
    every = read_variable(source / "joints.mat", "joints")
    if getattr(every, "shape", None) != (len(JOINTS), 3, 10000):
        raise DataError(f"{source / 'joints.mat'} must hold 14 × 3 × 10000 numbers, as LSPET's does and not LSP's")
    missing = [path for path in (source / "images" / name_of(each) for each in image_ids) if not path.is_file()]
    if missing:
        raise DataError(f"{len(missing)} images are missing, {missing[0]} the first")
    return np.asarray(every, np.float64)


def name_of(image_id: int) -> str:
    """Return an image's file name."""
    return f"im{image_id:05d}.jpg"


def convert(source: Path, out: Path, every: npt.NDArray[np.float64], image_ids: Iterable[int], part: str) -> None:
    """Write the images and the JSON of a part.

    Raises:
        DataError: an image does not decode, or has no joint.
    """
    records: dict[str, Any] = {"info": {}, "images": [], "annotations": []}
    for image_id in image_ids:
        name = name_of(image_id)
        image = cv2.imread(str(source / "images" / name), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        if image is None:
            raise DataError(f"{source / 'images' / name} does not decode")
        size = image.shape[1], image.shape[0]
        joints = every[:, :2, image_id - 1]
        labelled = (every[:, 2, image_id - 1] > 0) & (joints >= 0).all(1) & (joints < size).all(1)
        if not labelled.any():
            raise DataError(f"{name} has no joint inside the image")
        (left, top, right, bottom), scale, small = cut(joints[labelled], size)
        part_of_it = image[top:bottom, left:right]
        if scale < 1:
            part_of_it = cv2.resize(part_of_it, small, interpolation=cv2.INTER_AREA)
        if not cv2.imwrite(str(out / "images" / name), part_of_it, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]):
            raise DataError(f"{out / 'images' / name} cannot be written")
        records["images"].append(
            {
                "id": image_id,
                "file_name": name,
                "width": small[0],
                "height": small[1],
                "orig_wh": list(size),
                "crop_xy_scale": [left, top, round(scale, 5)],
            }
        )
        records["annotations"].append(annotation_of(image_id, (joints - [left, top]) * scale, labelled, small))
    records["categories"] = [{"id": 1, "name": "person", "keypoints": JOINTS, "skeleton": SKELETON}]
    path = out / "annotations" / f"lspet_{part}.json"
    path.write_text(json.dumps(records))
    print(f"{path}: {len(records['images'])} images")


def main(arguments: list[str] | None = None) -> int:
    """Read the command line, write the set, return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True, help="folder with joints.mat and images/")
    parser.add_argument("--out", type=Path, required=True, help="folder to write; must not exist or be empty")
    parser.add_argument("--ids", type=Path, default=IDS, help="ids of the training images (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        if options.out.exists() and any(options.out.iterdir()):
            raise DataError(f"{options.out} is not empty; name another folder")
        try:
            chosen = [int(line) for line in options.ids.read_text().split()]
        except (OSError, ValueError) as error:
            raise DataError(f"{options.ids} cannot be read: {error}") from error
        joints = read_joints(options.source, [*chosen, *TEST_IDS])
        for folder in ("annotations", "images"):
            (options.out / folder).mkdir(parents=True, exist_ok=True)
        for part, image_ids in (("train", chosen), ("test", TEST_IDS)):
            convert(options.source, options.out, joints, image_ids, part)
    except (DataError, OSError) as error:  # OSError: a full disk, or a folder of somebody else's
        print(f"make_lspet: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
