"""Triton's kernels of corner pooling: on a GPU, and by Triton's interpreter in a process of its own elsewhere."""

import os
import subprocess
import sys

import pytest
import torch

import densezoo.layers.corner_pool as pooling
from densezoo.layers.corner_pool import DIRECTIONS, corner_pool

pytest.importorskip("triton")
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cpu" if INTERPRETED else "cuda"
runs_kernels = pytest.mark.skipif(
    not INTERPRETED and not torch.cuda.is_available(), reason="needs a GPU, or TRITON_INTERPRET=1"
)
starts_processes = pytest.mark.skipif(INTERPRETED, reason="starts this process, or another")
SHAPES = [(2, 2, 3, 5), (1, 2, 1, 3), (2, 1, 3, 1), (1, 1, 1, 1), (0, 2, 3, 3)]
KINDS = [torch.float32, torch.bfloat16, torch.float16, torch.float64]


@pytest.fixture
def kernels(monkeypatch):
    """Count the launches; the interpreter takes maps on the CPU."""
    from densezoo.layers.kernels import corner_pool as module

    launched = []
    for name in ("running_max", "running_max_backward"):
        original = getattr(module, name)
        monkeypatch.setattr(
            module, name, lambda *a, original=original, name=name: launched.append(name) or original(*a)
        )
    if INTERPRETED:
        monkeypatch.setattr(pooling, "_has_kernel", lambda cells, axis: True)
    return launched


def pooled_and_gradient(x, grad, direction):
    x = x.detach().requires_grad_()
    pooled = corner_pool(x, direction)
    pooled.backward(grad)
    return pooled.detach(), x.grad


def check(kernels, monkeypatch, x, grad, direction, **tolerance):
    found = pooled_and_gradient(x, grad, direction)
    assert kernels == ["running_max", "running_max_backward"]
    with monkeypatch.context() as context:
        context.setattr(pooling, "_has_kernel", lambda cells, axis: False)
        expected = pooled_and_gradient(x, grad, direction)
    torch.testing.assert_close(found[0], expected[0], rtol=0, atol=0, equal_nan=True)
    torch.testing.assert_close(found[1], expected[1], equal_nan=True, **tolerance)
    assert found[1].dtype == x.dtype


@runs_kernels
@pytest.mark.parametrize("layout", ["planes", "channels-last", "every second"])
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_the_plain_operators_with_ties(kernels, monkeypatch, shape, direction, layout):
    torch.manual_seed(0)
    x, grad = torch.randint(0, 3, shape).float(), torch.randint(-9, 9, shape).float()
    if layout == "channels-last":
        x = x.contiguous(memory_format=torch.channels_last)
    elif layout == "every second":
        x = torch.stack([x, x + 9], -1).flatten(-2)[..., ::2]
        grad = torch.stack([grad, grad + 9], -1).flatten(-2)[..., ::2]
    check(kernels, monkeypatch, x.to(DEVICE), grad.to(DEVICE), direction, rtol=0, atol=0)


@runs_kernels
@pytest.mark.parametrize("kind", KINDS)
def test_types(kernels, monkeypatch, kind):
    torch.manual_seed(0)
    x, grad = torch.randn(1, 3, 9, 2).to(DEVICE, kind), torch.randn(1, 3, 9, 2).to(DEVICE, kind)
    check(kernels, monkeypatch, x, grad, "top")


@runs_kernels
def test_gradients_of_short_floats_are_added_in_float32(kernels):
    x = torch.zeros(1, 1, 1, 300, dtype=torch.bfloat16, device=DEVICE)
    x[..., 0] = 1
    _, gradient = pooled_and_gradient(x, torch.ones_like(x), "right")
    assert gradient[0, 0, 0, 0] == 300  # 256 where every sum is rounded
    assert gradient.count_nonzero() == 1


@runs_kernels
@pytest.mark.parametrize("direction", ["left", "right"])
def test_not_a_number(kernels, monkeypatch, direction):
    x = torch.tensor([1.0, float("nan"), 3, 0, float("inf"), -float("inf"), 2], device=DEVICE).view(1, 1, 1, 7)
    check(kernels, monkeypatch, x, torch.arange(1.0, 8, device=DEVICE).view(x.shape), direction)


@runs_kernels
def test_more_lanes_than_a_program_holds(kernels, monkeypatch):
    from densezoo.layers.kernels import corner_pool as module

    monkeypatch.setattr(module, "TILE", 8)
    torch.manual_seed(0)
    x, grad = torch.randn(3, 5, 3, 2, device=DEVICE), torch.randn(3, 5, 3, 2, device=DEVICE)
    check(kernels, monkeypatch, x, grad, "bottom")


@runs_kernels
def test_compiles_in_one_graph(kernels):
    torch.manual_seed(0)
    x = torch.randn(1, 2, 3, 4, device=DEVICE, requires_grad=True)

    def pool(x):
        return corner_pool(x * 2, "left").square().sum() + corner_pool(x, "bottom").sum()

    gradients = [
        torch.autograd.grad(function(x), x)[0]
        for function in (pool, torch.compile(pool, fullgraph=True, backend="aot_eager"))
    ]
    torch.testing.assert_close(*gradients)
    assert kernels.count("running_max") == kernels.count("running_max_backward") == 4


@runs_kernels
def test_gradients_of_gradients_go_through_the_plain_operators(kernels):
    x = torch.rand(1, 1, 2, 3, dtype=torch.double, device=DEVICE, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: corner_pool(x, "top"), x)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_large_map_on_a_gpu(monkeypatch):
    torch.manual_seed(0)
    for size in ((128, 128), (2048, 3), (3, 2049)):  # the last is too long for a kernel
        x = torch.randn(2, 128, *size, device="cuda").relu()
        for direction in DIRECTIONS:
            found = pooled_and_gradient(x, torch.ones_like(x), direction)
            expected = pooled_and_gradient(x.cpu(), torch.ones_like(x).cpu(), direction)
            assert torch.equal(found[0].cpu(), expected[0])
            assert torch.equal(found[1].cpu(), expected[1])  # whole numbers


@starts_processes
def test_by_the_interpreter():
    environment = {**os.environ, "TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", __file__]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "3 skipped" in run.stdout  # this test, the next one, and the one that needs a GPU


@starts_processes
def test_a_map_on_the_cpu_needs_no_kernel():
    code = (
        "import sys, torch\n"
        "from densezoo.layers.corner_pool import corner_pool\n"
        "corner_pool(torch.rand(1, 1, 2, 2, requires_grad=True), 'top').sum().backward()\n"
        "assert 'densezoo.layers.kernels.corner_pool' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
