import itertools
import math

import pytest
import torch

from densezoo.functional.embedding_losses import gaussian, hinge, pull_and_push


def corners(first, second, present):
    """Embeddings (N, P) of two corners, as points, and which count."""
    points = torch.stack([torch.tensor(first), torch.tensor(second)], -1).requires_grad_()
    return points, torch.tensor(present)[..., None].expand(points.shape)


def test_corners_by_hand():
    points, visible = corners(
        [[1.0, 2.0, 9.0], [4.0, 0.0, 0.0], [5.0, 6.0, 7.0]],
        [[1.4, 2.2, 9.0], [3.0, 0.0, 0.0], [5.0, 6.0, 7.0]],
        [[True, True, False], [True, False, False], [False, False, False]],
    )
    pull, push = pull_and_push(points, visible, hinge)
    # first image: two objects with means 1.2 and 2.1; second: one; third: none
    assert pull.item() == pytest.approx((0.2**2 + 0.1**2) / 2 + 0.5**2)
    assert push.item() == pytest.approx(2 * (1 - 0.9) / 2, rel=1e-5)
    (pull + push).backward()
    assert points.grad.isfinite().all()
    assert points.grad[~visible].eq(0).all()
    assert points.grad[visible].ne(0).all()


def test_slack_is_added_to_divisors_and_pushes_single_objects():
    points, visible = corners(
        [[1.0, 2.0, 9.0], [4.0, 0.0, 0.0], [5.0, 6.0, 7.0]],
        [[1.4, 2.2, 9.0], [3.0, 0.0, 0.0], [5.0, 6.0, 7.0]],
        [[True, True, False], [True, False, False], [False, False, False]],
    )
    slack = 0.5
    pull, push = pull_and_push(points, visible, hinge, slack)
    assert pull.item() == pytest.approx((0.2**2 + 0.1**2) / (2 + slack) + 0.5**2 / (1 + slack))
    # all four pairs of the first image less 1 / (n + slack) each, and the single one of the second
    pairs = 2 * 1 + 2 * (1 - 0.9) - 4 / (2 + slack)
    assert push.item() == pytest.approx(pairs / (2 + slack) + (1 - 1 / (1 + slack)) / slack, rel=1e-5)


def brute_force(points, visible):
    """Associative embedding's losses of one image, person by person."""
    people = [[t for t, seen in zip(*person, strict=True) if seen] for person in zip(points, visible, strict=True)]
    people = [tags for tags in people if tags]
    means = [sum(tags) / len(tags) for tags in people]
    pull = sum(sum((t - mean) ** 2 for t in tags) / len(tags) for tags, mean in zip(people, means, strict=True)) / max(
        len(people), 1
    )
    pairs = [math.exp(-((a - b) ** 2)) for a, b in itertools.permutations(means, 2)]
    return pull, sum(pairs) / max(len(pairs), 1)


def test_keypoints_are_as_brute_force_says():
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(6, 5, 7, generator=generator)
    visible = torch.rand(6, 5, 7, generator=generator) < 0.6
    visible[0] = False  # nobody
    visible[1, 1:] = False  # one person
    visible[2, 2] = False  # someone without a joint between others
    expected = [brute_force(*image) for image in zip(points.tolist(), visible.tolist(), strict=True)]
    pull, push = pull_and_push(points.where(visible, torch.nan), visible, gaussian)  # what is hidden is not read
    assert pull.item() == pytest.approx(sum(pull for pull, _ in expected), rel=1e-5)
    assert push.item() == pytest.approx(sum(push for _, push in expected), rel=1e-5)


def test_keypoints_are_as_in_the_published_code():
    points = (torch.sin(torch.arange(12.0) * 1.7) * 2).reshape(1, 3, 4)
    visible = torch.tensor([[[1, 1, 0, 1], [0, 1, 1, 1], [1, 0, 0, 0]]], dtype=torch.bool)
    pull, push = pull_and_push(points, visible, gaussian)
    # numbers of singleTagLoss of princeton-vl/pose-ae-train, whose push has the factor of a half
    assert pull.item() == pytest.approx(1.448274, abs=1e-5)
    assert push.item() / 2 == pytest.approx(0.155567, abs=1e-5)


@pytest.mark.parametrize("nearness", [hinge, gaussian])
@pytest.mark.parametrize("shape", [(2, 0, 3), (2, 3, 4), (1, 1, 2)])
def test_without_anything_visible_the_loss_and_its_gradient_are_zero(nearness, shape):
    points = torch.randn(shape, requires_grad=True)
    pull, push = pull_and_push(points, torch.zeros(shape, dtype=torch.bool), nearness)
    assert pull.item() == push.item() == 0
    (pull + push).backward()
    assert points.grad.shape == shape
    assert points.grad.eq(0).all()


def test_losses_are_float32_and_push_equal_means_no_further_than_they_know_how():
    points = torch.ones(1, 2, 3, dtype=torch.bfloat16, requires_grad=True)
    visible = torch.ones(1, 2, 3, dtype=torch.bool)
    for nearness in (hinge, gaussian):
        pull, push = pull_and_push(points, visible, nearness)
        assert pull.dtype == push.dtype == torch.float32
        assert (pull.item(), push.item()) == (0, 1)
        (gradient,) = torch.autograd.grad(push, points)
        assert gradient.isfinite().all()
