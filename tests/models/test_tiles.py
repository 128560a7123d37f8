"""Windows: what they see together is what is seen at once, where a network lets it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import avg_pool2d, pad

import densezoo
from densezoo.errors import ConfigError
from densezoo.functional.mirroring import mirrored_indices
from densezoo.heads.identity_head import IdentityHead
from densezoo.models import DenseModel, build_model
from densezoo.models.tiles import Tiling, lay_windows, look_through_windows, stitch
from densezoo.tasks.pose import Pose
from densezoo.types import DatasetMeta, Grid, InferenceViews

PEOPLE = DatasetMeta(keypoint_names=("a", "b", "c"), flip_pairs=((1, 2),))
CLASSES = DatasetMeta(semantic_classes=("ground", "tree", "sky"), classes=("cell", "other"))


def mirror(images, top, left, bottom, right):
    """Images with so many mirrored pixels around them."""
    height, width = images.shape[-2:]
    rows = torch.from_numpy(mirrored_indices(-top, height + bottom, height))
    columns = torch.from_numpy(mirrored_indices(-left, width + right, width))
    return images[..., rows, :][..., columns]


@settings(deadline=None, max_examples=200)
@given(
    st.integers(1, 400),
    st.integers(1, 12),
    st.sampled_from([8, 16]),
    st.floats(0, 0.95),
    st.sampled_from([0, 6, 23]),
)
def test_windows_answer_for_every_pixel_and_lie_whole_strides_apart(pixels, strides, stride, overlap, lost):
    origin = 0.0 if lost == 0 else 5.0
    rest = int(2 * origin) % stride
    side = rest + strides * stride
    try:
        tiling = lay_windows((pixels, pixels), (side, side), overlap, (stride, origin), lost)
    except ConfigError:
        assert side - 2 * lost < stride
        return
    (size, _), tops = tiling.size, tiling.tops
    assert (tiling.size, tiling.lefts) == ((size, size), tops)
    if lost == 0 and side >= pixels:
        assert (size, tops) == (pixels, [0])
        return
    assert size <= side
    assert size % stride == rest
    answered = size - 2 * lost
    starts = [top + lost for top in tops]
    assert starts[0] == 0
    assert starts[-1] + answered >= pixels > starts[-1]
    steps = np.diff(starts)
    assert (steps % stride == 0).all()
    most = answered if lost else max(size * (1 - overlap), stride)
    assert ((steps > 0) & (steps <= most)).all()


def test_a_share_that_is_no_binary_number_loses_no_step():
    assert lay_windows((1600, 1600), (320, 320), 0.8, (32, 0.0), 0.0).tops == list(range(0, 1281, 64))


@pytest.mark.parametrize(("side", "near"), [(570, "take 556 or 572"), (100, "take 204 or 220")])
def test_windows_that_do_not_suit_the_network_are_named_with_those_that_do(side, near):
    with pytest.raises(ConfigError, match=f"a window of {side} pixels .* {near}"):
        lay_windows((900, 900), (side, side), 0.5, (16, 62.0), 92.0)


def valid_unet(channels=(4, 6, 8), **task):
    encoder = {"type": "PlainUNet", "channels": list(channels), "padding": "valid", "norm": "none"}
    neck = {"type": "UNet", "upsample": "transposed", "align": "crop", "norm": "none"}
    tasks = {"seg": {"type": "Segmentation", "num_classes": 3, **task}}
    torch.manual_seed(0)
    return build_model(encoder, neck, tasks, CLASSES).eval()


def whole_on_mirrored(model, images):
    """Activated maps of the image's own pixels, seen whole within enough mirrored border."""
    lost = round(model.heads[-1]["seg"].origin)
    stride, origin = model.neck.coarsest
    height, width = images.shape[-2:]
    more = [(round(2 * origin) - side - 2 * lost) % stride for side in (height, width)]
    padded = mirror(images, lost, lost, lost + more[0], lost + more[1])
    maps, grid = model.look({"images": padded})["seg"][0]
    assert grid.origin == (lost, lost)
    return maps["logits"][..., :height, :width]


@pytest.mark.parametrize("size", [(40, 48), (41, 83), (97, 64), (5, 130)])
@pytest.mark.parametrize("window", [(60, 60), (100, 68)])
def test_overlap_tiles_of_valid_convolutions_are_the_whole_mirrored_image(size, window):
    """At any size, odd ones too; images smaller than a window are seen by a smaller one."""
    model = valid_unet()
    images = torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8)
    ((maps, grid),) = model.look({"images": images}, InferenceViews(window=window))["seg"]
    assert (grid.origin, grid.size, grid.image_size) == ((0, 0), size, size)
    torch.testing.assert_close(maps["logits"], whole_on_mirrored(model, images), atol=1e-6, rtol=1e-5)
    found = model.predict({"images": images}, InferenceViews(window=window))["seg"]
    assert all((one["semantic"] != 255).all() for one in found)


@pytest.mark.slow
def test_the_unet_of_2015_answers_for_every_pixel():
    torch.manual_seed(0)
    model = densezoo.create_model("unet_2015", encoder={"channels": [4, 4, 8, 8, 8]}, meta=None).eval()
    images = torch.randint(0, 256, (1, 3, 151, 200), dtype=torch.uint8)
    # their names differ, what they see does not
    model.heads[-1]["seg"], model.tasks["seg"] = model.heads[-1]["segmentation"], model.tasks["segmentation"]
    ((maps, _),) = model.look({"images": images}, InferenceViews(window=(252, 252)))["seg"]
    torch.testing.assert_close(maps["logits"], whole_on_mirrored(model, images), atol=1e-6, rtol=1e-5)


def test_overlap_tiles_compose_with_mirrored_views_and_scales():
    model = valid_unet()
    images = torch.randint(0, 256, (1, 3, 50, 70), dtype=torch.uint8)
    both = InferenceViews(True, (1.0, 2.0), (92, 92))
    (plain, grid), (_, larger) = model.look({"images": images}, both)["seg"]
    assert (grid.stride, larger.stride, larger.origin, larger.image_size) == (1, 0.5, (0, 0), (50, 70))
    (answer,) = model.predict({"images": images}, both)["seg"]
    assert answer["semantic"].shape == (50, 70)
    assert answer["semantic"].max() < 3
    # each window is averaged with its own mirror image; here one window sees all
    ((once, _),) = model.look({"images": images}, InferenceViews(True, window=(112, 112)))["seg"]
    lost, (height, width) = 20, (92, 112)
    padded = mirror(images, lost, lost, height - lost - 50, width - lost - 70)
    straight, turned = (model.look({"images": given})["seg"][0][0]["logits"] for given in (padded, padded.flip(-1)))
    torch.testing.assert_close(once["logits"], ((straight + turned.flip(-1)) / 2)[..., :50, :70], atol=1e-6, rtol=1e-5)
    assert not torch.equal(once["logits"], plain["logits"])


class Seen(nn.Module):
    """Means of 4 × 4 pixels: a network of which every cell is known."""

    channels, strides, origins, mean, std = [3], [4], [0.0], (0.5,) * 3, (0.25,) * 3

    def forward(self, images):
        height, width = images.shape[-2:]
        return [avg_pool2d(pad(images, (0, -width % 4, 0, -height % 4)), 4)]


def cells_model():
    heads = [{"pose": IdentityHead([3], [4], {"heatmap": 3})}]
    return DenseModel(Seen(), None, heads, {"pose": Pose(3, meta=PEOPLE, refine="none")}).eval()


@pytest.mark.parametrize("size", [(64, 48), (37, 50), (12, 90)])
@pytest.mark.parametrize("flip", [False, True])
def test_windows_of_a_network_without_context_see_what_is_seen_at_once(size, flip):
    """Whatever the weights of a mean of equal values are. At the end of an odd image they see a mirrored rest."""
    model = cells_model()
    images = torch.randn(2, 3, *size)
    ((whole, grid),) = model.look({"images": images}, InferenceViews(flip))["pose"]
    for window, overlap in (((16, 16), 0.5), ((32, 24), 0.0), ((16, 200), 0.7)):
        ((maps, own),) = model.look({"images": images}, InferenceViews(flip, (1.0,), window, overlap))["pose"]
        assert own == grid
        inside = (slice(None), slice(None), slice(size[0] // 4), slice(size[1] // 4))
        torch.testing.assert_close(maps["heatmap"][inside], whole["heatmap"][inside])


def unet(**more):
    torch.manual_seed(0)
    encoder = {"type": "PlainUNet", "channels": [4, 8, 8], "norm": "group"}
    tasks = {"seg": {"type": "Segmentation", "num_classes": 3}}
    return build_model(encoder, {"type": "UNet", "norm": "group"}, tasks, CLASSES, **more).eval()


@pytest.mark.parametrize("size", [(32, 48), (33, 47)])
@pytest.mark.parametrize("larger", [0, 16, 1000])
def test_one_window_as_large_as_the_image_is_the_plain_prediction(size, larger):
    model = unet()
    images = torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8)
    window = (size[0] + larger, size[1] + larger)
    for flip, scales in ((False, (1.0,)), (True, (0.5, 1.0))):
        plain, windowed = (
            model.look({"images": images}, InferenceViews(flip, scales, of))["seg"] for of in (None, window)
        )
        for (one, grid), (other, own) in zip(plain, windowed, strict=True):
            assert own == grid
            assert torch.equal(one["logits"], other["logits"])


def test_overlapping_windows_are_averaged_with_weights_that_fall_to_their_edges():
    model = unet()
    images = torch.randint(0, 256, (2, 3, 40, 50), dtype=torch.uint8)
    views = InferenceViews(window=(16, 24), overlap=0.5)
    ((maps, grid),) = model.look({"images": images}, views)["seg"]
    assert (grid.size, grid.origin, grid.image_size) == ((40, 50), (0, 0), (40, 50))
    tops, lefts = [0, 8, 16, 24], [0, 8, 16, 28]  # the last is beyond the image by two pixels
    padded = mirror(images, 0, 0, 0, 2)
    total, weights = torch.zeros(2, 3, 40, 52), torch.zeros(40, 52)
    for y in tops:
        for x in lefts:
            seen = model.look({"images": padded[..., y : y + 16, x : x + 24]})["seg"][0][0]["logits"]
            for row in range(16):
                for column in range(24):
                    if x + column >= 50:
                        continue
                    width = min(24, 50 - x)
                    weight = min(row + 1, 16 - row) * min(column + 1, width - column)
                    total[..., y + row, x + column] += weight * seen[..., row, column]
                    weights[y + row, x + column] += weight
    torch.testing.assert_close(maps["logits"], (total / weights)[..., :50])


def test_windows_that_leave_gaps_are_refused():
    maps = {"m": torch.zeros(1, 1, 4, 4)}
    views = [(maps, Grid(2, (4, 4), (0.0, 0.0))), (maps, Grid(2, (4, 4), (10.0, 0.0)))]
    with pytest.raises(ConfigError, match="do not meet"):
        stitch(views)
    stitched, grid = stitch([views[0], (maps, Grid(2, (4, 4), (8.0, 0.0)))])
    assert (stitched["m"].shape, grid) == ((1, 1, 4, 8), Grid(2, (4, 8)))


def test_windows_go_in_groups_and_come_back_in_their_places():
    groups = []

    def look(images):
        groups.append(len(images))
        return {"it": ({"m": images[:, :1]}, Grid(1, tuple(images.shape[-2:])))}

    images = torch.arange(3 * 40 * 36).reshape(3, 1, 40, 36).float()
    tiling = Tiling((8, 8), [-4, 4, 12, 20, 28, 36], [0, 8, 16, 24, 32], (40, 36))
    views = look_through_windows(images, tiling, look)["it"]
    assert set(groups) == {6}
    assert sum(groups) == 3 * len(views) == 3 * 30
    maps, grid = stitch(views)
    assert grid == Grid(1, (40, 36), (0.0, 0.0), (40, 36))
    assert torch.equal(maps["m"], images)


@pytest.mark.parametrize("task", ["Centers", "Corners"])
def test_tasks_that_find_boxes_get_every_window_as_a_view(task):
    torch.manual_seed(0)
    encoder = {"type": "PlainUNet", "channels": [4, 8, 8], "norm": "group"}
    model = build_model(encoder, {"type": "UNet", "norm": "group"}, {"it": {"type": task, "num_classes": 2}}, CLASSES)
    images = torch.randint(0, 256, (2, 3, 40, 50), dtype=torch.uint8)
    views = model.eval().look({"images": images}, InferenceViews(window=(16, 24), overlap=0.5))["it"]
    assert len(views) == 16
    padded = mirror(images, 0, 0, 0, 2)
    for (maps, grid), (y, x) in zip(views, [(y, x) for y in (0, 8, 16, 24) for x in (0, 8, 16, 28)], strict=True):
        assert (grid.origin, grid.image_size, grid.window) == ((x, y), (40, 50), True)
        ((alone, _),) = model.look({"images": padded[..., y : y + 16, x : x + 24]})["it"]
        for name, values in maps.items():
            torch.testing.assert_close(values, alone[name][..., : grid.size[1]], atol=1e-5, rtol=1e-4)
    for answer in model.predict({"images": images}, InferenceViews(True, (1.0, 1.5), (16, 24)))["it"]:
        assert len(answer["boxes"]) > 0
        assert (answer["boxes"] >= 0).all()
        assert (answer["boxes"] <= [50, 40, 50, 40]).all()


def encoded_views(task, batch, size, window, stride, starts):
    """Targets of windows, as a network that has learned everything would give them."""
    views = []
    for y in starts[0]:
        for x in starts[1]:
            boxes = batch["boxes"] - torch.tensor([x, y, x, y])
            inside = (boxes[..., :2] >= 0).all(-1) & (boxes[..., 2:] <= torch.tensor(window[::-1])).all(-1)
            own = {**batch, "images": torch.zeros(1, 3, *window), "boxes": boxes, "valid": batch["valid"] & inside}
            cells = (window[0] // stride, window[1] // stride)
            maps = task.encode(own, Grid(stride, cells, image_size=window))["maps"]
            views.append((maps, Grid(stride, cells, (float(x), float(y)), size, window=True)))
    return views


@pytest.mark.parametrize(
    ("task", "options"), [("Centers", {}), ("Corners", {"cells": "stride"}), ("Corners", {"cells": "image"})]
)
def test_boxes_found_in_windows_lie_where_they_are_in_the_image(task, options):
    built = densezoo.registry.TASKS.build({"type": task, "num_classes": 2, **options}, meta=CLASSES)
    # the last one lies in the window that begins at 24, nearly in the middle of the image's 98 pixels
    boxes = torch.tensor([[[10.0, 12, 30, 28], [30, 10, 70, 30], [61, 40, 90, 70], [70, 5, 94, 20]]])
    batch = {"boxes": boxes, "labels": torch.tensor([[0, 0, 1, 1]]), "valid": torch.ones(1, 4, dtype=torch.bool)}
    views = encoded_views(built, batch, (80, 98), (48, 48), 4, ([0, 32], [0, 24, 50]))
    (found,) = built.decode_views(views)
    order = np.argsort(found["boxes"][:4, 0])
    assert (found["scores"][:4] > 0.5).all()
    np.testing.assert_allclose(found["boxes"][:4][order], boxes[0].numpy(), atol=1e-3)
