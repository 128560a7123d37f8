import pytest
import torch

from densezoo.errors import ConfigError
from densezoo.models import create_model, list_models


@pytest.mark.parametrize(("num_stages", "count"), [(1, 3_426_448), (2, 6_570_400), (4, 12_858_304), (8, 25_434_112)])
def test_published_parameter_counts(num_stages, count):
    with torch.device("meta"):
        model = create_model(f"newell_hourglass_s{num_stages}", encoder={"channels": 256})
    assert sum(p.numel() for p in model.parameters()) == count
    assert round(count / 1e6, 2) == {1: 3.43, 2: 6.57, 4: 12.86, 8: 25.43}[num_stages]
    assert f"newell_hourglass_s{num_stages}" in list_models()


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


def test_one_task_may_take_the_place_of_another():
    other = {"type": "Segmentation", "num_classes": 2}
    small = {"encoder": {"channels": 8}, "neck": {"num_levels": 2}}
    model = create_model("newell_hourglass_s2", **small, tasks={"pose": None, "regions": other})
    assert (list(model.tasks), model.feedback) == (["regions"], [])
    both = create_model("newell_hourglass_s2", **small, tasks={"regions": other})
    assert (list(both.tasks), both.feedback) == (["pose", "regions"], [("pose", "heatmap")])


@pytest.mark.parametrize("feedback", ["pose.heatmap", ["pos.heatmap"], [1], 5, [["pose", "heatmap"]]])
def test_feedback_that_the_caller_gives_is_checked_not_dropped(feedback):
    neck = {"num_levels": 2, "feedback": feedback}
    with pytest.raises(ConfigError, match="feedback"):
        create_model("newell_hourglass_s2", neck=neck, tasks={"pose": {"num_keypoints": 3}})


def test_wrong_names_are_refused_with_near_ones():
    with pytest.raises(ConfigError, match="did you mean 'newell_hourglass_s2'"):
        create_model("newel_hourglass_s2")
    with pytest.raises(ConfigError, match="did you mean 'neck'"):
        create_model("newell_hourglass_s2", nek={})
    with pytest.raises(ConfigError, match="did you mean 'num_stages'"):
        create_model("newell_hourglass_s2", neck={"num_stage": 2})
    with pytest.raises(ConfigError, match="'encoder'"):
        create_model({"neck": {"type": "StackedHourglass"}})
