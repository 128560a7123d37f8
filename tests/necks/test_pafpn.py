import pytest
import torch
from filling import fill, image
from torch import nn

from densezoo.necks.fpn import FPN
from densezoo.necks.pafpn import PAFPN

# Mean, standard deviation, cell (3, 1, 2) and last cell of every level: what mmdetection's PAFPN (3.x) gives for the
# widths 6, 10, 14 and 8 and the same noise.
MMDETECTION = {
    "none": [
        [-0.599924, 2.828625, -1.754959, -0.260731],
        [-0.420912, 3.419827, 1.228443, -3.026708],
        [-1.700627, 4.026337, -5.869452, 0.389143],
    ],
    "batch": [
        [-0.369542, 2.719656, -1.468165, -0.373132],
        [-0.266216, 3.272239, 1.351417, -2.338328],
        [-1.549279, 3.97102, -5.721212, 0.101844],
    ],
}


def count(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_it_gives_what_mmdetection_gives(norm):
    neck = PAFPN([6, 10, 14], [4, 8, 16], channels=8, norm=norm).eval()
    neck.load_state_dict({key: fill(key, value.shape) for key, value in neck.state_dict().items()})
    out = neck([image(13, 18, 6), image(7, 9, 10), image(4, 5, 14)])[0]
    for level, expected in zip(out, MMDETECTION[norm], strict=True):
        found = [level.mean(), level.std(), level[0, 3, 1, 2], level[0, -1, -1, -1]]
        assert [value.item() for value in found] == pytest.approx(expected, abs=1e-5 * level.abs().max().item())


def test_it_has_the_published_number_of_parameters():
    widths, strides = [256, 512, 1024, 2048], [4, 8, 16, 32]
    assert count(PAFPN(widths, strides)) == count(FPN(widths, strides)) + 6 * (256 * 256 * 9 + 256) == 6_884_864


def test_the_finest_level_alone_is_that_of_an_fpn():
    finest = PAFPN([6, 10], [4, 8], channels=8, out_levels=[0])
    fpn = FPN([6, 10], [4, 8], channels=8, out_levels=[0])
    fpn.load_state_dict(dict(zip(fpn.state_dict(), finest.state_dict().values(), strict=True)))
    pyramid = [torch.randn(1, 6, 6, 8), torch.randn(1, 10, 3, 4)]
    assert torch.equal(finest(pyramid)[0][0], fpn(pyramid)[0][0])


@pytest.mark.parametrize("fusion", ["sum", "none"])
@pytest.mark.parametrize("out_levels", [[1], [2], [0, 2]])
def test_it_builds_only_what_reaches_the_levels_read(fusion, out_levels):
    neck = PAFPN([6, 10, 14], [4, 8, 16], channels=8, fusion=fusion, out_levels=out_levels)
    out = neck([torch.randn(1, width, size, size) for width, size in ((6, 12), (10, 6), (14, 3))])[0]
    assert [level.shape[-1] for level in out] == [12 >> level for level in out_levels]
    sum(level.sum() for level in out).backward()
    assert [name for name, p in neck.named_parameters() if p.grad is None] == []


def test_a_level_finer_than_the_encoders_feeds_the_way_back():
    neck = PAFPN([6, 10], [4, 8], channels=8, finer_levels=1)
    pyramid = [torch.randn(1, 6, 5, 7), torch.randn(1, 10, 3, 4)]
    assert [level.shape[-2:] for level in neck(pyramid)[0]] == [(10, 14), (5, 7), (3, 4)]
    assert next(type(post) for post in neck.stages[0].posts.values()) is nn.Identity
