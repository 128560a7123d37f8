import copy

import numpy as np
import pytest
import torch
from torchvision.models import detection

from densezoo.errors import ConfigError
from densezoo.functional.boxes import box_iou
from densezoo.interop.torchvision import as_backbone, detector_arguments
from densezoo.models import Detector, build_model, create_model
from densezoo.registry import ENCODERS, NECKS
from densezoo.types import InferenceViews

STEM = {"type": "NewellStem", "channels": 32, "norm": "group"}
NECKS_READ = {
    "hourglass": {"type": "StackedHourglass", "num_stages": 2, "num_levels": 3, "norm": "group"},
    "FPN": {"type": "FPN", "channels": 32, "num_levels": 3},
    "UNet": {"type": "UNet", "channels": [16, 32, 48], "num_levels": 3, "norm": "group"},
    "none": None,
}
FEW = {"rpn_post_nms_top_n_train": 20, "rpn_post_nms_top_n_test": 20, "box_batch_size_per_image": 8}
KINDS = {"FCOS": {}, "RetinaNet": {}, "FasterRCNN": FEW}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def build(kind="FCOS", neck="FPN", num_classes=3, **more):
    tasks = {"boxes": {"type": "Boxes", "num_classes": num_classes}}
    options = {"type": kind, "channels": 32, **KINDS[kind], **more}
    return build_model(STEM, NECKS_READ[neck], tasks, detector=options)


def make_batch(size=(70, 100), num_images=2):
    generator = torch.Generator().manual_seed(1)
    boxes = torch.tensor([[5.0, 6.0, 40.0, 50.0], [30.0, 20.0, 66.0, 60.0]]).expand(num_images, 2, 4).clone()
    return {
        "images": torch.randint(0, 256, (num_images, 3, *size), dtype=torch.uint8, generator=generator),
        "boxes": boxes,
        "labels": torch.tensor([[0, 2]] * num_images),
        "crowd": torch.zeros(num_images, 2, dtype=torch.bool),
        "valid": torch.ones(num_images, 2, dtype=torch.bool),
    }


def values(losses):
    return {name: round(loss.item(), 6) for name, loss in losses.items()}


@pytest.mark.parametrize("neck", NECKS_READ)
@pytest.mark.parametrize("kind", KINDS)
def test_every_detector_trains_and_answers_on_any_neck(kind, neck):
    model = build(kind, neck)
    losses = model.losses(make_batch())
    assert all(name.startswith("boxes/") and "loss" not in name for name in losses)
    assert all(loss.isfinite() and loss.ndim == 0 and loss.dtype == torch.float32 for loss in losses.values())
    sum(losses.values()).backward()
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert [name for name, p in trained.items() if p.grad is None or not p.grad.isfinite().all()] == []
    assert any(p.grad.abs().sum() > 0 for name, p in trained.items() if name.startswith("encoder."))
    for flip_test in (False, True):
        images = make_batch(num_images=1)["images"]
        (answer,) = model.eval().predict({"images": images}, InferenceViews(flip=flip_test))["boxes"]
        assert {name: (type(value), value.dtype) for name, value in answer.items()} == {
            "boxes": (np.ndarray, np.float32),
            "scores": (np.ndarray, np.float32),
            "labels": (np.ndarray, np.int64),
        }
        assert len(answer["boxes"]) == len(answer["scores"]) == len(answer["labels"])


@pytest.mark.parametrize("neck", ["hourglass", "none"])
@pytest.mark.parametrize("kind", KINDS)
def test_losses_and_detections_are_torchvisions(kind, neck):
    threshold = {"FasterRCNN": "box_score_thresh"}.get(kind, "score_thresh")
    model = build(kind, neck, **{threshold: 0.0})
    made = getattr(detection, kind)
    encoder = ENCODERS.build(STEM)
    built_neck = None
    if neck != "none":
        config = {**NECKS_READ[neck], "out_levels": None}
        built_neck = NECKS.build(config, in_channels=[32], in_strides=[4])
    backbone = as_backbone(encoder, built_neck)
    first = kind == "FasterRCNN"  # label of its first class
    size = {"min_size": 70, "max_size": 100, "_skip_resize": True}  # or it would draw a random size out of one
    arguments = {**size, threshold: 0.0, **KINDS[kind], **detector_arguments(backbone, made)}
    other = made(backbone, 3 + first, **arguments)
    encoder.load_state_dict(model.encoder.state_dict())
    if built_neck is not None:
        built_neck.load_state_dict(model.neck.state_dict())
    missing = other.load_state_dict(model.detector.state_dict(), strict=False)
    assert missing.unexpected_keys == []
    assert all(name.startswith("backbone.") for name in missing.missing_keys)
    batch = make_batch()
    targets = [{"boxes": batch["boxes"][row], "labels": batch["labels"][row] + first} for row in range(2)]
    images = list(batch["images"] / 255)
    torch.manual_seed(5)
    expected = other.train()(images, targets)
    torch.manual_seed(5)
    found = model.losses(batch)
    assert {name.removeprefix("loss_") for name in expected} == {name.removeprefix("boxes/") for name in found}
    for name, value in expected.items():
        torch.testing.assert_close(found[f"boxes/{name.removeprefix('loss_')}"], value, atol=1e-5, rtol=1e-5)
    with torch.no_grad():
        theirs = other.eval()(images)
    for answer, one in zip(model.eval().predict(batch)["boxes"], theirs, strict=True):
        assert len(answer["scores"]) == len(one["scores"]) > 10
        np.testing.assert_allclose(answer["scores"], one["scores"], atol=1e-5)
        same = np.abs(answer["boxes"] - one["boxes"].numpy()).max(1) < 1e-2  # equal scores may come in another order
        assert same.mean() > 0.9
        np.testing.assert_array_equal(answer["labels"][same], one["labels"].numpy()[same] - first)


@pytest.mark.parametrize("kind", ["FCOS", "FasterRCNN"])
def test_one_batch_can_be_learned_by_heart(kind):
    model = build(kind, "FPN")
    batch = make_batch((72, 96))
    batch["images"][:] = 30
    for row, colour in enumerate((90, 200)):  # the second object is bright in both images
        x1, y1, x2, y2 = batch["boxes"][0, row].int().tolist()
        batch["images"][:, :, y1:y2, x1:x2] = colour
    optimizer = torch.optim.Adam((p for p in model.parameters() if p.requires_grad), 2e-3)
    for _ in range(80):
        optimizer.zero_grad()
        sum(model.losses(batch).values()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
    for answer in model.eval().predict(batch)["boxes"]:
        for truth, label in zip(batch["boxes"][0], (0, 2), strict=True):
            own = answer["labels"] == label
            best = torch.from_numpy(answer["boxes"][own][answer["scores"][own].argmax()])
            assert box_iou(best, truth) > 0.7


def test_what_cannot_be_learned_is_left_out():
    model = build()
    batch = make_batch()
    clean = values(model.losses(batch))
    junk = torch.tensor([[1.0, 1, 30, 30], [9, 9, 9, 40], [80, 3, 70, 9], [200, 10, 220, 30], [2, 2, 60, 60], [0] * 4])
    more = {
        "boxes": torch.cat([junk.expand(2, 6, 4), batch["boxes"]], 1),
        "labels": torch.cat([torch.tensor([[1, 1, 1, 1, 3, -1]] * 2), batch["labels"]], 1),
        "crowd": torch.tensor([[True] + [False] * 7] * 2),
        "valid": torch.tensor([[True] * 5 + [False] + [True] * 2] * 2),
    }
    assert values(model.losses(batch | more)) == clean
    one_counts = {"crowd": torch.tensor([[False] * 8] * 2)}
    assert values(model.losses(batch | more | one_counts)) != clean


@pytest.mark.parametrize("kind", KINDS)
def test_images_without_objects_teach_the_background_and_batches_without_boxes_nothing(kind):
    model = build(kind)
    batch = make_batch()
    batch["valid"][:] = False
    losses = model.losses(batch)
    assert all(loss.isfinite() for loss in losses.values())
    assert sum(losses.values()).item() > 0
    bare = {"images": batch["images"], "valid": batch["valid"][:, :0]}
    nothing = model.losses(bare)
    assert nothing.keys() == losses.keys()
    sum(nothing.values()).backward()
    gradients = [p.grad for p in model.parameters() if p.requires_grad]
    assert all(gradient is not None and not gradient.any() for gradient in gradients)


def test_images_that_could_not_be_read_teach_nothing():
    model, batch = build(), make_batch()
    alone = {key: batch[key][:1] for key in ("images", "boxes", "labels", "valid")}
    expected = values(model.losses(alone))
    partly = {**batch, "annotated": {"boxes": torch.tensor([True, False])}}
    assert model.normalisers(partly) == {"boxes/images": 1}
    assert values(model.losses(partly)) == pytest.approx(expected, rel=1e-4)
    nothing = model.losses({**batch, "annotated": {"boxes": torch.tensor([False, False])}})
    assert all(value == 0 for value in nothing.values())


def test_the_mode_does_not_choose_between_losses_and_answers():
    model = build("FasterRCNN").eval()
    assert set(model.losses(make_batch())) == {
        "boxes/classifier", "boxes/box_reg", "boxes/objectness", "boxes/rpn_box_reg"
    }  # fmt: skip
    assert list(model.train().predict(make_batch())) == ["boxes"]
    assert model.encoder.training


def test_batches_of_a_step_weigh_by_their_images():
    model = build()
    batch = make_batch(num_images=3)
    batch["boxes"][1] += 4
    parts = [{key: value[rows] for key, value in batch.items()} for rows in (slice(0, 1), slice(1, 3))]
    counts = [model.normalisers(part) for part in parts]
    shared = {name: counts[0][name] + counts[1][name] for name in counts[0]}
    assert values(shared) == {"boxes/images": 3.0}
    for name in model.losses(batch):
        together = sum(model.losses(part, shared)[name] for part in parts)
        alone = [model.losses(part)[name] for part in parts]
        torch.testing.assert_close(together, alone[0] / 3 + alone[1] * 2 / 3)


@pytest.mark.parametrize("kind", KINDS)
def test_autocast_leaves_logits_anchors_and_losses_exact(kind):
    model = build(kind, "hourglass").eval()
    batch = make_batch((72, 96))
    torch.manual_seed(1)
    plain = model.losses(batch)
    seen = []
    for module in model.detector.modules():
        for name, layer in module.named_children():
            if name in ("cls_logits", "bbox_reg", "bbox_ctrness", "bbox_pred", "cls_score"):
                layer.register_forward_hook(lambda _, inputs, output: seen.append((inputs[0].dtype, output.dtype)))
    torch.manual_seed(1)
    with torch.autocast("cpu", torch.bfloat16):
        losses = model.losses(batch)
        predictions = model.predict(batch)["boxes"]
    assert {output for _, output in seen} == {torch.float32}
    assert torch.bfloat16 in {given for given, _ in seen}  # the layers before them are not
    for name, loss in losses.items():
        assert loss.dtype == torch.float32
        # which proposals Faster R-CNN learns from may change with the last bit
        assert loss.item() == pytest.approx(plain[name].item(), rel=0.2 if kind == "FasterRCNN" else 0.02)
    assert all(answer["boxes"].dtype == np.float32 for answer in predictions)


def found(*rows):
    boxes, scores, labels = zip(*rows, strict=True)
    return {"boxes": torch.tensor(boxes), "scores": torch.tensor(scores), "labels": torch.tensor(labels)}


def test_mirrored_and_scaled_views_come_back_and_are_suppressed_by_class(monkeypatch):
    model = build(detections_per_img=3)
    answers = {
        100: [found(([10.0, 5, 30, 25], 0.9, 0), ([60.0, 5, 80, 25], 0.5, 1))],
        50: [found(([5.0, 2.5, 15, 12.5], 0.8, 0), ([0.0, 0, 5, 5], 0.4, 0))],
    }
    monkeypatch.setattr(Detector, "forward", lambda _, images: answers[images.shape[-1]])
    batch = {"images": torch.zeros(1, 3, 60, 100, dtype=torch.uint8)}
    (plain,) = model.predict(batch)["boxes"]
    assert plain["boxes"].tolist() == [[10, 5, 30, 25], [60, 5, 80, 25]]
    (answer,) = model.predict(batch, InferenceViews(flip=True))["boxes"]
    # the same answer of the mirrored image: of both classes at both places, the best three
    assert answer["scores"].tolist() == pytest.approx([0.9, 0.9, 0.5])
    assert answer["boxes"].tolist()[:2] == [[10, 5, 30, 25], [70, 5, 90, 25]]
    assert answer["labels"].tolist() == [0, 0, 1]
    (answer,) = model.predict(batch, InferenceViews(scales=(1, 0.5)))["boxes"]
    # half the size sees the first object again, where it is suppressed, and another one
    assert answer["scores"].tolist() == pytest.approx([0.9, 0.5, 0.4])
    assert answer["boxes"].tolist()[2] == [0, 0, 10, 10]


def test_a_level_of_one_cell_that_cannot_be_normalised_is_an_error_that_says_how():
    torch.manual_seed(0)
    detector = {"type": "FCOS", "channels": 32}
    neck = {"type": "FPN", "num_levels": 5, "channels": 32, "norm": "batch"}
    tasks = {"boxes": {"type": "Boxes", "num_classes": 2}}
    model = build_model({"type": "NewellStem", "channels": 8}, neck, tasks, detector=detector)
    batch = {"images": torch.zeros(1, 3, 64, 64, dtype=torch.uint8), "valid": torch.zeros(1, 0, dtype=torch.bool)}
    with pytest.raises(ConfigError, match=r"64×64 pixels is a single cell.*channels=64, larger images"):
        model.eval().predict(batch)


def test_boxes_of_scaled_views_stay_in_the_image():
    torch.manual_seed(0)
    detector = {"type": "FCOS", "levels": [0, 1], "score_thresh": 0.0, "nms_thresh": 1.0, "detections_per_img": 500}
    neck = {"type": "FPN", "num_levels": 3, "channels": 64, "norm": "batch"}
    tasks = {"boxes": {"type": "Boxes", "num_classes": 2}}
    model = build_model({"type": "NewellStem", "channels": 8}, neck, tasks, detector=detector).eval()
    images = torch.randint(0, 256, (1, 3, 61, 63), dtype=torch.uint8)
    (found,) = model.predict({"images": images}, InferenceViews(flip=True, scales=(0.75,)))["boxes"]
    assert len(found["boxes"]) > 0
    assert (found["boxes"] >= 0).all()
    assert (found["boxes"] <= [63, 61, 63, 61]).all()


def test_windows_are_refused():
    model = build().eval()
    with pytest.raises(ConfigError, match="torchvision's detectors look at whole images"):
        model.predict(make_batch(), InferenceViews(window=(32, 32)))


def test_flip_test_answers_a_mirrored_image_with_the_mirrored_answer():
    model = build(score_thresh=0.0, detections_per_img=20).eval()
    images = make_batch()["images"]
    both = InferenceViews(flip=True)
    one, other = (model.predict({"images": given}, both)["boxes"][0] for given in (images, images.flip(-1)))
    assert len(one["scores"]) == 20
    np.testing.assert_allclose(one["scores"], other["scores"], atol=1e-6)
    np.testing.assert_allclose(one["boxes"][:, [0, 2]], 100 - other["boxes"][:, [2, 0]], atol=1e-3)


def test_levels_are_counted_on_the_neck_which_gives_no_other():
    model = build(neck="hourglass", levels=[1, 2])
    assert (model.neck.out_levels, model.levels, model.strides) == ([1, 2], [0, 1], [8, 16])
    assert build(neck="hourglass").strides == [4, 8, 16]
    given = {**NECKS_READ["FPN"], "out_levels": [0, 1, 2]}
    tasks = {"boxes": {"type": "Boxes", "num_classes": 3}}
    model = build_model(STEM, given, tasks, detector={"type": "FCOS", "levels": [1, 2]})
    assert (model.levels, model.strides) == ([1, 2], [8, 16])
    frozen = {name.rsplit(".", 2)[0] for name, p in model.named_parameters() if not p.requires_grad}
    assert frozen == {"neck.stages.0.walk.pathway.nodes.0.laterals.0", "neck.stages.0.walk.posts.0"}
    sum(model.losses(make_batch()).values()).backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


def test_encoder_and_neck_keep_their_names_for_other_models_to_start_from():
    model = build(neck="hourglass")
    pose = build_model(STEM, {**NECKS_READ["hourglass"], "out_levels": None})
    assert {name for name in model.state_dict() if name.startswith(("encoder.", "neck."))} == set(pose.state_dict())
    assert not [name for name in model.state_dict() if "backbone" in name]
    assert [len(pyramid) for pyramid in model.forward_features(make_batch()["images"])] == [3, 3]


def test_a_copy_reads_its_own_layers():
    model = build(score_thresh=0.0).eval()
    batch = make_batch()
    before = model.predict(batch)["boxes"][0]
    twin = copy.deepcopy(model)
    for parameter in model.parameters():
        parameter.data.zero_()
    np.testing.assert_array_equal(twin.predict(batch)["boxes"][0]["boxes"], before["boxes"])
    assert not np.array_equal(model.predict(batch)["boxes"][0]["scores"], before["scores"])


def test_create_model_builds_detectors_and_takes_them_out():
    config = {
        "encoder": STEM,
        "neck": NECKS_READ["FPN"],
        "tasks": {"boxes": {"type": "Boxes", "num_classes": 2}},
        "detector": {"type": "FCOS", "levels": [0, 1]},
    }
    model = create_model(config, detector={"center_sampling_radius": 2.5})
    assert isinstance(model, Detector)
    assert (model.strides, model.detector.center_sampling_radius) == ([4, 8], 2.5)
    assert len(create_model(config, tasks=None).forward_features(make_batch()["images"])[0]) == 3
    with pytest.raises(ConfigError, match=r"Boxes; give detector=dict\(type='FCOS'\)"):
        create_model(config, detector=None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"detector": {"type": "FCOSS"}}, "no detector is called 'FCOSS'; did you mean 'FCOS'"),
        ({"detector": {"levels": [0]}}, "needs a dict with a 'type'"),
        ({"detector": {"type": "FCOS", "score_tresh": 0.1}}, "no argument 'score_tresh'; did you mean 'score_thresh'"),
        ({"detector": {"type": "FCOS", "level": [0]}}, "no argument 'level'; did you mean 'levels'"),
        ({"detector": {"type": "FCOS", "min_size": 300}}, "no argument 'min_size'"),
        ({"detector": {"type": "FCOS", "kwargs": {}}}, "no argument 'kwargs'"),
        ({"detector": {"type": "RetinaNet", "nms_thresh": "0.5"}}, "nms_thresh must be float, not '0.5'"),
        ({"detector": {"type": "FCOS", "channels": 48}}, "multiple of 32"),
        ({"detector": {"type": "FCOS", "channels": 0}}, "channels=0 must be at least 1"),
        ({"detector": {"type": "FCOS", "levels": 1}}, "levels=1 must be a list"),
        ({"detector": {"type": "FCOS", "levels": [2, 1]}}, "must be ascending"),
        ({"detector": {"type": "FCOS", "levels": []}}, "levels"),
        ({"detector": {"type": "FCOS", "levels": [5]}}, r"from 0 to 2; .* levels that the detector reads"),
        ({"neck": None, "detector": {"type": "FCOS", "levels": [1]}}, "out of the 1 levels"),
        ({"detector": {"type": "FasterRCNN", "levels": [0, 2]}}, r"double, not \[4, 16\]"),
        ({"neck": {**NECKS_READ["FPN"], "feedback": ["boxes.heat"]}}, "take 'feedback' out"),
        ({"neck": {**NECKS_READ["FPN"], "out_levels": [0, 1]}, "detector": {"type": "FCOS", "levels": [1, 2]}},
         r"reads levels=\[1, 2\], but the neck gives only \[0, 1\]"),
        ({"tasks": {"corners": {"type": "Corners", "num_classes": 2}}}, r"type='Boxes'.*not \{'corners': 'Corners'\}"),
        ({"tasks": {}}, "answers one task"),
        ({"tasks": {"boxes": {"type": "Boxes", "num_classes": 2, "head": {}}}}, "no argument 'head'"),
        ({"detector": None}, "detectors answers Boxes"),
        ({"neck": {"type": "UNet", "num_levels": 2, "align": "crop", "norm": "none"}}, "image's corner"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(change, message):
    config = {
        "encoder": STEM,
        "neck": NECKS_READ["FPN"],
        "tasks": {"boxes": {"type": "Boxes", "num_classes": 2}},
        "detector": {"type": "FCOS"},
    }
    with pytest.raises(ConfigError, match=message):
        build_model(**config | change)
