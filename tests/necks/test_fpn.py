from collections import OrderedDict

import pytest
import torch
from torch import nn
from torchvision.ops import FeaturePyramidNetwork

from densezoo.errors import ConfigError
from densezoo.necks.fpn import FPN

RESNET50 = [256, 512, 1024, 2048]


def count(module):
    return sum(p.numel() for p in module.parameters())


def names(module):
    return {name for name, part in module.named_modules() if isinstance(part, nn.Conv2d)}


def test_it_has_the_published_number_of_parameters():
    assert count(FPN(RESNET50, [4, 8, 16, 32])) == count(FeaturePyramidNetwork(RESNET50, 256)) == 3_344_384
    p6_p7 = 2 * (256 * 256 * 9 + 256)
    assert count(FPN(RESNET50, [4, 8, 16, 32], extra_levels=2, extra="conv")) == 3_344_384 + p6_p7
    of_input = FPN(RESNET50, [4, 8, 16, 32], extra_levels=2, extra="conv_of_input")
    assert count(of_input) == 3_344_384 + p6_p7 + (2048 - 256) * 256 * 9
    assert count(FPN(RESNET50, [4, 8, 16, 32], extra_levels=2, extra="pool")) == 3_344_384


def test_a_convolution_in_front_of_a_normalisation_has_no_bias():
    neck = FPN([8, 16], [4, 8], channels=8, norm="batch", extra_levels=1, extra="conv")
    theirs = FeaturePyramidNetwork([8, 16], 8, norm_layer=nn.BatchNorm2d)
    assert all(part.bias is None for part in neck.modules() if isinstance(part, nn.Conv2d))
    assert count(neck) == count(theirs) + 8 * 8 * 9 + 16


@pytest.mark.parametrize(
    ("arguments", "built"),
    [
        ({"out_levels": [2]}, {"pathway.nodes.2.laterals.0", "posts.2"}),
        ({"out_levels": [1]}, {"pathway.nodes.2.laterals.0", "pathway.nodes.1.laterals.0", "posts.1"}),
        ({"out_levels": [1], "post": False}, {"pathway.nodes.2.laterals.0", "pathway.nodes.1.laterals.0"}),
        ({"out_levels": [4], "extra": "conv_of_input"}, {"beyond.3.1", "beyond.4.1"}),
        ({"out_levels": [3], "extra": "conv"}, {"pathway.nodes.2.laterals.0", "posts.2", "beyond.3.1"}),
        ({"out_levels": [4], "extra": "pool"}, {"pathway.nodes.2.laterals.0", "posts.2"}),
    ],
)
def test_it_builds_only_what_reaches_the_levels_read(arguments, built):
    neck = FPN([4, 6, 8], [4, 8, 16], channels=8, extra_levels=2, **arguments)
    assert names(neck) == {f"stages.0.walk.{name}.conv" for name in built}
    pyramid = [torch.randn(1, width, size, size) for width, size in ((4, 16), (6, 8), (8, 4))]
    (level,) = neck(pyramid)[0]
    assert neck.out_strides == [4 * 2 ** arguments["out_levels"][0]]
    assert level.shape[-1] == 64 // neck.out_strides[0]
    level.sum().backward()
    assert all(p.grad is not None for p in neck.parameters())


def test_pooled_levels_are_every_second_cell():
    neck = FPN([4], [4], channels=4, num_levels=2, extra_levels=2)
    out = neck([torch.randn(1, 4, 14, 9)])[0]
    assert torch.equal(out[2], out[1][..., ::2, ::2])
    assert torch.equal(out[3], out[1][..., ::4, ::4])


def test_an_activation_stands_in_for_the_relu_before_p7():
    def relus(activation):
        neck = FPN([4], [4], channels=4, num_levels=2, extra_levels=2, extra="conv", activation=activation)
        return [name for name, part in neck.stages[0].walk.beyond.named_modules() if isinstance(part, nn.ReLU)]

    assert relus("none") == ["3.0"]
    assert relus("relu") == ["2.1.norm_act.1", "3.1.norm_act.1"]
    assert relus("gelu") == []


def test_without_post_the_levels_are_the_bare_sums():
    full, bare = FPN([4, 6], [4, 8], channels=8), FPN([4, 6], [4, 8], channels=8, post=False)
    bare.load_state_dict({key: value for key, value in full.state_dict().items() if "posts" not in key})
    pyramid = [torch.randn(1, 4, 6, 6), torch.randn(1, 6, 3, 3)]
    posts = full.stages[0].walk.posts.values()
    for one, post, other in zip(full(pyramid)[0], posts, bare(pyramid)[0], strict=True):
        assert torch.equal(one, post(other))


def test_later_stages_go_down_again_from_the_finest_map():
    neck = FPN([4, 6], [4, 8], channels=8, num_stages=2, extra_levels=1, extra="conv_of_input")
    assert [len(stage.downs) for stage in neck.stages] == [0, 1]
    assert neck.stages[0].walk.beyond["2"][1].conv.in_channels == 6
    assert neck.stages[1].walk.beyond["2"][1].conv.in_channels == 8


def test_fusions_of_different_maps_are_brought_to_the_width():
    neck = FPN([4, 6], [4, 8], channels=8, fusion="concat")
    theirs = FeaturePyramidNetwork([4, 6], 8)
    assert count(neck) - count(theirs) == 16 * 8 + 8
    pyramid = OrderedDict(a=torch.randn(1, 4, 6, 5), b=torch.randn(1, 6, 3, 3))
    assert [level.shape for level in neck(list(pyramid.values()))[0]] == [v.shape for v in theirs(pyramid).values()]


def test_impossible_values_say_how():
    with pytest.raises(ConfigError, match="did you mean 'conv'"):
        FPN([4], [4], extra="con")
    with pytest.raises(ConfigError, match="extra_levels=-1"):
        FPN([4], [4], extra_levels=-1)
