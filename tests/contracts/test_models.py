"""What every task must do, and every neck with every task."""

import numpy as np
import pytest
import torch

from densezoo.errors import ConfigError, DivergedError
from densezoo.models import build_model
from densezoo.registry import TASKS
from densezoo.types import Grid, InferenceViews, Targets


def build(config_of, neck, task, meta, **more):
    torch.manual_seed(0)
    head = config_of(getattr(TASKS.get(task), "default_head", "ConvHead"))
    tasks = {"it": {**config_of(task), "head": head}}
    return build_model(config_of("NewellStem", norm="group"), config_of(neck, norm="group", **more), tasks, meta)


def total(losses):
    return sum(losses.values())


def test_targets_have_the_shape_of_the_maps(task, config_of, meta, make_batch):
    built = TASKS.build(config_of(task), meta=meta)
    targets = built.encode(make_batch(size=(36, 44)), Grid(4, (9, 11)))
    assert Targets.__required_keys__ <= set(targets) <= set(Targets.__annotations__)
    for name, channels in built.outputs.items():
        assert targets["maps"][name].shape == (2, channels, 9, 11)
        torch.broadcast_to(targets["weights"][name], targets["maps"][name].shape)


def test_tasks_have_no_layers(task, config_of, meta):
    built = TASKS.build(config_of(task), meta=meta)
    assert not isinstance(built, torch.nn.Module)
    assert not [value for value in vars(built).values() if isinstance(value, torch.Tensor | torch.nn.Module)]


def test_unflip_twice_is_the_identity(task, config_of, meta):
    built = TASKS.build(config_of(task), meta=meta)
    maps = {name: torch.randn(2, channels, 6, 8) for name, channels in built.outputs.items()}
    twice = built.unflip(built.unflip(maps))
    for name, values in maps.items():
        torch.testing.assert_close(twice[name], values)
    unflipped = built.unflip(maps)
    assert all(name not in unflipped or not torch.equal(unflipped[name], values) for name, values in maps.items())


@pytest.mark.parametrize("people", [0, 1])
def test_empty_annotations_give_a_finite_loss_and_gradients(neck, task, config_of, meta, make_batch, people):
    model = build(config_of, neck, task, meta)
    batch = make_batch(people=people)
    batch["valid"][:] = False
    losses = model.losses(batch)
    assert all(value.isfinite() and value.ndim == 0 for value in losses.values())
    total(losses).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []


def test_every_parameter_gets_a_gradient(neck, task, config_of, meta, make_batch):
    model = build(config_of, neck, task, meta)
    total(model.losses(make_batch())).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []
    assert [name for name, p in model.named_parameters() if p.ndim > 1 and not p.grad.abs().sum() > 0] == []


def test_losses_of_one_image_are_those_of_the_batch(neck, task, config_of, meta, make_batch):
    model = build(config_of, neck, task, meta)
    batch = make_batch(3)
    shared = model.normalisers(batch)
    parts = [{key: value[index : index + 1] for key, value in batch.items()} for index in range(3)]
    together = model.losses(batch, shared)
    for name, value in together.items():
        alone = sum(model.losses(part, shared)[name] for part in parts)
        torch.testing.assert_close(alone, value, atol=1e-5, rtol=1e-4)


def arrays(prediction):
    """A prediction's arrays; maps of labels as one, too."""
    return {name: value[0].numpy() if name == "label_maps" else value for name, value in prediction.items()}


@pytest.mark.parametrize("size", [(33, 47), (5, 3)])
def test_predictions_come_for_any_size_one_image_and_flipped(neck, task, config_of, meta, make_batch, size):
    model = build(config_of, neck, task, meta).eval()
    for flip_test in (False, True):
        (prediction,) = model.predict({"images": make_batch(1, size)["images"]}, InferenceViews(flip=flip_test))["it"]
        assert isinstance(prediction["scores"], np.ndarray)
        for name, values in arrays(prediction).items():
            assert isinstance(values, np.ndarray), name
            assert np.isfinite(values).all(), name


def test_a_network_that_diverged_predicts_nothing(task, config_of, meta, make_batch):
    model = build(config_of, "UNet", task, meta).eval()
    for weight in model.heads.parameters():
        torch.nn.init.constant_(weight, torch.nan)
    with pytest.raises(DivergedError, match=r"task 'it' .* not finite"):
        model.predict({"images": make_batch(1, (32, 32))["images"]})


def test_predictions_come_through_windows(task, config_of, meta, make_batch):
    model = build(config_of, "UNet", task, meta).eval()
    side, _ = model.neck.coarsest
    images = make_batch(1, (2 * side + 3, side - 5))["images"]
    if getattr(TASKS.get(task), "needs_whole_images", False):
        with pytest.raises(ConfigError, match=r"task 'it' needs whole images; take engine\.window out"):
            model.predict({"images": images}, InferenceViews(window=(side, side)))
        return
    for views in (InferenceViews(window=(side, side)), InferenceViews(True, (1.0, 0.5), (side, side), 0.25)):
        (prediction,) = model.predict({"images": images}, views)["it"]
        assert all(np.isfinite(values).all() for values in arrays(prediction).values())
        for dense in {"semantic", "probabilities", "volume"} & prediction.keys():
            assert prediction[dense].shape[-2:] == (2 * side + 3, side - 5)


def test_every_neck_looks_through_windows(neck, config_of, meta, make_batch):
    model = build(config_of, neck, "Segmentation", meta).eval()
    side, _ = model.neck.coarsest
    images = make_batch(1, (2 * side + 3, side - 5))["images"]
    (plain,) = model.predict({"images": images}, InferenceViews(flip=True))["it"]
    (whole,) = model.predict({"images": images}, InferenceViews(True, window=(3 * side, 2 * side)))["it"]
    (parts,) = model.predict({"images": images}, InferenceViews(True, window=(side, side), overlap=0.5))["it"]
    for found in (plain, whole, parts):
        assert found["semantic"].shape == (2 * side + 3, side - 5)
        assert (found["semantic"] < 255).all()


def test_one_batch_can_be_learned_by_heart(neck, task, config_of, meta, make_batch):
    model = build(config_of, neck, task, meta)
    batch = make_batch(2, (32, 32))
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    first = total(model.losses(batch)).item()
    for _ in range(150):
        loss = total(model.losses(batch))
        if loss.item() < 0.1 * first:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert total(model.losses(batch)).item() < 0.15 * first
