import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import densezoo.metrics  # noqa: F401  # registers the metrics
from densezoo.errors import ConfigError, DataError
from densezoo.functional.volumes import slice_depths
from densezoo.heads.identity_head import IdentityHead
from densezoo.models import DenseModel
from densezoo.tasks.volume import Volume
from densezoo.types import DatasetMeta, Grid, InferenceViews

META = DatasetMeta(volume_slices=(3, 2.0))


def batch_of(volumes):
    """A batch of black images with (N, D, H, W) volumes."""
    volumes = torch.as_tensor(np.asarray(volumes), dtype=torch.uint8)
    count, _, height, width = volumes.shape
    return {
        "images": torch.zeros(count, 3, height, width, dtype=torch.uint8),
        "valid": torch.ones(count, 0, dtype=torch.bool),
        "volume": volumes,
    }


def balls(size, radii, count=3):
    height, width = size
    x, y = np.arange(width) + 0.5 - width / 2, np.arange(height)[:, None] + 0.5 - height / 2
    return np.stack([[x**2 + y**2 < (radius - k) ** 2 for k in range(count)] for radius in radii])


def decoded(task, batch, grid):
    return np.stack([found["volume"] for found in task.decode(task.encode(batch, grid)["maps"], grid)])


def test_decoding_inverts_encoding_at_stride_one():
    volumes = np.random.default_rng(0).integers(0, 2, (2, 3, 5, 6))
    np.testing.assert_array_equal(decoded(Volume(3), batch_of(volumes), Grid(1, (5, 6))), volumes)


@pytest.mark.parametrize("stride", [2, 4])
@pytest.mark.parametrize("cut", [0, 1])
def test_smooth_volumes_come_back_from_coarse_grids(stride, cut):
    volumes = balls((40, 48), (17, 12))[..., : 40 - cut, : 48 - cut]
    grid = Grid(stride, (40 // stride, 48 // stride), image_size=(40 - cut, 48 - cut))
    found = decoded(Volume(3), batch_of(volumes), grid)
    assert (found.dtype, found.shape) == (np.float16, volumes.shape)
    either, both = (found >= 0.5) | volumes, (found >= 0.5) & volumes
    assert both.sum() / either.sum() > {2: 0.985, 4: 0.96}[stride]


def test_what_valid_convolutions_lose_is_neither_learned_nor_answered():
    task, grid = Volume(3), Grid(2, (3, 2), (4.0, 2.0), (12, 10))
    batch = batch_of(np.ones((1, 3, 12, 10)))
    targets = task.encode(batch, grid)
    assert targets["weights"]["slices"].shape == (1, 1, 3, 2)
    maps = {"slices": torch.full((1, 3, 3, 2), 2.0)}
    (found,) = task.decode(task.activate(maps), grid)
    inside = np.zeros((12, 10), bool)
    inside[2:8, 4:8] = True
    np.testing.assert_array_equal(found["volume"] > 0, np.broadcast_to(inside, (3, 12, 10)))
    loss = task.loss(maps, targets, task.normalisers(batch))
    assert loss["cross_entropy"].item() == pytest.approx(np.log1p(np.exp(-2.0)))


def test_the_loss_is_the_mean_over_voxels_and_images():
    task, grid = Volume(3), Grid(4, (2, 3), image_size=(8, 10))  # half of the last column is beyond the image
    batch = batch_of(np.random.default_rng(0).integers(0, 2, (2, 3, 8, 10)))
    maps = torch.randn(2, 3, 2, 3)
    found = task.loss({"slices": maps.bfloat16()}, task.encode(batch, grid), task.normalisers(batch))["cross_entropy"]
    # by pixels: every one of a cell has the cell's logit
    logits = maps.bfloat16().float().repeat_interleave(4, 2).repeat_interleave(4, 3)[..., :10]
    expected = F.binary_cross_entropy_with_logits(logits, batch["volume"].float())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected)


def test_images_without_a_volume_teach_nothing():
    task, grid = Volume(3), Grid(1, (4, 4))
    volumes = np.random.default_rng(0).integers(0, 2, (2, 3, 4, 4))
    maps = torch.randn(2, 3, 4, 4)
    both = {**batch_of(volumes), "annotated": {"volume": torch.tensor([True, False])}}
    alone = batch_of(volumes[:1])
    one = task.loss({"slices": maps}, task.encode(both, grid), task.normalisers(both))
    other = task.loss({"slices": maps[:1]}, task.encode(alone, grid), task.normalisers(alone))
    torch.testing.assert_close(one, other)
    del both["volume"]
    assert task.normalisers(both)["cross_entropy"] == 0
    assert task.loss({"slices": maps}, task.encode(both, grid), task.normalisers(both))["cross_entropy"] == 0
    # an empty volume is one
    nothing = batch_of(np.zeros((1, 3, 4, 4)))
    assert task.loss({"slices": maps[:1]}, task.encode(nothing, grid), task.normalisers(nothing))["cross_entropy"] > 0


@pytest.mark.parametrize("stride", [1, 4])
def test_nothing_is_learned_beyond_smaller_images(stride):
    """A padded image counts as much as one of the batch's size, and only by its own pixels."""
    task, grid = Volume(3), Grid(stride, (8 // stride, 12 // stride))
    volumes = np.random.default_rng(0).integers(0, 2, (2, 3, 8, 12))
    volumes[0, :, 6:] = volumes[0, :, :, 7:] = 255
    batch, maps = batch_of(volumes), torch.randn(2, 3, *grid.size)
    targets = task.encode(batch, grid)
    torch.testing.assert_close((targets["weights"]["slices"] * 3).sum((1, 2, 3)), torch.ones(2))
    found = task.loss({"slices": maps}, targets, task.normalisers(batch))["cross_entropy"]
    logits = maps.repeat_interleave(stride, 2).repeat_interleave(stride, 3)
    expected = [
        F.binary_cross_entropy_with_logits(own[:, :rows, :columns], volume[:, :rows, :columns].float())
        for own, volume, (rows, columns) in zip(logits, batch["volume"], ((6, 7), (8, 12)), strict=True)
    ]
    torch.testing.assert_close(found, torch.stack(expected).mean())
    assert targets["maps"]["slices"].max() <= 1.0001


class SeesBalls(nn.Module):
    """A network that knows the ball behind a disk: as deep as it is wide."""

    channels, strides, origins, mean, std = [28], [1], [0.0], (0.5,) * 3, (0.5,) * 3

    def forward(self, images):
        rows, columns = (images[0, 0] > 0).nonzero().unbind(-1)
        radius = (len(rows) / np.pi) ** 0.5
        x = torch.arange(images.shape[-1]) - columns.float().mean()
        y = (torch.arange(images.shape[-2]) - rows.float().mean())[:, None]
        z = torch.from_numpy(slice_depths(28)).float()[:, None, None]
        return [2 * (radius - (x**2 + y**2 + z**2).sqrt())[None]]


@pytest.mark.parametrize("scales", [(1.0,), (1.25,), (0.75,), (1.0, 1.25), (0.75, 1.0, 1.5)])
def test_a_ball_is_as_deep_at_every_scale(scales):
    x, y, z = np.arange(37) - 18, np.arange(35)[:, None] - 16, slice_depths(28)[:, None, None]
    disk = x**2 + y**2 <= 12**2
    ball = x**2 + y**2 + z**2 <= disk.sum() / np.pi
    image = torch.from_numpy(255 * disk).to(torch.uint8).expand(1, 3, -1, -1)
    model = DenseModel(SeesBalls(), None, [{"it": IdentityHead([28], [1], {"slices": 28})}], {"it": Volume(28)})
    (answer,) = model.eval().predict({"images": image}, InferenceViews(flip=True, scales=scales))["it"]
    found = answer["volume"] >= 0.5
    reached = abs(z) < 14 / min(scales, key=lambda scale: abs(np.log(scale)))
    assert np.count_nonzero(found & ball) / np.count_nonzero(found | (ball & reached)) > 0.93


def test_views_that_do_not_reach_a_slice_do_not_count_there():
    task, maps = Volume(8), {"slices": torch.full((1, 8, 2, 3), 0.75)}
    grid, enlarged = Grid(1, (2, 3)), task.unscale(maps, 2.0)
    (both,) = task.decode_views([(maps, grid), (enlarged, grid)])
    np.testing.assert_array_equal(both["volume"], np.full((8, 2, 3), 0.75))
    (alone,) = task.decode_views([(enlarged, grid)])
    assert alone["volume"][:, 0, 0].tolist() == [0, 0, 0.75, 0.75, 0.75, 0.75, 0, 0]


def test_mirrored_maps_come_back():
    maps = torch.randn(1, 3, 4, 5)
    torch.testing.assert_close(Volume(3).unflip({"slices": maps.flip(-1)})["slices"], maps)


def test_the_constant_answer_is_the_mean_volume():
    samples = [{"volume": np.full((3, 2, 2), value, np.uint8)} for value in (1, 1, 0, 1)] + [{}]
    answer = Volume(3).constant_prediction(iter(samples))
    np.testing.assert_array_equal(answer["volume"], np.full((3, 2, 2), 0.75))
    assert (answer["volume"].dtype, len(answer["scores"])) == (np.float16, 0)
    # volumes of different sizes lie corner on corner; a voxel that no sample reaches is outside
    samples = [{"volume": np.full((3, *size), value, np.uint8)} for value, size in ((1, (2, 4)), (0, (3, 2)))]
    expected = np.stack([[[0.5, 0.5, 1, 1], [0.5, 0.5, 1, 1], [0, 0, 0, 0]]] * 3)
    np.testing.assert_array_equal(Volume(3).constant_prediction(samples)["volume"], expected)
    with pytest.raises(DataError, match="mean volume"):
        Volume(3).constant_prediction([{}])


def test_wrong_values_are_refused():
    with pytest.raises(ConfigError, match="at least 1"):
        Volume(0)
    with pytest.raises(ConfigError, match="no volumes"):
        Volume(3, meta=DatasetMeta())
    with pytest.raises(ConfigError, match="have 3; set"):
        Volume(4, meta=META)
    with pytest.raises(ConfigError, match="how thick"):
        Volume(3).metrics()
    (metric,) = Volume(3, meta=META).metrics()
    assert metric.thickness == 2
