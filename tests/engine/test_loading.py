from itertools import chain

import numpy as np
import pytest
import torch

from densezoo.engine.build import build_dataset, build_loader, build_samples
from densezoo.engine.config import load_config
from densezoo.engine.distributed import Processes
from densezoo.engine.loading import EpochBatches, WarpedDataset, collate, make_loader
from densezoo.errors import DataError
from densezoo.transforms import Warp
from densezoo.types import Sample

CPU = torch.device("cpu")


def batches_of(config_path, workers, epoch):
    config = load_config(config_path, {"engine.workers": workers})
    samples = build_samples(config, build_dataset(config.train_data, config.data_root), training=True)
    loader, sampler = build_loader(config, samples, Processes(0, 1, CPU))
    sampler.epoch = epoch
    return list(loader)


def test_draws_depend_on_seed_epoch_and_index_and_not_on_workers(tiny_config):
    alone, shared = batches_of(tiny_config, 0, 3), batches_of(tiny_config, 2, 3)
    assert len(alone) == len(shared) > 1
    for one, other in zip(alone, shared, strict=True):
        assert torch.equal(one["images"], other["images"])
        assert torch.equal(one["keypoints"], other["keypoints"])
    other_epoch = batches_of(tiny_config, 0, 4)
    assert not any(torch.equal(alone[0]["images"], batch["images"]) for batch in other_epoch)


def test_loading_draws_nothing_from_the_global_generator(tiny_config):
    before = torch.get_rng_state()
    batches_of(tiny_config, 0, 0)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("count", [1, 2, 4])
def test_a_global_batch_does_not_depend_on_the_number_of_processes(count):
    parts = [EpochBatches(27, 8, seed=5, training=True, rank=rank, count=count) for rank in range(count)]
    whole = EpochBatches(27, 8, seed=5, training=True)
    for sampler in (*parts, whole):
        sampler.epoch = 2
    joined = [list(chain.from_iterable(batches)) for batches in zip(*parts, strict=True)]
    assert joined == list(whole)
    assert len(whole) == 3
    assert len({key for batch in whole for key in batch}) == 24
    assert {epoch for batch in whole for epoch, _ in batch} == {2}


@pytest.mark.parametrize(("length", "count"), [(10, 1), (10, 3), (2, 4), (7, 2)])
def test_evaluation_sees_every_sample_once(length, count):
    parts = [EpochBatches(length, 4, rank=rank, count=count) for rank in range(count)]
    assert sorted(index for part in parts for batch in part for _, index in batch) == list(range(length))
    assert [len(list(part)) for part in parts] == [len(part) for part in parts]


def test_a_batch_that_processes_cannot_share_is_refused():
    with pytest.raises(DataError, match="batch_size 6 cannot be shared equally by 4"):
        EpochBatches(20, 6, training=True, rank=0, count=4)
    with pytest.raises(DataError, match="the 5 samples, fewer than a batch, cannot be shared equally by 2"):
        EpochBatches(5, 8, training=True, rank=0, count=2)


def make_sample(people, with_masks=False, **extra):
    sample = Sample(
        image=np.full((4, 6, 3), people, np.uint8),
        image_id=people,
        path="",
        to_original=np.eye(2, 3),
        frame=np.zeros(4, np.float32),
        keypoints=np.full((people, 2, 3), people, np.float32),
        labels=np.arange(people),
        **extra,
    )
    if with_masks:
        sample["masks"] = np.ones((people, 4, 6), np.uint8)
    return sample


def test_collate_pads_instances_and_marks_them():
    semantic = np.ones((4, 6), np.uint8)
    batch = collate([make_sample(2, with_masks=True), make_sample(0), make_sample(3, semantic=semantic)])
    assert batch["images"].shape == (3, 3, 4, 6)
    assert batch["images"].is_contiguous(memory_format=torch.channels_last)
    assert batch["valid"].tolist() == [[True, True, False], [False] * 3, [True] * 3]
    assert batch["labels"].tolist() == [[0, 1, -1], [-1] * 3, [0, 1, 2]]
    assert batch["keypoints"][0, 2].eq(0).all()
    assert batch["keypoints"][2].eq(3).all()
    assert batch["masks"].shape == (3, 3, 4, 6)
    assert batch["masks"].sum() == 2 * 24
    assert batch["semantic"][0].eq(255).all()
    assert batch["semantic"][2].eq(1).all()
    assert "boxes" not in batch
    assert [sample["image_id"] for sample in batch["samples"]] == [2, 0, 3]
    assert "image" not in batch["samples"][0]


def test_collate_of_images_without_any_instance():
    batch = collate([make_sample(0), make_sample(0)])
    assert batch["valid"].shape == (2, 0)
    assert batch["keypoints"].shape == (2, 0, 2, 3)


def test_images_of_different_size_are_padded_at_the_bottom_and_right():
    small, large = make_sample(1, with_masks=True), make_sample(2, with_masks=True)
    small["semantic"], large["semantic"] = np.ones((4, 6), np.uint8), np.ones((7, 5), np.uint8)
    large["image"], large["masks"] = np.full((7, 5, 3), 9, np.uint8), np.ones((2, 7, 5), np.uint8)
    batch = collate([small, large])
    assert batch["images"].shape == (2, 3, 7, 6)
    assert batch["images"].is_contiguous(memory_format=torch.channels_last)
    assert batch["images"][0, :, :4].eq(1).all()
    assert batch["images"][0, :, 4:].eq(0).all()
    assert batch["images"][1, :, :, :5].eq(9).all()
    assert batch["images"][1, :, :, 5:].eq(0).all()
    assert batch["semantic"][0, 4:].eq(255).all()
    assert batch["semantic"][1, :, 5:].eq(255).all()
    assert batch["semantic"].eq(1).sum() == 24 + 35
    assert batch["masks"].sum() == 24 + 2 * 35
    assert small["image"].shape == (4, 6, 3)


def test_what_is_beyond_a_volume_is_unknown():
    small, large, without = make_sample(0), make_sample(0), make_sample(0)
    small["volume"], large["volume"] = np.ones((2, 4, 6), np.uint8), np.zeros((2, 7, 5), np.uint8)
    large["image"] = np.full((7, 5, 3), 9, np.uint8)
    volumes = collate([small, large, without])["volume"]
    assert volumes.shape == (3, 2, 7, 6)
    assert volumes[0, :, :4].eq(1).all()
    assert volumes[0, :, 4:].eq(255).all()
    assert volumes[1, :, :, :5].eq(0).all()
    assert volumes[1, :, :, 5:].eq(255).all()
    assert volumes[2].eq(255).all()


@pytest.mark.parametrize(("size", "training", "expected"), [(None, False, 1), (None, True, 4), (64, False, 4)])
def test_files_of_any_size_are_evaluated_one_by_one(tiny_config, size, training, expected):
    config = load_config(tiny_config, {"warp.size": size, "warp.crop": 48})
    samples = build_samples(config, build_dataset(config.train_data, config.data_root), training)
    loader, _ = build_loader(config, samples, Processes(0, 1, CPU))
    assert len(next(iter(loader))["images"]) == expected


@pytest.mark.parametrize(
    ("options", "training", "size"),
    [
        ({"size": (8, 9)}, False, (8, 9)),
        ({"size": (8, 9), "crop": 4}, False, (8, 9)),
        ({"size": None, "crop": (4, 5)}, True, (4, 5)),
        ({"size": None}, False, (256, 256)),
    ],
)
def test_a_file_that_cannot_be_read_has_a_size_all_the_same(options, training, size):
    warp = Warp(**options, flip_order=[0, 1])
    sample = WarpedDataset(HalfBroken(None), warp, None, seed=0, training=training)[(0, 1)]
    assert sample["image"].shape == (*size, 3)


class HalfBroken:
    """Every odd image cannot be read."""

    def __init__(self, meta):
        self.meta = meta

    def __len__(self):
        return 4

    def read(self, index):
        if index % 2:
            raise DataError(f"img{index}.jpg does not decode")
        return make_sample(1)

    def truth(self, index):
        return {"ids": np.array([index])}


def test_an_unreadable_image_becomes_a_black_one_without_annotations():
    samples = WarpedDataset(HalfBroken(None), Warp((8, 8), [0, 1]), None, seed=0, training=False)
    (batch,) = make_loader(samples, EpochBatches(4, 4), workers=0)
    assert batch["valid"].tolist() == [[True], [False], [True], [False]]
    assert batch["images"][1].eq(0).all()
    assert batch["samples"][1]["error"] == "img1.jpg does not decode"
    assert {key: rows.tolist() for key, rows in batch["annotated"].items()} == {"keypoints": [True, False, True, False]}
    assert batch["samples"][2]["truth"]["ids"] == [2]
