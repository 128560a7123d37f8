import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import avg_pool2d, pad

from densezoo.errors import ConfigError
from densezoo.functional.grids import bring_to_grid, covered
from densezoo.heads.identity_head import IdentityHead
from densezoo.models import DenseModel, build_model
from densezoo.tasks.pose import Pose
from densezoo.types import DatasetMeta, Grid, InferenceViews

META = DatasetMeta(keypoint_names=("nose", "left_eye", "right_eye"), flip_pairs=((1, 2),))


def small(num_stages=2, feedback=True, **more):
    neck = {"type": "StackedHourglass", "num_stages": num_stages, "num_levels": 3}
    if feedback:
        neck["feedback"] = ["pose.heatmap"]
    tasks = {"pose": {"type": "Pose", "num_keypoints": 3, **more}, "other": {"type": "Pose", "num_keypoints": 2}}
    return build_model({"type": "NewellStem", "channels": 8}, neck, tasks)


def only_pose(**more):
    neck = {"type": "StackedHourglass", "num_levels": 3, "feedback": ["pose.heatmap"]}
    tasks = {"pose": {"type": "Pose", "num_keypoints": 3, **more}}
    return build_model({"type": "NewellStem", "channels": 16}, neck, tasks, META)


def batch_of(images, points=3):
    keypoints = torch.rand(len(images), 1, points, 3) * torch.tensor([images.shape[-1], images.shape[-2], 1.0])
    keypoints[..., 2] = 2.0
    return {"images": images, "keypoints": keypoints, "valid": torch.ones(len(images), 1, dtype=torch.bool)}


def run_heads(model):
    """Count how often each head runs in one forward of the last stage."""
    counts = {}
    for index, stage in enumerate(model.heads):
        for name, head in stage.items():
            head.register_forward_hook(lambda *_, key=(name, index): counts.update({key: counts.get(key, 0) + 1}))
    return counts


def test_uint8_is_normalised_once_and_float_not_at_all():
    model = only_pose().eval()
    images = torch.randint(0, 256, (2, 3, 16, 20), dtype=torch.uint8)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    normalised = (images / 255 - mean[:, None, None]) / std[:, None, None]
    torch.testing.assert_close(model(images)["pose"][1], model(normalised)["pose"][1])


@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format])
def test_everything_runs_channels_last(memory_format):
    model = only_pose()
    weight = model.encoder.layers[0].conv.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    images = torch.randint(0, 256, (2, 3, 16, 20), dtype=torch.uint8).contiguous(memory_format=memory_format)
    formats = []
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(
                lambda _m, inputs, _o: formats.append(inputs[0].is_contiguous(memory_format=torch.channels_last))
            )
    model(images)
    assert formats
    assert all(formats)


def test_all_stages_are_given_and_the_last_one_is_the_last():
    model = small(3).eval()
    images = torch.randn(1, 3, 17, 9)
    everything, last = model(images), model(images, "last")
    assert {name: len(stages) for name, stages in everything.items()} == {"pose": 3, "other": 3}
    for name, stages in last.items():
        assert len(stages) == 1
        assert torch.equal(stages[0]["heatmap"], everything[name][2]["heatmap"])
    with pytest.raises(ValueError, match="first"):
        model(images, "first")


@pytest.mark.parametrize("feedback", [True, False])
def test_heads_that_nobody_reads_do_not_run(feedback):
    model = small(3, feedback).eval()
    counts = run_heads(model)
    images = torch.randn(1, 3, 16, 16)
    fed = {("pose", 0): 1, ("pose", 1): 1} if feedback else {}
    model(images, "last")
    assert counts == {**fed, ("pose", 2): 1, ("other", 2): 1}
    counts.clear()
    pyramids = model.forward_features(images)
    assert counts == fed
    assert [[level.shape for level in pyramid] for pyramid in pyramids] == [[(1, 8, 4, 4)]] * 3


def test_feedback_reaches_the_next_stage():
    model = small(2).eval()
    images = torch.randn(1, 3, 16, 16)
    before = model(images)
    torch.nn.init.constant_(model.heads[0]["pose"].branches["heatmap"][0].bias, 5.0)
    after = model(images)
    assert not torch.allclose(before["other"][1]["heatmap"], after["other"][1]["heatmap"])
    torch.nn.init.constant_(model.heads[0]["other"].branches["heatmap"][0].bias, 5.0)
    again = model(images)
    assert torch.equal(again["pose"][1]["heatmap"], after["pose"][1]["heatmap"])


def test_losses_sum_the_stages_with_targets_of_the_right_grid():
    model = only_pose().eval()
    batch = batch_of(torch.randint(0, 256, (2, 3, 18, 22), dtype=torch.uint8))
    task = model.tasks["pose"]
    shared = {"pose/heatmap": torch.tensor(11.0)}
    assert {key: value.item() for key, value in model.normalisers(batch).items()} == {"pose/heatmap": 6.0}
    targets = task.encode(batch, Grid(4, (5, 6)))
    expected = sum(
        task.loss(maps, targets, {"heatmap": torch.tensor(11.0)})["heatmap"] for maps in model(batch["images"])["pose"]
    )
    torch.testing.assert_close(model.losses(batch, shared), {"pose/heatmap": expected})
    torch.testing.assert_close(model.losses(batch)["pose/heatmap"], expected * 11 / 6)


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_losses_stay_float32_under_autocast(loss):
    model = only_pose(loss=loss)
    batch = batch_of(torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8))
    with torch.autocast("cpu", torch.bfloat16):
        (maps, *_) = model(batch["images"])["pose"]
        losses = model.losses(batch)
    assert maps["heatmap"].dtype == torch.float32
    assert losses["pose/heatmap"].dtype == torch.float32
    losses["pose/heatmap"].backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_predictions_are_the_decoded_last_stage():
    model = only_pose().eval()
    batch = batch_of(torch.randint(0, 256, (2, 3, 16, 20), dtype=torch.uint8))
    expected = model.tasks["pose"].decode(model(batch["images"])["pose"][1], Grid(4, (4, 5)))
    found = model.predict(batch)["pose"]
    assert len(found) == 2
    for one, other in zip(found, expected, strict=True):
        assert (one["keypoints"] == other["keypoints"]).all()
        assert one["keypoints"].shape == (1, 3, 3)


class Cells(nn.Module):
    """Means of stride × stride pixels, with zeros behind the edge: a network of which every cell is known."""

    channels, strides, origins, mean, std = [3], [4], [0.0], (0.5,) * 3, (0.25,) * 3

    def forward(self, images):
        height, width = images.shape[-2:]
        return [avg_pool2d(pad(images, (0, -width % 4, 0, -height % 4)), 4)]


def cells_model():
    heads = [{"pose": IdentityHead([3], [4], {"heatmap": 3})}]
    return DenseModel(Cells(), None, heads, {"pose": Pose(3, meta=META, refine="none")}).eval()


@pytest.mark.parametrize("width", [32, 33, 34, 35])
def test_mirrored_maps_lie_on_the_same_cells_at_any_width(width):
    model = cells_model()
    images = torch.zeros(1, 3, 16, width, dtype=torch.uint8) + 128
    images[0, :, 4:8, 28:] = 255  # of the last cell that is whole, and what lies behind it
    images[0, 0, 4:8, 28:] = 128  # the nose is elsewhere
    images[0, 0, 8:12, 0:4] = 255
    (plain,), (flipped,) = (model.predict({"images": images}, InferenceViews(flip))["pose"] for flip in (False, True))
    assert plain["keypoints"][0, :, :2].tolist() == [[2, 10], [30, 6], [30, 6]]
    np.testing.assert_allclose(plain["keypoints"], flipped["keypoints"], atol=1e-5)


@pytest.mark.parametrize("scale", [0.5, 2.0, 1.5])
def test_maps_of_a_scaled_image_lie_where_those_of_the_image_do(scale):
    model = cells_model()
    images = torch.zeros(1, 3, 48, 64, dtype=torch.uint8) + 128
    images[0, :, 8:24, 32:48] = 255
    maps, grid = model.look({"images": images}, InferenceViews(scales=(scale,)))["pose"][0]
    assert (grid.stride, grid.size, grid.image_size) == (4 / scale, (12 * scale, 16 * scale), (48, 64))
    rows, columns = (maps["heatmap"][0, 0] > 1).nonzero().unbind(-1)
    x, y = ((cells + 0.5) * grid.stride for cells in (columns, rows))
    torch.testing.assert_close(torch.stack([x.mean(), y.mean()]), torch.tensor([40.0, 16.0]))
    bright = bring_to_grid(maps["heatmap"], grid, Grid(4, (12, 16)))[0, 0]
    assert (bright[3:5, 9:11] > 1.8).all()
    together = model.predict({"images": images}, InferenceViews(scales=(1, scale)))["pose"][0]
    assert (abs(together["keypoints"][0, :, :2] - [40, 16]) < 8).all()


@pytest.mark.parametrize("scale", [0.5, 0.75, 1.25])
@pytest.mark.parametrize("size", [(17, 33), (19, 41)])
def test_maps_of_a_scaled_image_reach_all_of_it(size, scale):
    images = torch.zeros(1, 3, *size, dtype=torch.uint8)
    ((_, grid),) = cells_model().look({"images": images}, InferenceViews(scales=(scale,)))["pose"]
    assert covered(grid, size, torch.device("cpu")).all()


def test_a_task_may_bring_views_together_itself():
    class Counts(Pose):
        def decode_views(self, views):
            return [[(grid.stride, grid.image_size) for _, grid in views]]

    model = cells_model()
    model.tasks["pose"] = Counts(3, meta=META)
    found = model.predict({"images": torch.zeros(1, 3, 8, 12, dtype=torch.uint8)}, InferenceViews(scales=(1, 0.5)))
    assert found["pose"] == [[(4, (8, 12)), (8, (8, 12))]]


def test_flip_test_answers_a_mirrored_image_with_the_mirrored_answer():
    model = only_pose(refine="dark").eval()
    images = torch.randint(0, 256, (2, 3, 24, 32), dtype=torch.uint8)
    plain, mirrored = (
        model.predict({"images": given}, InferenceViews(flip=True)) for given in (images, images.flip(-1))
    )
    without = model.predict({"images": images})
    for one, other in zip(plain["pose"], mirrored["pose"], strict=True):
        swapped = other["keypoints"][0, META.flip_order]
        torch.testing.assert_close(torch.tensor(32 - swapped[:, 0]), torch.tensor(one["keypoints"][0, :, 0]))
        torch.testing.assert_close(torch.tensor(swapped[:, 1:]), torch.tensor(one["keypoints"][0, :, 1:]))
    assert any((a["keypoints"] != b["keypoints"]).any() for a, b in zip(plain["pose"], without["pose"], strict=True))


def test_without_tasks_there_are_features_and_a_clear_error():
    model = build_model({"type": "NewellStem", "channels": 8}, {"type": "StackedHourglass", "num_levels": 2})
    batch = batch_of(torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8))
    assert len(model.forward_features(batch["images"])) == 2
    assert model(batch["images"]) == {}
    for call in (model.losses, model.predict):
        with pytest.raises(ConfigError, match="without tasks"):
            call(batch)


def test_weights_survive_a_round_trip_and_keep_their_layout():
    model, other = only_pose().eval(), only_pose().eval()
    other.load_state_dict(model.state_dict())
    images = torch.randn(1, 3, 16, 16)
    assert torch.equal(model(images)["pose"][1]["heatmap"], other(images)["pose"][1]["heatmap"])
    assert not any(key.startswith("pixel") for key in model.state_dict())
    assert other.encoder.layers[0].conv.weight.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.slow
def test_compiles():
    model = only_pose().eval()
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    with torch.no_grad():
        expected = model(images)["pose"][1]["heatmap"]
        found = torch.compile(model, fullgraph=True)(images)["pose"][1]["heatmap"]
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-3)


def test_grey_encoders_take_colour_and_no_other_number_of_channels_passes():
    model = build_model({"type": "NewellStem", "channels": 8, "in_channels": 1}).eval()
    colour = torch.randint(0, 256, (1, 3, 16, 16), dtype=torch.uint8)
    grey = colour.float().mean(1, keepdim=True).round().to(torch.uint8)
    assert torch.equal(model.forward_features(colour)[0][0], model.forward_features(grey)[0][0])
    with pytest.raises(ConfigError, match="1 channels, not 3; give it in_channels=3"):
        model.forward_features(torch.rand(1, 3, 16, 16))
    with pytest.raises(ConfigError, match="1 channels, not 4"):
        model.forward_features(torch.zeros(1, 4, 16, 16, dtype=torch.uint8))
