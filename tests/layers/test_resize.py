import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from densezoo.layers.resize import resize_nearest


@given(st.integers(1, 300), st.integers(1, 300))
def test_cells_of_a_rounded_up_level_cover_two_cells_each(height, width):
    coarse_size = (-(-height // 2), -(-width // 2))
    coarse = torch.arange(coarse_size[0] * coarse_size[1], dtype=torch.float32).reshape(1, 1, *coarse_size)
    rows, columns = torch.arange(height) // 2, torch.arange(width) // 2
    assert torch.equal(resize_nearest(coarse, (height, width)), coarse[:, :, rows][..., columns])
    assert F.max_pool2d(torch.zeros(1, 1, height, width), 2, ceil_mode=True).shape[-2:] == coarse_size


def test_right_size_is_not_copied():
    x = torch.randn(1, 2, 3, 4)
    assert resize_nearest(x, (3, 4)) is x


def test_gradient_is_the_sum_over_copies():
    x = torch.zeros(1, 1, 2, 2, requires_grad=True)
    resize_nearest(x, (4, 3)).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[[[4.0, 2.0], [4.0, 2.0]]]]
