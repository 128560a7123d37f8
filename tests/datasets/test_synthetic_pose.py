import numpy as np
import pytest

from densezoo.datasets.synthetic_pose import choose, rotation, sample_skeleton

SAMPLES = [sample_skeleton(np.random.default_rng(seed)) for seed in range(300)]


def _bend(joints, first, middle, last):
    """Angle at `middle` away from straight, in degrees."""
    before, after = joints[middle] - joints[first], joints[last] - joints[middle]
    cosine = before @ after / np.linalg.norm(before) / np.linalg.norm(after)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


@pytest.mark.parametrize(
    ("axis", "before", "after"),
    [("x", (0, 1, 0), (0, 0, 1)), ("y", (0, 0, 1), (1, 0, 0)), ("z", (0, 1, 0), (-1, 0, 0))],
)
def test_a_quarter_turn_goes_the_way_its_docstring_says(axis, before, after):
    np.testing.assert_allclose(rotation(axis, 90) @ np.array(before), after, atol=1e-12)


def test_limbs_keep_their_proportions():
    for skeleton in SAMPLES:
        for side in ("left", "right"):
            thigh = np.linalg.norm(skeleton.joints[f"{side}_knee"] - skeleton.joints[f"{side}_hip"])
            forearm = np.linalg.norm(skeleton.joints[f"{side}_wrist"] - skeleton.joints[f"{side}_elbow"])
            assert 0.22 <= thigh <= 0.26
            assert 0.14 <= forearm <= 0.165


def test_joints_bend_within_anatomy():
    for skeleton in SAMPLES:
        for side in ("left", "right"):
            elbow = _bend(skeleton.joints, f"{side}_shoulder", f"{side}_elbow", f"{side}_wrist")
            knee = _bend(skeleton.joints, f"{side}_hip", f"{side}_knee", f"{side}_ankle")
            assert elbow <= 130.01
            assert knee <= 135.01


def test_knees_never_bend_forwards():
    for skeleton in SAMPLES:
        for side in ("left", "right"):
            joints = skeleton.joints
            thigh = joints[f"{side}_knee"] - joints[f"{side}_hip"]
            shin = joints[f"{side}_ankle"] - joints[f"{side}_knee"]
            # Thigh times shin points right where the shin is behind the thigh.
            assert np.cross(thigh, shin) @ skeleton.hips[:, 0] <= 1e-9


def test_frames_are_rotations_so_left_and_right_never_change_places():
    for skeleton in SAMPLES:
        for frame in (skeleton.hips, skeleton.chest, skeleton.skull):
            np.testing.assert_allclose(frame @ frame.T, np.eye(3), atol=1e-9)
            assert np.linalg.det(frame) > 0
        across = skeleton.joints["left_shoulder"] - skeleton.joints["right_shoulder"]
        assert across @ skeleton.chest[:, 0] > 0.2


def test_bodies_face_every_way_but_mostly_the_camera():
    facing = np.array([skeleton.hips[2, 2] for skeleton in SAMPLES])
    assert 0.5 < (facing > 0.3).mean() < 0.9
    assert (facing < -0.3).mean() > 0.1
    up = np.array([-skeleton.hips[1, 1] for skeleton in SAMPLES])
    assert 0 < (up > 0.5).mean() < 0.1  # upside down, rarely


def test_choose_follows_its_rates():
    rng = np.random.default_rng(0)
    drawn = [choose(rng, (("often", 0.8), ("seldom", 0.2))) for _ in range(2000)]
    assert drawn.count("often") / 2000 == pytest.approx(0.8, abs=0.03)
