"""Random damage, in a process of its own: whatever a file says, nothing may crash, and every refusal is an error.

The file is also the program of that process: `python test_damaged_files.py masks FOLDER`.
"""

import json
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

SIZE = (9, 13)
NUMBERS = [
    0,
    1,
    -1,
    3.5,
    117,
    2**31 - 1,
    2**31,
    2**32,
    2**63,
    10**400,
    -(2**70),
    1e9,
    1e308,
    float("nan"),
    float("inf"),
]
THINGS = [None, True, "", "x", "ß\ud800", [], {}, [[]], [[[]]], {"size": 3}, [None], ["a"]]
CHARACTERS = "".join(map(chr, range(33, 127))) + " \n\0é"


def deep(draw):
    nested = 1
    for _ in range(draw.choice([3, 400, 900])):
        nested = [nested]
    return nested


def anything(draw):
    return draw.choice([lambda: draw.choice(NUMBERS), lambda: draw.choice(THINGS), lambda: deep(draw)])()


def polygons(draw):
    """A drawing that may be fine, or odd in every way that a list of lists can be."""
    parts = [
        [round(draw.uniform(-3, 15), 2) for _ in range(draw.choice([0, 2, 4, 6, 7, 8, 20]))]
        for _ in range(draw.randint(0, 3))
    ]
    if draw.random() < 0.1:  # from side to side of what a coordinate may be, which would take gigabytes
        parts.append([-9e5, 0, 9e5, 1] * 500)
    for part in parts:
        if part and draw.random() < 0.3:
            part[draw.randrange(len(part))] = anything(draw)
    if draw.random() < 0.1:
        parts.insert(0, anything(draw))
    return parts


def runs(draw):
    """Lengths that fill the image, damaged or not."""
    cuts = sorted(draw.randint(0, 117) for _ in range(draw.randint(0, 6)))
    counts = [b - a for a, b in zip([0, *cuts], [*cuts, 117], strict=True)]
    if draw.random() < 0.6:
        counts[draw.randrange(len(counts))] = anything(draw)
    return counts


def string(draw, written):
    """A compressed RLE, damaged or not."""
    text = list(draw.choice(written))
    for _ in range(draw.choice([0, 0, 1, 2, 5])):
        place = draw.randrange(len(text) + 1)
        text[place : place + draw.randint(0, 2)] = [draw.choice(CHARACTERS) for _ in range(draw.randint(0, 2))]
    return "".join(text) * draw.choice([1, 1, 1, 2, 50])


def size_of(draw):
    given = list(SIZE)
    if draw.random() < 0.2:
        given[draw.randrange(2)] = anything(draw)
    return draw.choice([given] * 8 + [given[::-1], [*given, 1], anything(draw)])


def fuzz_masks(folder):
    """Decode a thousand segmentations, each in its annotation of one file; return how many stood and how many not."""
    from pycocotools import mask as coco_mask

    from densezoo.datasets.annotations import AnnotationStore
    from densezoo.datasets.coco_masks import decode_masks, mask_rle
    from densezoo.errors import DataError

    draw, rng = random.Random(0), np.random.default_rng(0)
    written = [
        coco_mask.encode(np.asfortranarray(rng.integers(0, 2, SIZE, np.uint8)))["counts"].decode() for _ in range(20)
    ]
    kinds = [
        polygons,
        anything,
        lambda draw: {"size": size_of(draw), "counts": runs(draw)},
        lambda draw: {"size": size_of(draw), "counts": string(draw, written)},
        lambda draw: {"size": size_of(draw), "counts": anything(draw)},
    ]
    content = {
        "images": [{"id": 1, "file_name": "a.png", "height": SIZE[0], "width": SIZE[1]},
                   {"id": 2, "file_name": "b.png", "height": 2**31 - 1, "width": 2**31 - 1}],
        "categories": [{"id": 1, "name": "thing"}],
        "annotations": [
            {"id": number, "image_id": 1, "category_id": 1, "segmentation": draw.choice(kinds)(draw)}
            for number in range(1000)
        ] + [{"id": 1000 + number, "image_id": 2, "category_id": 1, "segmentation": given}
             for number, given in enumerate([[[0, 0, 5, 0, 5, 5]], [[1, 2]], {"size": [2**31 - 1] * 2, "counts": [1]}])
             ],
    }  # fmt: skip
    (folder / "file.json").write_text(json.dumps(content))
    store = AnnotationStore(folder / "file.json")
    found = Counter()
    for row in range(1003):
        size = store.image_size(int(store.columns["image_rows"][row]))
        try:
            rle = mask_rle(store, row, size)
            mask = decode_masks(store, np.array([row]), size)[0]
        except DataError as error:
            found["refused" if f"annotation {row}: 'segmentation' is malformed" in str(error) else "unnamed"] += 1
        else:
            drawn = np.zeros(SIZE) if rle is None else coco_mask.decode(rle)
            np.testing.assert_array_equal(drawn, mask)
            found["drawn" if mask.any() else "empty"] += 1
    return found


def fuzz_parser(folder):
    """Parse five hundred files of which one field or record is anything; return how many stood and how many not."""
    from densezoo.datasets.coco_parser.annotations import parse_annotations
    from densezoo.datasets.coco_parser.reading import Fault, read_json

    draw = random.Random(1)
    found = Counter()
    for _ in range(500):
        root = {
            "images": [{"id": number, "file_name": f"{number}.png", "height": 9, "width": 13} for number in (1, 2)],
            "categories": [{"id": 3, "name": "cat", "keypoints": ["nose", "tail"], "skeleton": [[1, 2]]}],
            "annotations": [
                {"id": number, "image_id": 1, "category_id": 3, "bbox": [1, 2, 3, 4], "area": 9.5, "iscrowd": 0,
                 "keypoints": [1, 2, 2, 3, 4, 0], "segmentation": [[1, 1, 4, 1, 4, 4]]}
                for number in (1, 2)
            ],
        }  # fmt: skip
        place = root
        while isinstance(place, dict) or (isinstance(place, list) and place):
            key = draw.choice(list(place)) if isinstance(place, dict) else draw.randrange(len(place))
            if draw.random() < 0.3 or not isinstance(place[key], (dict, list)):
                if draw.random() < 0.2:
                    del place[key]
                else:
                    place[key] = anything(draw)
                break
            place = place[key]
        (folder / "file.json").write_text(json.dumps(root))
        try:
            parse_annotations(read_json(folder / "file.json"))
        except Fault:
            found["refused"] += 1
        else:
            found["read"] += 1
    return found


@pytest.mark.parametrize(
    ("what", "most_refused", "least_stood"),
    [("masks", 900, {"drawn": 100, "empty": 20}), ("parser", 450, {"read": 30})],
)
def test_random_damage_is_refused_or_read_and_never_crashes(what, most_refused, least_stood, tmp_path, own_cache):
    done = subprocess.run(
        [sys.executable, __file__, what, str(tmp_path)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert 100 < found["refused"] < most_refused
    assert not found.get("unnamed")
    assert all(found[kind] >= count for kind, count in least_stood.items()), found


if __name__ == "__main__":
    print(json.dumps({"masks": fuzz_masks, "parser": fuzz_parser}[sys.argv[1]](Path(sys.argv[2]))))
