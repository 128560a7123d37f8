import copy
from types import SimpleNamespace

import pytest
import torch

from densezoo.errors import ConfigError
from densezoo.models import build_model
from densezoo.models.loss_weights import build_loss_weights

TASKS = {
    "pose": {"type": "Pose", "num_keypoints": 3},
    "boxes": {"type": "Centers", "num_classes": 2, "head": {"type": "Center", "channels": 8}},
}
STEM = {"type": "NewellStem", "channels": 8, "norm": "group"}
NECK = {"type": "StackedHourglass", "num_stages": 1, "num_levels": 2, "norm": "group"}


def build(loss_weights, **more):
    torch.manual_seed(0)
    return build_model(STEM, {**NECK, **more}, TASKS, loss_weights=loss_weights)


def make_batch(count=4):
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(count, 2, 2, 2, generator=generator).sort(2).values * 32
    return {
        "images": torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=generator),
        "valid": torch.ones(count, 2, dtype=torch.bool),
        "boxes": corners.flatten(2),
        "labels": torch.randint(0, 2, (count, 2), generator=generator),
        "keypoints": torch.cat(
            [torch.rand(count, 2, 3, 2, generator=generator) * 32, torch.full((count, 2, 3, 1), 2)], -1
        ),
    }


def by_task(losses):
    """Sum of every task's losses."""
    sums = {}
    for name, value in losses.items():
        task = name.split("/")[0]
        sums[task] = sums.get(task, 0) + value
    return sums


def stubs(count=2):
    return {name: SimpleNamespace(meta_fields=()) for name in "ab"[:count]}


def test_fixed_weights_multiply_tasks_and_single_losses():
    plain, batch = build(None), make_batch()
    weighted = build({"boxes": 0.5, "boxes/size": 3.0})
    before, after = plain.losses(batch), weighted.losses(batch)
    factors = {"pose/heatmap": 1, "boxes/heat": 0.5, "boxes/size": 1.5, "boxes/offset": 0.5}
    assert before.keys() == after.keys() == factors.keys()
    for name, factor in factors.items():
        torch.testing.assert_close(after[name], before[name] * factor)
    assert weighted.loss_weights.values() == {"pose": 1.0, "boxes": 0.5}
    assert plain.state_dict().keys() == weighted.state_dict().keys()
    with pytest.raises(ConfigError, match=r"no loss is called 'boxes/sise'.*boxes/size"):
        build({"boxes/sise": 2}).losses(batch)


def test_uncertainty_has_the_papers_sum_and_gradient():
    model, batch = build({"type": "uncertainty"}), make_batch()
    plain = by_task(build(None).losses(batch))
    with torch.no_grad():
        model.loss_weights.log_variances.copy_(torch.tensor([0.7, -0.4]))
    losses = model.losses(batch)
    total = sum(losses.values())
    torch.testing.assert_close(total, plain["pose"] * 0.4965853 + 0.35 + plain["boxes"] * 1.4918247 - 0.2)
    total.backward()
    expected = [0.5 - 0.4965853 * plain["pose"].item(), 0.5 - 1.4918247 * plain["boxes"].item()]
    assert model.loss_weights.log_variances.grad.tolist() == pytest.approx(expected, rel=1e-5)
    assert model.loss_weights.values() == pytest.approx({"pose": 0.4965853, "boxes": 1.4918247})
    assert set(losses) - set(build(None).losses(batch)) == {"loss_weights/pose", "loss_weights/boxes"}


def test_uncertainty_of_a_step_in_parts_is_that_of_the_whole():
    whole, batch = build({"type": "uncertainty"}), make_batch()
    parts = copy.deepcopy(whole)
    batch["annotated"] = {"keypoints": torch.tensor([True, True, False, True])}
    sum(whole.losses(batch).values()).backward()
    rows = (slice(0, 1), slice(1, 4))
    halves = [{key: value[each] for key, value in batch.items() if key != "annotated"} for each in rows]
    for half, each in zip(halves, rows, strict=True):
        half["annotated"] = {"keypoints": batch["annotated"]["keypoints"][each]}
    counted = [parts.normalisers(half) for half in halves]
    summed = {name: counted[0][name] + counted[1][name] for name in counted[0]}
    for half in halves:
        sum(parts.losses(half, summed).values()).backward()
    for (name, one), other in zip(whole.named_parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-5, msg=name)


def test_a_task_that_a_step_says_nothing_of_keeps_its_uncertainty():
    model, batch = build({"type": "uncertainty"}), make_batch()
    del batch["keypoints"]
    losses = model.losses(batch)
    sum(losses.values()).backward()
    assert losses["loss_weights/pose"] == 0
    gradient = model.loss_weights.log_variances.grad
    assert gradient[0] == 0
    assert gradient[1] != 0


@pytest.mark.parametrize(
    ("task", "dropped"),
    [
        ({"type": "Centers", "num_classes": 2, "head": {"type": "Center", "channels": 8}}, "boxes"),
        (
            {"type": "Centers", "num_classes": 2, "num_keypoints": 3, "head": {"type": "Center", "channels": 8}},
            "boxes",
        ),
        ({"type": "AssociativeEmbedding", "num_keypoints": 3}, "keypoints"),
    ],
)
def test_a_part_of_the_annotations_that_teaches_nothing_adds_no_uncertainty(task, dropped):
    torch.manual_seed(0)
    tasks = {"pose": TASKS["pose"], "other": task}
    model = build_model(STEM, NECK, tasks, loss_weights={"type": "uncertainty"})
    with torch.no_grad():
        model.loss_weights.log_variances.fill_(1.0)
    whole = make_batch()
    part = {key: value for key, value in whole.items() if key != dropped}
    empty = {**whole, "valid": torch.zeros_like(whole["valid"])}
    for batch, expected in ((whole, 0.5), (part, 0.0), (empty, 0.5)):
        assert model.losses(batch)["loss_weights/other"].item() == expected
    counted = [model.normalisers(batch) for batch in (whole, part)]
    shared = {name: counted[0][name] + counted[1][name] for name in counted[0]}
    assert [model.losses(batch, shared)["loss_weights/other"].item() for batch in (whole, part)] == [0.5, 0.0]


@pytest.mark.parametrize("loss", [{"cross_entropy": 1.0}, {"cross_entropy": 1.0, "dice": 1.0}, {"lovasz": 1.0}])
def test_a_map_without_a_label_adds_no_uncertainty(loss):
    tasks = {"pose": TASKS["pose"], "mask": {"type": "Segmentation", "num_classes": 3, "loss": loss}}
    model = build_model(STEM, NECK, tasks, loss_weights={"type": "uncertainty"})
    with torch.no_grad():
        model.loss_weights.log_variances.fill_(1.0)
    labels = torch.full((4, 32, 32), 255, dtype=torch.uint8)
    assert model.losses({**make_batch(), "semantic": labels})["loss_weights/mask"].item() == 0
    labels[2, 5, 5] = 1
    assert model.losses({**make_batch(), "semantic": labels})["loss_weights/mask"].item() == 0.5


def shared_gradients(model, batch, monkeypatch):
    """Norm of every task's unweighted loss at the pyramid that all heads read, by brute force."""
    read = []
    real = model.loss_weights.watch
    monkeypatch.setattr(model.loss_weights, "watch", lambda task, pyramid: read.append(pyramid) or real(task, pyramid))
    losses = by_task(model.losses(batch))
    assert read[0] is read[1]
    norms = []
    for task, factor in model.loss_weights.values().items():
        found = torch.autograd.grad(losses[task] / factor, read[0], retain_graph=True)
        norms.append(sum(level.square().sum() for level in found).sqrt())
    return losses, torch.stack(norms)


def test_gradnorm_measures_the_gradients_of_the_shared_features(monkeypatch):
    model, batch = build({"type": "gradnorm", "alpha": 0.0, "rate": 1.0}), make_batch()
    model.loss_weights.weights.copy_(torch.tensor([0.5, 1.5]))
    _, norms = shared_gradients(model, batch, monkeypatch)
    model.loss_weights._squares.clear()  # what autograd.grad has left there
    model.loss_weights._losses.clear()
    sum(model.losses(batch).values()).backward()
    model.loss_weights.end_step(lambda values: values, 1)
    # equal norms at once: the factors are the inverse norms, and sum to the number of tasks
    torch.testing.assert_close(model.loss_weights.weights, 2 / norms / (1 / norms).sum(), rtol=1e-4, atol=0)


def test_gradnorm_of_several_batches_and_processes_is_that_of_one(monkeypatch):
    whole, batch = build({"type": "gradnorm", "rate": 1.0}), make_batch()
    others = [copy.deepcopy(whole) for _ in range(2)]
    sum(whole.losses(batch).values()).backward()
    whole.loss_weights.end_step(lambda values: values, 1)
    halves = [{key: value[rows] for key, value in batch.items()} for rows in (slice(0, 1), slice(1, 4))]
    counted = [whole.normalisers(half) for half in halves]
    summed = {name: counted[0][name] + counted[1][name] for name in counted[0]}
    sent = []
    for process, half in zip(others, halves, strict=True):
        (sum(process.losses(half, summed).values()) * 2).backward()
        copy.deepcopy(process).loss_weights.end_step(lambda values: sent.append(values) or values, 2)
    for process in others:
        process.loss_weights.end_step(lambda _: sum(sent), 2)
        torch.testing.assert_close(process.loss_weights.weights, whole.loss_weights.weights, rtol=1e-4, atol=0)
        torch.testing.assert_close(process.loss_weights.first_losses, whole.loss_weights.first_losses)
    assert (whole.loss_weights.weights - 1).abs().min() > 0.01


@pytest.mark.parametrize("turns", [["ab"], ["a", "b"]], ids=["together", "in turns"])
def test_gradnorm_settles_where_norms_follow_the_relative_losses(turns):
    """Two quadratic losses of other scales at one point: G = mean(G) · (relative loss)^alpha, as the paper wants."""
    weights = build_loss_weights({"type": "gradnorm", "alpha": 0.5, "rate": 0.1}, stubs())
    aims, scales = torch.tensor([[3.0, 0.0], [-1.0, 2.0]]), torch.tensor([1.0, 100.0])

    def losses_at(point):
        return scales * (point - aims).square().sum(1) / 2

    def step(point, tasks):
        read = {name: weights.watch(name, [point])[0] for name in tasks}
        found = {f"{name}/x": losses_at(level)["ab".index(name)] for name, level in read.items()}
        sum(weights(found, {}, {}).values()).backward()
        weights.end_step(lambda values: values, 1)

    start, later = (torch.tensor(values, requires_grad=True) for values in ([0.0, 0.0], [0.5, -0.5]))
    for tasks in turns:
        assert weights.values() == {"a": 1, "b": 1}  # nothing moves before all have a step
        step(start, tasks)
    for _ in range(200):
        for tasks in turns:
            step(later, tasks)
    relative = losses_at(later) / losses_at(start)
    relative = relative / relative.mean()
    norms = scales * (later - aims).norm(dim=1) * weights.weights
    torch.testing.assert_close(norms, norms.mean() * relative.sqrt() / relative.sqrt().mean(), rtol=1e-4, atol=0)
    assert weights.weights.sum().item() == pytest.approx(2)
    assert weights.weights[0] > 50 * weights.weights[1]


def test_gradnorm_passes_over_what_a_step_says_nothing_of():
    model, batch = build({"type": "gradnorm"}), make_batch()
    del batch["keypoints"]
    sum(model.losses(batch).values()).backward()
    model.loss_weights.end_step(lambda values: values, 1)
    assert model.loss_weights.weights.tolist() == [1.0, 1.0]
    assert model.loss_weights.first_losses[0] == 0
    assert model.loss_weights.first_losses[1] > 0
    with torch.no_grad():
        model.losses(make_batch())
    model.loss_weights.end_step(lambda values: values, 1)
    assert model.loss_weights.first_losses[0] == 0  # nothing was learned, so no step was there


@pytest.mark.parametrize("kind", ["uncertainty", "gradnorm"])
def test_weights_stay_exact_under_autocast_and_travel_with_the_model(kind):
    model, batch = build({"type": kind}), make_batch()
    with torch.autocast("cpu", torch.bfloat16):
        losses = model.losses(batch)
    assert {value.dtype for value in losses.values()} == {torch.float32}
    sum(losses.values()).backward()
    model.loss_weights.end_step(lambda values: values, 1)
    if kind == "gradnorm":
        assert model.loss_weights.weights[0] != 1
    again = build({"type": kind})
    again.load_state_dict(model.state_dict())
    assert again.loss_weights.values() == model.loss_weights.values()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"pos": 2}, "no task is called 'pos'; did you mean 'pose'"),
        ({"pose": 0}, "the factor of 'pose' must be a number above 0, not 0"),
        ({"pose": True}, "must be a number above 0"),
        ({"type": "uncertain"}, "no type 'uncertain'; did you mean 'uncertainty'"),
        ({"type": "gradnorm", "alfa": 1}, "no argument 'alfa'; did you mean 'alpha'"),
        ({"type": "gradnorm", "alpha": -1}, "alpha=-1 must be 0 or more"),
        ({"type": "gradnorm", "alpha": "1"}, "alpha must be float"),
        ({"type": "gradnorm", "rate": 0}, "rate=0 above 0"),
        ("uncertainty", "loss_weights must be dict or None"),
    ],
)
def test_weights_that_cannot_be_are_refused(config, message):
    with pytest.raises(ConfigError, match=message):
        build(config)


def test_learned_weights_need_several_tasks_and_gradnorm_no_feedback():
    with pytest.raises(ConfigError, match="weighs several tasks, and there is one"):
        build_loss_weights({"type": "gradnorm"}, stubs(1))
    with pytest.raises(ConfigError, match="take 'feedback' out"):
        build({"type": "gradnorm"}, num_stages=2, feedback=["pose.heatmap"])
    tasks = {
        **TASKS,
        "mask": {"type": "Segmentation", "num_classes": 2, "head": {"type": "PyramidHead", "channels": 8}},
    }
    with pytest.raises(ConfigError, match=r"heads of pose read \[0\], boxes read \[0\], mask read \[0, 1, 2, 3, 4\]"):
        build_model(STEM, {"type": "FPN", "channels": 8, "norm": "group"}, tasks, loss_weights={"type": "gradnorm"})
    tasks["mask"]["head"]["levels"] = [0]
    build_model(STEM, {"type": "FPN", "channels": 8, "norm": "group"}, tasks, loss_weights={"type": "gradnorm"})
    with pytest.raises(ConfigError, match="a task cannot be called 'loss_weights'"):
        build_model(STEM, NECK, {"loss_weights": TASKS["pose"]})
    tasks = {"boxes": {"type": "Boxes", "num_classes": 2}}
    with pytest.raises(ConfigError, match="a detector has one task"):
        build_model(STEM, NECK, tasks, detector={"type": "FCOS"}, loss_weights={"boxes": 2})
