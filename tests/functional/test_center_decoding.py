import pytest
import torch

from densezoo.functional.center_decoding import Centers, find_centers, find_keypoints


def one_center(box, column=4, row=5):
    cell = torch.tensor([[column]]), torch.tensor([[row]])
    return Centers(torch.ones(1, 1), torch.zeros(1, 1, dtype=torch.int64), *cell, torch.tensor([[box]]))


def keypoint_maps():
    """One kind of keypoint, which the centre in column 4, row 5 says to be at (6.5, 3.5); no heat anywhere."""
    offset = torch.zeros(1, 2, 12, 12)
    offset[0, :, 5, 4] = torch.tensor([2.5, -1.5])
    return offset, torch.zeros(1, 1, 12, 12), torch.full((1, 2, 12, 12), 0.25)


def test_centers_come_best_first_with_their_boxes():
    heat, size, offset = torch.zeros(1, 2, 6, 8), torch.zeros(1, 2, 6, 8), torch.zeros(1, 2, 6, 8)
    heat[0, 1, 2, 3], heat[0, 1, 2, 4], heat[0, 0, 4, 6] = 0.5, 0.4, 0.9  # the second is no maximum
    size[0, :, 2, 3], offset[0, :, 2, 3] = torch.tensor([4.0, 2.0]), torch.tensor([0.5, 0.25])
    centers = find_centers(heat, size, offset, 3)
    torch.testing.assert_close(centers.score, torch.tensor([[0.9, 0.5, 0.0]]))
    assert centers.label[0, :2].tolist() == [0, 1]
    assert (centers.column[0, :2].tolist(), centers.row[0, :2].tolist()) == ([6, 3], [4, 2])
    assert centers.boxes[0, 1].tolist() == [1.5, 1.25, 5.5, 3.25]
    assert centers.boxes[0, 0].tolist() == [6, 4, 6, 4]


@pytest.mark.parametrize(
    ("peak", "heat", "box", "expected"),
    [
        ((7, 4), 0.6, [0.0, 0, 9, 9], [7.25, 4.25, 0.6]),
        ((7, 4), 0.1, [0.0, 0, 9, 9], [6.5, 3.5, 0.0]),  # too faint
        ((7, 4), 0.6, [0.0, 0, 7, 9], [6.5, 3.5, 0.0]),  # outside the box
        ((9, 5), 0.6, [0.0, 0, 10, 9], [6.5, 3.5, 0.0]),  # farther than 0.3 of the longer side
        ((9, 5), 0.6, [0.0, 0, 12, 9], [9.25, 5.25, 0.6]),
        ((6, 3), 0.6, [0.0, 0, 3, 3], [6.5, 3.5, 0.6]),  # the heat of its own cell, though it does not move
    ],
)
def test_keypoints_snap_to_near_peaks_in_their_box(peak, heat, box, expected):
    offset, heats, heat_offset = keypoint_maps()
    heats[0, 0, peak[1], peak[0]] = heat
    found = find_keypoints(one_center(box), offset, heats, heat_offset, 5)
    torch.testing.assert_close(found[0, 0, 0], torch.tensor(expected))


def test_keypoints_take_the_nearest_peak_of_their_own_kind():
    offset, heats, heat_offset = keypoint_maps()
    heats = heats.repeat(1, 2, 1, 1)
    heats[0, 0, 3, 8], heats[0, 0, 3, 4], heats[0, 1, 3, 6] = 0.3, 0.9, 0.8
    offset = torch.cat([offset, offset], 1)
    found = find_keypoints(one_center([0.0, 0, 11, 11]), offset, heats, heat_offset, 5)
    torch.testing.assert_close(found[0, 0], torch.tensor([[8.25, 3.25, 0.3], [6.25, 3.25, 0.8]]))


def test_keypoints_off_the_map_have_no_heat():
    offset, heats, heat_offset = keypoint_maps()
    offset[0, 0, 5, 4] = -7
    found = find_keypoints(one_center([-4.0, 0, 9, 9]), offset, heats + 0.05, heat_offset, 5)
    assert found[0, 0, 0].tolist() == [-3.0, 3.5, 0.0]
