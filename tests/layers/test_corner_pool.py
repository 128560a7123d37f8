from types import SimpleNamespace

import pytest
import torch
from torch._dynamo.testing import CompileCounter

import densezoo.layers.corner_pool as pooling
from densezoo.errors import ConfigError
from densezoo.layers import kernels
from densezoo.layers.corner_pool import DIRECTIONS, corner_pool

SHAPES = [(2, 3, 5, 4), (1, 2, 1, 6), (2, 1, 7, 1), (1, 1, 1, 1)]


def met(direction, row, column, height, width):
    """The cells that a cell sees, in the order in which CornerNet's operator meets them."""
    return {
        "top": [(r, column) for r in range(height - 1, row - 1, -1)],
        "bottom": [(r, column) for r in range(row + 1)],
        "left": [(row, c) for c in range(width - 1, column - 1, -1)],
        "right": [(row, c) for c in range(column + 1)],
    }[direction]


def brute_force(x, grad, direction):
    """Maxima cell by cell, and the gradient given to the first of equals that is met."""
    pooled, gradient = torch.zeros_like(x), torch.zeros_like(x)
    images, channels, height, width = x.shape
    for image in range(images):
        for channel in range(channels):
            plane = x[image, channel].tolist()
            for row in range(height):
                for column in range(width):
                    cells = met(direction, row, column, height, width)
                    best = max(cells, key=lambda cell: plane[cell[0]][cell[1]])  # the first of equals
                    pooled[image, channel, row, column] = plane[best[0]][best[1]]
                    gradient[image, channel, *best] += grad[image, channel, row, column]
    return pooled, gradient


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_equals_brute_force_with_ties(direction, shape, layout):
    torch.manual_seed(0)
    x = torch.randint(0, 3, shape).double().contiguous(memory_format=layout).requires_grad_()  # many equal values
    grad = torch.randint(-9, 9, shape).double()
    pooled = corner_pool(x, direction)
    expected, gradient = brute_force(x.detach(), grad, direction)
    assert torch.equal(pooled.detach(), expected)
    pooled.backward(grad)
    assert torch.equal(x.grad, gradient)


def test_of_equal_values_the_first_that_is_met_gets_the_gradient():
    x = torch.tensor([5.0, 7.0, 7.0, 1.0], requires_grad=True)
    corner_pool(x.view(1, 1, 1, 4), "left").sum().backward()  # walked from the right end
    assert x.grad.tolist() == [0, 0, 3, 1]
    x.grad = None
    corner_pool(x.view(1, 1, 1, 4), "right").sum().backward()
    assert x.grad.tolist() == [1, 3, 0, 0]
    y = torch.zeros(1, 1, 4, 1, requires_grad=True)  # as after a ReLU
    corner_pool(y, "top").sum().backward()
    assert y.grad.flatten().tolist() == [0, 0, 0, 4]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_gradient_that_came_stays_as_it_was(layout):
    x = torch.zeros(1, 2, 3, 4, requires_grad=True)
    grad = torch.ones(1, 2, 3, 4).contiguous(memory_format=layout)
    (found,) = torch.autograd.grad(corner_pool(x, "top"), x, grad)
    assert found[:, :, -1].eq(3).all()
    assert grad.eq(1).all()


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.int32, torch.uint8])
def test_any_type(kind):
    x = (torch.arange(24) * 7 % 11).view(1, 2, 3, 4).to(kind)
    pooled = corner_pool(x, "bottom")
    assert pooled.dtype == kind
    assert torch.equal(pooled, torch.cummax(x, 2).values)


@pytest.mark.parametrize("shape", [(0, 3, 4, 5), (2, 0, 4, 5), (2, 3, 0, 5), (2, 3, 4, 0)])
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_nothing_to_pool(direction, shape):
    x = torch.zeros(shape, requires_grad=True)
    pooled = corner_pool(x, direction)
    assert pooled.shape == shape
    pooled.sum().backward()
    assert x.grad.shape == shape


def test_a_nan_is_carried_and_cells_that_see_it_keep_their_own_gradient():
    x = torch.tensor([1.0, float("nan"), 3, 0], requires_grad=True)
    pooled = corner_pool(x.view(1, 1, 1, 4), "right").flatten()
    assert pooled[0] == 1
    assert pooled[1:].isnan().all()
    pooled.backward(torch.tensor([1.0, 10, 100, 1000]))
    assert x.grad.tolist() == [1, 10, 100, 1000]


def test_gradients_of_short_floats_are_added_in_float32():
    x = torch.zeros(1, 1, 1, 1000, dtype=torch.bfloat16)
    x[..., 0] = 1
    x.requires_grad_()
    corner_pool(x, "right").backward(torch.full_like(x, 1.0))
    assert x.grad.dtype == torch.bfloat16
    assert x.grad[0, 0, 0, 0] == 1000  # 256 where every sum is rounded


def test_gradients_of_gradients():
    x = torch.rand(1, 2, 3, 4, dtype=torch.double, requires_grad=True)
    for direction in DIRECTIONS:
        assert torch.autograd.gradcheck(lambda x, d=direction: corner_pool(x, d), x)
        assert torch.autograd.gradgradcheck(lambda x, d=direction: corner_pool(x, d), x)


class _Pools(torch.nn.Module):
    def forward(self, x):
        return corner_pool(x, "top") + corner_pool(x, "right")


def test_compiles_in_one_graph_and_backward():
    x = torch.randn(2, 3, 5, 4, requires_grad=True)
    for backend in ("eager", "aot_eager"):
        gradients = []
        for module in (_Pools(), torch.compile(_Pools(), fullgraph=True, backend=backend)):
            (gradient,) = torch.autograd.grad(module(x).square().sum(), x)
            gradients.append(gradient)
        torch.testing.assert_close(*gradients)


def test_maps_of_any_size_share_one_graph():
    torch.compiler.reset()
    graphs = CompileCounter()
    compiled = torch.compile(_Pools(), fullgraph=True, dynamic=True, backend=graphs)
    for height, width in ((5, 4), (4, 7), (12, 3), (6, 6), (9, 2), (2, 9), (31, 17), (17, 31), (8, 40), (64, 64)):
        x = torch.randn(1, 2, height, width)
        assert torch.equal(compiled(x), _Pools()(x))
    assert graphs.frame_count <= 2


def test_a_kernel_that_cannot_be_built_is_said_once_and_done_without(monkeypatch, caplog):
    def fail(*_):
        raise RuntimeError("no C compiler")

    monkeypatch.setattr(kernels, "corner_pool", SimpleNamespace(running_max=fail), raising=False)
    monkeypatch.setattr(pooling, "_FAILED", [])
    monkeypatch.setattr(pooling, "_has_kernel", lambda cells, axis: not pooling._FAILED)
    x = torch.randn(1, 2, 4, 5, requires_grad=True)
    with caplog.at_level("WARNING", logger="densezoo"):
        (found,) = torch.autograd.grad(corner_pool(x, "top").square().sum(), x)
        corner_pool(x, "left").sum().backward()
    assert [record.getMessage() for record in caplog.records] == [
        "corner pooling goes on without Triton, whose kernel does not run here: no C compiler"
    ]
    assert pooling._FAILED == ["running_max"]
    assert torch.equal(found, torch.autograd.grad(corner_pool(x, "top").square().sum(), x)[0])


def test_exports_to_plain_operators():
    x = torch.randn(1, 3, 5, 4)
    exported = torch.export.export(_Pools(), (x,))
    assert torch.equal(exported.module()(x), _Pools()(x))
    called = {str(node.target) for node in exported.graph.nodes if node.op == "call_function"}
    assert "aten.maximum.default" in called
    assert all(name.startswith(("aten.", "<built-in function getitem>")) for name in called)


def test_an_unknown_direction_names_the_known_ones():
    with pytest.raises(ConfigError, match="did you mean 'bottom'"):
        corner_pool(torch.zeros(1, 1, 1, 1), "botom")


def test_what_is_no_map_is_refused():
    with pytest.raises(ValueError, match=r"\(N, C, H, W\) map of real numbers, got \(1, 2, 3\)"):
        corner_pool(torch.zeros(1, 2, 3), "top")
    with pytest.raises(ValueError, match="complex64"):
        corner_pool(torch.zeros(1, 1, 2, 2, dtype=torch.complex64), "top")
