import logging

import pytest
import torch
from torch import nn
from torchvision.models.detection import FCOS, FasterRCNN, KeypointRCNN, MaskRCNN, RetinaNet
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.keypoint_rcnn import KeypointRCNNHeads, KeypointRCNNPredictor

from densezoo.errors import ConfigError
from densezoo.interop.torchvision import as_backbone, detector_arguments
from densezoo.models import build_model
from densezoo.models.detector_levels import roi_pool
from densezoo.registry import ENCODERS, NECKS

STEM = {"type": "NewellStem", "channels": 8, "norm": "group"}
NECK_CONFIGS = {
    "StackedHourglass": {"num_stages": 2, "num_levels": 3, "out_levels": [0, 1, 2]},
    "StackedHourglass, finest only": {"num_levels": 3},
    "FPN": {"channels": 32, "num_levels": 3},
    "UNet": {"channels": [8, 16, 24], "num_levels": 3, "out_levels": [0, 1, 2]},
    "BiFPN": {"channels": 32, "num_levels": 3, "repeats": 1},
}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def make_model(neck):
    config = {"type": neck.split(",")[0], "norm": "group", **NECK_CONFIGS[neck]}
    return build_model(STEM, config)


def make_detector(kind, backbone):
    arguments = {"min_size": 96, "max_size": 128, **detector_arguments(backbone, kind)}
    if issubclass(kind, FasterRCNN):
        width = backbone.out_channels
        arguments["box_head"] = TwoMLPHead(width * 7 * 7, 16)
        arguments["box_predictor"] = FastRCNNPredictor(16, 3)
        arguments |= {"rpn_post_nms_top_n_train": 20, "rpn_post_nms_top_n_test": 20, "box_batch_size_per_image": 8}
    if kind is KeypointRCNN:
        arguments["keypoint_head"] = KeypointRCNNHeads(width, (8, 8))
        arguments["keypoint_predictor"] = KeypointRCNNPredictor(8, 5)
    return kind(backbone, None if issubclass(kind, FasterRCNN) else 3, **arguments)


def make_targets():
    boxes = torch.tensor([[5.0, 6.0, 40.0, 50.0], [30.0, 20.0, 90.0, 60.0]])
    keypoints = torch.tensor([20.0, 30.0, 2.0]).expand(2, 5, 3).clone()
    filled = {"boxes": boxes, "labels": torch.tensor([1, 2]), "keypoints": keypoints}
    return [filled, {"boxes": boxes[:1], "labels": torch.tensor([2]), "keypoints": keypoints[:1]}]


@pytest.mark.parametrize("neck", NECK_CONFIGS)
@pytest.mark.parametrize("kind", [FCOS, RetinaNet, FasterRCNN, KeypointRCNN])
def test_detectors_train_and_infer(neck, kind):
    backbone = as_backbone(make_model(neck), channels=32)
    detector = make_detector(kind, backbone)
    images = [torch.rand(3, 70, 100), torch.rand(3, 96, 96)]
    losses = detector(images, make_targets())
    assert losses
    assert all(loss.isfinite() for loss in losses.values())
    sum(losses.values()).backward()
    trained = [(name, p) for name, p in detector.named_parameters() if p.requires_grad]
    assert [name for name, p in trained if p.grad is None or not p.grad.isfinite().all()] == []
    assert any(p.grad.abs().sum() > 0 for name, p in trained if "encoder" in name)
    with torch.no_grad():
        found = detector.eval()(images)
    assert [set(answer) >= {"boxes", "labels", "scores"} for answer in found] == [True, True]
    assert all(value.isfinite().all() for answer in found for value in answer.values())


def test_maps_are_those_of_the_last_stage():
    model = make_model("StackedHourglass").eval()
    backbone = as_backbone(model)
    images = torch.rand(1, 3, 48, 40)
    maps = backbone(images)
    assert list(maps) == ["0", "1", "2"]
    for level, other in zip(maps.values(), model.forward_features(images)[-1], strict=True):
        assert torch.equal(level, other)
    assert (backbone.out_channels, backbone.strides) == (8, [4, 8, 16])
    assert not [name for name, _ in backbone.projections.named_parameters()]


@pytest.mark.parametrize(("channels", "width"), [(None, 256), (16, 16)])
def test_levels_of_other_widths_are_projected(channels, width):
    backbone = as_backbone(make_model("UNet"), channels=channels)
    assert {level.shape[1] for level in backbone(torch.rand(2, 3, 48, 48)).values()} == {width}
    kinds = [type(projection) for projection in backbone.projections.values()]
    assert kinds == [nn.Conv2d, nn.Identity if width == 16 else nn.Conv2d, nn.Conv2d]


def test_an_encoder_and_a_neck_or_an_encoder_alone_will_do():
    encoder = ENCODERS.build(STEM)
    alone = as_backbone(encoder)
    assert (alone.strides, alone.out_channels, list(alone(torch.rand(2, 3, 32, 32)))) == ([4], 8, ["0"])
    neck = NECKS.build({"type": "FPN", "num_levels": 3, "channels": 16}, in_channels=[8], in_strides=[4])
    assert as_backbone(encoder, neck).strides == [4, 8, 16]


def test_what_no_map_depends_on_is_frozen(caplog):
    model = make_model("StackedHourglass")
    model.neck.stages[1].eval()
    with caplog.at_level(logging.WARNING, "densezoo"):
        as_backbone(model)
    frozen = [name for name, p in model.named_parameters() if not p.requires_grad]
    assert {name.rsplit(".posts.", 1)[0] for name in frozen} == {"neck.stages.0"}
    assert {name.split(".posts.")[1][0] for name in frozen} == {"1", "2"}
    assert f"froze {len(frozen)} tensors" in caplog.text
    assert model.neck.stages[0].training
    assert not model.neck.stages[1].training
    caplog.clear()
    as_backbone(make_model("StackedHourglass, finest only"))
    assert not caplog.records


def test_what_a_detector_cannot_work_with_is_refused():
    pose = {"pose": {"type": "Pose", "num_keypoints": 5}}
    trained = build_model(STEM, {"type": "StackedHourglass", "num_levels": 2, "feedback": ["pose.heatmap"]}, pose)
    with pytest.raises(ConfigError, match="tasks=None"):
        as_backbone(trained)
    with pytest.raises(ConfigError, match="without 'feedback'"):
        as_backbone(trained.encoder, trained.neck)
    with pytest.raises(ConfigError, match="has its own"):
        as_backbone(make_model("FPN"), trained.neck)
    valid = {"type": "UNet", "num_levels": 2, "align": "crop", "norm": "none"}
    with pytest.raises(ConfigError, match="image's corner"):
        as_backbone(build_model(STEM, valid))
    with pytest.raises(ConfigError, match="multiple of 32"):
        detector_arguments(as_backbone(make_model("StackedHourglass")), FCOS)
    with pytest.raises(ConfigError, match="known for Conv2d"):
        detector_arguments(as_backbone(make_model("FPN")), nn.Conv2d)
    gap = {"type": "FPN", "num_levels": 3, "out_levels": [0, 2]}
    with pytest.raises(ConfigError, match=r"double, not \[4, 16\]"):
        detector_arguments(as_backbone(build_model(STEM, gap)), FasterRCNN)


def test_anchors_are_in_proportion_to_strides():
    backbone = as_backbone(make_model("FPN"))
    found = {kind: detector_arguments(backbone, kind) for kind in (FCOS, RetinaNet, MaskRCNN)}
    assert found[FCOS]["anchor_generator"].sizes == ((4,), (8,), (16,))
    assert found[FCOS]["anchor_generator"].num_anchors_per_location() == [1, 1, 1]
    assert found[RetinaNet]["anchor_generator"].sizes == ((16, 20, 25), (32, 40, 50), (64, 80, 101))
    assert found[MaskRCNN]["rpn_anchor_generator"].sizes == ((32,), (64,), (128,))
    assert found[MaskRCNN]["mask_roi_pool"].output_size == (14, 14)
    assert found[FCOS]["size_divisible"] == 16
    assert found[FCOS]["image_mean"] == list(backbone.model.encoder.mean)
    lone = detector_arguments(as_backbone(make_model("StackedHourglass, finest only")), FasterRCNN)
    assert lone["rpn_anchor_generator"].sizes == ((32, 64, 128, 256, 512),)


def test_anchors_lie_on_the_cells_of_padded_images():
    model = build_model(STEM, {"type": "FPN", "channels": 32, "num_levels": 6})
    backbone = as_backbone(model)
    detector = make_detector(FCOS, backbone).eval()
    images, _ = detector.transform([torch.rand(3, 70, 100)])
    maps = list(backbone(images.tensors).values())
    (anchors,) = detector.anchor_generator(ImageList(images.tensors, images.image_sizes), maps)
    start = 0
    for stride, level in zip(backbone.strides, maps, strict=True):
        height, width = level.shape[-2:]
        centres = anchors[start : start + height * width].reshape(height, width, 2, 2).mean(2)
        start += height * width
        assert centres[-1, -1].tolist() == [(width - 1) * stride, (height - 1) * stride]
    assert start == len(anchors)


def test_regions_are_pooled_from_the_level_of_their_size():
    backbone = as_backbone(build_model(STEM, {"type": "FPN", "channels": 32, "num_levels": 6}))
    pool = roi_pool(backbone.strides, 2)
    assert pool.featmap_names == ["0", "1", "2", "3"]
    maps = {str(i): torch.full((1, 1, 256 >> i, 256 >> i), float(stride)) for i, stride in enumerate(backbone.strides)}
    corners = [[0.0, 0.0, side, side] for side in (20.0, 112.0, 224.0, 230.0, 800.0)]
    pooled = pool(maps, [torch.tensor(corners)], [(65, 65)])  # a size that misleads torchvision's own estimate
    assert pooled[:, 0, 0, 0].tolist() == [4, 8, 16, 16, 32]
