import numpy as np

from densezoo.functional.volumes import slice_depths
from densezoo.visualization.volumes import draw_relief, draw_volume, front_depths, render_volume, turn_volume


def blob(x, y, z, radius=4.0, count=16, size=(32, 32), thickness=2.0):
    """A ball about (x, y) pixels from the middle and z pixels deep."""
    across = np.arange(size[1]) + 0.5 - size[1] / 2 - x
    down = np.arange(size[0])[:, None] + 0.5 - size[0] / 2 - y
    depth = slice_depths(count, thickness)[:, None, None] - z
    return (across**2 + down**2 + depth**2 < radius**2).astype(np.float32)


def middle(volume, thickness=2.0):
    """Where the inside lies on average: x, y and depth from the middle, in pixels."""
    depth, down, across = (
        np.average(slice_depths(side), weights=volume.sum(tuple(axis for axis in range(3) if axis != kept)))
        for kept, side in enumerate(volume.shape)
    )
    return across, down, depth * thickness


def test_fronts_lie_between_slices():
    volume = np.zeros((4, 1, 4), np.float32)
    volume[:, 0, 0] = 0, 1, 1, 0
    volume[:, 0, 1] = 0, 0.25, 0.75, 1
    volume[:, 0, 2] = 1, 1, 1, 1
    found = front_depths(volume, 3.0)[0]
    # the front face of the second slice; between the middles of two slices; the front of the volume
    np.testing.assert_allclose(found, [-3.0, 0.0, -6.0, np.nan])


def test_a_turned_volume_goes_round():
    """What is nearer than the middle goes to the right, what is at the right goes back."""
    np.testing.assert_allclose(middle(turn_volume(blob(0, 3, -8), 2.0, 90.0)), (8, 3, 0), atol=0.1)
    np.testing.assert_allclose(middle(turn_volume(blob(8, 3, 0), 2.0, 90.0)), (0, 3, 8), atol=0.1)
    np.testing.assert_allclose(middle(turn_volume(blob(0, 3, -8), 2.0, -30.0)), (-4, 3, -8 * np.sqrt(0.75)), atol=0.1)
    np.testing.assert_allclose(turn_volume(blob(2, 3, 1), 2.0, 0.0), blob(2, 3, 1), atol=1e-6)


def test_reliefs_are_lit_from_the_upper_left_and_redder_where_near():
    relief, present = draw_relief(blob(0, 0, 0, 10), 2.0)
    np.testing.assert_array_equal(present > 0, blob(0, 0, 0, 10).any(0))
    assert relief[10, 10].astype(int).sum() > relief[21, 21].astype(int).sum() + 50
    assert (relief[present == 0] == relief[0, 0]).all()
    near, far = (draw_relief(blob(0, 0, z), 2.0)[0][16, 16].astype(int) for z in (-10, 10))
    assert near[0] > near[2]
    assert far[2] > far[0]


def test_volumes_are_drawn_where_they_are():
    image = np.full((64, 48, 3), 128, np.uint8)
    volume = blob(-4, 2, 0)
    picture = draw_volume(image, volume, 2.0, np.array([[1.5, 0, 0], [0, 2.0, 0]]))
    changed = np.argwhere((picture != image).any(2))
    np.testing.assert_allclose(changed.mean(0), (36, 18), atol=1)
    assert (image == 128).all()
    assert draw_volume(image, volume, 2.0, min_side=96).shape == (128, 96, 3)
    assert (draw_volume(image, np.zeros_like(volume), 2.0) == image).all()


def test_a_sheet_shows_the_image_and_three_sides():
    image = np.full((32, 32, 3), 200, np.uint8)
    sheet = render_volume(image, blob(0, 0, -8), 2.0, min_side=64)
    tiles = np.split(sheet[4:68, 4:276], [64, 68, 132, 136, 200, 204], axis=1)[::2]
    assert (tiles[0] == 200).all()
    left, front, right = ((tile != tile[0, 0]).any(2).nonzero()[1].mean() for tile in tiles[1:])
    assert left < front - 8
    assert right > front + 8
