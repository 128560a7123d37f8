import pytest
import torch
from filling import fill, image
from torch import nn

from densezoo.errors import ConfigError
from densezoo.necks.bifpn import BiFPN

D0 = [40, 112, 320]  # widths of EfficientNet-B0 at the strides 8, 16 and 32
# Mean, standard deviation, cell (3, 0, 1) and last cell of every level: what the BiFpn of efficientdet_d0 in
# rwightman/efficientdet-pytorch, with torch's epsilon, gives for the widths 6, 10, 14 and 8, two repeats and the same
# noise.
EFFDET = [
    [-0.008453, 0.098045, -0.119939, 0.030365],
    [-0.029863, 0.093177, 0.021639, 0.033178],
    [-0.031573, 0.075753, -0.095634, 0.050969],
    [0.048383, 0.059723, 0.036508, 0.064311],
    [0.022205, 0.09957, -0.130293, -0.043831],
]


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_it_gives_what_efficientdet_gives():
    neck = BiFPN([6, 10, 14], [8, 16, 32], channels=8, num_levels=5, repeats=2).eval()
    state = neck.state_dict()
    neck.load_state_dict({key: fill(key, value.shape) + key.endswith("fuse.weights") for key, value in state.items()})
    out = neck([image(17, 25, 6), image(9, 13, 10), image(5, 7, 14)])[0]
    assert [level.shape[-2:] for level in out] == [(17, 25), (9, 13), (5, 7), (3, 4), (2, 2)]
    for level, expected in zip(out, EFFDET, strict=True):
        found = [level.mean(), level.std(), level[0, 3, 0, 1], level[0, -1, -1, -1]]
        assert [value.item() for value in found] == pytest.approx(expected, abs=1e-5 * level.abs().max().item())


def test_it_has_the_parameters_of_efficientdet_d0():
    neck = BiFPN(D0, [8, 16, 32], num_levels=5)
    assert count(neck) == 194_361  # as that of efficientdet_d0; Google's has 30 biases of 64 in front of its norms
    # P3 is read by one node of the first repeat, P4 and P5 by two each; then P6 is made of P5
    projections = 64 * (40 + 2 * 112 + 2 * 320 + 320) + 6 * 2 * 64
    nodes = 3 * 8 * (64 * 9 + 64 * 64 + 2 * 64)
    assert count(neck) == projections + nodes + 3 * (5 * 2 + 3 * 3)


def test_levels_that_the_encoder_lacks_are_pooled():
    neck = BiFPN([6, 10], [8, 16], channels=8, num_levels=4)
    first, second = neck.stages[0].downs
    assert (first[0].conv.in_channels, first[0].conv.out_channels) == (10, 8)
    assert isinstance(second[0], nn.Identity)
    with torch.no_grad():
        assert second(torch.arange(9.0).reshape(1, 1, 3, 3))[0, 0].tolist() == [[4, 5], [7, 8]]


@pytest.mark.parametrize("fusion", ["weighted", "none", "concat"])
@pytest.mark.parametrize("out_levels", [[0], [1], [3]])
def test_the_last_repeat_builds_only_what_reaches_the_levels_read(fusion, out_levels):
    neck = BiFPN([6, 10], [4, 8], channels=8, num_levels=4, repeats=2, fusion=fusion, out_levels=out_levels)
    (level,) = neck([torch.randn(2, 6, 16, 16), torch.randn(2, 10, 8, 8)])[0]
    assert level.shape == (2, 8, 16 >> out_levels[0], 16 >> out_levels[0])
    (level * torch.randn_like(level)).sum().backward()
    assert [name for name, p in neck.named_parameters() if p.grad is None] == []
    repeats = neck.stages[0].walk.repeats
    assert [len(repeat.back.nodes) for repeat in repeats] == [4, out_levels[0] + 1]


def test_repeats_are_not_stages():
    one = BiFPN([8], [4], channels=8, num_levels=3, repeats=1)
    stages = BiFPN([8], [4], channels=8, num_levels=3, repeats=1, num_stages=2)
    repeats = BiFPN([8], [4], channels=8, num_levels=3, repeats=2)
    assert count(repeats) == 2 * count(one)
    assert count(stages) == 2 * count(one) + (8 * 8 + 8)  # what joins the stages
    pyramid = [torch.randn(2, 8, 8, 8)]
    assert (len(stages(pyramid)), len(repeats(pyramid))) == (2, 1)


def test_impossible_numbers_say_how():
    with pytest.raises(ConfigError, match="repeats=0"):
        BiFPN([8], [4], repeats=0)
