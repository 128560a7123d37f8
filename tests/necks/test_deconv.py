import pytest
import torch
from torch import nn

from densezoo.errors import ConfigError
from densezoo.necks.deconv import Deconv


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_three_transposed_convolutions_of_the_simple_baseline():
    neck = Deconv([256, 512, 1024, 2048], [4, 8, 16, 32])
    assert count(neck) == 16 * (2048 * 256 + 2 * 256 * 256) + 3 * 2 * 256
    assert (neck.out_channels, neck.out_strides) == ([256], [4])


def test_it_is_a_chain_of_plain_layers():
    neck = Deconv([3, 4, 6], [4, 8, 16], channels=5)
    chain = nn.Sequential(
        nn.ConvTranspose2d(6, 5, 4, 2, 1, bias=False),
        nn.BatchNorm2d(5),
        nn.ReLU(),
        nn.ConvTranspose2d(5, 5, 4, 2, 1, bias=False),
        nn.BatchNorm2d(5),
        nn.ReLU(),
    )
    chain.load_state_dict(dict(zip(chain.state_dict(), neck.state_dict().values(), strict=True)))
    pyramid = [torch.randn(2, width, size, size) for width, size in ((3, 12), (4, 6), (6, 3))]
    torch.testing.assert_close(neck(pyramid)[0][0], chain(pyramid[-1]))


def test_odd_sizes_lose_the_last_row():
    neck = Deconv([3, 4], [4, 8], channels=5).eval()
    fine, coarse = torch.randn(1, 3, 7, 6), torch.randn(1, 4, 4, 3)
    node = neck.stages[0].walk.nodes["0"]
    torch.testing.assert_close(neck([fine, coarse])[0][0], node.pre(coarse)[..., :7, :])


def test_other_fusions_add_skips():
    plain = Deconv([3, 4], [4, 8], channels=5)
    summed = Deconv([3, 4], [4, 8], channels=5, fusion="sum").eval()
    assert count(summed) - count(plain) == 3 * 5 + 5
    fine, coarse = torch.randn(1, 3, 6, 6), torch.randn(1, 4, 3, 3)
    node = summed.stages[0].walk.nodes["0"]
    torch.testing.assert_close(summed([fine, coarse])[0][0], node.laterals[0](fine) + node.pre(coarse))


def test_an_encoder_with_one_level_goes_up_from_it():
    neck = Deconv([6], [16], channels=5, num_levels=1, finer_levels=2).eval()
    assert (neck.out_strides, count(neck)) == ([4], 16 * (6 * 5 + 5 * 5) + 2 * 2 * 5)
    assert neck([torch.randn(1, 6, 3, 2)])[0][0].shape == (1, 5, 12, 8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": [8]}, "Deconv: .* or 2 of them"),
        ({"fusion": "nnoe"}, "did you mean 'none'"),
    ],
)
def test_impossible_values_say_how(arguments, message):
    with pytest.raises(ConfigError, match=message):
        Deconv([4, 8], [4, 8], **arguments)
