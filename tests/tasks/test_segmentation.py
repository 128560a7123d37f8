import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import densezoo.metrics  # noqa: F401  # registers the metrics
from densezoo.engine.evaluate import coco_results
from densezoo.errors import ConfigError, DataError
from densezoo.functional import segmentation_losses as losses
from densezoo.models import build_model
from densezoo.tasks.segmentation import Segmentation
from densezoo.types import DatasetMeta, Grid, InferenceViews

META = DatasetMeta(semantic_classes=("ground", "tree", "sky"))


def batch_of(labels):
    """A batch of black images with (N, H, W) labels."""
    labels = torch.as_tensor(np.asarray(labels), dtype=torch.uint8)
    return {
        "images": torch.zeros(len(labels), 3, *labels.shape[1:], dtype=torch.uint8),
        "valid": torch.ones(len(labels), 0, dtype=torch.bool),
        "semantic": labels,
    }


def decoded(task, batch, grid):
    return np.stack([found["semantic"] for found in task.decode(task.encode(batch, grid)["maps"], grid)])


@settings(deadline=None)
@given(arrays(np.uint8, (2, 5, 6), elements=st.integers(0, 2)))
def test_decoding_inverts_encoding_at_stride_one(labels):
    np.testing.assert_array_equal(decoded(Segmentation(3), batch_of(labels), Grid(1, (5, 6))), labels)
    np.testing.assert_array_equal(decoded(Segmentation(1), batch_of(labels > 0), Grid(1, (5, 6))), labels > 0)


@pytest.mark.parametrize("stride", [2, 3, 4])
@pytest.mark.parametrize("num_classes", [1, 2])
def test_areas_come_back_from_coarse_grids(stride, num_classes):
    cells = np.zeros((1, 6, 8), np.uint8)
    cells[0, 2:, 3:] = 1
    labels = cells.repeat(stride, 1).repeat(stride, 2)
    # an image that is one pixel less than its cells
    for cut in (labels, labels[:, :-1, :-1]):
        found = decoded(Segmentation(num_classes), batch_of(cut), Grid(stride, (6, 8), image_size=cut.shape[1:]))
        assert found.shape == cut.shape
        wrong = np.argwhere(found != cut)
        assert len(wrong) <= 1  # interpolation rounds the corner off
        edges = (wrong[:, 1:] - [2 * stride, 3 * stride]).tolist()
        assert all(max(edge) < stride / 2 for edge in edges)


def test_what_valid_convolutions_lose_is_neither_learned_nor_answered():
    task = Segmentation(3)
    labels = np.arange(12 * 10).reshape(1, 12, 10) % 3
    grid = Grid(2, (3, 2), (4.0, 2.0), (12, 10))
    targets = task.encode(batch_of(labels), grid)
    inside = np.zeros((12, 10), bool)
    inside[2:8, 4:8] = True
    np.testing.assert_array_equal(targets["semantic"][0] != 255, inside)
    np.testing.assert_array_equal(targets["semantic"][0][inside], labels[0][inside])
    (found,) = task.decode(task.activate({"logits": torch.randn(1, 3, 3, 2)}), grid)
    np.testing.assert_array_equal(found["semantic"] != 255, inside)
    maps = torch.zeros(1, 3, 3, 2)
    loss = task.loss({"logits": maps}, targets, task.normalisers(batch_of(labels)))["cross_entropy"]
    assert loss.item() == pytest.approx(np.log(3) * inside.sum() / inside.size)


def test_the_loss_is_taken_at_the_images_pixels():
    task = Segmentation(3)
    labels = torch.randint(0, 3, (2, 7, 9))
    labels[0, :2] = 255
    batch = batch_of(labels)
    maps = torch.randn(2, 3, 4, 5)
    grid = Grid(2, (4, 5), image_size=(7, 9))
    found = task.loss({"logits": maps.bfloat16()}, task.encode(batch, grid), task.normalisers(batch))
    enlarged = torch.nn.functional.interpolate(maps.bfloat16().float(), size=(8, 10), mode="bilinear")[..., :7, :9]
    expected = torch.nn.functional.cross_entropy(enlarged, labels, ignore_index=255)
    assert found["cross_entropy"].dtype == torch.float32
    torch.testing.assert_close(found["cross_entropy"], expected)


def test_labels_are_those_of_the_interpolated_logits():
    logits = torch.randn(2, 4, 5, 6) * 5
    task, grid = Segmentation(4), Grid(4, (5, 6))
    enlarged = torch.nn.functional.interpolate(logits, scale_factor=4, mode="bilinear")
    found = np.stack([answer["semantic"] for answer in task.decode(task.activate({"logits": logits}), grid)])
    assert (found == enlarged.argmax(1).numpy()).mean() > 0.999
    binary = Segmentation(1)
    found = np.stack([one["semantic"] for one in binary.decode(binary.activate({"logits": logits[:, :1]}), grid)])
    assert (found == (enlarged[:, 0] > 0).numpy()).mean() > 0.999


def test_labels_of_certain_networks_are_those_of_the_interpolated_logits():
    """Float32 takes the sigmoid of 17 for 1, but knows that of -30."""
    grid = Grid(16, (1, 2))
    logits = torch.tensor([[[[30.0, -3.0]]], [[[3.0, -30.0]]]])
    expected = torch.nn.functional.interpolate(logits, scale_factor=16, mode="bilinear")[:, 0] > 0
    task = Segmentation(1)
    found = np.stack([answer["semantic"] for answer in task.decode(task.activate({"logits": logits}), grid)])
    np.testing.assert_array_equal(found, expected.numpy())
    probabilities = task.activate({"logits": logits})["logits"]
    torch.testing.assert_close(probabilities[:, 1:], logits.sigmoid())
    assert task.encode(batch_of(np.zeros((2, 16, 32))), grid)["maps"]["logits"].shape == probabilities.shape


VESSELS = DatasetMeta(semantic_classes=("background", "vessel"))
READING = [{"type": "MeanIoU"}, {"type": "densezoo.BinaryScores"}]


@pytest.mark.parametrize("num_classes", [1, 2])
def test_probabilities_are_those_of_the_interpolated_logits(num_classes):
    logits = torch.randn(2, num_classes, 5, 6) * 5
    task, grid = Segmentation(num_classes, VESSELS, metrics=READING), Grid(4, (5, 6))
    enlarged = torch.nn.functional.interpolate(logits, scale_factor=4, mode="bilinear")
    two = enlarged if num_classes == 2 else torch.cat([torch.zeros_like(enlarged), enlarged], 1)
    for answer, expected in zip(task.decode(task.activate({"logits": logits}), grid), two.softmax(1), strict=True):
        assert answer["probabilities"].dtype == np.float32
        np.testing.assert_allclose(answer["probabilities"], expected.numpy(), rtol=1e-3, atol=1e-6)
        np.testing.assert_array_equal(answer["probabilities"].argmax(0), answer["semantic"])
        np.testing.assert_allclose(answer["probabilities"].sum(0), 1, rtol=1e-5)


def test_probabilities_are_given_only_where_a_metric_reads_them():
    grid = Grid(2, (3, 2), (4.0, 2.0), (12, 10))
    maps = {"logits": torch.randn(1, 2, 3, 2)}
    for metrics in (None, [{"type": "BoundaryF"}], [{"type": "OfAnotherProgram"}]):
        task = Segmentation(2, VESSELS, metrics=metrics)
        (found,) = task.decode(task.activate(maps), grid)
        assert set(found) == {"semantic", "scores", "label_maps"}
    task = Segmentation(2, VESSELS, metrics=READING)
    (found,) = task.decode(task.activate(maps), grid)
    np.testing.assert_array_equal(found["probabilities"].any(0), found["semantic"] != 255)
    (sure,) = task.decode(task.encode(batch_of(np.ones((1, 12, 10))), grid)["maps"], grid)
    np.testing.assert_array_equal(sure["probabilities"][1], sure["semantic"] == 1)


def small_model(neck, task, meta):
    encoder = {"type": "NewellStem", "channels": 16, "norm": "group"}
    return build_model(encoder, neck, {"seg": {"type": "Segmentation", **task}}, meta).eval()


def test_probabilities_of_several_views_are_scored_and_not_written():
    torch.manual_seed(0)
    model = small_model({"type": "FPN", "channels": 16}, {"num_classes": 1, "metrics": READING}, VESSELS)
    images = torch.randint(0, 256, (1, 3, 30, 41), dtype=torch.uint8)
    (found,) = model.predict({"images": images}, InferenceViews(flip=True, scales=(1.0, 0.5)))["seg"]
    assert found["probabilities"].shape == (2, 30, 41)
    np.testing.assert_array_equal(found["probabilities"].argmax(0), found["semantic"])
    truth = {"semantic": np.uint8(np.arange(30 * 41).reshape(30, 41) % 2), "size": (30, 41)}
    sample = {"image_id": 1, "path": "1.png", "to_original": np.eye(2, 3), "truth": truth}
    for metric in model.tasks["seg"].metrics():
        metric.update([found], [sample])
        assert all(np.isfinite(list(metric.compute().values())))
    results = coco_results(found, sample, VESSELS)
    del found["probabilities"]
    assert results == coco_results(found, sample, VESSELS)


@pytest.mark.parametrize("name", ["cross_entropy", "lovasz"])
def test_every_stage_is_supervised_at_the_images_pixels(name):
    torch.manual_seed(0)
    neck = {"type": "StackedHourglass", "num_stages": 2, "num_levels": 3, "norm": "group"}
    model = small_model(neck, {"num_classes": 3, "loss": name}, META)
    labels = torch.randint(0, 3, (2, 30, 41))
    labels[0, :9] = 255
    batch = {**batch_of(labels), "images": torch.randint(0, 256, (2, 3, 30, 41), dtype=torch.uint8)}
    expected = 0.0
    for maps in model(batch["images"])["seg"]:
        logits = torch.nn.functional.interpolate(maps["logits"], scale_factor=4, mode="bilinear")[..., :30, :41]
        if name == "cross_entropy":
            expected += torch.nn.functional.cross_entropy(logits, labels, ignore_index=255)
        else:
            expected += losses.lovasz(logits, labels) / 2
    torch.testing.assert_close(model.losses(batch)[f"seg/{name}"], expected)


def test_sums_of_losses_have_their_factors():
    batch = batch_of([[[0, 1], [2, 255]]])
    grid = Grid(1, (2, 2))
    maps = {"logits": torch.randn(1, 3, 2, 2)}

    def run(loss, **more):
        task = Segmentation(3, loss=loss, **more)
        return task.loss(maps, task.encode(batch, grid), task.normalisers(batch))

    both = run({"cross_entropy": 2, "lovasz": 0.5}, class_weights=[1, 2, 3], label_smoothing=0.1)
    alone = run("cross_entropy", class_weights=[1, 2, 3], label_smoothing=0.1)
    torch.testing.assert_close(both["cross_entropy"], 2 * alone["cross_entropy"])
    torch.testing.assert_close(both["lovasz"], 0.5 * run("lovasz")["lovasz"])
    assert set(run({"dice": 1.0, "focal": 1.0})) == {"dice", "focal"}


@pytest.mark.parametrize("loss", ["cross_entropy", "focal", "dice", "lovasz"])
@pytest.mark.parametrize("num_classes", [1, 3])
def test_nothing_to_learn_from_gives_zero_loss_and_zero_gradient(loss, num_classes):
    task = Segmentation(num_classes, loss=loss)
    batch = batch_of(np.full((2, 8, 8), 255))
    without = {key: value for key, value in batch.items() if key != "semantic"}
    for each in (batch, without):
        maps = torch.randn(2, num_classes, 4, 4, requires_grad=True)
        assert task.normalisers(each)[loss].item() == 0
        total = task.loss({"logits": maps}, task.encode(each, Grid(2, (4, 4))), task.normalisers(each))[loss]
        total.backward()
        assert total.item() == 0
        assert maps.grad.eq(0).all()


@pytest.mark.parametrize("loss", ["cross_entropy", "focal", "dice", "lovasz"])
@pytest.mark.parametrize("num_classes", [1, 3])
def test_split_batches_add_up_to_the_whole(loss, num_classes):
    task = Segmentation(num_classes, loss=loss)
    labels = torch.randint(0, max(num_classes, 2), (3, 6, 6))
    labels[0, 2:], labels[1] = 255, 255
    whole = batch_of(labels)
    maps, grid = torch.randn(3, num_classes, 3, 3), Grid(2, (3, 3))
    shared = task.normalisers(whole)
    assert shared[loss].item() == (12 + 36 if loss in ("cross_entropy", "focal") else 2)
    expected = task.loss({"logits": maps}, task.encode(whole, grid), shared)[loss]
    parts = [{key: value[index : index + 1] for key, value in whole.items()} for index in range(3)]
    found = [
        task.loss({"logits": maps[index : index + 1]}, task.encode(part, grid), shared)[loss]
        for index, part in enumerate(parts)
    ]
    torch.testing.assert_close(sum(found), expected)


def test_a_label_can_be_ignored_by_number():
    task = Segmentation(3, META, ignore_index=0)
    batch = batch_of([[[0, 1], [2, 255]]])
    targets = task.encode(batch, Grid(1, (2, 2)))
    assert targets["semantic"].tolist() == [[[255, 1], [2, 255]]]
    assert targets["weights"]["logits"].flatten().tolist() == [0, 1, 1, 0]
    assert task.normalisers(batch)["cross_entropy"].item() == 2
    (metric,) = task.metrics()
    assert metric.ignore_index == 0
    chosen = [{"type": "BoundaryF"}, {"type": "MeanIoU"}, {"type": "MeanIoU", "ignore_index": 1}]
    metrics = Segmentation(3, META, ignore_index=0, metrics=chosen).metrics()
    assert [metric.ignore_index for metric in metrics] == [0, 0, 1]


def test_unflip_mirrors():
    labels = np.random.default_rng(0).integers(0, 3, (1, 4, 6))
    task, grid = Segmentation(3), Grid(1, (4, 6))
    mirrored = task.encode(batch_of(labels[..., ::-1].copy()), grid)["maps"]
    assert torch.equal(task.unflip(mirrored)["logits"], task.encode(batch_of(labels), grid)["maps"]["logits"])


def test_the_constant_answer_is_the_most_frequent_label_of_each_pixel():
    def sample(labels):
        return {"semantic": np.array([labels], np.uint8)}

    samples = [sample([0, 1, 2, 255]), sample([0, 1, 1, 255]), sample([1, 2, 2, 255]), {}]
    found = Segmentation(3).constant_prediction(samples)
    assert found["semantic"].tolist() == [[0, 1, 2, 1]]  # 1 is the most frequent of all
    assert found["semantic"].dtype == np.uint8
    assert found["scores"].shape == (0,)
    larger = [{"semantic": np.array([[2, 2], [1, 2]], np.uint8)}] * 4
    assert Segmentation(3).constant_prediction(samples + larger)["semantic"].tolist() == [[2, 2, 2, 2], [1, 2, 2, 2]]
    ignoring = Segmentation(3, ignore_index=1).constant_prediction(samples)
    assert ignoring["semantic"].tolist() == [[0, 2, 2, 2]]
    with pytest.raises(DataError, match="semantic maps"):
        Segmentation(3).constant_prediction([{}])


@pytest.mark.parametrize("size", [(188, 188), (220, 204)])
def test_the_unet_of_2015_answers_the_middle_of_an_image(size):
    encoder = {"type": "PlainUNet", "channels": 2, "padding": "valid", "norm": "none"}
    neck = {"type": "UNet", "align": "crop", "upsample": "transposed", "norm": "none"}
    model = build_model(encoder, neck, {"seg": {"type": "Segmentation", "num_classes": 3}}, META).eval()
    images = torch.randint(0, 256, (1, 3, *size), dtype=torch.uint8)
    (found,) = model.predict({"images": images})["seg"]
    answered = np.argwhere(found["semantic"] != 255)
    assert answered.min(0).tolist() == [92, 92]
    assert answered.max(0).tolist() == [size[0] - 93, size[1] - 93]
    found = model.losses({**batch_of(np.zeros((1, *size))), "images": images})
    assert found["seg/cross_entropy"].isfinite()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"loss": "cross_entropie"}, "did you mean 'cross_entropy'"),
        ({"loss": {"dice": 1, "lovas": 1}}, "did you mean 'lovasz'"),
        ({"loss": {"dice": 0}}, "factors above 0"),
        ({"loss": {}}, "factors above 0"),
        ({"class_weights": [1, 2]}, "class_weights must be 3 numbers"),
        ({"class_weights": [0, 0, 0]}, "not all 0"),
        ({"class_weights": [1, 2, float("nan")]}, "class_weights must be 3 numbers"),
        ({"loss": {"dice": float("nan")}}, "factors above 0"),
        ({"num_classes": 1, "meta": DatasetMeta(semantic_classes=("vessel",))}, "one class, 'vessel'.*name the backgr"),
        ({"class_weights": [1, 2, 3], "loss": "dice"}, "class_weights belong to"),
        ({"label_smoothing": 1.0}, "label_smoothing=1.0"),
        ({"label_smoothing": 0.1, "loss": "focal"}, "needs cross_entropy"),
        ({"focal_gamma": -1.0}, "focal_gamma=-1.0"),
        ({"ignore_index": 256}, "ignore_index=256"),
        ({"meta": DatasetMeta(semantic_classes=("a", "b"))}, r"num_classes=3.*2 classes \['a', 'b'\]"),
        ({"meta": DatasetMeta(classes=("a", "b", "c"))}, "names no semantic classes; give it semantic_classes="),
    ],
)
def test_impossible_values_say_how(arguments, message):
    with pytest.raises(ConfigError, match=message):
        Segmentation(**{"num_classes": 3, **arguments})
    with pytest.raises(ConfigError, match="num_classes=0"):
        Segmentation(0)
    with pytest.raises(ConfigError, match="metric"):
        Segmentation(3).metrics()
