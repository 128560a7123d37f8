import pytest
import torch

from densezoo.errors import ConfigError
from densezoo.registry import FUSIONS


def maps(*widths, size=(3, 2)):
    torch.manual_seed(0)
    return [torch.randn(2, width, *size) for width in widths]


def build(name, *widths, **more):
    return FUSIONS.build({"type": name, **more}, in_channels=list(widths), norm="none", activation="relu")


def test_the_plain_ones():
    three = maps(4, 4, 4)
    stacked = torch.stack(three)
    torch.testing.assert_close(build("sum", 4, 4, 4)(three), stacked.sum(0))
    torch.testing.assert_close(build("mean", 4, 4, 4)(three), stacked.mean(0))
    assert torch.equal(build("max", 4, 4, 4)(three), stacked.amax(0))
    mixed = maps(4, 2, 3)
    assert torch.equal(build("concat", 4, 2, 3)(mixed), torch.cat(mixed, 1))
    assert build("concat", 4, 2, 3).out_channels == 9
    assert build("none", 4, 2, 3)(mixed) is mixed[2]


def test_weights_are_rectified_and_normalised():
    three = maps(4, 4, 4)
    fusion = build("weighted", 4, 4, 4)
    fusion.weights.data = torch.tensor([1.0, -2.0, 3.0])
    torch.testing.assert_close(fusion(three), (three[0] + 3 * three[2]) / (4 + 1e-4))
    soft = build("weighted", 4, 4, 4, method="softmax")
    soft.weights.data = torch.tensor([1.0, -2.0, 3.0])
    weights = soft.weights.softmax(0)
    torch.testing.assert_close(soft(three), sum(w * level for w, level in zip(weights, three, strict=True)))
    with pytest.raises(ConfigError, match="'fast' or 'softmax'"):
        build("weighted", 4, 4, method="hard")


def test_a_gate_lets_a_skip_through_cell_by_cell():
    skip, above = maps(4, 6)
    fusion = build("gated", 4, 6)
    (gate,) = fusion.gates
    hidden = (gate.skip(skip) + gate.above(above)).relu()
    amount = gate.gate[1](hidden).sigmoid()
    assert amount.shape == (2, 1, 3, 2)
    torch.testing.assert_close(fusion([skip, above]), torch.cat([skip * amount, above], 1))
    gate.gate[1].bias.data.fill_(-100)  # closed
    assert fusion([skip, above])[:, :4].abs().max() == 0
    assert torch.equal(fusion([skip, above])[:, 4:], above)


def test_attention_weighs_two_maps_against_each_other():
    x, y = maps(8, 8)
    fusion = build("attention", 8, 8)
    both = x + y
    weight = (fusion.local[0](both) + fusion.whole[0](both.mean((2, 3), keepdim=True))).sigmoid()
    torch.testing.assert_close(fusion([x, y]), weight * x + (1 - weight) * y)
    same = fusion([x, x])
    torch.testing.assert_close(same, x)


@pytest.mark.parametrize("reduction", [0, -1])
def test_a_reduction_that_cannot_be_is_refused(reduction):
    with pytest.raises(ConfigError, match=f"'attention': reduction={reduction} must be at least 1"):
        build("attention", 8, 8, reduction=reduction)


@pytest.mark.parametrize("name", ["sum", "mean", "max", "weighted", "attention"])
def test_widths_must_agree_where_maps_meet(name):
    with pytest.raises(ConfigError, match=rf"'{name}' needs maps of one width, got \[4, 6\]"):
        build(name, 4, 6)
