import math
from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from densezoo.layers.resize import resize_by, resize_nearest


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


@pytest.mark.parametrize("scale", ["0.5", "0.29", "0.75", "1.1", "1.25", "2"])
@pytest.mark.parametrize("size", [(15, 18), (10, 100), (41, 31), (1, 12)])
def test_scaled_images_show_all_of_the_image_where_it_is(size, scale):
    y, x = torch.meshgrid(torch.arange(size[0]) + 0.5, torch.arange(size[1]) + 0.5, indexing="ij")
    images = torch.stack([x, y])[None]
    scaled = resize_by(images, float(scale))
    wanted = [math.ceil(side * Fraction(scale)) for side in size]
    assert list(scaled.shape[-2:]) == wanted
    margin = max(float(scale), 1) + 1  # the kernel reaches beyond the image there
    for axis, side in enumerate(reversed(size)):
        places = (torch.arange(scaled.shape[-1 - axis]) + 0.5) / float(scale)
        found = scaled[0, axis].mean(axis)
        reach = margin / float(scale)
        inner = (places > reach) & (places < side - reach)
        torch.testing.assert_close(found[inner], places[inner], atol=0.03, rtol=0)
        assert abs(found[-1] - min(places[-1], side - 0.5)) < reach


@pytest.mark.parametrize("scale", [0.5, 1.5])
def test_whole_sides_are_plain_interpolation(scale):
    images = torch.randn(1, 3, 8, 12)
    expected = F.interpolate(images, scale_factor=scale, mode="bilinear", antialias=scale < 1)
    assert torch.equal(resize_by(images, scale), expected)
