import pytest
import torch

from densezoo.errors import ConfigError
from densezoo.necks.linknet import LinkNet


def count(module):
    return sum(p.numel() for p in module.parameters())


def block(before, after):
    thin = before // 4
    return before * thin + 16 * thin * thin + thin + thin * after + 2 * (2 * thin + after)


def test_a_level_is_its_formula():
    neck = LinkNet([4, 8], [2, 4]).eval()
    fine, coarse = torch.randn(1, 4, 5, 4), torch.randn(1, 8, 3, 2)
    thin, doubled, wide = neck.stages[0].walk.nodes["0"].pre
    assert [layer.conv.out_channels for layer in (thin, doubled, wide)] == [2, 2, 4]
    above = wide(doubled(thin(coarse)))
    assert above.shape == (1, 4, 6, 4)
    torch.testing.assert_close(neck([fine, coarse])[0][0], fine + above[..., :5, :])


def test_skips_are_the_encoders_maps_and_finer_levels_have_32_channels():
    neck = LinkNet([64, 64, 128], [2, 4, 8], finer_levels=1, out_levels=None)
    assert (neck.out_channels, neck.out_strides) == ([32, 64, 64, 128], [1, 2, 4, 8])
    assert count(neck) == block(128, 64) + block(64, 64) + block(64, 32)


def test_a_width_of_ones_own_projects_the_skips():
    neck = LinkNet([4, 8], [2, 4], channels=12)
    assert count(neck) == block(8, 12) + 4 * 12 + 12
    concatenated = LinkNet([4, 8], [2, 4], channels=12, fusion="concat")
    assert count(concatenated) == block(8, 12) + 16 * 12 + 12


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": [8]}, "LinkNet: .* or 2 of them"),
        ({"fusion": "summ"}, "did you mean 'sum'"),
        ({"activation": "rleu"}, "did you mean 'relu'"),
    ],
)
def test_impossible_values_say_how(arguments, message):
    with pytest.raises(ConfigError, match=message):
        LinkNet([4, 8], [2, 4], **arguments)
