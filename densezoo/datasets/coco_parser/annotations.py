"""Columns of an annotation file.

I images in file order, A annotations grouped by image and in file order within one:

`image_ids` (I) · `image_sizes` (I, 2) height, width · `file_names`, `semantic_names` UTF-8 bytes, and where each ends:
`file_name_ends`, `semantic_name_ends` (I + 1) · `first` (I + 1) annotation rows of each image · `ids`, `image_rows`,
`labels`, `crowd`, `areas` (A) · `boxes` (A, 4) x, y, width, height as annotated, NaN where there is none · `keypoints`
(T, 3) and `keypoint_ends` (A + 1) · `labelled` (A) number of keypoints with visibility > 0 · `mask_kinds` (A), one of
`NO_MASK` … · `coordinates` of all polygons, `part_ends` (parts + 1) in coordinates, `mask_parts` (A + 1) in parts ·
`rle_bytes` (of a malformed mask the reason, UTF-8), `rle_ends` (A + 1), `rle_sizes` (A, 2) height, width.

Annotations of a category that the file does not list are none of these, as COCO's evaluation passes over them; they are
counted: `unlisted_rows` the image of each, `unlisted_categories` its category id (U).
"""

from array import array
from collections.abc import Iterable
from typing import Any

import numpy as np

from .masks import MaskColumns
from .reading import Array, Fault, is_real, refuse_twins, short, whole_number

_FARTHEST = 1e9  # pixels; a box with a larger number is none


def parse_annotations(root: Any) -> tuple[dict[str, Array], dict[str, Any]]:
    """Turn the JSON of an annotation file into columns.

    Returns:
        The columns (see the module), and the facts that are no arrays: the categories, in label order.

    Raises:
        Fault: the file is not COCO annotations, or contradicts itself.
    """
    if type(root) is not dict:
        hint = "; is this a detection file (for 'boxes=')?" if type(root) is list else ""
        raise Fault(f"holds a {type(root).__name__} where COCO has an object of images, annotations, categories{hint}")
    for key in ("images", "annotations", "categories"):
        if type(root.get(key)) is not list:
            found = "is no list" if key in root else "is missing"
            raise Fault(f"'{key}' {found}; a COCO file has the lists images, annotations and categories")
    categories = sorted(
        (_category(record, f"categories[{index}]") for index, record in enumerate(root["categories"])),
        key=lambda category: int(category["id"]),
    )
    refuse_twins((category["id"] for category in categories), "category")
    columns = _image_columns(root["images"])
    image_row = {image_id: row for row, image_id in enumerate(columns["image_ids"].tolist())}
    records = root["annotations"]
    listed = {category["id"] for category in categories}
    kept, image_rows = array("q"), array("i")
    unlisted_rows, unlisted = array("i"), array("q")
    for index, record in enumerate(records):
        image_id = whole_number(record, "image_id", f"annotations[{index}]")
        if image_id not in image_row:
            raise Fault(f"{_name(index, record)}: 'image_id' {image_id} is not the id of any image of the file")
        category_id = whole_number(record, "category_id", _name(index, record))
        if category_id in listed:
            kept.append(index)
            image_rows.append(image_row[image_id])
        else:
            unlisted.append(category_id)
            unlisted_rows.append(image_row[image_id])
    if unlisted and not kept:
        raise Fault(
            f"no annotation has a category of the file: {_name(0, records[0])} has 'category_id' {unlisted[0]}, "
            f"the ids of 'categories' are {short(sorted(listed))}; mend one or the other"
        )
    rows = np.array(image_rows, np.int32)
    order = np.argsort(rows, kind="stable")
    columns["image_rows"] = rows[order]
    columns["first"] = np.searchsorted(columns["image_rows"], np.arange(len(image_row) + 1)).astype(np.int64)
    columns["unlisted_rows"] = np.array(unlisted_rows, np.int32)
    columns["unlisted_categories"] = np.array(unlisted, np.int64)
    columns |= _annotation_columns(records, np.array(kept, np.int64)[order].tolist(), categories)
    return columns, {"categories": categories}


def _category(record: Any, where: str) -> dict[str, Any]:
    category_id = whole_number(record, "id", where)
    name = record.get("name")
    if type(name) is not str:
        raise Fault(f"{where}: 'name' must be a string, not {short(name)}")
    keypoints = record.get("keypoints") or []
    if not isinstance(keypoints, (list, array)) or not all(type(keypoint) is str for keypoint in keypoints):
        raise Fault(f"category '{name}': 'keypoints' must be a list of names, not {short(keypoints)}")
    skeleton = record.get("skeleton") or []
    if type(skeleton) is not list or not all(
        type(limb) is list and len(limb) == 2 and all(type(end) is int for end in limb) for limb in skeleton
    ):
        raise Fault(f"category '{name}': 'skeleton' must be a list of pairs of keypoint numbers")
    return {"id": category_id, "name": name, "keypoints": list(keypoints), "skeleton": skeleton}


def _image_columns(records: list[Any]) -> dict[str, Array]:
    ids, sizes = array("q"), array("i")
    names: list[bytes] = []
    semantic: list[bytes] = []
    for index, record in enumerate(records):
        ids.append(whole_number(record, "id", f"images[{index}]"))
        where = f"image {ids[-1]}"
        for key in ("height", "width"):
            pixels = whole_number(record, key, where)
            if not 0 < pixels < 2**31:
                raise Fault(f"{where}: '{key}' is {pixels}; it must be the file's size in pixels")
            sizes.append(pixels)
        name = record.get("file_name")
        if type(name) is not str or not name:
            raise Fault(f"{where}: 'file_name' must be the name of the image file, not {short(name)}")
        names.append(name.encode("utf-8", "surrogatepass"))
        meant = record.get("semantic")
        semantic.append(meant.encode("utf-8", "surrogatepass") if type(meant) is str else b"")
    refuse_twins(ids, "image")
    columns: dict[str, Array] = {
        "image_ids": np.array(ids, np.int64),
        "image_sizes": np.array(sizes, np.int32).reshape(-1, 2),
    }
    for key, texts in (("file_names", names), ("semantic_names", semantic)):
        columns[key] = np.frombuffer(b"".join(texts), np.uint8)
        columns[f"{key[:-1]}_ends"] = _ends(map(len, texts))
    return columns


def _ends(lengths: Iterable[int]) -> Array:
    return np.cumsum([0, *lengths], dtype=np.int64)


def _name(index: int, record: dict[str, Any]) -> str:
    return f"annotation {record['id']}" if type(record.get("id")) is int else f"annotations[{index}]"


def _annotation_columns(records: list[Any], order: list[int], categories: list[dict[str, Any]]) -> dict[str, Array]:
    label_of = {category["id"]: label for label, category in enumerate(categories)}
    ids, labels, crowd, boxes, areas = array("q"), array("i"), array("b"), array("d"), array("d")
    keypoints, keypoint_ends = array("f"), array("q", [0])
    masks = MaskColumns()
    for index in order:
        record = records[index]
        ids.append(whole_number(record, "id", f"annotations[{index}]"))
        where = f"annotation {ids[-1]}"
        labels.append(label_of[record["category_id"]])
        if record.get("iscrowd", 0) not in (0, 1, None):
            raise Fault(f"{where}: 'iscrowd' must be 0 or 1, not {short(record['iscrowd'])}")
        crowd.append(1 if record.get("iscrowd") else 0)
        area = record.get("area")
        if area is not None and not is_real(area):
            raise Fault(f"{where}: 'area' must be a number, not {short(area)}")
        areas.append(float("nan") if area is None else float(area))
        box = record.get("bbox")
        if box is not None and (not isinstance(box, array) or len(box) not in (0, 4)):
            raise Fault(f"{where}: 'bbox' must be four numbers x, y, width, height, not {short(box)}")
        near = box and all(abs(number) < _FARTHEST for number in box)
        boxes.extend(box if box and near else array("d", [float("nan")] * 4))
        keypoints.extend(map(float, _keypoints(record, categories[labels[-1]], where)))
        keypoint_ends.append(len(keypoints) // 3)
        masks.add(record.get("segmentation"))
    refuse_twins(ids, "annotation")
    columns: dict[str, Array] = {
        "ids": np.array(ids, np.int64),
        "labels": np.array(labels, np.int32),
        "crowd": np.array(crowd, np.bool_),
        "boxes": np.array(boxes, np.float64).reshape(-1, 4),
        "areas": np.array(areas, np.float64),
        "keypoints": np.array(keypoints, np.float32).reshape(-1, 3),
        "keypoint_ends": np.array(keypoint_ends, np.int64),
    }
    columns["boxes"][~np.isfinite(columns["boxes"]).all(axis=1)] = np.nan
    visibility = columns["keypoints"][:, 2]
    wrong = ~np.isfinite(columns["keypoints"]).all(axis=1) | ~np.isin(visibility, (0, 1, 2))
    if wrong.any():
        row = int(np.searchsorted(columns["keypoint_ends"], int(np.argmax(wrong)), side="right")) - 1
        found = columns["keypoints"][wrong][0].tolist()
        raise Fault(f"annotation {ids[row]}: 'keypoints' has {found}; x and y are numbers and visibility is 0, 1 or 2")
    seen = np.concatenate([[0], np.cumsum(visibility > 0)])
    columns["labelled"] = np.diff(seen[columns["keypoint_ends"]]).astype(np.int32)
    return columns | masks.columns()


def _keypoints(record: dict[str, Any], category: dict[str, Any], where: str) -> Iterable[float]:
    values = record.get("keypoints")
    count = len(category["keypoints"])
    if values is None or not count:  # without names nobody knows what they are, and boxes and masks do not need them
        return ()
    if not isinstance(values, array):
        raise Fault(f"{where}: 'keypoints' must be a list of numbers x, y, visibility, not {short(values)}")
    if len(values) not in (0, 3 * count):
        raise Fault(
            f"{where}: 'keypoints' has {len(values)} numbers, but category '{category['name']}' names {count} "
            f"keypoints, which take {3 * count}; mend the annotation, or 'keypoints' of the category"
        )
    return values
