from dataclasses import replace

import pytest
import torch
from torch import nn

from densezoo.engine.config import load_config
from densezoo.engine.distributed import Processes
from densezoo.engine.optim import Schedule, build_optimizer
from densezoo.engine.run import Run
from densezoo.errors import ConfigError


def make(schedule, epochs=10, steps=5, higher_is_better=True):
    optimizer = build_optimizer(nn.Linear(2, 2), {"type": "adamw", "lr": 1.0})
    return optimizer, Schedule(optimizer, schedule, epochs, steps, higher_is_better)


def rates(schedule, epochs=10, steps=5):
    optimizer, built = make(schedule, epochs, steps)
    found = []
    for step in range(1, epochs * steps + 1):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        built.step(step)
    return found


def test_one_cycle_rises_to_the_rate_and_falls_to_nothing():
    found = rates({"type": "one_cycle", "pct_start": 0.3})
    peak = max(range(len(found)), key=found.__getitem__)
    assert found[peak] == pytest.approx(1.0)
    assert peak == 14  # 0.3 of 50 steps
    assert found[0] == pytest.approx(1 / 25)
    assert found[-1] < 1e-4
    assert found[:peak] == sorted(found[:peak])


def test_timm_schedules_are_there_by_name():
    found = rates({"type": "cosine"})
    assert found[0] == pytest.approx(1.0)
    assert found[25] == pytest.approx(0.5, abs=0.02)
    dropped = rates({"type": "multistep", "decay_milestones": [4], "decay_rate": 0.2})
    assert dropped[18] == pytest.approx(1.0)
    assert dropped[21] == pytest.approx(0.2)


def test_the_papers_schedule_drops_once_by_five_at_the_plateau():
    optimizer, schedule = make({"type": "plateau", "factor": 0.2, "patience": 2, "min_lr": 0.2})
    found = []
    for score in (0.1, 0.2, 0.3, 0.3, None, float("nan"), 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3):
        schedule.end_epoch(score)
        found.append(optimizer.param_groups[0]["lr"])
    assert found == pytest.approx([1.0] * 7 + [0.2] * 6)


def test_a_plateau_of_no_score_is_refused_before_a_run(tiny_config):
    config = load_config(tiny_config)
    plateau, processes = {"type": "plateau"}, Processes(0, 1, torch.device("cpu"))
    with pytest.raises(ConfigError, match="schedule 'plateau' follows the evaluated score; give val_data, or another"):
        Run.build(replace(config, schedule=plateau, val_data=None), processes)
    Run.build(replace(config, schedule=plateau), processes)
    Run.build(replace(config, val_data=None), processes)


@pytest.mark.parametrize(
    "cfg", [{"type": "one_cycle"}, {"type": "cosine"}, {"type": "plateau", "patience": 1, "factor": 0.5}]
)
def test_a_restored_schedule_goes_on_as_if_never_stopped(cfg):
    def advance(optimizer, schedule, steps):
        found = []
        for step in steps:
            optimizer.step()
            schedule.step(step)
            if step % 5 == 0:
                schedule.end_epoch(0.5)
            found.append(optimizer.param_groups[0]["lr"])
        return found

    optimizer, schedule = make(cfg)
    advance(optimizer, schedule, range(1, 16))
    saved = schedule.state_dict(), optimizer.state_dict()
    torch.save(saved[0], "/dev/null")
    expected = advance(optimizer, schedule, range(16, 51))
    fresh_optimizer, fresh = make(cfg)
    fresh_optimizer.load_state_dict(saved[1])
    fresh.load_state_dict(saved[0], 15)
    assert advance(fresh_optimizer, fresh, range(16, 51)) == expected


def test_the_papers_optimizer():
    optimizer = build_optimizer(nn.Linear(2, 2), {"type": "rmsprop", "lr": 2.5e-4, "alpha": 0.99, "eps": 1e-8})
    assert isinstance(optimizer, torch.optim.RMSprop)
    group = optimizer.param_groups[0]
    assert (group["alpha"], group["eps"], group["momentum"], group["weight_decay"]) == (0.99, 1e-8, 0.0, 0.0)


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "momentum"])
def test_a_step_is_one_kernel_where_torch_has_it_and_nothing_else_is_asked_for(name):
    def trained(**arguments):
        torch.manual_seed(0)
        model = nn.Linear(40, 30)
        optimizer = build_optimizer(model, {"type": name, "lr": 1e-2, "weight_decay": 0.1} | arguments)
        for _ in range(5):
            model(torch.randn(8, 40)).square().sum().backward()
            optimizer.step()
            optimizer.zero_grad()
        return {group["fused"] for group in optimizer.param_groups}, model.weight

    fused, weight = trained()
    assert fused == {True}
    for asked in ({"fused": False}, {"foreach": True}):
        plain, expected = trained(**asked)
        assert plain != {True}
        torch.testing.assert_close(weight, expected, rtol=1e-5, atol=1e-6)


def test_optimizers_without_such_a_kernel_are_as_they_are():
    assert "fused" not in build_optimizer(nn.Linear(2, 2), {"type": "rmsprop", "lr": 1.0}).param_groups[0]


def test_biases_and_norms_do_not_decay():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    optimizer = build_optimizer(model, {"type": "adamw", "lr": 1e-3, "weight_decay": 0.1})
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert decay[id(model[0].weight)] == 0.1
    assert [decay[id(p)] for p in (model[0].bias, model[1].weight, model[1].bias)] == [0, 0, 0]


@pytest.mark.parametrize(
    ("cfg", "message"),
    [
        ({"lr": 1e-3}, "must give 'type' and 'lr'"),
        ({"type": "adamw"}, "must give 'type' and 'lr'"),
        ({"type": "adamv", "lr": 1e-3}, "cannot be built"),
        ({"type": "adamw", "lr": 1e-3, "alpha": 1}, "cannot be built"),
    ],
)
def test_wrong_optimizers_are_refused(cfg, message):
    with pytest.raises(ConfigError, match=message):
        build_optimizer(nn.Linear(1, 1), cfg)


@pytest.mark.parametrize(
    ("cfg", "message"),
    [
        ({}, "must give a 'type'"),
        ({"type": "one_cicle"}, "cannot be built"),
        ({"type": "one_cycle", "pct": 0.1}, "has no argument 'pct'"),
        ({"type": "one_cycle", "pct_start": 3}, "cannot be built"),
        ({"type": "cosine", "warmup": 3}, "has no argument 'warmup'; did you mean 'warmup"),
    ],
)
def test_wrong_schedules_are_refused(cfg, message):
    with pytest.raises(ConfigError, match=message):
        make(cfg)


class EncoderAndNeck(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Conv2d(2, 2, 1))
        self.neck = nn.Sequential(nn.Conv2d(2, 2, 3), nn.BatchNorm2d(2))
        self.encoder[2].requires_grad_(False)


def rates_of(model, optimizer):
    found = {id(parameter): group["lr"] for group in optimizer.param_groups for parameter in group["params"]}
    return {name: found[id(p)] for name, p in model.named_parameters() if id(p) in found}


def test_the_encoder_may_learn_more_slowly():
    model = EncoderAndNeck()
    optimizer = build_optimizer(model, {"type": "adamw", "lr": 0.5, "weight_decay": 0.1, "encoder_lr_scale": 0.1})
    learning = {name: 0.05 if name.startswith("encoder") else 0.5 for name, _ in model.named_parameters()}
    assert {learning.pop(name) for name in ("encoder.2.weight", "encoder.2.bias")} == {0.05}  # frozen
    assert rates_of(model, optimizer) == pytest.approx(learning)
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    plain = build_optimizer(model, {"type": "adamw", "lr": 0.5, "weight_decay": 0.1})
    assert decay == {id(p): group["weight_decay"] for group in plain.param_groups for p in group["params"]}
    assert sorted(decay.values()) == [0, 0, 0, 0, 0, 0, 0.1, 0.1]
    assert optimizer.param_groups[0]["lr"] == 0.5


@pytest.mark.parametrize(
    "cfg",
    [
        {"type": "one_cycle"},
        {"type": "cosine", "min_lr": 0.01, "warmup_epochs": 2, "warmup_lr": 0.1},
        {"type": "multistep", "decay_milestones": [4]},
        {"type": "plateau", "patience": 0, "factor": 0.2, "min_lr": 0.03},
    ],
)
def test_schedules_keep_the_encoders_share(cfg):
    model = EncoderAndNeck()
    optimizer = build_optimizer(model, {"type": "adamw", "lr": 1.0, "encoder_lr_scale": 0.1})
    alone = build_optimizer(EncoderAndNeck(), {"type": "adamw", "lr": 1.0})
    schedules = [Schedule(made, cfg, 10, 5, True) for made in (optimizer, alone)]
    for step in range(1, 51):
        now = rates_of(model, optimizer)
        assert now["neck.0.weight"] == pytest.approx(alone.param_groups[0]["lr"])
        assert now["encoder.0.weight"] == pytest.approx(0.1 * now["neck.0.weight"])
        for made, schedule in zip((optimizer, alone), schedules, strict=True):
            made.step()
            schedule.step(step)
            if step % 5 == 0:
                schedule.end_epoch(0.5)
    assert now["neck.0.weight"] < 0.2


def test_a_constant_rate_is_that_of_the_optimizer():
    model = EncoderAndNeck()
    optimizer = build_optimizer(model, {"type": "adamw", "lr": 1.0, "encoder_lr_scale": 0.1})
    with pytest.raises(ConfigError, match=r"'none' is none; .*schedule=dict\(type='step', decay_rate=1.0\)"):
        Schedule(optimizer, {"type": "none"}, 1000, 5, True)
    schedule = Schedule(optimizer, {"type": "step", "decay_rate": 1.0}, 1000, 5, True)
    for step in (1, 450, 4999):
        schedule.step(step)
        rates = rates_of(model, optimizer)
        assert (rates["encoder.0.weight"], rates["neck.0.weight"]) == pytest.approx((0.1, 1.0))


@pytest.mark.parametrize("scale", [0, -1, "small", True])
def test_a_share_must_be_a_positive_number(scale):
    with pytest.raises(ConfigError, match=r"encoder_lr_scale=.* must be a positive number"):
        build_optimizer(EncoderAndNeck(), {"type": "adamw", "lr": 1.0, "encoder_lr_scale": scale})


def test_a_share_needs_an_encoder():
    with pytest.raises(ConfigError, match="needs a model with an encoder"):
        build_optimizer(nn.Linear(1, 1), {"type": "adamw", "lr": 1.0, "encoder_lr_scale": 0.1})
