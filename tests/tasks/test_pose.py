import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import densezoo.metrics  # noqa: F401  # registers the metrics
from densezoo.errors import ConfigError, DataError
from densezoo.tasks.pose import Pose
from densezoo.types import Batch, DatasetMeta, Grid, identity_affine

META = DatasetMeta(
    classes=("person",),
    category_ids=(1,),
    keypoint_names=("nose", "left_shoulder", "right_shoulder", "left_hip", "right_hip"),
    flip_pairs=((1, 2), (3, 4)),
)
GRID = Grid(4, (16, 12))


def batch_of(points, visibility=2.0, valid=True, size=(64, 48)):
    """A batch of one-person samples from (N, K, 2) points."""
    points = torch.as_tensor(points, dtype=torch.float32)
    seen = torch.as_tensor(visibility, dtype=torch.float32).expand(points.shape[:2])
    keypoints = torch.cat([points, seen[..., None]], -1)[:, None]
    images = torch.zeros(len(points), 3, *size, dtype=torch.uint8)
    return {"images": images, "keypoints": keypoints, "valid": torch.full((len(points), 1), valid)}


def decoded(task, batch, grid):
    predictions = task.decode(task.encode(batch, grid)["maps"], grid)
    return np.concatenate([prediction["keypoints"] for prediction in predictions])


coordinates = st.lists(
    st.tuples(
        st.floats(0, 0.9999) | st.sampled_from([0.0, 0.001, 0.02, 0.97, 0.9999]),
        st.floats(0, 0.9999) | st.sampled_from([0.0, 0.001, 0.02, 0.97, 0.9999]),
    ),
    min_size=1,
    max_size=6,
)


@settings(deadline=None)
@given(coordinates, st.integers(3, 20), st.integers(3, 20), st.sampled_from([1, 2, 4, 7]), st.floats(0.7, 3))
@pytest.mark.parametrize(
    ("target", "refine", "tolerance"),
    [("quantised", "none", 0.5), ("quantised", "quarter", 0.5), ("quantised", "dark", 0.5), ("unbiased", "dark", 0.1)],
)
def test_decoding_inverts_encoding(target, refine, tolerance, fractions, height, width, stride, sigma):
    size = (height * stride, width * stride)
    points = torch.tensor([fractions]) * torch.tensor([size[1], size[0]]).double()
    task = Pose(len(fractions), target=target, refine=refine, sigma=sigma)
    found = decoded(task, batch_of(points, size=size), Grid(stride, (height, width)))
    error = np.abs(found[0, :, :2] - points[0].numpy()) / stride
    assert error.max() <= tolerance + 1e-4
    if target == "quantised":
        assert (found[..., 2] == 1).all()


@settings(deadline=None)
@given(coordinates, st.tuples(st.floats(-9, 30), st.floats(-9, 30)), st.sampled_from([1, 2, 4, 7]))
def test_decoding_inverts_encoding_with_an_origin(fractions, origin, stride):
    grid = Grid(stride, (5, 6), origin)
    points = torch.tensor([fractions]) * torch.tensor([6.0, 5.0]) * stride + torch.tensor(origin)
    size = (100, 100)
    task = Pose(len(fractions), target="unbiased", refine="dark")
    seen = ((points >= 0) & (points < 100)).all(-1).float() * 2
    found = decoded(task, batch_of(points, seen, size=size), grid)
    error = np.abs(found[0, :, :2] - points[0].numpy())[seen[0].numpy() > 0]
    assert (error <= 0.1 * stride + 1e-4).all()


@pytest.mark.parametrize("size", [(1, 9), (9, 1), (2, 9), (1, 1)])
def test_maps_of_one_or_two_rows_decode_to_the_joints_cell(size):
    """The quadratic of `dark` needs three rows and three columns, so such maps are not refined."""
    points = torch.tensor([[[0.7 * size[1] * 4, 0.3 * size[0] * 4]]])
    batch = batch_of(points, size=(size[0] * 4, size[1] * 4))
    found = decoded(Pose(1, target="unbiased", refine="dark"), batch, Grid(4, size))
    np.testing.assert_array_equal(found[0, :, :2], (points[0] // 4 * 4 + 2).numpy())


def test_probabilities_decode_too():
    task = Pose(1, loss="cross_entropy", target="unbiased", refine="dark", sigma=1.0)
    batch = batch_of([[[20.7, 33.1]]])
    target = task.encode(batch, GRID)["maps"]["heatmap"]
    (prediction,) = task.decode(task.activate({"heatmap": target.clamp(min=1e-20).log() + 3}), GRID)
    assert np.abs(prediction["keypoints"][0, 0, :2] - [20.7, 33.1]).max() < 0.1
    assert 0.9 < prediction["scores"][0] <= 1
    (unsure,) = task.decode(task.activate({"heatmap": torch.zeros_like(target)}), GRID)
    assert unsure["scores"][0] == pytest.approx(2 * math.pi / (16 * 12), rel=1e-5)


def test_the_quantised_peak_is_exactly_one_at_the_joints_cell():
    maps = Pose(2).encode(batch_of([[[21.0, 33.0], [47.9, 0.0]]]), GRID)["maps"]["heatmap"]
    assert maps.shape == (1, 2, 16, 12)
    assert maps[0, 0, 8, 5] == 1
    assert maps[0, 1, 0, 11] == 1
    assert maps[0, 0, 8, 6] == pytest.approx(math.exp(-0.5))
    assert maps[0, 0].argmax() == 8 * 12 + 5


# joint by joint: visible, hidden, unlabelled, visible outside the image
@pytest.mark.parametrize(
    ("joints", "supervised", "drawn"),
    [
        ("zero_target", [1, 1, 1, 1], [1, 1, 0, 0]),
        ("mask", [1, 1, 0, 0], [1, 1, 0, 0]),
        ("visible_only", [1, 0, 0, 0], [1, 0, 0, 0]),
    ],
)
def test_joint_policies(joints, supervised, drawn):
    task = Pose(4, joints=joints)
    points = torch.tensor([[[20.0, 20.0], [8.0, 40.0], [0.0, 0.0], [50.0, 20.0]]])
    batch = batch_of(points, visibility=[[2.0, 1.0, 0.0, 2.0]])
    targets = task.encode(batch, GRID)
    assert targets["weights"]["heatmap"].flatten().tolist() == supervised
    assert targets["maps"]["heatmap"].amax((0, 2, 3)).tolist() == drawn
    normalisers = task.normalisers(batch)
    assert normalisers["heatmap"].item() == sum(supervised)
    zeros = {"heatmap": torch.zeros(1, 4, 16, 12)}
    energy = targets["maps"]["heatmap"].square().mean((2, 3)).sum().item()
    assert task.loss(zeros, targets, normalisers)["heatmap"].item() == pytest.approx(energy / sum(supervised))
    batch["valid"][:] = False
    assert task.encode(batch, GRID)["weights"]["heatmap"].eq(0).all()
    assert task.normalisers(batch)["heatmap"].item() == 0


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
@pytest.mark.parametrize("people", [0, 1])
def test_nobody_to_learn_from_gives_zero_loss_and_zero_gradient(loss, people):
    task = Pose(3, loss=loss)
    batch = batch_of(torch.zeros(2, 3, 2), visibility=0.0)
    batch = {**batch, "keypoints": batch["keypoints"][:, :people], "valid": batch["valid"][:, :people]}
    maps = torch.randn(2, 3, 16, 12, requires_grad=True)
    total = task.loss({"heatmap": maps}, task.encode(batch, GRID), task.normalisers(batch))["heatmap"]
    total.backward()
    assert total.item() == 0
    assert maps.grad is not None
    assert maps.grad.eq(0).all()


def test_split_normalisers_add_up_to_the_whole_batch():
    task = Pose(2)
    points = torch.tensor([[[5.0, 5.0], [9.0, 30.0]], [[20.0, 20.0], [40.0, 60.0]], [[1.0, 2.0], [3.0, 4.0]]])
    whole = batch_of(points, visibility=[[2, 2], [2, 0], [0, 0]])
    maps = torch.randn(3, 2, 16, 12)
    shared = task.normalisers(whole)
    assert shared["heatmap"].item() == 3
    expected = task.loss({"heatmap": maps}, task.encode(whole, GRID), shared)["heatmap"]
    parts = [{key: value[index : index + 1] for key, value in whole.items()} for index in range(3)]
    losses = [
        task.loss({"heatmap": maps[index : index + 1]}, task.encode(part, GRID), shared)["heatmap"]
        for index, part in enumerate(parts)
    ]
    torch.testing.assert_close(sum(losses), expected)
    torch.testing.assert_close(sum(task.normalisers(part)["heatmap"] for part in parts), shared["heatmap"])


def test_several_people_share_a_map():
    batch = batch_of([[[4.0, 4.0]]])
    other = batch_of([[[44.0, 60.0]]])
    batch["keypoints"] = torch.cat([batch["keypoints"], other["keypoints"]], 1)
    batch["valid"] = torch.ones(1, 2, dtype=torch.bool)
    (drawn,) = Pose(1).encode(batch, GRID)["maps"]["heatmap"]
    assert drawn[0, 1, 1] == 1
    assert drawn[0, 15, 11] == 1


@pytest.mark.parametrize("shift", [0, 1])
def test_unflip_mirrors_swaps_and_shifts(shift):
    task = Pose(5, meta=META, flip_shift=shift)
    points = torch.tensor([[[10.0, 8.0], [6.0, 20.0], [30.0, 22.0], [10.0, 50.0], [26.0, 52.0]]])
    mirrored = points.clone()
    mirrored[..., 0] = 48 - mirrored[..., 0]
    mirrored = mirrored[:, META.flip_order]
    expected = task.encode(batch_of(points), GRID)["maps"]["heatmap"]
    found = task.unflip({"heatmap": task.encode(batch_of(mirrored), GRID)["maps"]["heatmap"]})["heatmap"]
    torch.testing.assert_close(found[..., shift:], expected[..., : 12 - shift])
    torch.testing.assert_close(found[..., :shift], expected[..., :shift])  # nothing wraps around


def test_mean_pose_is_over_labelled_joints():
    def sample(points, visibility):
        keypoints = np.concatenate([points, np.array(visibility)[:, None]], 1)[None].astype(np.float32)
        return {"keypoints": keypoints, "image": np.zeros((4, 4, 3), np.uint8), "to_original": identity_affine()}

    first = sample([[2.0, 4.0], [10.0, 10.0], [0.0, 0.0]], [2, 1, 0])
    second = sample([[4.0, 8.0], [99.0, 99.0], [0.0, 0.0]], [2, 0, 0])
    prediction = Pose(3).constant_prediction([first, second])
    expected = [[3.0, 6.0, 1.0], [10.0, 10.0, 1.0], [16 / 3, 22 / 3, 1.0]]
    np.testing.assert_allclose(prediction["keypoints"][0], expected, rtol=1e-6)
    assert prediction["scores"].tolist() == [1.0]
    with pytest.raises(DataError, match="labelled"):
        Pose(3).constant_prediction([sample([[1.0, 1.0]] * 3, [0, 0, 0])])


def test_metrics_by_config_and_by_default():
    named = Pose(5, meta=META, metrics=[{"type": "PCK", "threshold": 0.5}])
    first, second = named.metrics()[0], named.metrics()[0]
    assert first is not second
    assert type(first).__name__ == "PCK"


def test_default_metrics_say_why_there_is_no_ap(caplog):
    (pck,) = Pose(5, meta=META).metrics()
    assert pck.primary == "PCK@0.2"
    assert "no OKS AP" in caplog.text
    caplog.clear()
    with_sigmas = DatasetMeta(keypoint_names=("tip", "root"), sigmas=(0.1, 0.1))
    first, second = Pose(2, meta=with_sigmas).metrics()
    assert type(first).__name__ == "KeypointAP"
    assert second.primary != pck.primary
    assert "box" in second.primary
    assert not caplog.text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target": "quantized"}, "did you mean 'quantised'"),
        ({"joints": "masked"}, "did you mean 'mask'"),
        ({"loss": "mae"}, "did you mean 'mse'"),
        ({"refine": "drak"}, "did you mean 'dark'"),
        ({"sigma": 0}, "sigma=0"),
        ({"sigma": float("nan")}, "sigma=nan"),
        ({"foreground": -5.0, "loss": "mse"}, "foreground=-5.0 must be 0 or more"),
        ({"dark_blur": -1, "refine": "dark"}, "dark_blur=-1 must be 0 or more"),
        ({"dark_blur": 1, "refine": "quarter"}, "belongs to refine='dark'"),
        ({"num_keypoints": 0}, "num_keypoints=0 must be at least 1"),
        ({"loss": "cross_entropy", "joints": "zero_target"}, "joints='mask'"),
        ({"loss": "cross_entropy", "foreground": 2.0}, "foreground=2.0"),
        ({"meta": META}, "num_keypoints=17.*5 keypoints"),
    ],
)
def test_impossible_values_say_how(arguments, message):
    with pytest.raises(ConfigError, match=message):
        Pose(**{"num_keypoints": 17, **arguments})


def test_what_needs_the_data_sets_meaning_says_so():
    with pytest.raises(ConfigError, match="flip test"):
        Pose(3).unflip({"heatmap": torch.zeros(1, 3, 4, 4)})
    with pytest.raises(ConfigError, match="metric"):
        Pose(3).metrics()
    with pytest.raises(ConfigError, match=r"num_keypoints=3.*2"):
        Pose(3).encode(batch_of(torch.zeros(1, 2, 2)), GRID)


def test_views_that_disagree_are_less_sure_than_views_that_agree():
    task = Pose(1, loss="cross_entropy", joints="mask")
    here, there = torch.full((1, 1, 8, 8), -20.0), torch.full((1, 1, 8, 8), -20.0)
    here[..., 2, 2], there[..., 2, 6] = 5.0, 5.0
    found, other = (task.activate({"heatmap": maps})["heatmap"] for maps in (here, there))
    (sure,) = task.decode({"heatmap": (found + found) / 2}, Grid(4, (8, 8)))
    (unsure,) = task.decode({"heatmap": (found + other) / 2}, Grid(4, (8, 8)))
    # a certain map's peak is above the target's and clamped; half of it is still above 1 with sigma 1
    assert (found + other).max() == pytest.approx(found.max().item(), rel=1e-3)
    assert sure["scores"] >= unsure["scores"]
    assert unsure["keypoints"][0, 0, 0] in (10.0, 26.0)  # one of the two cells, not the empty one between them


def test_a_batch_without_any_readable_image_has_no_loss():
    task = Pose(3)
    batch = Batch(images=torch.zeros(2, 3, 16, 16, dtype=torch.uint8), valid=torch.zeros(2, 0, dtype=torch.bool))
    targets = task.encode(batch, Grid(4, (4, 4)))
    normalisers = task.normalisers(batch)
    assert normalisers["heatmap"] == 0
    assert task.loss({"heatmap": torch.ones(2, 3, 4, 4)}, targets, normalisers)["heatmap"] == 0


@pytest.mark.parametrize("joints", ["zero_target", "mask"])
def test_crowds_are_not_learned(joints):
    task = Pose(1, joints=joints)
    batch = Batch(
        images=torch.zeros(1, 3, 16, 16, dtype=torch.uint8),
        valid=torch.ones(1, 1, dtype=torch.bool),
        crowd=torch.ones(1, 1, dtype=torch.bool),
        keypoints=torch.tensor([[[[8.0, 8.0, 2.0]]]]),
    )
    assert task.normalisers(batch)["heatmap"] == 0
    assert task.encode(batch, Grid(4, (4, 4)))["weights"]["heatmap"].eq(0).all()
