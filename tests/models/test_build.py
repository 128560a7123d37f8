import pytest
import torch

from densezoo.errors import ConfigError
from densezoo.models import build_model
from densezoo.types import DatasetMeta, InferenceViews

ENCODER = {"type": "NewellStem", "channels": 8}


def pose(**more):
    return {"type": "Pose", "num_keypoints": 3, **more}


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"neck": "FPN"}, "neck must be a dict with a 'type', not 'FPN'"),
        ({"encoder": "NewellStem"}, "encoder must be a dict"),
        ({"tasks": "x"}, "tasks must be a dict such as"),
        ({"tasks": [pose()]}, "tasks must be a dict such as"),
        ({"tasks": {"pose": "Pose"}}, "tasks must be a dict such as"),
        ({"tasks": {"a.b": pose()}}, "a task cannot be called 'a.b'"),
        ({"tasks": {"items": pose()}}, "a task cannot be called 'items'"),
        ({"tasks": {"": pose()}}, "a task cannot be called ''"),
        ({"tasks": {3: pose()}}, "a task cannot be called 3"),
    ],
)
def test_parts_of_another_kind_are_named(parts, message):
    with pytest.raises(ConfigError, match=message):
        build_model(**{"encoder": ENCODER, **parts})


def test_an_image_without_a_batch_axis_is_refused():
    with pytest.raises(ConfigError, match=r"images must be \(N, C, H, W\), not \(3, 33, 33\)"):
        build_model(ENCODER)(torch.zeros(3, 33, 33))


def test_widths_and_strides_flow_forward_and_configs_stay_as_they_were():
    neck = {
        "type": "densezoo.StackedHourglass",
        "channels": 12,
        "num_levels": 2,
        "feedback": ["a.heatmap", "b.heatmap"],
    }
    tasks = {"a": pose(head={"type": "ConvHead", "hidden_channels": [6]}), "b": pose(num_keypoints=4)}
    model = build_model(ENCODER, neck, tasks)
    assert model.neck.merges[0].feedback.in_channels == 3 + 4
    assert [set(stage) for stage in model.heads] == [{"a", "b"}] * 2
    assert model.heads[0]["a"].branches["heatmap"][0].conv.in_channels == 12
    assert model.heads[0]["b"].branches["heatmap"][0].out_channels == 4
    assert neck["feedback"] == ["a.heatmap", "b.heatmap"]
    assert "head" in tasks["a"]


def test_heads_read_the_encoder_where_there_is_no_neck():
    model = build_model(ENCODER, tasks={"pose": pose()})
    assert model.num_stages == 1
    assert model.heads[0]["pose"].branches["heatmap"][0].in_channels == 8


def test_the_neck_builds_the_levels_that_heads_read():
    neck = {"type": "FPN", "channels": 8, "num_levels": 4}
    tasks = {"fine": pose(head={"type": "ConvHead", "level": 1}), "coarse": pose(head={"type": "ConvHead", "level": 3})}
    model = build_model(ENCODER, neck, tasks)
    assert (model.neck.out_levels, model.neck.out_strides) == ([1, 3], [8, 32])
    assert (model.heads[0]["fine"].level, model.heads[0]["coarse"].level) == (0, 1)
    assert [model.heads[0][name].stride for name in ("fine", "coarse")] == [8, 32]
    assert build_model(ENCODER, neck).neck.out_levels == [0, 1, 2, 3]
    asked = build_model(ENCODER, {**neck, "out_levels": [0, 1]}, {"fine": tasks["fine"]})
    assert (asked.neck.out_levels, asked.heads[0]["fine"].level) == ([0, 1], 1)
    with pytest.raises(ConfigError, match=r"head of task 'coarse' reads level=3, but the neck gives only \[0, 1\]"):
        build_model(ENCODER, {**neck, "out_levels": [0, 1]}, tasks)


def test_a_head_that_reads_all_levels_gets_all_of_the_necks():
    task = {"type": "Segmentation", "num_classes": 2, "head": {"type": "PyramidHead", "channels": 8}}
    model = build_model(ENCODER, {"type": "UNet", "channels": 8, "num_levels": 3}, {"it": task})
    assert (model.neck.out_levels, model.heads[0]["it"].levels) == ([0, 1, 2], [0, 1, 2])
    some = {**task, "head": {"type": "PyramidHead", "channels": 8, "levels": [1, 2]}}
    model = build_model(ENCODER, {"type": "UNet", "channels": 8, "num_levels": 3}, {"it": some})
    assert (model.neck.out_levels, model.heads[0]["it"].levels) == ([1, 2], [0, 1])


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("ConvHead", r"head=dict\(type='ConvHead'\), not 'ConvHead'"),
        ({"type": "PyramidHead", "levels": 2}, "levels=2 must be a list"),
        ({"type": "ConvHead", "level": "finest"}, "level='finest' must be a number"),
        ({"type": "ConvHead", "level": 9}, r"out_levels=\[9\] must name levels from 0 to 2; .* the tasks' heads read"),
    ],
)
def test_levels_that_cannot_be_are_traced_to_the_head(head, message):
    task = {"type": "Pose", "num_keypoints": 3, "head": head}
    with pytest.raises(ConfigError, match=message):
        build_model(ENCODER, {"type": "UNet", "channels": 8, "num_levels": 3, "num_stages": 2}, {"it": task})


def test_valid_convolutions_need_a_neck_that_knows_where_its_maps_lie():
    encoder = {"type": "PlainUNet", "channels": [4, 8], "padding": "valid"}
    with pytest.raises(ConfigError, match=r"PlainUNet.* neck 'FPN' cannot tell where its maps lie"):
        build_model(encoder, {"type": "FPN", "channels": 8})
    meta = DatasetMeta(keypoint_names=("a", "b", "c"))
    model = build_model(encoder, {"type": "UNet", "align": "crop"}, {"pose": pose()}, meta)
    images = torch.rand(1, 3, 44, 44)
    maps = model(images)["pose"][0]
    # two cells a side are lost at stride 1, at stride 2, and at stride 1 again
    assert model.grid(0, "pose", maps, images).origin == (8.0, 8.0)
    assert maps["heatmap"].shape[-2:] == (28, 28)
    model.eval().predict({"images": images}, InferenceViews(flip=True))
    with pytest.raises(ConfigError, match="take flip_test=False"):
        model.predict({"images": torch.rand(1, 3, 44, 45)}, InferenceViews(flip=True))


def test_levels_of_the_encoder_that_nobody_reads_are_refused():
    encoder = {"type": "PlainUNet", "channels": [4, 8, 8]}
    with pytest.raises(ConfigError, match=r"no head reads the encoder's strides \[2, 4\]; ask it for \[1\]"):
        build_model(encoder, tasks={"pose": pose()})
    model = build_model(encoder, tasks={"pose": pose(head={"type": "ConvHead", "level": 2})})
    assert model.heads[0]["pose"].stride == 4


def test_no_feedback_builds_no_feedback_layers():
    model = build_model(ENCODER, {"type": "StackedHourglass", "num_levels": 2}, {"pose": pose()})
    assert model.neck.merges[0].feedback is None


@pytest.mark.parametrize(
    ("neck", "tasks", "message"),
    [
        ({"feedback": ["pose.heatmaps"]}, {"pose": pose()}, "did you mean 'pose.heatmap'"),
        ({"feedback": "pose.heatmap"}, {"pose": pose()}, r"feedback=\['pose.heatmap'\]"),
        ({"feedback": ["pose.heatmap"]}, None, "none are known"),
        ({"feedback_channels": 3}, {"pose": pose()}, "worked out by the program"),
        ({"typ": 1}, {"pose": pose()}, "no argument 'typ'"),
        ({}, {"pose": pose(head={"type": "ConvHed"})}, "did you mean 'ConvHead'"),
        ({}, {"pose": pose(sigm=2)}, "did you mean 'sigma'"),
    ],
)
def test_mistakes_are_named_with_near_names(neck, tasks, message):
    with pytest.raises(ConfigError, match=message):
        build_model(ENCODER, {"type": "StackedHourglass", **neck}, tasks)


def test_keypoints_must_agree_with_the_data():
    meta = DatasetMeta(keypoint_names=("a", "b"))
    with pytest.raises(ConfigError, match=r"num_keypoints=3.*2 keypoints"):
        build_model(ENCODER, None, {"pose": pose()}, meta)
