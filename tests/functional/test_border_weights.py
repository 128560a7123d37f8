import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from densezoo.errors import ConfigError
from densezoo.functional.border_weights import BorderWeight
from densezoo.tasks.segmentation import Segmentation
from densezoo.types import Grid


def brute_force(masks, w0, sigma):
    """Of every pixel, the distances to every pixel of every mask."""
    size = masks.shape[1:]
    weights = np.zeros(size)
    places = [np.argwhere(mask > 0) for mask in masks if mask.any()]
    if len(places) < 2:
        return weights
    for row, column in np.argwhere(~(masks > 0).any(0)):
        distances = sorted(np.sqrt(((place - (row, column)) ** 2).sum(1)).min() for place in places)
        weights[row, column] = w0 * np.exp(-((distances[0] + distances[1]) ** 2) / (2 * sigma**2))
    return weights


def rectangles(seed, count, size=(24, 30)):
    rng = np.random.default_rng(seed)
    masks = np.zeros((count, *size), np.uint8)
    for mask in masks:
        top, left = rng.integers(0, size)
        height, width = rng.integers(1, 7, 2)
        mask[top : top + height, left : left + width] = 1
    return masks


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.integers(0, 5), st.sampled_from([(10, 5), (3, 0.8), (1, 20)]))
def test_weights_are_those_of_brute_force(seed, count, numbers):
    masks = rectangles(seed, count)
    weights = BorderWeight(*numbers).of_objects(masks, (24, 30))
    assert (weights.shape, weights.dtype) == ((24, 30), np.float32)
    np.testing.assert_allclose(weights, brute_force(masks, *numbers), atol=1e-6 * numbers[0])


def test_two_objects_one_pixel_apart_weigh_as_the_paper_says():
    masks = np.zeros((3, 9, 9), np.uint8)
    masks[0, :, :4], masks[1, :, 5:] = 1, 1  # the third is empty
    weights = BorderWeight().of_objects(masks, (9, 9))
    np.testing.assert_allclose(weights[:, 4], 10 * np.exp(-4 / 50), rtol=1e-6)
    assert np.delete(weights, 4, axis=1).max() == 0


def test_objects_of_a_semantic_map_are_its_connected_areas():
    labels = np.zeros((12, 20), np.uint8)
    labels[2:5, 2:6], labels[5:9, 6:9] = 1, 2  # they touch at a corner
    labels[3:10, 12:15] = 1
    labels[:, 18:] = 255
    masks = np.stack([(labels == 1) | (labels == 2)] * 2).astype(np.uint8)
    masks[0, :, 10:], masks[1, :, :10] = 0, 0
    np.testing.assert_allclose(BorderWeight().of_labels(labels), brute_force(masks, 10, 5), atol=1e-5)


def make_batch():
    masks = torch.zeros(2, 4, 24, 30, dtype=torch.uint8)
    masks[:, 0, 3:9, 2:9] = masks[:, 1, 3:9, 9:15] = 1  # which touch, so that they are one area
    masks[:, 2, 12:20, 5:12] = masks[:, 3, 2:20, 18:24] = 1
    semantic = masks.amax(1) * 2
    return {
        "images": torch.zeros(2, 3, 24, 30, dtype=torch.uint8),
        "valid": torch.ones(2, 4, dtype=torch.bool),
        "masks": masks,
        "semantic": semantic,
    }


def test_masks_count_where_a_sample_has_them_and_areas_elsewhere():
    task, batch, grid = Segmentation(3, border_weight={"w0": 10, "sigma": 5}), make_batch(), Grid(1, (24, 30))
    by_masks = BorderWeight().of_objects(batch["masks"][0].numpy(), (24, 30))
    by_areas = BorderWeight().of_labels(batch["semantic"][0].numpy())
    assert (by_masks != by_areas).any()
    weights = task.encode(batch, grid)["pixel_weights"]
    np.testing.assert_array_equal(weights.numpy(), [by_masks, by_masks])
    batch["annotated"] = {"masks": torch.tensor([True, False])}
    np.testing.assert_array_equal(task.encode(batch, grid)["pixel_weights"].numpy(), [by_masks, by_areas])
    del batch["masks"]
    np.testing.assert_array_equal(task.encode(batch, grid)["pixel_weights"].numpy(), [by_areas, by_areas])


def test_crowds_and_what_the_map_takes_for_background_are_no_objects():
    batch, grid = make_batch(), Grid(1, (24, 30))
    batch["semantic"][:, 2:20, 18:24] = 0
    batch["crowd"] = torch.tensor([[False, True, False, False]] * 2)
    weights = Segmentation(3, border_weight={"w0": 10, "sigma": 5}).encode(batch, grid)["pixel_weights"]
    left = BorderWeight().of_objects(batch["masks"][0][[0, 2]].numpy(), (24, 30))
    np.testing.assert_array_equal(weights.numpy(), [left, left])


@pytest.mark.parametrize("loss", ["cross_entropy", "focal"])
@pytest.mark.parametrize("class_weights", [None, (0.5, 1.0, 2.0)])
def test_pixels_weigh_by_their_class_and_their_place(loss, class_weights):
    border = {"w0": 10, "sigma": 5}
    task = Segmentation(3, loss=loss, class_weights=class_weights, border_weight=border, focal_gamma=1.5)
    batch, grid = make_batch(), Grid(1, (24, 30))
    batch["semantic"][0, :3] = 255
    targets, logits = task.encode(batch, grid), torch.randn(2, 3, 24, 30)
    (found,) = task.loss({"logits": logits}, targets, task.normalisers(batch)).values()
    labels = batch["semantic"].long()
    each = F.cross_entropy(logits, labels, ignore_index=255, reduction="none")
    if loss == "focal":
        each = (1 - (-each).exp()) ** 1.5 * each
    factors = torch.tensor([*(class_weights or (1.0, 1.0, 1.0)), 0.0])[labels.clamp(max=3)]
    expected = ((factors + targets["pixel_weights"]) * each)[labels != 255].sum() / (labels != 255).sum()
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"border_weight": {"w": 1}}, "border_weight has no argument 'w'"),
        ({"border_weight": {"sigma": 0}}, "sigma must be a number above 0"),
        ({"border_weight": {}, "loss": "dice"}, "border_weight belongs to cross_entropy and focal"),
    ],
)
def test_wrong_values_are_named(options, message):
    with pytest.raises(ConfigError, match=message):
        Segmentation(3, **options)
