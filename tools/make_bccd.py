#!/usr/bin/env python
"""Write BCCD's boxes as COCO JSON, beside its images, for the configs `*_bccd.py`.

    git clone https://github.com/Shenggan/BCCD_Dataset
    python tools/make_bccd.py --source BCCD_Dataset --out data/bccd

364 images of blood cells (MIT licence), in the repository's own split of 205, 87 and 72. Corners are taken as they
stand in the XML and cut at the image's edge; two boxes without an area are left out. Ids count the files of a part by
name.
"""

import argparse
import json
import shutil
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

# The repository in place of this folder, whose profile.py would hide the standard library's.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from densezoo.errors import DataError

CLASSES = ("RBC", "WBC", "Platelets")
PARTS = ("train", "val", "test")
CORNERS = ("xmin", "ymin", "xmax", "ymax")


def read_boxes(path: Path) -> tuple[tuple[int, int], list[tuple[int, list[int]]]]:
    """Return an image's (width, height), and of each box the category, from 1, and x, y, width, height.

    Raises:
        DataError: the file is missing, or is not BCCD's XML.
    """
    try:
        root = ElementTree.parse(path).getroot()
        width, height = (int(root.findtext(f"size/{side}", "")) for side in ("width", "height"))
        boxes = []
        for thing in root.iter("object"):
            low_x, low_y, high_x, high_y = (int(thing.findtext(f"bndbox/{corner}", "")) for corner in CORNERS)
            x, y = max(low_x, 0), max(low_y, 0)
            box = [x, y, min(high_x, width) - x, min(high_y, height) - y]
            if min(box[2:]) > 0:
                boxes.append((CLASSES.index(thing.findtext("name", "")) + 1, box))
    except (OSError, ElementTree.ParseError, ValueError) as error:
        raise DataError(f"{path} is not as BCCD publishes it: {error}") from error
    return (width, height), boxes


def records_of(source: Path, part: str) -> dict[str, Any]:
    """Return the JSON of a part.

    Raises:
        DataError: a file is missing or broken.
    """
    path = source / "BCCD" / "ImageSets" / "Main" / f"{part}.txt"
    if not path.is_file():
        raise DataError(f"there is no file {path}; --source must be a clone of BCCD_Dataset")
    records: dict[str, Any] = {"info": {}, "images": [], "annotations": []}
    for image_id, name in enumerate(sorted(path.read_text().split()), start=1):
        (width, height), boxes = read_boxes(source / "BCCD" / "Annotations" / f"{name}.xml")
        records["images"].append({"id": image_id, "file_name": f"{name}.jpg", "width": width, "height": height})
        for category, box in boxes:
            records["annotations"].append(
                {
                    "id": len(records["annotations"]) + 1,
                    "image_id": image_id,
                    "category_id": category,
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": 0,
                }
            )
    return records | {"categories": [{"id": number, "name": name} for number, name in enumerate(CLASSES, start=1)]}


def write(source: Path, out: Path) -> None:
    """Write images and JSON.

    Raises:
        DataError: `out` is not empty, or a file is missing or broken.
    """
    if out.exists() and any(out.iterdir()):
        raise DataError(f"{out} is not empty; name another folder")
    parts = {part: records_of(source, part) for part in PARTS}
    images = [source / "BCCD" / "JPEGImages" / each["file_name"] for part in parts.values() for each in part["images"]]
    missing = [path for path in images if not path.is_file()]
    if missing:
        raise DataError(f"{len(missing)} images are missing, {missing[0]} the first")
    for folder in ("annotations", "images"):
        (out / folder).mkdir(parents=True)
    for path in images:
        shutil.copyfile(path, out / "images" / path.name)
    for part, records in parts.items():
        path = out / "annotations" / f"instances_{part}.json"
        path.write_text(json.dumps(records))
        print(f"{path}: {len(records['images'])} images, {len(records['annotations'])} cells")


def main(arguments: list[str] | None = None) -> int:
    """Read the command line, write the set, return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True, help="clone of BCCD_Dataset")
    parser.add_argument("--out", type=Path, required=True, help="folder to write; must not exist or be empty")
    options = parser.parse_args(arguments)
    try:
        write(options.source, options.out)
    except (DataError, OSError) as error:  # OSError: a full disk, or a folder of somebody else's
        print(f"make_bccd: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
