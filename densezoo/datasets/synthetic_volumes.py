"""The embedded data set of volumes: heads of ellipsoids with their voxels, made on first use.

    <data_root>/synthetic_volumes/<name>/synthetic.json        what was asked for
                                         images/000000.jpg
                                         volumes/000000.png    the slices, nearest first, one below the other

Volumes are aligned with their image and as deep as its shorter side, see `densezoo.functional.volumes`. Image i depends
only on the generator's version, the seed, the split, the size, the number of slices, the difficulty and i: a larger set
begins with a smaller one. Deleting a folder makes it anew.

Example:
    train_data = dict(type="SyntheticVolumes", split="train", num_images=1000)
    val_data = dict(type="SyntheticVolumes", split="val", num_images=100)
"""

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from densezoo.datasets.generated_folder import generate_folder, holds_record, write_encoded
from densezoo.datasets.images import read_image
from densezoo.datasets.subset import in_subset
from densezoo.datasets.synthetic_head import draw_head
from densezoo.errors import ConfigError, DataError, near_names
from densezoo.registry import DATASETS
from densezoo.types import Array, DatasetMeta, ImageTruth, Sample, identity_affine

VERSION = 1
"""Counted up whenever the same arguments give other files."""
SPLITS = ("train", "val", "test")

_SMALLEST_SIDE = 32
_JPEG_QUALITY = 92


@dataclass(frozen=True)
class _Spec:
    """What fixes every byte of a set; arguments of `SyntheticVolumes`."""

    split: str
    num_images: int
    size: tuple[int, int]
    num_slices: int
    difficulty: float
    seed: int

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise ConfigError(f"SyntheticVolumes: no split={self.split!r}; {near_names(str(self.split), SPLITS)}")
        if self.num_images < 1:
            raise ConfigError(f"SyntheticVolumes: num_images={self.num_images} must be at least 1")
        if min(self.size) < _SMALLEST_SIDE:
            raise ConfigError(f"SyntheticVolumes: the sides of size={self.size} must be at least {_SMALLEST_SIDE}")
        if self.num_slices < 2:
            raise ConfigError(f"SyntheticVolumes: num_slices={self.num_slices} must be at least 2")
        if not 0 <= self.difficulty <= 1:
            raise ConfigError(f"SyntheticVolumes: difficulty={self.difficulty} must be 0 to 1")
        if self.seed < 0:
            raise ConfigError(f"SyntheticVolumes: seed={self.seed} must not be negative")

    @property
    def name(self) -> str:
        """A folder name that no other set has."""
        height, width = self.size
        shape = f"{self.num_images}x{self.num_slices}x{height}x{width}"
        return f"{self.split}_{shape}_difficulty{self.difficulty:.6g}_seed{self.seed}_v{VERSION}"

    @property
    def thickness(self) -> float:
        """Pixels of depth of a slice."""
        return min(self.size) / self.num_slices

    def record(self) -> dict[str, Any]:
        """Return what tells this set from others, in values that JSON has."""
        return {"kind": "volumes", "version": VERSION, **asdict(self), "size": list(self.size)}

    def write(self, folder: Path) -> None:
        """Draw every image and its volume into a folder."""
        for name in ("images", "volumes"):
            (folder / name).mkdir()
        for index in range(self.num_images):
            key = (VERSION, self.seed, SPLITS.index(self.split), *self.size, self.num_slices, index)
            scene = draw_head(np.random.default_rng(key), self.size, self.num_slices, self.thickness, self.difficulty)
            image, slices = scene.image[..., ::-1], 255 * scene.volume.reshape(-1, self.size[1])
            write_encoded(folder / f"images/{index:06d}.jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
            write_encoded(folder / f"volumes/{index:06d}.png", slices, [cv2.IMWRITE_PNG_BILEVEL, 1])


@DATASETS.register()
class SyntheticVolumes:
    """Drawn heads, one for each image, with their volumes.

    Attributes:
        meta: one class, the head, and the slices of volumes.
        folder: where the files are.
    """

    def __init__(
        self,
        data_root: str | Path,
        split: str = "train",
        num_images: int = 1000,
        size: int | Sequence[int] = 96,
        num_slices: int = 32,
        difficulty: float = 1.0,
        seed: int = 0,
        subset: Mapping[str, Any] | None = None,
    ) -> None:
        """Open the set, and make it first where it is not there yet.

        Args:
            data_root: folder of all data.
            split: `'train'`, `'val'` or `'test'`; they share no image.
            num_images: at least 1; a larger set begins with a smaller one.
            size: of every image, (height, width) or one number for both, at least 32.
            num_slices: D; together they are as deep as the shorter side of the image.
            difficulty: 0 to 1, of the background and the photograph; the heads are the same.
            seed: another seed gives other images.
            subset: part of the images, see `densezoo.datasets.subset.in_subset`.

        Raises:
            ConfigError: an argument is out of its range.
            DataError: the files cannot be written, or something else lies in their place.
        """
        sides = (size, size) if isinstance(size, int) else tuple(size)
        if len(sides) != 2 or not all(isinstance(side, int) for side in sides):
            raise ConfigError(f"SyntheticVolumes: size must be one number or (height, width), not {size!r}")
        spec = _Spec(split, num_images, (sides[0], sides[1]), num_slices, difficulty, seed)
        self.folder = Path(data_root) / "synthetic_volumes" / spec.name
        _make(self.folder, spec)
        self.size, self.num_slices = spec.size, num_slices
        self.image_ids = np.flatnonzero(in_subset(range(1, num_images + 1), subset)) + 1
        self.meta = DatasetMeta(classes=("head",), category_ids=(1,), volume_slices=(num_slices, spec.thickness))

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.image_ids)

    def read(self, index: int) -> Sample:
        """Read sample `index` in the file's pixels.

        Raises:
            DataError: the image or the volume is missing or does not decode.
        """
        image_id = int(self.image_ids[index])
        path = self.folder / f"images/{image_id - 1:06d}.jpg"
        truth = self.truth(index)
        height, width = self.size
        return Sample(
            image=read_image(path, self.size, "the name of its set"),
            image_id=image_id,
            path=str(path),
            to_original=identity_affine(),
            frame=np.array([0, 0, width, height], np.float32),
            boxes=truth["boxes"],
            labels=truth["labels"],
            crowd=truth["crowd"],
            ids=truth["ids"],
            volume=truth["volume"],
            whole_image=True,
        )

    def truth(self, index: int) -> ImageTruth:
        """Return the volume of sample `index`, and box and area of its silhouette.

        Raises:
            DataError: the volume is missing or does not decode.
        """
        image_id = int(self.image_ids[index])
        volume = self._volume(self.folder / f"volumes/{image_id - 1:06d}.png")
        silhouette: Array = volume.max(0)
        left, top, width, height = cv2.boundingRect(silhouette)
        return ImageTruth(
            ids=np.array([image_id], np.int64),
            labels=np.zeros(1, np.int64),
            boxes=np.array([[left, top, left + width, top + height]], np.float32),
            areas=np.array([silhouette.sum()], np.float32),
            crowd=np.zeros(1, np.bool_),
            volume=volume,
            size=self.size,
        )

    def _volume(self, path: Path) -> Array:
        height, width = self.size
        try:
            stored = np.fromfile(path, np.uint8)
        except OSError as error:
            raise DataError(f"{path}: the volume cannot be read: {error.strerror}") from error
        slices = cv2.imdecode(stored, cv2.IMREAD_GRAYSCALE) if len(stored) else None
        if slices is None or slices.shape != (self.num_slices * height, width):
            raise DataError(f"{path}: the volume does not decode; delete {self.folder} and it is made again")
        volume: Array = (slices > 0).astype(np.uint8).reshape(self.num_slices, height, width)
        return volume


def _make(folder: Path, spec: _Spec) -> None:
    record = spec.record()
    if holds_record(folder, record):
        return
    started = time.monotonic()
    print(f"drawing {spec.num_images} synthetic volumes for {spec.split} into {folder}", file=sys.stderr, flush=True)
    generate_folder(folder, record, spec.write)
    print(f"drawn in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
