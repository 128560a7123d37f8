"""The three files that MPII Human Pose annotations come in, each read into `PersonArrays`.

- `mpii_human_pose_v1_u12_1.mat`, as the authors publish it (http://human-pose.mpi-inf.mpg.de): struct `RELEASE` with
  `annolist(i).image.name`, `annolist(i).annorect(p)` and `img_train(i)`. A rectangle has the head box `x1 y1 x2 y2`,
  the rough position `objpos` (x, y), `scale`, and `annopoints.point` (x, y, id from 0, is_visible). Any of them may be
  missing or empty; the people of test images have only `scale` and `objpos`, or nothing. `is_visible` is 0, 1, '0', '1'
  or empty (so for head top and upper neck, which stem from the head box); empty counts as visible.
- `mpii_annotations.json`, as pytorch-pose and Convolutional Pose Machines write it: a list, or {"root": list}, of
  `img_paths, isValidation, objpos, scale_provided, joint_self` (16 rows of x, y, visible; zeros where unlabelled).
- `train.json`, `valid.json`, `trainval.json`, `test.json`, as HRNet, SimpleBaseline and MMPose use them: a list of
  `image, center, scale, joints, joints_vis`. `joints_vis` says which joints are *labelled* (hidden ones included; the
  file keeps no other flag), so they all count as visible here. The test file has neither joints nor `joints_vis`.

All three hold the same numbers, taken as MATLAB's (pixel 1 is the first), and `scale` is the head box in another form:
0.6 · diagonal of the head box = 25 · scale. (The segment from upper neck to head top is 0.8 of that diagonal; 0.75 of
it equals 25 · scale to five digits.) So the JSON files, which have no head box, give the normaliser of PCKh too.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from densezoo.datasets.matlab import PIXEL_ONE, field, items, number, read_variable
from densezoo.datasets.person_arrays import PersonArrays, keypoint_extent, mark_unlabelled, squares
from densezoo.errors import DataError
from densezoo.types import Array

NUM_JOINTS = 16
HEAD_SIZE_OF_DIAGONAL = 0.6  # the authors' evaluation code (SC_BIAS)
HEAD_SIZE_OF_SCALE = 25.0
CENTRE_DOWN = 15.0  # pixels per scale; Newell et al. 2016, so that the ankles are not cut off
FRAME_SIDE = 1.25 * 200.0  # pixels per scale; likewise


@dataclass(frozen=True)
class MpiiFile:
    """What one file says.

    Attributes:
        people: everyone with a position and a scale.
        split: (P,) of 'train', 'val', 'trainval' (the file does not tell the two apart), 'test' or '' (the file says
            nothing: it is the split).
        left_out: why people are not in `people`, and how many.
    """

    people: PersonArrays
    split: Array
    left_out: dict[str, int]


class _People:
    """Collects people one by one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.images: dict[str, int] = {}
        self.image_of: list[int] = []
        self.ids: list[int] = []
        self.joints: list[Array] = []
        self.centres: list[tuple[float, float]] = []
        self.scales: list[float] = []
        self.head_sizes: list[float] = []
        self.split: list[str] = []
        self.left_out = {"no_position": 0}

    def add(
        self,
        image: str,
        joints: Array,
        centre: tuple[float | None, float | None],
        scale: float | None,
        head_size: float | None,
        split: str,
    ) -> None:
        """Take a person with (16, 3) joints in MATLAB's pixels; visibility as in `Sample`."""
        identity = len(self.ids) + sum(self.left_out.values()) + 1
        x, y = centre
        # A scale below 0 or a position of -1 stands for "not annotated" in files derived from the authors'.
        if x is None or y is None or scale is None or scale <= 0 or x == -1:
            self.left_out["no_position"] += 1
            return
        if image not in self.images:
            self.images[image] = len(self.images)
        self.image_of.append(self.images[image])
        self.ids.append(identity)
        self.joints.append(joints)
        self.centres.append((x, y))
        self.scales.append(scale)
        self.head_sizes.append(HEAD_SIZE_OF_SCALE * scale if head_size is None else head_size)
        self.split.append(split)

    def finish(self) -> MpiiFile:
        if not self.ids:
            raise DataError(f"{self.path} has nobody with a position and a scale")
        stems = [Path(name).stem for name in self.images]
        if not all(stem.isdecimal() for stem in stems):
            wrong = next(stem for stem in stems if not stem.isdecimal())
            raise DataError(f"{self.path}: image {wrong!r} has no number for a name; MPII's are like '015601864.jpg'")
        joints, scales = np.stack(self.joints), np.array(self.scales)
        keypoints = mark_unlabelled(joints[..., :2] - PIXEL_ONE, joints[..., 2])
        centres = np.array(self.centres) - PIXEL_ONE
        centres[:, 1] += CENTRE_DOWN * scales
        frames = squares(centres, FRAME_SIDE * scales)
        people = PersonArrays(
            names=np.array(list(self.images)),
            image_ids=np.array([int(stem) for stem in stems]),
            image_of=np.array(self.image_of, np.int32),
            ids=np.array(self.ids, np.int64),
            keypoints=keypoints,
            frames=frames,
            boxes=keypoint_extent(keypoints, otherwise=frames),
            head_sizes=np.array(self.head_sizes, np.float32),
        )
        return MpiiFile(people, np.array(self.split), self.left_out)


def read_mpii(path: Path) -> MpiiFile:
    """Read any of the three files; which one is told by its name's ending and its keys.

    Raises:
        DataError: no such file, neither MATLAB nor JSON, other keys than any of the three, or nobody in it.
    """
    if path.suffix == ".mat":
        return _read_release(path)
    records = _read_records(path)
    if "joint_self" in records[0]:
        return _read_pytorch_pose(records, path)
    if "image" in records[0] and "center" in records[0]:
        return _read_hrnet(records, path)
    raise DataError(
        f"{path}: its first record has the keys {', '.join(records[0])}; MPII JSON has either 'img_paths' and "
        "'joint_self' (mpii_annotations.json) or 'image', 'center', 'scale' and 'joints' (train.json)"
    )


def _read_release(path: Path) -> MpiiFile:
    release = read_variable(path, "RELEASE")
    images, is_train = field(release, "annolist"), field(release, "img_train")
    if images is None or is_train is None:
        fields = ", ".join(getattr(release, "_fieldnames", []))
        raise DataError(f"{path}: RELEASE needs 'annolist' and 'img_train'; it has {fields or 'no fields'}")
    people = _People(path)
    for image, train in zip(items(images), np.atleast_1d(is_train), strict=True):
        name = str(field(field(image, "image"), "name"))
        for rect in items(field(image, "annorect")):
            corners = [number(rect, corner) for corner in ("x1", "y1", "x2", "y2")]
            x1, y1, x2, y2 = (np.nan if corner is None else corner for corner in corners)
            head = None if None in corners else HEAD_SIZE_OF_DIAGONAL * float(np.hypot(x2 - x1, y2 - y1))
            position = field(rect, "objpos")
            people.add(
                name,
                joints=_read_points(rect),
                centre=(number(position, "x"), number(position, "y")),
                scale=number(rect, "scale"),
                head_size=head,
                split="trainval" if train else "test",
            )
    return people.finish()


def _read_points(rect: Any) -> Array:
    """Return (16, 3) x, y, visibility of one rectangle; zeros where it has no point."""
    joints = np.zeros((NUM_JOINTS, 3))
    for point in items(field(field(rect, "annopoints"), "point")):
        x, y, joint = number(point, "x"), number(point, "y"), number(point, "id")
        if x is not None and y is not None and joint is not None and 0 <= joint < NUM_JOINTS:
            joints[int(joint)] = x, y, 1 if number(point, "is_visible") == 0 else 2
    return joints


def _read_records(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        raise DataError(f"there is no file {path}; check `annotations` and the data root")
    try:
        records = json.loads(path.read_text())
    except ValueError as error:
        raise DataError(f"{path} is neither a .mat file nor JSON: {error}") from error
    if isinstance(records, dict) and "root" in records:
        records = records["root"]
    if not isinstance(records, list) or not records or not isinstance(records[0], dict):
        raise DataError(f"{path} is not a list of people")
    return records


def _joints(values: Any, columns: int, where: str) -> Array:
    joints = np.asarray(values, dtype=float)
    if joints.shape != (NUM_JOINTS, columns):
        raise DataError(f"{where}: its joints have shape {joints.shape}, not ({NUM_JOINTS}, {columns})")
    return joints


def _read_pytorch_pose(records: list[dict[str, Any]], path: Path) -> MpiiFile:
    people = _People(path)
    for row, record in enumerate(records):
        where = f"{path}: record {row}"
        try:
            joints = _joints(record["joint_self"], 3, where)
            labelled = (joints[:, :2] != 0).any(axis=1)
            joints[:, 2] = np.where(labelled, np.where(joints[:, 2] == 0, 1, 2), 0)
            people.add(
                record["img_paths"],
                joints=joints,
                centre=(float(record["objpos"][0]), float(record["objpos"][1])),
                scale=float(record["scale_provided"]),
                head_size=None,
                split="val" if record["isValidation"] else "train",
            )
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise DataError(f"{where} is not a person of mpii_annotations.json: {error!r}") from error
    return people.finish()


def _read_hrnet(records: list[dict[str, Any]], path: Path) -> MpiiFile:
    people = _People(path)
    for row, record in enumerate(records):
        where = f"{path}: record {row}"
        try:
            joints = np.zeros((NUM_JOINTS, 3))
            if "joints" in record:
                joints[:, :2] = _joints(record["joints"], 2, where)
                joints[:, 2] = np.where(np.asarray(record["joints_vis"]) > 0, 2, 0)
            people.add(
                record["image"],
                joints=joints,
                centre=(float(record["center"][0]), float(record["center"][1])),
                scale=float(record["scale"]),
                head_size=None,
                split="" if "joints" in record else "test",
            )
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise DataError(f"{where} is not a person of an MPII train.json: {error!r}") from error
    return people.finish()
