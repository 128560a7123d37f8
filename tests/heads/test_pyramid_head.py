import importlib.util
from pathlib import Path

import pytest
import torch
from torch import nn

from densezoo.errors import ConfigError
from densezoo.heads.pyramid_head import PyramidHead

STRIDES = [4, 8, 16, 32]


def pyramid_of(size, widths=(8, 8, 8, 8), num_images=1):
    sides = [[-(-side // 2**level) for side in size] for level in range(len(widths))]
    return [torch.randn(num_images, width, *level) for width, level in zip(widths, sides, strict=True)]


def test_the_branches_of_panoptic_fpn():
    """As many convolutions as doublings, and one for the finest level; all at 128 channels, normalised in 32 groups."""
    head = PyramidHead([256] * 4, STRIDES, {"logits": 19})
    assert [len(branch) for branch in head.branches] == [1, 1, 2, 3]
    convolutions = [module for module in head.branches.modules() if isinstance(module, nn.Conv2d)]
    assert all((conv.out_channels, conv.kernel_size, conv.bias) == (128, (3, 3), None) for conv in convolutions)
    assert {norm.num_groups for norm in head.modules() if isinstance(norm, nn.GroupNorm)} == {32}
    assert (head.stride, head.origin, head.levels) == (4, 0.0, [0, 1, 2, 3])
    count = 4 * 9 * 256 * 128 + 3 * 9 * 128 * 128 + 7 * 2 * 128 + 129 * 19
    assert sum(p.numel() for p in head.parameters()) == count


@pytest.mark.parametrize("size", [(16, 24), (13, 9), (1, 1), (3, 2)])
@pytest.mark.parametrize("align_corners", [False, True])
def test_any_size_is_brought_to_the_finest_level(size, align_corners):
    head = PyramidHead([8] * 4, STRIDES, {"a": 3, "b": 2}, channels=8, align_corners=align_corners).eval()
    maps = head(pyramid_of(size))
    assert {name: values.shape for name, values in maps.items()} == {"a": (1, 3, *size), "b": (1, 2, *size)}
    larger = PyramidHead([8] * 4, STRIDES, {"a": 3}, channels=8, enlarge=2, align_corners=align_corners).eval()
    assert larger.stride == 2
    assert larger(pyramid_of(size))["a"].shape == (1, 3, 2 * size[0], 2 * size[1])


def test_coarse_cells_stay_in_their_places():
    """A constant convolution of a coarse level that holds x comes out as x at the finest level."""
    head = PyramidHead([1, 1], [4, 16], {"a": 1}, channels=1, norm="none", activation="none")
    for branch in head.branches:
        for layer in branch:
            nn.init.dirac_(layer.conv.weight)
            nn.init.zeros_(layer.conv.bias)
    nn.init.ones_(head.finals["a"].weight)
    nn.init.zeros_(head.finals["a"].bias)
    coarse = (torch.arange(6.0) + 0.5).expand(1, 1, 5, 6) * 16
    found = head([torch.zeros(1, 1, 20, 24), coarse])["a"][0, 0]
    x = (torch.arange(24.0) + 0.5) * 4
    torch.testing.assert_close(found[:, 3:-3], x[3:-3].expand(20, -1))


def test_levels_may_be_chosen_and_left_out_in_between():
    head = PyramidHead([8] * 4, STRIDES, {"a": 3}, levels=[3, 1], channels=8).eval()
    assert (head.levels, head.stride) == ([1, 3], 8)
    assert [len(branch) for branch in head.branches] == [1, 2]
    levels = pyramid_of((13, 9))
    first = head(levels)["a"]
    assert first.shape[-2:] == (7, 5)
    levels[0], levels[2] = levels[0] + 1, levels[2] + 1
    torch.testing.assert_close(head(levels)["a"], first)
    levels[3] = levels[3] + 1
    assert not torch.allclose(head(levels)["a"], first)


@pytest.mark.parametrize("fusion", ["sum", "concat", "weighted", {"type": "attention", "reduction": 2}])
def test_every_fusion_of_the_zoo_joins_the_branches(fusion):
    head = PyramidHead([8] * 4, STRIDES, {"a": 3}, channels=8, fusion=fusion)
    head(pyramid_of((8, 8), num_images=2))["a"].sum().backward()
    assert [name for name, p in head.named_parameters() if p.grad is None] == []


def test_dropout_is_of_whole_channels_in_training_only():
    head = PyramidHead([8] * 4, STRIDES, {"a": 3}, channels=8, dropout=0.5)
    levels = pyramid_of((8, 8))
    assert not torch.equal(head(levels)["a"], head(levels)["a"])
    head.eval()
    assert torch.equal(head(levels)["a"], head(levels)["a"])


def test_maps_are_float32_under_autocast():
    head = PyramidHead([8] * 4, STRIDES, {"a": 3}, channels=8)
    with torch.autocast("cpu", torch.bfloat16):
        assert head(pyramid_of((8, 8)))["a"].dtype == torch.float32


def load_filling():
    path = Path(__file__).parents[1] / "interop" / "filling.py"
    spec = importlib.util.spec_from_file_location("filling", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("fusion", "expected", "total"),
    [
        ("sum", [2.6199720, 2.9007959, 2.1186743, 2.5556924, 2.9290848, 2.1544921], 98351.9307),
        ("concat", [1.0916547, -0.3730257, 0.0352187, 1.0694917, -0.1187891, -0.0640722], 11927.4270),
    ],
)
def test_numbers_of_another_implementation(fusion, expected, total):
    """Segmentation branches, merge and head of segmentation_models_pytorch 0.6.0's FPN with the same weights."""
    fill = load_filling().fill
    head = PyramidHead(
        [8] * 4, STRIDES, {"logits": 3}, fusion=fusion, dropout=0.2, enlarge=4, align_corners=True
    ).eval()
    head.load_state_dict({key: fill(key, value.shape) for key, value in head.state_dict().items()})
    with torch.no_grad():
        maps = head([fill(f"p{2 + level}", (2, 8, 16 >> level, 24 >> level)) for level in range(4)])["logits"]
    assert head.stride == 1
    found = [*maps[0, :, 5, 7].tolist(), *maps[1, :, 63, 0].tolist()]
    assert found == pytest.approx(expected, abs=1e-5)
    assert maps.double().sum().item() == pytest.approx(total, abs=0.05)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"levels": [4]}, "levels 0 to 3"),
        ({"levels": []}, "levels 0 to 3"),
        ({"in_strides": [4, 12, 24, 48]}, "no doublings"),
        ({"in_origins": [0.0, 2.0, 0.0, 0.0]}, "ConvHead"),
        ({"channels": 0}, "channels=0"),
        ({"dropout": 1.0}, r"dropout=1\.0"),
        ({"enlarge": 3}, "divisor of the stride 4"),
        ({"fusion": "none"}, "would drop levels"),
        ({"fusion": "som"}, "did you mean 'sum'"),
    ],
)
def test_impossible_values_say_how(arguments, message):
    with pytest.raises(ConfigError, match=message):
        PyramidHead(**{"in_channels": [8] * 4, "in_strides": STRIDES, "outputs": {"a": 1}, **arguments})
