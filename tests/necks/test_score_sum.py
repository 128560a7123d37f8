import pytest
import torch
import torch.nn.functional as F

from densezoo.errors import ConfigError
from densezoo.models import build_model
from densezoo.necks.score_sum import ScoreSum


def test_it_is_the_sum_of_upsampled_scores():
    neck = ScoreSum([4, 6, 8], [8, 16, 32], channels=3)
    pyramid = [torch.randn(2, 4, 12, 8), torch.randn(2, 6, 6, 4), torch.randn(2, 8, 3, 2)]
    nodes = neck.stages[0].walk.nodes
    scores = [nodes[str(level)].laterals[0].conv(pyramid[level]) for level in range(3)]

    def double(x):
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)

    expected = scores[0] + double(scores[1] + double(scores[2]))
    ((out,),) = neck(pyramid)
    torch.testing.assert_close(out, expected)
    assert (neck.out_channels, neck.out_strides) == ([3], [8])
    assert sum(p.numel() for p in neck.parameters()) == (4 + 6 + 8 + 3) * 3


@pytest.mark.parametrize("fusion", ["sum", "gated"])
def test_scores_are_float32_under_autocast(fusion):
    neck = ScoreSum([4, 6], [8, 16], channels=3, num_stages=2, fusion=fusion, num_levels=3).eval()
    pyramid = [torch.randn(2, 4, 12, 8), torch.randn(2, 6, 6, 4)]
    expected, _ = neck.stage(0, pyramid)
    with torch.autocast("cpu", torch.bfloat16):
        out, _ = neck.stage(0, pyramid)
        half, _ = neck.stage(0, [level.bfloat16() for level in pyramid])
        last = neck(pyramid)[1]
    assert torch.equal(out[0], expected[0])
    rounded, _ = neck.stage(0, [level.bfloat16().float() for level in pyramid])
    assert torch.equal(half[0], rounded[0])
    assert last[0].dtype == torch.float32


def test_weights_of_another_precision_are_taken():
    neck = ScoreSum([4], [8], channels=3, num_levels=2).double()
    assert neck([torch.randn(1, 4, 6, 6, dtype=torch.double)])[0][0].dtype == torch.double


def test_its_scores_are_a_models_maps():
    encoder = {"type": "NewellStem", "channels": 8, "norm": "none"}
    task = {"type": "Pose", "num_keypoints": 5, "head": {"type": "IdentityHead"}}
    neck = {"type": "ScoreSum", "channels": 5, "num_levels": 3, "num_stages": 2, "feedback": ["pose.heatmap"]}
    model = build_model(encoder, neck, {"pose": task})
    stages = model(torch.randn(1, 3, 20, 28))["pose"]
    assert [maps["heatmap"].shape for maps in stages] == [(1, 5, 5, 7)] * 2
    with pytest.raises(ConfigError, match="give the neck channels=5"):
        build_model(encoder, {"type": "ScoreSum", "channels": 4}, {"pose": task})
