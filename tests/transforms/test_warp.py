"""The warp: annotations follow pixels, random parts are laws of the seed, wrong values are named."""

import math

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from densezoo.errors import ConfigError
from densezoo.functional.affine import apply_affine, fit_frame, invert, mean_scale
from densezoo.transforms import Warp
from densezoo.transforms.warp import View

NAMES = ("nose", "left_hand", "right_hand", "left_knee", "right_knee")
FLIP_ORDER = [0, 2, 1, 4, 3]
RANDOM = {"scale": (0.75, 1.25), "rotation": 30, "flip": 0.5, "shift": 0.1}


def make_sample(size=(60, 80), frame=None, points=None, **fields):
    height, width = size
    sample = {
        "image": np.zeros((height, width, 3), np.uint8),
        "image_id": 7,
        "path": "somewhere.jpg",
        "to_original": np.eye(2, 3),
        "frame": np.array(frame if frame is not None else [0, 0, width, height], dtype=np.float32),
        **fields,
    }
    if points is not None:
        points = np.asarray(points, dtype=np.float32).reshape(1, -1, 2)
        sample["keypoints"] = np.concatenate([points, np.full((*points.shape[:2], 1), 2, np.float32)], axis=2)
    return sample


def make_warp(size, **options):
    return Warp(size, **{"flip_order": FLIP_ORDER, "keypoint_names": NAMES, **options})


def draw_blob(size, x, y, sigma):
    """A bright spot whose centre of mass is the continuous point (x, y)."""
    columns, rows = np.arange(size[1]) + 0.5, np.arange(size[0]) + 0.5
    spot = np.exp(-((columns - x) ** 2 + (rows[:, None] - y) ** 2) / (2 * sigma**2))
    return np.repeat(np.rint(255 * spot)[..., None], 3, axis=2).astype(np.uint8)


def centroid(image):
    weights = image[..., 0].astype(np.float64)
    rows, columns = np.indices(weights.shape) + 0.5
    return np.array([(weights * columns).sum(), (weights * rows).sum()]) / weights.sum()


def random_views():
    return st.builds(
        View,
        scale=st.floats(0.6, 1.6),
        rotation=st.floats(-60, 60),
        flip=st.booleans(),
        shift=st.tuples(st.floats(-0.05, 0.05), st.floats(-0.05, 0.05)),
    )


class FixedView(Warp):
    """A warp whose random part is given."""

    view = View()

    def draw(self, rng):
        return self.view


def fixed_warp(view, size, **options):
    warp = FixedView(size, **{"flip_order": FLIP_ORDER, "keypoint_names": NAMES, **options})
    warp.view = view
    return warp


@settings(deadline=None, max_examples=60)
@given(
    random_views(),
    st.tuples(st.integers(40, 97), st.integers(40, 97)),
    st.tuples(st.sampled_from([33, 64, 96, 127]), st.sampled_from([32, 61, 96])),
    st.sampled_from([1, 3, 5]),
)
def test_pixels_follow_keypoints(view, image_size, view_size, enlargement):
    """A spot drawn at a joint is found at the moved joint; large images are halved first."""
    height, width = (side * enlargement for side in image_size)
    x, y = 0.53 * width, 0.46 * height
    warp = fixed_warp(view, view_size, border=(0, 0, 0), padding=1.0)
    sample = make_sample((height, width), points=[[x, y]] * 5)
    sample["image"] = draw_blob((height, width), x, y, max(1.5, 1.5 / mean_scale(warp.lay(sample, view)[0])))
    warped = warp(sample, np.random.default_rng(0))
    assert warped["image"].shape == (*view_size, 3)
    np.testing.assert_allclose(centroid(warped["image"]), warped["keypoints"][0, 0, :2], atol=0.15)


@settings(deadline=None, max_examples=60)
@given(
    random_views(),
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.integers(0, 2**32 - 1),
)
def test_to_original_brings_keypoints_back(view, image_size, view_size, seed):
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, 1, (5, 2)) * image_size[::-1]
    sample = make_sample(image_size, points=points)
    sample["to_original"] = np.array([[2.0, 0.1, 3.0], [-0.2, 1.5, 4.0]])
    corners = apply_affine(sample["to_original"], np.array([[0, 0], image_size[::-1]], dtype=float))
    sample["frame"] = np.concatenate([corners.min(axis=0), corners.max(axis=0)]).astype(np.float32)
    warped = fixed_warp(view, view_size)(sample, rng)
    back = apply_affine(warped["to_original"], warped["keypoints"][0, :, :2].astype(np.float64))
    expected = apply_affine(sample["to_original"], points[FLIP_ORDER if view.flip else slice(None)])
    zoom = mean_scale(warped["to_original"])
    np.testing.assert_allclose(back, expected, atol=1e-3 * max(zoom, 1))


def test_the_frame_is_in_the_files_pixels_even_where_the_image_is_smaller():
    """An image decoded at half size gives the same view as the full one."""
    full, half = make_sample((80, 120), frame=[20, 10, 100, 70]), make_sample((40, 60), frame=[20, 10, 100, 70])
    half["to_original"] = np.array([[2.0, 0, 0], [0, 2.0, 0]])
    warp = make_warp((48, 64))
    np.testing.assert_allclose(warp(half)["to_original"], warp(full)["to_original"])


@given(st.booleans(), st.integers(20, 60), st.integers(20, 60))
@settings(deadline=None, max_examples=20)
def test_mirror_is_exact(shift_by_one, height, width):
    """Without a resize a mirrored view is the mirrored image, bit for bit, and mirroring it again gives it back."""
    image = np.random.default_rng(height * width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    points = np.array([[0.5, 0.5], [3.25, 4], [width - 1, 5], [7, height - 0.5], [8, 9]])
    semantic = image[..., 0] % 5
    sample = make_sample((height, width), points=points, image=image, semantic=semantic)
    mirror = fixed_warp(View(flip=True), (height, width), padding=1.0)
    once = mirror(sample, np.random.default_rng(0))
    np.testing.assert_array_equal(once["image"], image[:, ::-1])
    np.testing.assert_array_equal(once["semantic"], semantic[:, ::-1])
    expected = points[FLIP_ORDER]
    expected[:, 0] = width - expected[:, 0]
    np.testing.assert_allclose(once["keypoints"][0, :, :2], expected, atol=1e-4)
    assert once["flipped"] is True
    again = once.copy()
    again["frame"], again["to_original"] = sample["frame"], np.eye(2, 3)
    twice = mirror(again, np.random.default_rng(0))
    np.testing.assert_array_equal(twice["image"], image)
    np.testing.assert_allclose(twice["keypoints"], sample["keypoints"], atol=1e-4)


def test_left_and_right_change_places_only_in_a_mirrored_view():
    sample = make_sample((100, 100), points=[[50, 10], [20, 50], [80, 55], [30, 90], [70, 90]])
    sample["keypoints"][0, :, 2] = [2, 1, 2, 0, 2]
    straight = fixed_warp(View(), 100, padding=1.0)(sample, np.random.default_rng(0))
    mirrored = fixed_warp(View(flip=True), 100, padding=1.0)(sample, np.random.default_rng(0))
    np.testing.assert_allclose(straight["keypoints"], sample["keypoints"], atol=1e-4)
    # The left hand of the mirrored person is what was the right hand: at 100 - 80, with the right hand's visibility.
    np.testing.assert_allclose(mirrored["keypoints"][0, 1], [20, 55, 2], atol=1e-4)
    np.testing.assert_allclose(mirrored["keypoints"][0, 2], [80, 50, 1], atol=1e-4)
    np.testing.assert_array_equal(mirrored["keypoints"][0, :, 2], [2, 2, 1, 2, 0])
    assert straight["flipped"] is False


@given(st.tuples(st.integers(2, 200), st.integers(2, 200)), st.tuples(st.integers(8, 128), st.integers(8, 128)))
@settings(deadline=None, max_examples=40)
def test_letterbox_keeps_aspect_and_shows_everything(image_size, view_size):
    sample = make_sample(image_size, image=np.full((*image_size, 3), 200, np.uint8))
    warped = make_warp(view_size, padding=1.0, border=(10, 20, 30))(sample)
    affine = invert(warped["to_original"])
    zoom = min(view_size[0] / image_size[0], view_size[1] / image_size[1])
    np.testing.assert_allclose(affine[:, :2], [[zoom, 0], [0, zoom]], atol=1e-9)
    corners = apply_affine(affine, np.array([[0, 0], image_size[::-1]], dtype=float))
    np.testing.assert_allclose(corners.sum(axis=0), view_size[::-1], atol=1e-6)  # centred
    blend = max(zoom, 1) / 2 + 1  # at its rim the image is interpolated with the border
    columns, rows = np.arange(view_size[1]) + 0.5, np.arange(view_size[0])[:, None] + 0.5
    depth = np.minimum(
        np.minimum(columns - corners[0, 0], corners[1, 0] - columns),
        np.minimum(rows - corners[0, 1], corners[1, 1] - rows),
    )
    assert (warped["image"][depth > blend] == 200).all()
    assert (warped["image"][depth < -blend] == (10, 20, 30)).all()


def test_padding_shows_the_enlarged_frame_whole():
    warped = make_warp((64, 48), padding=1.25)(make_sample((100, 100), frame=[20, 30, 40, 70]))
    shown = apply_affine(warped["to_original"], np.array([[0.0, 0.0], [48.0, 64.0]]))
    # 20 x 40 padded to 25 x 50 needs a view of 37.5 x 50 around the centre (30, 50).
    np.testing.assert_allclose(shown, [[11.25, 25], [48.75, 75]])


def test_scale_above_one_makes_the_person_larger():
    sample = make_sample((100, 100), points=[[40, 50], [60, 50], [0, 0], [0, 0], [0, 0]])

    def hands(scale):
        moved = fixed_warp(View(scale=scale), 100, padding=1.0)(sample, np.random.default_rng(0))["keypoints"][0]
        return moved[1, 0] - moved[0, 0]

    assert hands(1.25) == pytest.approx(25, abs=1e-4)
    assert hands(0.75) == pytest.approx(15, abs=1e-4)


@settings(deadline=None, max_examples=40)
@given(random_views())
@example(View(scale=1.5, flip=True))  # every third pixel falls between two
def test_mask_box_semantic_and_pixels_move_together(view):
    mask = np.zeros((90, 120), np.uint8)
    cv2.ellipse(mask, (60, 45), (25, 12), 30, 0, 360, 1, -1)
    sample = make_sample(
        (90, 120),
        image=np.repeat(mask[..., None] * 255, 3, axis=2),
        semantic=mask * 3,
        masks=mask[None],
        boxes=np.array([[36.0, 29.0, 86.0, 62.0]], dtype=np.float32),
        labels=np.array([4]),
    )
    warped = fixed_warp(view, (80, 100), padding=1.0, border=(0, 0, 0))(sample, np.random.default_rng(0))
    inside = warped["masks"][0] == 1
    assert inside.sum() > 200
    rim = cv2.morphologyEx(warped["masks"][0], cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) == 1
    grey = inside != (warped["image"][..., 0] > 127)  # rounding of grey at the rim
    assert not grey[~rim].any()
    assert grey.sum() <= 0.15 * rim.sum()
    y, x = np.nonzero(inside != (warped["semantic"] == 3))  # of pixels whose centre falls between two of the file
    places = apply_affine(warped["to_original"], np.stack([x, y], axis=1) + 0.5)
    assert (np.abs(places - places.round()).min(axis=1) < 0.02).all()
    rows, columns = np.nonzero(inside)
    tight = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    if abs(view.rotation) > 1:
        np.testing.assert_array_equal(warped["boxes"][0], tight)


def test_upright_box_keeps_its_annotation_and_is_clipped():
    sample = make_sample((100, 100), boxes=np.array([[10.0, 20.0, 130.0, 60.5]], dtype=np.float32))
    warped = make_warp((50, 50), padding=1.0)(sample)
    np.testing.assert_allclose(warped["boxes"], [[5, 10, 50, 30.25]])


def test_rotated_box_without_a_mask_is_the_extent_of_its_corners():
    box = np.array([[40.0, 40.0, 60.0, 60.0]], dtype=np.float32)
    empty = np.zeros((1, 100, 100), np.uint8)
    for fields in ({}, {"masks": empty}):
        sample = make_sample((100, 100), boxes=box, **fields)
        warped = fixed_warp(View(rotation=45), 100, padding=1.0)(sample, np.random.default_rng(0))
        half = 10 * math.sqrt(2)
        np.testing.assert_allclose(warped["boxes"], [[50 - half, 50 - half, 50 + half, 50 + half]], rtol=1e-5)


def test_semantic_is_ignored_and_masks_are_empty_outside_the_image():
    sample = make_sample((40, 80), semantic=np.zeros((40, 80), np.uint8), masks=np.ones((1, 40, 80), np.uint8))
    warped = make_warp((80, 80), padding=1.0)(sample)
    np.testing.assert_array_equal(np.unique(warped["semantic"][20:60]), [0])
    np.testing.assert_array_equal(np.unique(warped["semantic"][:20]), [255])
    np.testing.assert_array_equal(np.unique(warped["semantic"][60:]), [255])
    assert warped["masks"][0, 20:60].all()
    assert not warped["masks"][0, :20].any()


def test_a_whole_image_drops_instances_that_left_the_view_from_every_array():
    boxes = np.array([[0, 40, 8, 60], [40, 40, 60, 60], [92, 0, 100, 10]], dtype=np.float32)
    sample = make_sample(
        (100, 100),
        boxes=boxes,
        labels=np.array([1, 2, 3]),
        ids=np.array([11, 12, 13]),
        crowd=np.array([False, True, False]),
        masks=np.zeros((3, 100, 100), np.uint8),
        keypoints=np.ones((3, 5, 3), np.float32),
        whole_image=True,
    )
    warped = fixed_warp(View(scale=1.25), 100, padding=1.0)(sample, np.random.default_rng(0))
    np.testing.assert_array_equal(warped["ids"], [12])
    np.testing.assert_array_equal(warped["labels"], [2])
    np.testing.assert_array_equal(warped["crowd"], [True])
    np.testing.assert_allclose(warped["boxes"], [[37.5, 37.5, 62.5, 62.5]])
    assert warped["masks"].shape == (1, 100, 100)
    assert warped["keypoints"].shape == (1, 5, 3)
    assert len(sample["ids"]) == 3  # the sample that came in is left as it was


@pytest.mark.parametrize("frame", [[0, 0, 20, 40], [0, 0, 100, 100]])
def test_top_down_sample_keeps_its_person_even_out_of_view(frame):
    """Also where the frame happens to be the whole image."""
    sample = make_sample((100, 100), frame=frame, boxes=np.array([[0, 0, 20, 40]], np.float32))
    sample["ids"] = np.array([5])
    warped = fixed_warp(View(shift=(1.0, 0.0)), 64)(sample, np.random.default_rng(0))
    np.testing.assert_array_equal(warped["ids"], [5])
    assert warped["boxes"][0, 0] == warped["boxes"][0, 2]


def test_joints_outside_the_view_lose_their_visibility_and_keep_their_place():
    points = [[20, 20], [20.01, 60], [80, 50], [79.99, 50], [50, 100]]
    sample = make_sample((100, 100), frame=[20, 20, 80, 80], points=points)
    warped = make_warp(120, padding=1.0)(sample)
    np.testing.assert_array_equal(warped["keypoints"][0, :, 2], [2, 2, 0, 2, 0])
    np.testing.assert_allclose(warped["keypoints"][0, 4, :2], [60, 160], atol=1e-4)


def test_no_instances():
    sample = make_sample(
        (30, 40),
        keypoints=np.zeros((0, 5, 3), np.float32),
        boxes=np.zeros((0, 4), np.float32),
        labels=np.zeros(0, np.int64),
        masks=np.zeros((0, 30, 40), np.uint8),
    )
    warped = make_warp((16, 24), **RANDOM)(sample, np.random.default_rng(0))
    assert warped["keypoints"].shape == (0, 5, 3)
    assert warped["boxes"].shape == (0, 4)
    assert warped["masks"].shape == (0, 16, 24)
    assert "semantic" not in warped


def test_view_beside_the_image_is_all_border():
    sample = make_sample((50, 50), frame=[900, 900, 1100, 1100], image=np.full((50, 50, 3), 255, np.uint8))
    warped = make_warp(32, border=(1, 2, 3))(sample)
    assert (warped["image"] == (1, 2, 3)).all()


def test_strong_shrinking_averages_instead_of_skipping():
    """A fine checkerboard turns grey; four taps alone would leave black and white patches."""
    board = np.indices((240, 240)).sum(axis=0) % 2 * 255
    sample = make_sample((240, 240), image=np.repeat(board[..., None], 3, axis=2).astype(np.uint8))
    warped = make_warp(50, padding=1.0)(sample)
    assert np.abs(warped["image"][2:-2, 2:-2].astype(int) - 128).max() <= 2


@settings(deadline=None, max_examples=30)
@given(st.floats(2.0, 9.0), st.integers(0, 40), st.booleans())
def test_halving_keeps_a_ramp_in_place(shrink, offset, flip):
    """Both filters keep a linear ramp but for rounding, so any error in composing the halvings would show."""
    size = 211
    ramp = np.repeat(np.tile(np.arange(size, dtype=np.uint8), (size, 1))[..., None], 3, axis=2)
    frame = np.array([offset, 10, offset + 160, 170], dtype=np.float32)
    side = max(int(160 / shrink), 6)
    sample = make_sample((size, size), image=ramp, frame=frame)
    warped = fixed_warp(View(flip=flip), side, padding=1.0)(sample, np.random.default_rng(0))
    centres = np.stack([np.arange(side) + 0.5, np.full(side, 0.5)], axis=1)
    expected = apply_affine(warped["to_original"], centres)[:, 0] - 0.5  # value i at the centre of pixel i
    np.testing.assert_allclose(
        warped["image"][side // 2, :, 0], expected, atol=2.01
    )  # up to four roundings of half a level


def test_same_seed_same_view_other_seed_other_view():
    image = np.random.default_rng(1).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    sample = make_sample(image=image, points=[[30, 30]] * 5)
    warp = make_warp((48, 48), **RANDOM)
    first, same, other = (warp(sample, np.random.default_rng((0, epoch, 9))) for epoch in (1, 1, 2))
    for key in ("image", "keypoints", "to_original"):
        np.testing.assert_array_equal(first[key], same[key])
        assert not np.array_equal(first[key], other[key])


def test_without_a_generator_nothing_is_random():
    sample = make_sample(points=[[30, 30]] * 5)
    plain, random = make_warp((48, 48)), make_warp((48, 48), **RANDOM, rotation_probability=0.5)
    np.testing.assert_array_equal(plain(sample)["to_original"], random(sample)["to_original"])
    np.testing.assert_array_equal(plain.lay(sample, View())[0], fit_frame([-10, -7.5, 90, 67.5], (48, 48)))


def test_one_option_does_not_change_the_draws_of_another_or_of_what_follows():
    some = {"rotation": 30, "flip": 0.5}
    every = {**some, "scale": (0.5, 2), "shift": 0.2, "half_body": 1.0, "distribution": "uniform"}
    for seed in range(20):
        first, second = np.random.default_rng(seed), np.random.default_rng(seed)
        a, b = make_warp(32, **some).draw(first), make_warp(32, **every).draw(second)
        assert (a.rotation, a.flip) == (b.rotation, b.flip)
        assert first.random() == second.random()


def test_uniform_draws_fill_their_ranges():
    warp = make_warp(32, **{**RANDOM, "flip": 0.3, "half_body": 0.2})
    rng = np.random.default_rng(0)
    views = [warp.draw(rng) for _ in range(4000)]
    scales, turns = np.array([view.scale for view in views]), np.array([view.rotation for view in views])
    assert 0.75 <= scales.min() < 0.76
    assert 1.24 < scales.max() <= 1.25
    assert scales.std() == pytest.approx(0.5 / math.sqrt(12), rel=0.04)
    assert -30 <= turns.min() < -29.5
    assert turns.std() == pytest.approx(60 / math.sqrt(12), rel=0.04)
    assert np.mean([view.flip for view in views]) == pytest.approx(0.3, abs=0.03)
    assert np.mean([view.half_body for view in views]) == pytest.approx(0.2, abs=0.03)
    assert np.mean([view.prefer_upper for view in views]) == pytest.approx(0.7, abs=0.03)
    assert np.abs([view.shift for view in views]).max() <= 0.1


def test_normal_draws_are_those_of_the_published_code():
    """Rotation N(0, 30°) clipped at 60° on 40 % of samples; scale 2^N(0, 0.25), 0.71 to 1.41."""
    options = {"rotation": 30, "rotation_probability": 0.4, "scale": (2**-0.25, 2**0.25), "distribution": "normal"}
    rng, warp = np.random.default_rng(0), make_warp(32, **options)
    views = [warp.draw(rng) for _ in range(6000)]
    turns = np.array([view.rotation for view in views])
    assert np.mean(turns != 0) == pytest.approx(0.4, abs=0.02)
    assert np.abs(turns).max() == pytest.approx(60)
    clipped_deviation = 0.9595  # of a standard normal clipped at two
    assert turns[turns != 0].std() == pytest.approx(30 * clipped_deviation, rel=0.04)
    logs = np.log2([view.scale for view in views])
    assert logs.mean() == pytest.approx(0, abs=0.01)
    assert logs.std() == pytest.approx(0.25 * clipped_deviation, rel=0.04)
    assert 2 ** logs.min() == pytest.approx(0.7071, abs=1e-4)
    assert 2 ** logs.max() == pytest.approx(1.4142, abs=1e-4)


def test_half_body_looks_at_one_half():
    """Keypoints 3 and 4 are knees; three upper joints make the upper half, whatever is preferred."""
    sample = make_sample((200, 100), points=[[50, 20], [30, 60], [70, 60], [40, 160], [60, 160]])
    shown = {}
    for upper in (True, False):
        warp = fixed_warp(View(half_body=True, prefer_upper=upper), (64, 64), half_body=1.0)
        shown[upper] = warp(sample, np.random.default_rng(0))
        corners = apply_affine(shown[upper]["to_original"], np.array([[0.0, 0.0], [64.0, 64.0]]))
        # Extent 30..70 x 20..60 times 1.5, about (50, 40); at least a quarter of 200, which is less.
        np.testing.assert_allclose(corners, [[20, 10], [80, 70]], atol=1e-6)
    np.testing.assert_array_equal(shown[True]["keypoints"][0, :, 2], [2, 2, 2, 0, 0])


@pytest.mark.parametrize("people", [0, 1, 2])
def test_half_body_of_a_whole_image_is_refused_however_many_it_shows(people):
    warp = fixed_warp(View(half_body=True), 32, half_body=1.0)
    sample = make_sample(keypoints=np.ones((people, 5, 3), np.float32), whole_image=True)
    with pytest.raises(ConfigError, match="half_body needs one person per sample"):
        warp(sample, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"size": 0}, "warp.size"),
        ({"size": (64, 64, 3)}, "warp.size"),
        ({"size": "64"}, "warp.size"),
        ({"size": (64.5, 64)}, "warp.size"),
        ({"padding": 0}, "warp.padding"),
        ({"scale": (1.25, 0.75)}, "warp.scale"),
        ({"scale": 0.25}, "warp.scale"),
        ({"scale": (0, 1)}, "warp.scale"),
        ({"scale": (1, float("inf"))}, "warp.scale"),
        ({"padding": float("inf")}, "warp.padding"),
        ({"elastic": True}, "warp.elastic must be a dict"),
        ({"elastic": [10]}, "warp.elastic must be a dict"),
        ({"crop": 32, "crop_margin": 2.5}, "warp.crop_margin=2.5 must be whole pixels"),
        ({"rotation": -5}, "warp.rotation"),
        ({"rotation": (-30, 30)}, "warp.rotation"),
        ({"flip": 2}, "warp.flip"),
        ({"flip": True}, "warp.flip"),
        ({"half_body": -0.1}, "warp.half_body"),
        ({"half_body": 0.3, "keypoint_names": ("a", "b", "c", "d", "e")}, "warp.half_body"),
        ({"shift": 1.5}, "warp.shift"),
        ({"rotation_probability": "often"}, "warp.rotation_probability"),
        ({"rotation": float("nan")}, "warp.rotation"),
        ({"distribution": "gaussian"}, "warp.distribution"),
        ({"border": (0, 0)}, "warp.border"),
        ({"border": (0, 0, 300)}, "warp.border"),
        ({"flip_order": [0, 1, 1]}, "warp.flip_order"),
        ({"flip_order": [1, 2, 0]}, "warp.flip_order"),
    ],
)
def test_wrong_values_are_named(options, field):
    with pytest.raises(ConfigError, match=field):
        make_warp(**{"size": 64, **options})


def test_keypoint_count_that_differs_from_the_flip_order_is_refused():
    with pytest.raises(ConfigError, match=r"the sample has 3 keypoints but warp\.flip_order is for 5"):
        make_warp(32)(make_sample(points=[[1, 1]] * 3))
