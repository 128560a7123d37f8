import torch

from densezoo.layers.map_branch import HEAT_BIAS, MapBranch


def test_heat_starts_with_its_bias_and_parameters_keep_their_names():
    for name, is_heat in (("heat", True), ("keypoint_heat", True), ("heat_offset", False), ("size", False)):
        branch = MapBranch(name, 4, 6, 3)
        assert [key for key, _ in branch.named_parameters()] == ["0.conv.weight", "0.conv.bias", "1.weight", "1.bias"]
        assert branch[1].bias.eq(HEAT_BIAS).all() == is_heat


def test_is_the_three_layers():
    branch = MapBranch("size", 4, 6, 3, "gelu")
    x = torch.randn(2, 4, 5, 7)
    expected = branch[1](torch.nn.functional.gelu(branch[0].conv(x)))
    torch.testing.assert_close(branch(x), expected)
