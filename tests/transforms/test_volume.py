import numpy as np
import pytest

from densezoo.functional.volumes import slice_depths
from densezoo.transforms import Warp


def head(size=(40, 40), count=20):
    """A sample with a white ellipsoid, longer down than across, and its volume."""
    x, y = np.arange(size[1]) + 0.5 - size[1] / 2 + 3, np.arange(size[0])[:, None] + 0.5 - size[0] / 2
    volume = (x / 6) ** 2 + (y / 12) ** 2 + (slice_depths(count, 2.0)[:, None, None] / 9) ** 2 < 1
    return {
        "image": np.repeat(255 * volume.any(0)[..., None], 3, 2).astype(np.uint8),
        "image_id": 1,
        "path": "1.png",
        "to_original": np.eye(2, 3),
        "frame": np.float32([0, 0, *size[::-1]]),
        "volume": volume.astype(np.uint8),
    }


@pytest.mark.parametrize(
    "options",
    [
        {"rotation": 45},
        {"scale": (0.6, 1.6), "rotation": 20},
        {"flip": 1.0, "shift": 0.2},
        {"elastic": {"sigma": 3.0}, "rotation": 20},
    ],
)
def test_the_silhouette_follows_the_image(options):
    sample = head()
    warp = Warp(48, padding=1.0, border=(0, 0, 0), **options)
    for seed in range(6):
        warped = warp(sample, np.random.default_rng(seed))
        assert (warped["volume"].shape, warped["volume"].dtype) == ((20, 48, 48), np.uint8)
        assert warped["volume"].max() == 1
        shown, covered = warped["image"][..., 0] > 127, warped["volume"].any(0)
        assert np.count_nonzero(shown & covered) / np.count_nonzero(shown | covered) > 0.93


def test_depth_grows_with_the_image():
    thickest = head()["volume"].sum(0).max()
    for side in (40, 60):
        warped = Warp(side, padding=1.0)(head())["volume"]
        assert warped.sum(0).max() == pytest.approx(thickest * side / 40, abs=1.1)
