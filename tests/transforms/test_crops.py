"""The file's own pixels, crops of them, and mirrored borders."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from densezoo.errors import ConfigError
from densezoo.functional.affine import apply_affine, invert
from densezoo.functional.mirroring import mirrored_indices
from densezoo.transforms import Warp
from densezoo.transforms.view import View


def make_sample(size=(60, 80), seed=0, **fields):
    image = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    frame = np.array([0, 0, size[1], size[0]], np.float32)
    return {"image": image, "image_id": 1, "path": "", "to_original": np.eye(2, 3), "frame": frame, **fields}


def test_native_size_is_the_file_itself():
    semantic = np.random.default_rng(1).integers(0, 5, (61, 83), dtype=np.uint8)
    sample = make_sample((61, 83), semantic=semantic, boxes=np.array([[3.0, 4.5, 70.25, 61]], np.float32))
    for options in ({}, {"crop": (16, 16), "scale": (0.5, 2), "rotation": 30, "flip": 1.0}):
        warped = Warp(None, padding=1.0, **options)(sample)
        for key in ("image", "semantic", "boxes"):
            np.testing.assert_array_equal(warped[key], sample[key])
        np.testing.assert_array_equal(warped["to_original"], np.eye(2, 3))


def test_native_size_of_a_part_is_cut_out_by_whole_pixels():
    sample = make_sample((60, 80))
    sample["frame"] = np.array([10.25, 20, 30, 44.5], np.float32)
    warped = Warp(None, padding=1.0)(sample)
    np.testing.assert_array_equal(warped["image"], sample["image"][20:45, 10:30])
    np.testing.assert_allclose(warped["to_original"], [[1, 0, 10], [0, 1, 20]])


def find(part, image):
    """Where a part lies in an image: its only place, x and y."""
    found = cv2.matchTemplate(image, part, cv2.TM_SQDIFF)
    _, _, place, _ = cv2.minMaxLoc(found)
    x, y = place
    np.testing.assert_array_equal(image[y : y + part.shape[0], x : x + part.shape[1]], part)
    return x, y


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_crops_are_the_files_pixels_at_places_that_are_all_equally_likely(flip):
    sample = make_sample((12, 20), semantic=np.arange(240, dtype=np.uint8).reshape(12, 20))
    warp = Warp(None, padding=1.0, crop=(9, 17), flip=flip)
    counts = np.zeros((4, 4), int)
    for seed in range(640):
        warped = warp(sample, np.random.default_rng(seed))
        assert warped["image"].shape == (9, 17, 3)
        image = sample["image"][:, ::-1] if flip else sample["image"]
        x, y = find(warped["image"], np.ascontiguousarray(image))
        counts[y, x] += 1
        labels = sample["semantic"][:, ::-1] if flip else sample["semantic"]
        np.testing.assert_array_equal(warped["semantic"], labels[y : y + 9, x : x + 17])
        corner = apply_affine(warped["to_original"], np.zeros(2))
        np.testing.assert_allclose(corner, [20 - x if flip else x, y], atol=1e-9)
    assert counts.min() > 20
    assert counts.max() < 65


def test_content_smaller_than_the_crop_lies_anywhere_in_it():
    sample = make_sample((5, 30), semantic=np.zeros((5, 30), np.uint8))
    warp = Warp(None, padding=1.0, crop=(8, 8), border=(1, 2, 3))
    tops = set()
    for seed in range(60):
        warped = warp(sample, np.random.default_rng(seed))
        rows = np.flatnonzero((warped["semantic"] == 0).any(1))
        assert len(rows) == 5
        tops.add(rows[0])
        np.testing.assert_array_equal(warped["semantic"][rows], 0)
        outside = np.setdiff1d(np.arange(8), rows)
        np.testing.assert_array_equal(np.unique(warped["image"][outside].reshape(-1, 3), axis=0), [[1, 2, 3]])
    assert tops == {0, 1, 2, 3}


def test_of_a_crop_with_a_margin_the_middle_lies_in_the_content():
    """The answered middles of all crops together are the image, to its very corners."""
    semantic = np.arange(16 * 20, dtype=np.uint8).reshape(16, 20) % 250
    sample = make_sample((16, 20), semantic=semantic)
    warp = Warp(None, padding=1.0, crop=(18, 18), crop_margin=5, border="reflect")
    padded = np.pad(sample["image"], ((5, 5), (5, 5), (0, 0)), mode="symmetric")
    seen = np.zeros((16, 20), bool)
    for seed in range(300):
        warped = warp(sample, np.random.default_rng(seed))
        x, y = find(warped["image"], padded)
        np.testing.assert_array_equal(warped["semantic"][5:13, 5:13], semantic[y : y + 8, x : x + 8])
        seen[y : y + 8, x : x + 8] = True
    assert seen.all()


@settings(deadline=None, max_examples=40)
@given(st.floats(0.6, 2.5), st.booleans(), st.floats(0, 0.999), st.floats(0, 0.999), st.sampled_from([None, (64, 64)]))
def test_crops_of_scaled_content_lie_in_it(scale, flip, x, y, size):
    sample = make_sample((50, 70))
    crop = (24, 24)
    warp = Warp(size, padding=1.0, crop=crop)
    affine, shown = warp.lay(sample, View(scale=scale, flip=flip, place=(x, y)))
    assert shown == crop
    corners = apply_affine(invert(affine), np.array([[0.0, 0], [24, 24]]))
    assert (corners >= -1e-6).all()
    assert (corners <= np.array([70, 50]) + 1e-6).all()
    zoom = scale * (1 if size is None else 64 / 70)
    assert abs(affine[0, 0]) == pytest.approx(zoom)


def test_crop_and_elastic_change_no_other_draw():
    some = {"scale": (0.5, 2), "rotation": 30, "flip": 0.5}
    for options in ({"crop": 32}, {"elastic": {}}, {"crop": 16, "elastic": {"grid": 5, "probability": 0.5}}):
        first, second = np.random.default_rng((3, 4)), np.random.default_rng((3, 4))
        a, b = Warp(64, **some).draw(first), Warp(64, **some, **options).draw(second)
        assert (a.scale, a.rotation, a.flip) == (b.scale, b.rotation, b.flip)
        assert first.random() == second.random()
    draws = [Warp(64, crop=8, **more).draw(np.random.default_rng(5)).place for more in ({}, {"elastic": {}})]
    assert draws[0] == draws[1]


@given(st.integers(-60, 60), st.integers(0, 60), st.integers(1, 20))
def test_a_mirrored_row_is_that_of_numpy(begin, length, pixels):
    row = np.arange(pixels)
    before, behind = max(-begin, 0), max(begin + length, 0)
    padded = np.pad(row, (before, behind), mode="symmetric")
    np.testing.assert_array_equal(
        mirrored_indices(begin, begin + length, pixels), padded[before + begin : before + begin + length]
    )


@pytest.mark.parametrize("shrink", [1, 2, 4])
def test_a_mirrored_border_is_the_image_mirrored(shrink):
    """Also where the image is halved first, and more than once over."""
    size = (24 * shrink, 16 * shrink)
    sample = make_sample(size, semantic=np.zeros(size, np.uint8))
    sample["image"] = cv2.GaussianBlur(sample["image"], (0, 0), 3 * shrink)
    warped = Warp((40, 70), padding=40 / 24, border="reflect")(sample)
    inner = Warp((24, 16), padding=1.0)(sample)["image"].astype(int)
    expected = np.pad(inner, ((8, 8), (27, 27), (0, 0)), mode="symmetric")
    np.testing.assert_allclose(warped["image"].astype(int), expected, atol=1)
    inside = np.zeros((40, 70), bool)
    inside[8:32, 27:43] = True
    np.testing.assert_array_equal(warped["semantic"] == 0, inside)
    assert (warped["semantic"][~inside] == 255).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crop": 0}, "warp.crop must be"),
        ({"crop": 8, "shift": 0.1}, "take one of the two out"),
        ({"crop_margin": 8}, "warp.crop_margin is that of crops"),
        ({"crop": 16, "crop_margin": 8}, "leaves nothing of"),
        ({"border": "mirror"}, "warp.border: no 'mirror'"),
        ({"elastic": {"sigm": 3}}, "warp.elastic has no argument 'sigm'; did you mean 'sigma'"),
        ({"elastic": {"grid": 1}}, "warp.elastic.grid must be"),
        ({"elastic": {"sigma": -1}}, "warp.elastic.sigma must be"),
        ({"elastic": {"probability": 2}}, "warp.elastic.probability must be"),
    ],
)
def test_wrong_values_are_named(options, message):
    with pytest.raises(ConfigError, match=message):
        Warp(64, **options)
