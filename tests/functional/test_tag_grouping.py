import math

import numpy as np
import pytest
import torch

from densezoo.functional.heatmaps import refine_quarter, refine_taylor
from densezoo.functional.oks import COCO_KEYPOINTS
from densezoo.functional.tag_grouping import (
    fill_missing,
    find_candidates,
    find_people,
    group_by_tags,
    joint_order,
    peaks,
)


def test_joints_are_grouped_from_the_head_outwards():
    # the order of the published code
    assert joint_order(COCO_KEYPOINTS) == [0, 1, 2, 3, 4, 5, 6, 11, 12, 7, 8, 9, 10, 13, 14, 15, 16]
    assert joint_order(["Right Ankle", "Left Hip", "Neck", "Shoulder", "Pelvis"]) == [2, 4, 3, 1, 0]
    assert joint_order([]) == []


def group(tags, scores=None, order=None, min_score=0.1, max_distance=1.0):
    """Group candidates, given for each joint as a list of tags (numbers or tuples); scores are 1 where none are."""
    most = max(len(joint) for joint in tags)
    found = np.array([[np.atleast_1d(joint[i] if i < len(joint) else 0) for i in range(most)] for joint in tags])
    if scores is None:
        scores = np.array([[1.0] * len(joint) + [0.0] * (most - len(joint)) for joint in tags])
    return group_by_tags(found, np.asarray(scores), order or range(len(tags)), min_score, max_distance).tolist()


def test_people_grow_joint_by_joint():
    assert group([[0.0, 5.0], [5.3, -0.2], [9.0, 4.8]]) == [[0, 1, -1], [1, 0, 1], [-1, -1, 0]]
    # who begins depends on the order, and so does who is listed first
    assert group([[0.0, 5.0], [5.3, -0.2]], order=[1, 0]) == [[1, 0], [0, 1]]
    # to the mean of a person's tags a tag may be near that is far from the first
    assert group([[0.0], [0.9], [1.4]]) == [[0, 0, 0]]
    assert group([[0.0], [0.9], [1.5]]) == [[0, 0, -1], [-1, -1, 0]]


def test_one_candidate_per_person_the_best_of_equally_near_ones():
    assert group([[0.0], [0.3, 0.1]], [[1, 0], [0.5, 0.4]]) == [[0, 0], [-1, 1]]
    assert group([[0.0], [0.3, 0.1]], [[1, 0], [0.4, 0.5]]) == [[0, 1], [-1, 0]]
    # whole steps count before the score
    assert group([[0.0], [0.7, 0.1]], [[1, 0], [0.9, 0.2]]) == [[0, 1], [-1, 0]]
    # one that could be anybody's leaves the nearer person to the other
    assert group([[0.0, 0.9], [0.45, 1.3]]) == [[0, 0], [1, 1]]


def test_a_stranger_does_not_push_people_on_to_their_neighbours():
    # in sums of distances 0 -> 4 and -4 -> 0 would cost as much as 0 -> 0 and -4 -> 4
    assert group([[0.0, 4.0], [-4.0, 0.0]]) == [[0, 1], [1, -1], [-1, 0]]


def test_several_tags_are_compared_by_the_root_of_their_mean_square():
    assert group([[(0.0, 0.0)], [(1.3, 0.1)]]) == [[0, 0]]
    assert group([[(0.0, 0.0)], [(1.3, 0.9)]]) == [[0, -1], [-1, 0]]


def test_what_is_weak_or_no_number_is_nobody():
    assert group([[0.0, 5.0], [0.0, 5.0]], [[0.1, 0.1], [0.1, 0.05]]) == []
    assert group([[0.0, np.nan], [np.inf, 0.0]]) == [[0, 1]]
    assert group_by_tags(np.zeros((3, 0, 1)), np.zeros((3, 0)), [0, 1, 2], 0.1, 1.0).shape == (0, 3)


def test_everybody_is_whole_where_tags_are_clear():
    rng = np.random.default_rng(0)
    for _ in range(40):
        people, joints = int(rng.integers(1, 8)), 9
        own = rng.permutation(12)[:people] * 2.5
        found = rng.random((joints, people)) < 0.7
        shuffled = np.stack([rng.permutation(people) for _ in range(joints)])
        tags = (own + rng.uniform(-0.2, 0.2, (joints, people)))[..., None]
        rows = np.arange(joints)[:, None]
        grouped = group_by_tags(
            tags[rows, shuffled], found[rows, shuffled] * rng.uniform(0.2, 1, (joints, people)), range(joints), 0.1, 1.0
        )
        owners = [{int(shuffled[joint, i]) for joint, i in enumerate(person) if i >= 0} for person in grouped]
        assert sorted(map(len, owners)) == [1] * int(found.any(0).sum())
        assert len(set().union(*owners)) == len(owners)
        assert (grouped >= 0).sum() == found.sum()


def test_peaks_are_the_highest_of_nine_and_of_equal_ones_the_last():
    maps = torch.randint(0, 12, (1, 20, 9, 11), generator=torch.Generator().manual_seed(0)).float() + 1
    found = peaks(maps)
    highest = torch.nn.functional.max_pool2d(maps, 3, 1, 1)
    assert found[found > 0].eq(highest[found > 0]).all()
    tops = ((maps == highest) & (found == 0)).nonzero().tolist()
    for _, kind, row, column in tops:  # each has an equal neighbour after it
        rows, columns = slice(row, row + 2), slice(max(column - 1, 0), column + 2)
        assert (maps[0, kind, rows, columns] == maps[0, kind, row, column]).sum() > 1
    flat = torch.zeros(1, 1, 4, 5)
    flat[..., 1:3, 1:4] = 2
    assert peaks(flat).nonzero().tolist() == [[0, 0, 2, 3]]


def test_candidates_are_the_highest_peaks_refined_with_the_tags_of_their_cells():
    heat = torch.zeros(1, 2, 6, 8)
    heat[0, 0, 2, 3], heat[0, 0, 2, 4], heat[0, 0, 5, 7] = 0.9, 0.4, 1.4
    heat[0, 1, 0, 0] = 0.3
    tags = torch.arange(2 * 2 * 48.0).reshape(2, 1, 2, 6, 8)
    found = find_candidates(heat, tags, 2, refine_quarter)
    torch.testing.assert_close(found.score, torch.tensor([[[1.0, 0.9], [0.3, 0.0]]]))
    assert found.points[0, 0].tolist() == [[7.5, 5.5], [3.75, 2.5]]
    assert found.points[0, 1, 0].tolist() == [0.5, 0.5]
    assert found.tags[0, 0].tolist() == [[47, 47 + 96], [19, 19 + 96]]
    assert find_candidates(heat[..., :1, :1], tags[..., :1, :1], 30, refine_taylor).score.shape == (1, 2, 1)


def test_missing_joints_are_filled_from_the_nearest_tag_with_the_most_heat():
    generator = torch.Generator().manual_seed(0)
    heat = torch.rand(3, 7, 5, generator=generator) * 1.2 - 0.1
    tags = torch.randn(2, 3, 7, 5, generator=generator) * 2
    own = torch.tensor([[0.3, -0.2], [1.9, 1.0]])
    missing = torch.tensor([[True, False, True], [False, True, True]])
    filled = fill_missing(heat, tags, own, missing, refine_quarter)
    for (person, joint), (x, y, score) in zip(missing.nonzero().tolist(), filled.tolist(), strict=True):
        steps = [
            (round(((tags[:, joint, row, column] - own[person]) ** 2).mean().sqrt().item()), -heat[joint, row, column])
            for row in range(7)
            for column in range(5)
        ]
        place = min(range(35), key=lambda index: steps[index])
        row, column = divmod(place, 5)
        assert abs(x - column - 0.5) <= 0.25
        assert abs(y - row - 0.5) <= 0.25
        assert score == pytest.approx(heat[joint, row, column].clamp(0, 1).item())


def test_the_best_people_come_first_and_all_joints_are_placed():
    heat, tags = torch.zeros(1, 2, 8, 8), torch.full((1, 1, 2, 8, 8), 30.0)
    for joint, column, score, tag in [(0, 1, 0.4, 0.0), (0, 4, 0.9, 5.0), (1, 4, 0.3, 5.2), (0, 6, 0.2, 10.0)]:
        heat[0, joint, 3, column], tags[0, 0, joint, 3, column] = score, tag
    tags[0, 0, 1, 6, 1] = 0.1  # where the second person's joint would be, without any heat
    ((keypoints, scores),) = find_people(heat, tags, [0, 1], 2, 0.1, 1.0, refine_quarter)
    np.testing.assert_allclose(scores, [0.6, 0.2], rtol=1e-6)
    np.testing.assert_allclose(keypoints[0], [[4.5, 3.5, 0.9], [4.5, 3.5, 0.3]], rtol=1e-6)
    np.testing.assert_allclose(keypoints[1], [[1.5, 3.5, 0.4], [1.5, 6.5, 0.0]], rtol=1e-6)
    ((nobody, none),) = find_people(heat * 0, tags, [0, 1], 2, 0.1, 1.0, refine_quarter)
    assert (nobody.shape, none.shape) == ((0, 2, 3), (0,))


def crowd():
    """Return heat (17, 16, 16) and tags (1, 17, 16, 16) of three people, each of whom lacks some joints."""
    joints = torch.arange(17.0)[:, None, None]
    row, column = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    heat = 0.02 * (1 + torch.sin(0.7 * row + 1.3 * column + joints))
    tags = 3 * torch.sin(1.1 * row - 0.6 * column + 2 * joints)
    for person in range(3):
        for joint in range(17):
            if (joint + person) % 5:
                x, y = (3 * joint + 5 * person) % 13 + 1.3, (2 * joint + 4 * person) % 13 + 1.6
                bump = torch.exp(-((column + 0.5 - x).square() + (row + 0.5 - y).square()) / 2)
                heat[joint] = torch.maximum(heat[joint], (0.5 + 0.02 * joint + 0.1 * person) * bump)
                tags[joint, int(y), int(x)] = 2.5 * person + 0.2 * math.sin(joint)
    return heat, tags[None]


def test_people_are_those_of_the_published_program():
    # positions and scores that pose-ae-train's grouping and filling of missing joints gave for these maps
    expected = [
        [[11.25, 9.75], [1.25, 11.75], [4.25, 13.75], [2.25, 11.75], [10.25, 4.75], [13.25, 6.75], [3.25, 8.75],
         [6.25, 10.75], [4.25, 8.75], [12.25, 1.75], [2.25, 3.75], [5.25, 5.75], [8.25, 7.75], [6.25, 5.75],
         [1.25, 11.75], [4.25, 13.75], [7.25, 2.75]],
        [[6.25, 5.75], [9.25, 7.75], [12.25, 9.75], [2.25, 11.75], [10.25, 5.25], [8.25, 2.75], [11.25, 4.75],
         [1.25, 6.75], [4.25, 8.75], [11.75, 2.25], [10.25, 12.75], [13.25, 1.75], [3.25, 3.75], [6.25, 5.75],
         [0.75, 11.75], [12.25, 9.75], [2.25, 11.75]],
        [[6.25, 6.25], [4.25, 3.75], [7.25, 5.75], [10.25, 7.75], [13.25, 9.75], [12.75, 6.75], [6.25, 13.75],
         [9.25, 2.75], [12.25, 4.75], [2.25, 6.75], [10.25, 13.25], [8.25, 10.75], [11.25, 12.75], [1.25, 1.75],
         [4.25, 3.75], [4.25, 12.75], [10.25, 7.75]],
    ]  # fmt: skip
    expected[1][14][0] = 0.5  # in the first column the published program moves a quarter inwards all the same
    heat, tags = crowd()
    order = joint_order(COCO_KEYPOINTS)
    ((keypoints, scores),) = find_people(heat[None], tags[:, None], order, 30, 0.1, 1.0, refine_quarter)
    np.testing.assert_allclose(keypoints[..., :2], expected, rtol=1e-6)
    np.testing.assert_allclose(scores, [0.6907489, 0.606987, 0.4945395], rtol=1e-6)
