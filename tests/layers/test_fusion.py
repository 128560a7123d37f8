import pytest
import torch

from densezoo.errors import ConfigError
from densezoo.registry import FUSIONS


def test_sum_adds_any_number_of_maps_and_keeps_them():
    maps = [torch.full((1, 2, 3, 3), value) for value in (1.0, 10.0, 100.0)]
    fusion = FUSIONS.build({"type": "sum"}, in_channels=[2, 2, 2])
    assert fusion.out_channels == 2
    assert torch.equal(fusion(maps), torch.full((1, 2, 3, 3), 111.0))
    assert torch.equal(maps[0], torch.ones(1, 2, 3, 3))


def test_sum_refuses_widths_that_differ():
    with pytest.raises(ConfigError, match=r"'sum'.*\[2, 4\]"):
        FUSIONS.build({"type": "sum"}, in_channels=[2, 4])
