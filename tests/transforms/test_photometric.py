"""Photometric changes: the numbers they promise, one at a time."""

import numpy as np
import pytest

from densezoo.errors import ConfigError
from densezoo.transforms import Photometric
from densezoo.transforms.photometric import add_noise

NOTHING = {"gain": 0.0}


def make_sample(image):
    return {"image": image, "image_id": 1, "path": "", "to_original": np.eye(2, 3), "frame": np.zeros(4, np.float32)}


def grey(value, size=(40, 60)):
    return np.full((*size, 3), value, np.uint8)


@pytest.fixture
def picture():
    return np.random.default_rng(3).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def change(image, seed=0, **options):
    return Photometric(**{**NOTHING, **options})(make_sample(image), np.random.default_rng(seed))["image"]


def test_without_a_generator_the_sample_passes_through(picture):
    sample = make_sample(picture)
    assert Photometric(gain=0.4, erase=1.0)(sample, None) is sample


def test_nothing_asked_nothing_changed(picture):
    np.testing.assert_array_equal(change(picture), picture)


def test_the_sample_that_came_in_is_left_alone(picture):
    before = picture.copy()
    changed = change(picture, gain=0.4, contrast=0.4, grayscale=1.0, blur=1.0, noise=0.1, erase=1.0)
    np.testing.assert_array_equal(picture, before)
    assert changed.shape == picture.shape
    assert changed.dtype == np.uint8
    untouched = change(picture, erase=1.0)
    np.testing.assert_array_equal(picture, before)
    assert not np.array_equal(untouched, before)


def test_gain_is_one_factor_per_channel():
    ratios = np.array([change(grey(100), seed, gain=0.4)[3, 4] / 100 for seed in range(800)])
    assert ratios.min() >= 0.6
    assert ratios.max() <= 1.4
    np.testing.assert_allclose(ratios.mean(axis=0), 1, atol=0.03)
    np.testing.assert_allclose(ratios.std(axis=0), 0.8 / np.sqrt(12), rtol=0.06)
    assert np.abs(np.corrcoef(ratios.T) - np.eye(3)).max() < 0.12  # channels are independent


def test_gain_saturates_instead_of_wrapping():
    values = [change(grey(250), seed, gain=0.4) for seed in range(30)]
    assert max(value.max() for value in values) == 255
    assert min(value.min() for value in values) >= 149


def test_contrast_spreads_about_the_mean_and_keeps_it():
    image = np.concatenate([grey(100), grey(140)], axis=1)
    spreads = []
    for seed in range(300):
        changed = change(image, seed, contrast=0.5).astype(float)
        assert changed.mean() == pytest.approx(120, abs=0.51)
        spreads.append((changed[0, -1, 0] - changed[0, 0, 0]) / 40)
    assert min(spreads) >= 0.48
    assert max(spreads) <= 1.52
    assert np.std(spreads) == pytest.approx(1 / np.sqrt(12), rel=0.1)


def test_grayscale_has_equal_channels_with_the_usual_weights():
    changed = change(np.tile(np.array([200, 100, 50], np.uint8), (4, 4, 1)), grayscale=1.0)
    assert np.unique(changed).tolist() == [round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)]


def test_probabilities_hold(picture):
    for option in ("grayscale", "blur", "erase"):
        changed = [not np.array_equal(change(picture, seed, **{option: 0.3}), picture) for seed in range(300)]
        assert np.mean(changed) == pytest.approx(0.3, abs=0.09), option


def test_blur_keeps_brightness_and_its_width_follows_the_image():
    for side, low, high in ((64, 0.15, 0.7), (256, 0.7, 2.7)):
        spot = np.zeros((side, side, 3), np.uint8)
        spot[side // 2 - 4 : side // 2 + 4, side // 2 - 4 : side // 2 + 4] = 255
        widths = []
        for seed in range(20):
            weights = change(spot, seed, blur=1.0)[..., 0].astype(float)
            assert weights.sum() == pytest.approx(64 * 255, rel=0.03)
            columns = np.arange(side) - np.average(np.arange(side), weights=weights.sum(axis=0))
            widths.append(np.average(columns**2, weights=weights.sum(axis=0)) - 63 / 12)
        sigmas = np.sqrt(np.maximum(widths, 0))
        assert sigmas.max() <= high
        assert sigmas.mean() >= low


@pytest.mark.parametrize("deviation", [0.0, 2.0, 12.75])
def test_noise_has_the_promised_deviation(deviation):
    noisy = add_noise(grey(128, (128, 128)), deviation, np.random.default_rng(0)).astype(float) - 128
    assert noisy.mean() == pytest.approx(0, abs=0.15)
    assert noisy.std() == pytest.approx(np.sqrt(deviation**2 + (1 / 12 if deviation else 0)), rel=0.02)
    assert np.abs(noisy).max() <= 2.5 * deviation + 1
    flat = noisy.reshape(-1)
    if deviation:
        assert abs(np.corrcoef(flat[:-3], flat[3:])[0, 1]) < 0.02  # neighbours of a channel are independent


def test_noise_is_at_most_what_was_asked():
    deviations = [change(grey(128), seed, noise=0.1).std() for seed in range(60)]
    assert max(deviations) <= 25.5 * 1.02
    assert np.mean(deviations) == pytest.approx(12.75, rel=0.15)


def test_erase_paints_one_rectangle_of_one_colour():
    areas = []
    for seed in range(200):
        image = grey(7, (100, 150))
        changed = (change(image, seed, erase=1.0) != 7).any(axis=2)
        rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
        if rows.size == 0:
            continue  # the colour drawn may be that of the image
        box = changed[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert box.all()
        areas.append(box.size / changed.size)
    assert len(areas) > 190
    assert max(areas) <= 0.17
    assert np.mean(areas) > 0.03


def test_same_seed_same_image(picture):
    options = {"gain": 0.4, "contrast": 0.2, "blur": 0.5, "noise": 0.05, "erase": 0.5, "grayscale": 0.2}
    np.testing.assert_array_equal(change(picture, 5, **options), change(picture, 5, **options))
    assert not np.array_equal(change(picture, 5, **options), change(picture, 6, **options))


def test_one_option_does_not_change_the_draws_of_another(picture):
    for seed in range(20):
        base = change(picture, seed, grayscale=0.5)
        with_blur_that_never_happens = change(picture, seed, grayscale=0.5, blur=1e-9, erase=1e-9)
        np.testing.assert_array_equal(base, with_blur_that_never_happens)


@pytest.mark.parametrize("field", ["gain", "contrast", "grayscale", "blur", "noise", "erase"])
@pytest.mark.parametrize("value", [-0.1, 1.5, "much", None, float("nan")])
def test_wrong_values_are_named(field, value):
    with pytest.raises(ConfigError, match=f"photometric.{field}"):
        Photometric(**{field: value})
