"""The lengths that joint distances are divided by: torso, head, box and eye distance.

| name | length in pixels of the file |
|---|---|
| `torso` | left shoulder to right hip; right shoulder to left hip where an end of the first is not labelled |
| `head` | `head_sizes` of the truth where the data set has them (MPII), else top of the head to the neck |
| `box` | the longer side of the annotated box |
| `box_size` | the square root of the annotated box's area |
| `interocular` | between two named joints, the eyes if none are named |

Other toolboxes measure the torso differently (some along one side, some along both diagonals), which moves PCK: the
scores of two programs can only be compared where their normalisers agree.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from densezoo.errors import ConfigError, DataError, near_names
from densezoo.types import DatasetMeta, ImageTruth

NormalizerName = Literal["torso", "head", "box", "box_size", "interocular"]
_HEAD_TOPS = ("head_top", "top_head", "top_of_head")
_NECKS = ("upper_neck", "neck")


@dataclass(frozen=True)
class Normalizer:
    """Measures an annotated instance; `Normalizer.named` makes one.

    Attributes:
        name: a row of the table above.
        pairs: (index, index) of joints; the first pair with both ends labelled is measured.
    """

    name: NormalizerName
    pairs: tuple[tuple[int, int], ...] = ()

    @classmethod
    def named(cls, name: str, meta: DatasetMeta, keypoints: Sequence[str] | None = None) -> "Normalizer":
        """Make the normaliser called `name` for the joints of `meta`.

        Args:
            name: a row of the table above.
            meta: names the joints.
            keypoints: the two joints of `interocular`; the eyes if None.

        Raises:
            ConfigError: no such normaliser, or the joints that it measures do not exist.
        """
        names: tuple[NormalizerName, ...] = get_args(NormalizerName)
        known = next((candidate for candidate in names if candidate == name), None)
        if known is None:
            raise ConfigError(f"normalizer {name!r} does not exist; {near_names(name, names)}")
        if keypoints is not None and known != "interocular":
            raise ConfigError(f"keypoints= names the ends of 'interocular'; normalizer {name!r} does not use it")
        if known == "interocular":
            first, second = _two_names(("left_eye", "right_eye") if keypoints is None else keypoints)
            return cls(known, ((keypoint_index(first, meta), keypoint_index(second, meta)),))
        if known == "torso":
            return cls(known, _torso_pairs(meta))
        return cls(known, _head_pairs(meta) if known == "head" else ())

    def measure(self, truth: ImageTruth, index: int) -> float:
        """Return the length of instance `index` of `truth` in pixels; NaN where it cannot be measured or is zero.

        Raises:
            DataError: neither head sizes nor a head and a neck joint exist.
        """
        length = self._length(truth, index)
        return length if np.isfinite(length) and length > 0 else float("nan")

    def _length(self, truth: ImageTruth, index: int) -> float:
        if self.name in ("box", "box_size"):
            x1, y1, x2, y2 = truth["boxes"][index].astype(np.float64)
            sides = max(x2 - x1, 0.0), max(y2 - y1, 0.0)
            return float(max(sides)) if self.name == "box" else float(np.sqrt(sides[0] * sides[1]))
        if self.name == "head" and "head_sizes" in truth:
            return float(truth["head_sizes"][index])
        if not self.pairs:
            raise DataError(
                "normalizer 'head' needs head sizes in the annotations, or a head and a neck joint; "
                "choose normalizer='torso' or 'box'"
            )
        points = truth["keypoints"][index].astype(np.float64)
        for first, second in self.pairs:
            if points[first, 2] > 0 and points[second, 2] > 0:
                return float(np.hypot(*(points[first, :2] - points[second, :2])))
        return float("nan")


def keypoint_index(name: str, meta: DatasetMeta) -> int:
    """Return the index of the joint called `name`.

    Raises:
        ConfigError: no joint has that name; near names are listed.
    """
    if name not in meta.keypoint_names:
        raise ConfigError(f"the data set has no keypoint {name!r}; {near_names(name, meta.keypoint_names)}")
    return meta.keypoint_names.index(name)


def _two_names(keypoints: Sequence[str]) -> tuple[str, str]:
    if isinstance(keypoints, str) or len(keypoints) != 2 or keypoints[0] == keypoints[1]:
        raise ConfigError(f"keypoints= must be two different names, as ('left_eye', 'right_eye'); got {keypoints!r}")
    return keypoints[0], keypoints[1]


def _torso_pairs(meta: DatasetMeta) -> tuple[tuple[int, int], ...]:
    if not meta.has_torso:
        raise ConfigError(
            "normalizer 'torso' needs the keypoints left_shoulder, right_shoulder, left_hip and right_hip; "
            f"the data set has {', '.join(meta.keypoint_names)}; choose normalizer='box'"
        )
    ends = ("left_shoulder", "right_hip"), ("right_shoulder", "left_hip")
    return tuple((keypoint_index(first, meta), keypoint_index(second, meta)) for first, second in ends)


def _head_pairs(meta: DatasetMeta) -> tuple[tuple[int, int], ...]:
    tops, necks = ([name for name in names if name in meta.keypoint_names] for names in (_HEAD_TOPS, _NECKS))
    return tuple((keypoint_index(top, meta), keypoint_index(neck, meta)) for top in tops for neck in necks)
