"""The embedded data set: drawn people and shapes, made on first use and then read like any COCO file.

Every task of the zoo can train on it: keypoints with visibility, boxes, instance masks and semantic maps. Files lie in
`<data_root>/synthetic/<name>`, see `densezoo.datasets.synthetic_files`; deleting a folder makes it anew.

Example:
    train_data = dict(type="Synthetic", split="train", num_images=2000)
    val_data = dict(type="Synthetic", split="val", num_images=300)
"""

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from densezoo.contracts import Dataset
from densezoo.datasets.coco_pose import CocoPose
from densezoo.datasets.coco_scenes import CocoScenes
from densezoo.datasets.narrowed import object_counts
from densezoo.datasets.synthetic_files import SyntheticSpec, generate, is_generated
from densezoo.datasets.synthetic_scene import CLASSES
from densezoo.errors import ConfigError
from densezoo.registry import DATASETS
from densezoo.types import Array, ImageTruth, Sample

VIEWS = ("pose", "scenes")


@DATASETS.register()
class Synthetic:
    """Drawn scenes: one sample for each person (`view='pose'`) or for each image (`view='scenes'`).

    Attributes:
        meta: the person with COCO's 17 keypoints; scenes also have the classes of the shapes.
        folder: where the files are.
    """

    def __init__(
        self,
        data_root: str | Path,
        split: str = "train",
        view: str = "pose",
        num_images: int = 2000,
        size: int | Sequence[int] = 128,
        max_people: int = 3,
        difficulty: float = 1.0,
        seed: int = 0,
        subset: Mapping[str, Any] | None = None,
        masks: bool = False,
        semantic: bool = False,
    ) -> None:
        """Open the set, and make it first where it is not there yet (about 10 ms an image of 128²).

        Args:
            data_root: folder of all data.
            split: `'train'`, `'val'` or `'test'`; they share no image.
            view: `'pose'` reads as `CocoPose` does, `'scenes'` as `CocoScenes`.
            num_images: at least 1; a larger set begins with a smaller one.
            size: of every image, (height, width) or one number for both.
            max_people: most figures in one scene.
            difficulty: 0 to 1, see `densezoo.datasets.synthetic_scene.draw_scene`; 1 is meant for comparisons, less
                for runs of minutes.
            seed: another seed gives other images.
            subset: part of the images, see `densezoo.datasets.subset.in_subset`.
            masks: whether samples and ground truth have instance masks.
            semantic: whether samples and ground truth have semantic maps (0 background, 1 person, 2 and up shapes);
                scenes only.

        Raises:
            ConfigError: an argument is out of its range.
            DataError: the files cannot be written, or something else lies in their place.
        """
        if view not in VIEWS:
            raise ConfigError(f"Synthetic: view must be one of {', '.join(map(repr, VIEWS))}, not {view!r}")
        if semantic and view == "pose":
            raise ConfigError("Synthetic: view='pose' has no semantic maps; use view='scenes' or semantic=False")
        height, width = (size, size) if isinstance(size, int) else _pair(size)
        spec = SyntheticSpec(num_images, (height, width), max_people, seed, split, difficulty)
        self.folder = Path(data_root) / "synthetic" / spec.name
        _make(self.folder, spec)
        annotations, images = f"annotations/{split}.json", "images"
        self._samples: Dataset
        if view == "pose":
            self._samples = CocoPose(annotations, images, self.folder, subset, masks=masks)
        else:
            maps, names = (".", ("background", *CLASSES)) if semantic else (None, None)
            self._samples = CocoScenes(
                annotations, images, self.folder, subset, masks=masks, semantic=maps, semantic_classes=names
            )
        self.meta = self._samples.meta

    def __len__(self) -> int:
        """Number of samples."""
        return len(self._samples)

    def read(self, index: int) -> Sample:
        """Read sample `index` in the file's pixels.

        Raises:
            DataError: the image is missing or does not decode.
        """
        return self._samples.read(index)

    def truth(self, index: int) -> ImageTruth:
        """Every annotation of the file that sample `index` comes from (of persons only where the view is pose)."""
        return self._samples.truth(index)

    def object_counts(self) -> Array:
        """Return how many objects are to be found in each sample: (n,) int64, 0 where the view is pose."""
        return object_counts(self._samples)


def _pair(size: Sequence[int]) -> tuple[int, int]:
    if len(size) != 2 or not all(isinstance(value, int) for value in size):
        raise ConfigError(f"Synthetic: size must be one number or (height, width), not {size!r}")
    return size[0], size[1]


def _make(folder: Path, spec: SyntheticSpec) -> None:
    if is_generated(folder, spec):
        return
    started = time.monotonic()
    print(f"drawing {spec.num_images} synthetic images for {spec.split} into {folder}", file=sys.stderr, flush=True)
    generate(folder, spec)
    print(f"drawn in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
