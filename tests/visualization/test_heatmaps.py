"""Heatmaps lie exactly on their image and say their peak."""

import numpy as np
import pytest

from densezoo.visualization.heatmaps import blend_heatmap, draw_heatmaps


def peak_map(row, column, value=1.0, size=(16, 12)):
    heatmap = np.zeros(size, np.float32)
    heatmap[row, column] = value
    return heatmap


@pytest.mark.parametrize(("row", "column"), [(3, 2), (0, 0), (15, 11)])
def test_the_colour_is_centred_on_the_cell(row, column):
    image = np.full((128, 96, 3), 100, np.uint8)
    blended = blend_heatmap(image, peak_map(row, column)).astype(float)
    changed = np.abs(blended - 70).sum(axis=2) > 1
    rows, columns = np.nonzero(changed)
    # Cell (row, column) covers eight pixels; its colour fades out within the neighbours' centres.
    assert abs(np.clip(rows.mean() + 0.5, 0, 128) - (row + 0.5) * 8) < (3 if row in (0, 15) else 0.6)
    assert abs(np.clip(columns.mean() + 0.5, 0, 96) - (column + 0.5) * 8) < (3 if column in (0, 11) else 0.6)


def test_without_heat_the_image_is_only_darkened():
    image = np.full((32, 24, 3), 100, np.uint8)
    for nothing in (np.zeros((16, 12)), np.full((16, 12), -3.0), np.full((16, 12), np.nan)):
        np.testing.assert_array_equal(blend_heatmap(image, nothing), 70)


def test_hotter_is_redder_and_above_the_highest_nothing_changes():
    image = np.zeros((16, 12, 3), np.uint8)
    cold, hot, hotter = (
        blend_heatmap(image, np.full((16, 12), value), 0.5)[8, 6].astype(int) for value in (0.1, 0.5, 9)
    )
    assert cold[2] > cold[0]
    assert hot[0] > hot[2]
    np.testing.assert_array_equal(hot, hotter)


def test_the_sheet_has_one_picture_per_map_and_one_of_all():
    image = np.full((64, 48, 3), 100, np.uint8)
    maps = np.stack([peak_map(2, 2), peak_map(12, 8, 0.5), peak_map(8, 6, 0.1)])
    sheet = draw_heatmaps(image, maps, ["nose", "hand", "foot"], columns=4, min_side=0, highest=1.0)
    strip = sheet.shape[0] - 64 - 8
    tiles = [sheet[strip + 4 : strip + 68, 4 + 52 * index : 52 + 52 * index] for index in range(4)]
    for tile, heatmap in zip(tiles, [maps.max(axis=0), *maps], strict=True):
        np.testing.assert_array_equal(tile, blend_heatmap(image, heatmap))
    assert strip > 10


def test_faint_maps_are_stretched_unless_told_otherwise():
    image, maps = np.zeros((64, 48, 3), np.uint8), peak_map(8, 6, 0.02)[None]
    assert draw_heatmaps(image, maps, columns=1, min_side=0)[30:].max() < 256
    stretched = draw_heatmaps(image, maps, columns=1, min_side=0)
    absolute = draw_heatmaps(image, maps, columns=1, min_side=0, highest=1.0)
    inner = (slice(stretched.shape[0] - 64, stretched.shape[0] - 10), slice(6, 50))
    assert stretched[inner].max() > 100
    assert absolute[inner].max() < 60


def test_a_name_is_needed_for_every_map():
    with pytest.raises(ValueError, match="1 names for 2 heatmaps"):
        draw_heatmaps(np.zeros((8, 8, 3), np.uint8), np.zeros((2, 4, 4)), ["one"])
