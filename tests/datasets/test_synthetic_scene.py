import cv2
import numpy as np
import pytest

from densezoo.datasets.synthetic_figure import KEYPOINT_NAMES, sample_figure
from densezoo.datasets.synthetic_scene import CLASSES, draw_scene

SCENES = [draw_scene(np.random.default_rng((5, seed)), (128, 128), 3) for seed in range(60)]
PEOPLE = [(scene, instance) for scene in SCENES for instance in scene.instances if instance.category == 1]
KEYPOINTS = np.stack([instance.keypoints for _, instance in PEOPLE])


def test_the_semantic_map_says_the_category_of_every_mask_pixel():
    for scene in SCENES:
        painted = np.zeros_like(scene.semantic)
        for instance in scene.instances:
            assert not painted[instance.mask].any()  # visible masks never overlap
            painted[instance.mask] = instance.category
        np.testing.assert_array_equal(painted, scene.semantic)


def test_every_class_and_background_occurs():
    found = set(np.unique(np.stack([scene.semantic for scene in SCENES])).tolist())
    assert found == set(range(len(CLASSES) + 1))


def test_visible_keypoints_lie_on_their_person():
    for _, person in PEOPLE:
        distance = cv2.distanceTransform((~person.mask).astype(np.uint8), cv2.DIST_L2, 5)
        for x, y, flag in person.keypoints:
            if flag == 2:
                assert distance[int(y), int(x)] <= 1.5


def test_a_joint_behind_another_object_is_hidden():
    covered = 0
    for scene, person in PEOPLE:
        later = False
        for instance in scene.instances:
            if instance is person:
                later = True
            elif later:
                for x, y, flag in person.keypoints:
                    if flag and instance.mask[int(y), int(x)]:
                        assert flag == 1
                        covered += 1
    assert covered > 20


def test_keypoints_outside_the_image_are_unlabelled_and_zero():
    flags = KEYPOINTS[..., 2]
    assert (flags == 0).any()
    assert not KEYPOINTS[flags == 0].any()
    labelled = KEYPOINTS[flags > 0]
    assert ((labelled[:, :2] >= 0) & (labelled[:, :2] < 128)).all()


def test_most_joints_are_seen_and_some_are_hidden_by_something():
    flags = KEYPOINTS[..., 2]
    assert (flags == 2).mean() > 0.65
    assert 0.1 < (flags == 1).mean() < 0.3


def test_a_head_covers_what_lies_on_its_far_side():
    towards, away = 0, 0
    for seed in range(60):
        names = [part.name for part in sample_figure(np.random.default_rng(seed)).parts]
        before_head = {name: names.index(name) < names.index("head") for name in ("nose", "left_eye", "right_eye")}
        towards += not any(before_head.values())
        away += all(before_head.values())
    assert towards > 20
    assert away > 6


def test_every_keypoint_has_a_part_of_its_own():
    figure = sample_figure(np.random.default_rng(0))
    assert len(KEYPOINT_NAMES) == len(figure.keypoints) == len(figure.owners) == 17
    painted = {part.name for part in figure.parts}
    for own in figure.owners:
        assert own & painted


def test_swapping_sides_is_not_a_valid_figure():
    # Seen from the front, the left shoulder is on the right of the picture, from behind on the left.
    agree = 0
    for _, person in PEOPLE:
        points = person.keypoints
        if (points[[0, 5, 6], 2] == 2).all() and abs(points[5, 0] - points[6, 0]) > 10:
            upright = points[5:7, 1].mean() < points[11:13, 1].mean()
            agree += (points[5, 0] > points[6, 0]) == upright
            agree -= (points[5, 0] > points[6, 0]) != upright
    assert agree > 20


def test_people_differ_in_size():
    sides = [max(np.ptp(axis) + 1 for axis in np.nonzero(person.mask)) / 128 for _, person in PEOPLE]
    assert np.quantile(sides, 0.05) < 0.5
    assert np.quantile(sides, 0.95) > 0.8


def _score_of_the_constant_pose(people):
    """PCK at 0.2 of the torso of the median pose, placed in each person's true box."""
    keypoints = np.stack([person.keypoints for person in people])
    corners = [np.argwhere(person.mask)[:, ::-1] for person in people]
    boxes = np.array([(*points.min(0), *(points.max(0) + 1)) for points in corners])
    centres, scales = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).max(1)
    relative = (keypoints[..., :2] - centres[:, None]) / scales[:, None, None]
    labelled = keypoints[..., 2] > 0
    pose = np.stack([np.median(relative[labelled[:, k], k], axis=0) for k in range(17)])
    torso = np.linalg.norm(keypoints[:, 5, :2] - keypoints[:, 12, :2], axis=1)
    counted = labelled & (labelled[:, 5] & labelled[:, 12])[:, None]
    errors = np.linalg.norm(pose - relative, axis=2) * scales[:, None] / torso[:, None]
    return (errors[counted] <= 0.2).mean()


def test_hard_to_guess_without_looking():
    assert _score_of_the_constant_pose([person for _, person in PEOPLE]) < 0.35


def test_less_difficulty_means_fewer_hidden_joints_and_a_better_guess_that_is_still_bad():
    scenes = [draw_scene(np.random.default_rng((5, seed)), (128, 128), 3, difficulty=0.0) for seed in range(60)]
    people = [instance for scene in scenes for instance in scene.instances if instance.category == 1]
    flags = np.stack([person.keypoints[:, 2] for person in people])
    assert (flags == 1).mean() < 0.6 * (KEYPOINTS[..., 2] == 1).mean()
    guess = _score_of_the_constant_pose(people)
    assert _score_of_the_constant_pose([person for _, person in PEOPLE]) + 0.1 < guess < 0.6


@pytest.mark.parametrize("size", [(32, 32), (65, 97), (128, 64)])
def test_any_size(size):
    scene = draw_scene(np.random.default_rng(1), size, 2)
    assert scene.image.shape == (*size, 3)
    assert scene.image.dtype == np.uint8
    assert scene.image.std() > 2
    assert scene.semantic.shape == size
    assert (scene.semantic == 1).any()


def test_a_crowd_of_many():
    scenes = [draw_scene(np.random.default_rng(seed), (192, 192), 20) for seed in range(6)]
    assert max(sum(instance.category == 1 for instance in scene.instances) for scene in scenes) > 6
