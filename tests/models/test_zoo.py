import pytest
import torch

from densezoo.errors import ConfigError
from densezoo.models import create_model, list_models


def fill(module):
    """Fill weights with fixed noise, so that no random generator decides a golden number."""
    for position, (name, values) in enumerate(module.state_dict().items()):
        if name.endswith("num_batches_tracked"):
            continue
        phase = torch.arange(values.numel(), dtype=torch.float64) * 12.9898 + position * 78.233
        noise = ((phase.sin() * 43758.5453) % 1 * 2 - 1).reshape(values.shape)
        owner = module.get_submodule(name.rpartition(".")[0])
        if values.ndim == 4:
            values.copy_(noise * (3 / values[0].numel()) ** 0.5)
        elif isinstance(owner, torch.nn.BatchNorm2d) and name.endswith(("weight", "running_var")):
            values.copy_(1 + 0.1 * noise)
        else:
            values.copy_(0.1 * noise)


@pytest.mark.parametrize(("num_stages", "count"), [(1, 3_426_448), (2, 6_570_400), (4, 12_858_304), (8, 25_434_112)])
def test_published_parameter_counts(num_stages, count):
    with torch.device("meta"):
        model = create_model(f"newell_hourglass_s{num_stages}", encoder={"channels": 256})
    assert sum(p.numel() for p in model.parameters()) == count
    assert round(count / 1e6, 2) == {1: 3.43, 2: 6.57, 4: 12.86, 8: 25.43}[num_stages]
    assert f"newell_hourglass_s{num_stages}" in list_models()


def test_golden_heatmaps_of_the_whole_network():
    """The numbers are those of princeton-vl/pytorch_stacked_hourglass with the same weights (2 stacks, 64² image)."""
    model = create_model("newell_hourglass_s2").eval()
    fill(model)
    row, column = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    image = torch.stack([torch.sin(column / 5 + c) + torch.cos(row / 7 - c) for c in range(3)])[None]
    with torch.no_grad():
        first, second = (maps["heatmap"] for maps in model(image)["pose"])
    golden_first = [[-9.36208, -12.31553, -8.0954], [2.53301, 6.3721, 4.50118], [-3.14012, -5.69051, -3.64509]]
    golden_second = [
        [-65.19049, -101.00869, -74.76777],
        [-50.77497, -42.51615, -20.89736],
        [-29.17657, -44.26761, -18.47235],
    ]
    for maps, golden, deviation in ((first, golden_first, 8.309818), (second, golden_second, 63.419453)):
        found = maps[0, [0, 7, 15]][:, [0, 5, 15], [15, 8, 0]]
        torch.testing.assert_close(found, torch.tensor(golden), rtol=1e-4, atol=1e-4 * deviation)
        assert maps.std().item() == pytest.approx(deviation, rel=1e-4)


def test_overrides_replace_key_by_key():
    model = create_model(
        "newell_hourglass_s1", encoder={"channels": 16}, neck={"num_stages": 3}, tasks={"pose": {"num_keypoints": 5}}
    )
    assert model.num_stages == 3
    assert model.feedback == [("pose", "heatmap")]
    assert model.tasks["pose"].joints == "zero_target"
    assert model.tasks["pose"].num_keypoints == 5
    assert create_model("newell_hourglass_s1").num_stages == 1


def test_another_type_replaces_the_whole_part_and_none_takes_it_out():
    config = {"encoder": {"type": "Unheard", "depth": 50}, "neck": {"type": "Unheard"}, "epochs": 3}
    model = create_model(config, encoder={"type": "NewellStem", "channels": 8}, neck=None, tasks=None)
    assert model.neck is None
    assert [level.shape for level in model.forward_features(torch.randn(1, 3, 8, 8))[0]] == [(1, 8, 2, 2)]


def test_without_tasks_a_model_gives_pyramids():
    own = {"type": "StackedHourglass", "num_levels": 2, "feedback": ["pose.heatmap"]}
    model = create_model("newell_hourglass_s2", encoder={"channels": 8}, neck=own, tasks=None).eval()
    assert own["feedback"] == ["pose.heatmap"]
    assert model.feedback == []
    assert len(model.forward_features(torch.randn(1, 3, 8, 8))) == 2
    assert list(model.heads) == []


def test_wrong_names_are_refused_with_near_ones():
    with pytest.raises(ConfigError, match="did you mean 'newell_hourglass_s2'"):
        create_model("newel_hourglass_s2")
    with pytest.raises(ConfigError, match="did you mean 'neck'"):
        create_model("newell_hourglass_s2", nek={})
    with pytest.raises(ConfigError, match="did you mean 'num_stages'"):
        create_model("newell_hourglass_s2", neck={"num_stage": 2})
    with pytest.raises(ConfigError, match="'encoder'"):
        create_model({"neck": {"type": "StackedHourglass"}})
