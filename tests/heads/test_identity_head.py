import pytest
import torch

from densezoo.errors import ConfigError
from densezoo.heads.identity_head import IdentityHead


def test_channels_are_shared_out_in_order():
    head = IdentityHead([7, 5], [4, 8], {"heat": 3, "offset": 2}, in_origins=[0.0, 4.0], level=1)
    pyramid = [torch.randn(2, 7, 6, 6), torch.randn(2, 5, 3, 4)]
    maps = head(pyramid)
    assert list(maps) == ["heat", "offset"]
    assert torch.equal(torch.cat(list(maps.values()), 1), pyramid[1])
    assert (head.level, head.stride, head.origin) == (1, 8, 4.0)
    assert list(head.parameters()) == []


def test_maps_are_float32():
    head = IdentityHead([3], [4], {"heat": 3})
    assert head([torch.ones(1, 3, 2, 2, dtype=torch.bfloat16)])["heat"].dtype == torch.float32


def test_widths_must_add_up():
    with pytest.raises(ConfigError, match=r"level 0 has 7 channels.*need 5.*channels=5"):
        IdentityHead([7], [4], {"heat": 3, "offset": 2})
    with pytest.raises(ConfigError, match="levels 0 to 0"):
        IdentityHead([5], [4], {"heat": 5}, level=1)
