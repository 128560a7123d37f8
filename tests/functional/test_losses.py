import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from densezoo.functional.losses import spatial_cross_entropy, squared_error

ONE = torch.ones(1, 1, 1, 1)


def test_squared_error_is_a_mean_over_cells_and_a_sum_over_maps():
    maps, target = torch.zeros(2, 3, 2, 5), torch.zeros(2, 3, 2, 5)
    target[:, :, 0, 0] = 1.0
    weight = torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])[..., None, None]
    assert math.isclose(squared_error(maps, target, weight).item(), 3 / 10, rel_tol=1e-6)
    assert math.isclose(squared_error(maps, target, weight, foreground=9.0).item(), 10 * 3 / 10, rel_tol=1e-6)


def test_squared_error_leaves_cells_out():
    maps, target = torch.full((1, 2, 2, 5), 2.0), torch.zeros(1, 2, 2, 5)
    weight = torch.ones(1, 2, 2, 5)
    weight[0, 1, :, 1:] = 0
    weight[0, 0, 0, 0] = 0.5
    assert math.isclose(squared_error(maps, target, weight).item(), 4 * (9.5 + 2) / 10, rel_tol=1e-6)


def test_foreground_leaves_the_background_alone():
    maps, target = torch.full((1, 1, 4, 4), 0.5), torch.zeros(1, 1, 4, 4)
    assert squared_error(maps, target, ONE, foreground=50.0) == squared_error(maps, target, ONE)


def test_losses_are_float32_under_bf16_maps():
    maps, target = torch.full((1, 1, 4, 4), 0.3, dtype=torch.bfloat16), torch.full((1, 1, 4, 4), 0.25)
    for loss in (squared_error(maps, target, ONE), spatial_cross_entropy(maps, target, ONE)):
        assert loss.dtype == torch.float32
    expected = (float(torch.tensor(0.3, dtype=torch.bfloat16)) - 0.25) ** 2
    assert math.isclose(squared_error(maps, target, ONE).item(), expected, rel_tol=1e-6)


def test_cross_entropy_of_uniform_logits_with_one_cell_is_the_log_of_the_cells():
    target = torch.zeros(1, 1, 4, 5)
    target[..., 2, 3] = 7.0
    assert math.isclose(spatial_cross_entropy(torch.zeros(1, 1, 4, 5), target, ONE).item(), math.log(20), rel_tol=1e-6)


@given(st.integers(0, 10_000))
def test_cross_entropy_is_zero_only_for_the_target(seed):
    generator = torch.Generator().manual_seed(seed)
    target = torch.rand(1, 1, 3, 4, generator=generator) + 0.1
    assert abs(spatial_cross_entropy(target.log() + 5, target, ONE).item()) < 1e-5
    assert spatial_cross_entropy(torch.randn(1, 1, 3, 4, generator=generator), target, ONE).item() > 0


def test_left_out_maps_give_no_gradient_and_no_nan():
    maps = torch.randn(1, 2, 3, 3, requires_grad=True)
    target = torch.zeros(1, 2, 3, 3)
    weight = torch.zeros(1, 2, 1, 1)
    for loss in (squared_error(maps, target, weight), spatial_cross_entropy(maps, target, weight)):
        (gradient,) = torch.autograd.grad(loss, maps)
        assert loss.item() == 0.0
        assert gradient.eq(0).all()
