"""From a data set to batches: reading, warping and stacking, the same for any number of workers and processes.

Every random draw of a sample comes from `(seed, epoch, index)`. The sampler sends the epoch along with the index, so
workers hold no state that could differ from one number of workers to another, or after a resume.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Sampler
from torch.utils.data import Dataset as TorchDataset

from densezoo.contracts import Dataset, SkipsImages
from densezoo.engine.mixing import Sources
from densezoo.errors import DataError
from densezoo.functional.annotated import ANNOTATIONS
from densezoo.transforms import Photometric, Warp
from densezoo.types import Array, Batch, ImageTruth, Sample

Key = tuple[int, int]
"""Epoch and index of a sample."""


class WarpedDataset(TorchDataset[Sample]):
    """Samples of a data set as the network sees them."""

    def __init__(
        self, dataset: Dataset, warp: Warp, photometric: Photometric | None, seed: int, training: bool
    ) -> None:
        """Set what happens to a sample.

        Args:
            dataset: where samples come from.
            warp: image and annotations to network pixels.
            photometric: colour changes; training only.
            seed: of every draw.
            training: draw at random; otherwise warp deterministically and attach the file's `truth`.
        """
        self.dataset, self.warp, self.photometric = dataset, warp, photometric
        self.seed, self.training = seed, training

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.dataset)

    def __getitem__(self, key: Key) -> Sample:
        """Return the sample of `(epoch, index)`; one that cannot be read is black and carries its `error`.

        An index counts on behind the last sample for those that an epoch sees again, with other random draws.
        """
        epoch, index = key
        try:
            sample = self.dataset.read(index % len(self.dataset))
            truth = None if self.training else self.dataset.truth(index)
        except DataError as error:
            return self._blank(str(error))
        rng = np.random.default_rng((self.seed, epoch, index)) if self.training else None
        sample = self.warp(sample, rng)
        if rng is not None and self.photometric is not None:
            sample = self.photometric(sample, rng)
        if truth is not None:
            sample["truth"] = truth
        return sample

    def truths_without_samples(self) -> Iterable[tuple[int, ImageTruth]]:
        """Image ids and annotations of files that no sample comes from, where the data set has such."""
        return self.dataset.truths_without_samples() if isinstance(self.dataset, SkipsImages) else ()

    def _blank(self, error: str) -> Sample:
        image = np.zeros((*self.warp.blank_size(self.training), 3), np.uint8)
        frame = np.array([0, 0, image.shape[1], image.shape[0]], np.float32)
        return Sample(image=image, image_id=-1, path="", to_original=np.eye(2, 3), frame=frame, error=error)


class EpochBatches(Sampler[list[Key]]):
    """The batches of one epoch, as lists of `(epoch, index)`, for one of several processes.

    Training shuffles by `(seed, epoch)`, or mixes several sources by it, and gives each process its part of every
    global batch, so the global batch does not depend on the number of processes; what does not fill a batch is left
    out. Evaluation gives process r every count-th sample, so each is seen exactly once.
    """

    def __init__(
        self,
        length: int,
        batch_size: int,
        seed: int = 0,
        training: bool = False,
        rank: int = 0,
        count: int = 1,
        sources: Sources | None = None,
    ) -> None:
        """Set what is drawn; `batch_size` is over all processes. Set `epoch` before each pass."""
        self.sources = sources
        self.length, self.batch_size, self.seed, self.training = length, min(batch_size, length), seed, training
        self.rank, self.count, self.epoch = rank, count, 0
        if training and self.batch_size % count:
            given = f"batch_size {batch_size}" if batch_size <= length else f"the {length} samples, fewer than a batch,"
            raise DataError(f"{given} cannot be shared equally by {count} processes")

    def __len__(self) -> int:
        """Number of batches."""
        if self.training:
            return self.length // self.batch_size
        mine, each = len(range(self.rank, self.length, self.count)), max(self.batch_size // self.count, 1)
        return -(-mine // each)

    def __iter__(self) -> Iterator[list[Key]]:
        """Yield this process's batches."""
        each = max(self.batch_size // self.count, 1)
        if not self.training:
            mine = range(self.rank, self.length, self.count)
            for start in range(0, len(mine), each):
                yield [(0, index) for index in mine[start : start + each]]
            return
        rng = np.random.default_rng((self.seed, self.epoch))
        order = rng.permutation(self.length) if self.sources is None else self.sources.order(self.batch_size, rng)
        for batch in range(len(self)):
            start = batch * self.batch_size + self.rank * each
            yield [(self.epoch, int(index)) for index in order[start : start + each]]


def make_loader(
    dataset: WarpedDataset, batches: EpochBatches, workers: int, pin_memory: bool = False
) -> DataLoader[Sample]:
    """Return a loader of collated batches; its workers live as long as it does."""
    return DataLoader(
        dataset,
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=collate,
        pin_memory=pin_memory,
        persistent_workers=workers > 0,
        prefetch_factor=4 if workers else None,
        worker_init_fn=_start_worker,
        generator=torch.Generator(),  # its own, so that loading draws nothing from the global generator
    )


def _start_worker(worker: int) -> None:
    cv2.setNumThreads(0)


def collate(samples: Sequence[Sample]) -> Batch:
    """Stack samples into a batch; annotations are padded to the most instances of a sample.

    Smaller images are padded at the bottom and right to the largest height and width: black, without labels.
    An annotation is in the batch when any sample has it; one without it is padding there, and `annotated` says so.
    """
    samples = _at_one_size(samples)
    images = torch.from_numpy(np.stack([sample["image"] for sample in samples])).permute(0, 3, 1, 2)
    counts = [_count_instances(sample) for sample in samples]
    most = max(counts)
    valid = torch.zeros(len(samples), most, dtype=torch.bool)
    for row, count in enumerate(counts):
        valid[row, :count] = True
    padded: dict[str, Any] = {
        "keypoints": _pad(samples, "keypoints", most, 0.0),
        "boxes": _pad(samples, "boxes", most, 0.0),
        "labels": _pad(samples, "labels", most, -1),
        "crowd": _pad(samples, "crowd", most, False),
        "masks": _pad(samples, "masks", most, 0),
    }
    padded |= {key: _stack(samples, key, filler) for key, filler in _DENSE.items()}
    present = {key: value for key, value in padded.items() if value is not None}
    known = {key: torch.tensor([key in sample for sample in samples]) for key in ANNOTATIONS if key in present}
    partly = {key: rows for key, rows in known.items() if not rows.all()}
    if partly:
        present["annotated"] = partly
    light = [{key: value for key, value in sample.items() if key not in _HEAVY} for sample in samples]
    return cast(Batch, {"images": images, "valid": valid, "samples": light, **present})


_DENSE = {"semantic": 255, "volume": 255}  # the annotations of the image's own pixels, and what stands for none
_HEAVY = ("image", "masks", *_DENSE)
_INSTANCES = ("keypoints", "boxes", "labels", "masks")


def _at_one_size(samples: Sequence[Sample]) -> Sequence[Sample]:
    sizes = np.array([sample["image"].shape[:2] for sample in samples])
    missing = sizes.max(0) - sizes
    if not missing.any():
        return samples
    padded = []
    for sample, (down, right) in zip(samples, missing.tolist(), strict=True):
        larger = dict(sample) | {"image": np.pad(sample["image"], ((0, down), (0, right), (0, 0)))}
        for key, filler in {"masks": 0, **_DENSE}.items():
            if key in sample:
                array: Array = sample[key]  # type: ignore[literal-required]
                around = ((0, 0),) * (array.ndim - 2) + ((0, down), (0, right))
                larger[key] = np.pad(array, around, constant_values=filler)
        padded.append(cast(Sample, larger))
    return padded


def _count_instances(sample: Sample) -> int:
    return next((len(sample[key]) for key in _INSTANCES if key in sample), 0)  # type: ignore[literal-required]


def _stack(samples: Sequence[Sample], key: str, filler: int) -> torch.Tensor | None:
    arrays: list[Array | None] = [sample.get(key) for sample in samples]  # type: ignore[misc]
    example = next((array for array in arrays if array is not None), None)
    if example is None:
        return None
    nothing = np.full_like(example, filler)
    return torch.from_numpy(np.stack([nothing if array is None else array for array in arrays]))


def _pad(samples: Sequence[Sample], key: str, most: int, filler: float | bool) -> torch.Tensor | None:
    arrays: list[Array | None] = [sample.get(key) for sample in samples]  # type: ignore[misc]
    example = next((array for array in arrays if array is not None), None)
    if example is None:
        return None
    out = np.full((len(samples), most, *example.shape[1:]), filler, example.dtype)
    for row, array in enumerate(arrays):
        if array is not None:
            out[row, : len(array)] = array
    return torch.from_numpy(out)


def to_device(batch: Batch, device: torch.device) -> Batch:
    """Return the batch with its tensors on `device`."""
    return cast(Batch, {key: _move(value, device) for key, value in batch.items()})


def _move(value: Any, device: torch.device) -> Any:
    if isinstance(value, dict):
        return {key: _move(item, device) for key, item in value.items()}
    return value.to(device, non_blocking=True) if isinstance(value, torch.Tensor) else value
