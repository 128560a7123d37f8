"""Writes synthetic scenes as a COCO data set: images, semantic maps, and one annotation file.

    folder/synthetic.json           what was asked for, so that a folder is never taken for another set
    folder/images/000000.jpg
    folder/semantic/000000.png      0 background, else the category id
    folder/annotations/train.json   COCO instances and keypoints; `images[].semantic` names the map

Image i depends only on the generator's version, the seed, the split, the size, `max_people`, `difficulty` and i: a
larger set begins with a smaller one.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pycocotools.mask

from densezoo.datasets.generated_folder import generate_folder, holds_record, write_encoded
from densezoo.datasets.synthetic_figure import KEYPOINT_NAMES, SKELETON
from densezoo.datasets.synthetic_scene import CLASSES, Instance, draw_scene
from densezoo.errors import ConfigError
from densezoo.types import Array

VERSION = 1
"""Counted up whenever the same arguments give other files."""
SPLITS = ("train", "val", "test")

_SMALLEST_SIDE = 32
_JPEG_QUALITY = 92


@dataclass(frozen=True)
class SyntheticSpec:
    """What fixes every byte of a synthetic set.

    Attributes:
        num_images: at least 1.
        size: (height, width) in pixels, each at least 32.
        max_people: most figures in one scene, 1 to 20.
        seed: not negative.
        split: `'train'`, `'val'` or `'test'`; the three never share an image.
        difficulty: 0 to 1, see `densezoo.datasets.synthetic_scene.draw_scene`.
    """

    num_images: int
    size: tuple[int, int]
    max_people: int = 3
    seed: int = 0
    split: str = "train"
    difficulty: float = 1.0

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ConfigError: one is out of its range.
        """
        if self.num_images < 1:
            raise ConfigError(f"num_images must be at least 1, not {self.num_images}")
        if len(self.size) != 2 or min(self.size) < _SMALLEST_SIDE:
            raise ConfigError(f"size must be (height, width), each at least {_SMALLEST_SIDE}, not {self.size}")
        if not 1 <= self.max_people <= 20:
            raise ConfigError(f"max_people must be 1 to 20, not {self.max_people}")
        if self.seed < 0:
            raise ConfigError(f"seed must not be negative, not {self.seed}")
        if self.split not in SPLITS:
            raise ConfigError(f"split must be one of {', '.join(SPLITS)}, not {self.split!r}")
        if not 0 <= self.difficulty <= 1:
            raise ConfigError(f"difficulty must be 0 to 1, not {self.difficulty}")

    @property
    def name(self) -> str:
        """A folder name that no other set has."""
        height, width = self.size
        drawn = f"people{self.max_people}_difficulty{self.difficulty:.6g}_seed{self.seed}_v{VERSION}"
        return f"{self.split}_{self.num_images}x{height}x{width}_{drawn}"

    def random_generator(self, index: int) -> np.random.Generator:
        """Return the generator that draws image `index`."""
        return np.random.default_rng((VERSION, self.seed, SPLITS.index(self.split), *self.size, self.max_people, index))


def generate(folder: str | Path, spec: SyntheticSpec) -> bool:
    """Write the set that `spec` describes to `folder`, unless it is there already.

    The set appears in one step when it is complete; when two processes generate the same one, the first to finish
    wins and both may read it.

    Returns:
        Whether this call wrote it.

    Raises:
        DataError: the folder holds something else, or cannot be written.
    """
    return generate_folder(Path(folder), _record(spec), lambda target: _write(target, spec))


def is_generated(folder: Path, spec: SyntheticSpec) -> bool:
    """Whether `folder` holds the whole set that `spec` describes; False where it is missing or empty.

    Raises:
        DataError: it holds something else.
    """
    return holds_record(folder, _record(spec))


def _record(spec: SyntheticSpec) -> dict[str, Any]:
    return {"version": VERSION, **asdict(spec), "size": list(spec.size)}


def _write(folder: Path, spec: SyntheticSpec) -> None:
    for name in ("images", "semantic", "annotations"):
        (folder / name).mkdir()
    height, width = spec.size
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for index in range(spec.num_images):
        scene = draw_scene(spec.random_generator(index), spec.size, spec.max_people, spec.difficulty)
        picture, semantic = f"{index:06d}.jpg", f"semantic/{index:06d}.png"
        write_encoded(folder / "images" / picture, scene.image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
        write_encoded(folder / semantic, scene.semantic, [cv2.IMWRITE_PNG_COMPRESSION, 1])
        images.append({"id": index + 1, "file_name": picture, "width": width, "height": height, "semantic": semantic})
        for instance in scene.instances:
            annotations.append({"id": len(annotations) + 1, "image_id": index + 1, **annotation(instance)})
    content = {
        "info": {"description": "densezoo synthetic scenes", "version": str(VERSION)},
        "licenses": [],
        "images": images,
        "annotations": annotations,
        "categories": categories(),
    }
    # One string: json.dump writes token by token, three times slower.
    (folder / "annotations" / f"{spec.split}.json").write_text(json.dumps(content, separators=(",", ":")))


def categories() -> list[dict[str, Any]]:
    """COCO categories: 1 is the person with its keypoints, then the shapes."""
    result: list[dict[str, Any]] = [
        {"id": number, "name": name, "supercategory": "person" if name == "person" else "shape"}
        for number, name in enumerate(CLASSES, start=1)
    ]
    result[0] |= {"keypoints": list(KEYPOINT_NAMES), "skeleton": [[a + 1, b + 1] for a, b in SKELETON]}
    return result


def annotation(instance: Instance) -> dict[str, Any]:
    """COCO fields of one object, without ids. Box and area are those of its visible pixels."""
    left, top, width, height = cv2.boundingRect(instance.mask.astype(np.uint8))
    fields: dict[str, Any] = {
        "category_id": instance.category,
        "segmentation": segmentation(instance.mask),
        "area": int(instance.mask.sum()),
        "bbox": [left, top, width, height],
        "iscrowd": 0,
    }
    if instance.keypoints is not None:
        flags = instance.keypoints[:, 2].astype(int).tolist()
        points = np.round(instance.keypoints[:, :2], 2).tolist()
        fields["keypoints"] = [value for (x, y), flag in zip(points, flags, strict=True) for value in (x, y, flag)]
        fields["num_keypoints"] = sum(flag > 0 for flag in flags)
    return fields


def segmentation(mask: Array) -> "list[list[int]] | dict[str, Any]":
    """COCO segmentation of a mask (H, W) bool: one polygon where that is exact, else compressed RLE.

    A polygon runs along pixel edges, so that it decodes to the very same pixels.
    """
    pixels = mask.astype(np.uint8)
    height, width = pixels.shape
    # On a doubled grid a border pixel tells which edge of the original pixel the border follows.
    doubled = cv2.resize(pixels, (2 * width, 2 * height), interpolation=cv2.INTER_NEAREST)
    contours, _ = cv2.findContours(doubled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    if len(contours) == 1:
        corners = (contours[0].reshape(-1, 2) + 1) // 2
        corners = corners[np.any(corners != np.roll(corners, 1, axis=0), axis=1)]
        step = np.roll(corners, -1, axis=0) - corners
        corners = corners[np.any(step != np.roll(step, 1, axis=0), axis=1)]
        polygon = [int(value) for value in corners.ravel()]
        decoded = pycocotools.mask.decode(pycocotools.mask.frPyObjects([polygon], height, width))
        if np.array_equal(decoded[..., 0], pixels):
            return [polygon]
    rle = pycocotools.mask.encode(np.asfortranarray(pixels))
    return {"size": rle["size"], "counts": rle["counts"].decode("ascii")}
