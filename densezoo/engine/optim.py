"""Optimizer and schedule by name: timm's factories, and two schedules of torch's."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau

from densezoo.errors import ConfigError
from densezoo.registry import check_arguments


def build_optimizer(model: nn.Module, cfg: Mapping[str, Any]) -> Optimizer:
    """Build an optimizer by timm's name for it.

    Args:
        model: whose parameters; biases and norm layers get no weight decay, frozen ones are left out.
        cfg: `type` (`adamw`, `rmsprop`, `sgd` with Nesterov's momentum 0.9, `momentum` without Nesterov, …), `lr`, and
            the optimizer's own arguments. Momentum of `rmsprop` is 0 unless given. With `encoder_lr_scale` the
            parameters of `model.encoder` learn at that multiple of `lr`, under any schedule. Where torch has one kernel
            for a whole step (`fused`), that is taken unless the config says otherwise.

    Raises:
        ConfigError: no such optimizer, an argument that it does not take, or a model without an encoder to scale.
    """
    arguments = dict(cfg)
    name = arguments.pop("type", None)
    scale = arguments.pop("encoder_lr_scale", None)
    if name is None or not isinstance(arguments.get("lr"), (int, float)):
        raise ConfigError(f"optimizer must give 'type' and 'lr', such as dict(type='adamw', lr=1e-3); got {dict(cfg)}")
    if name == "rmsprop":
        arguments.setdefault("momentum", 0.0)  # timm's default of 0.9 is not the optimizer's own
    try:
        optimizer: Optimizer = create_optimizer_v2(model, opt=str(name), **arguments)
    except (ValueError, TypeError, AssertionError) as error:
        raise ConfigError(f"optimizer {dict(cfg)} cannot be built: {error}") from error
    for group in optimizer.param_groups:  # None: nothing was asked for
        if group.get("fused", False) is None and not (group["foreach"] or group["differentiable"]):
            group["fused"] = True
    if scale is not None:
        _scale_encoder(optimizer, model, scale)
    return optimizer


def _scale_encoder(optimizer: Optimizer, model: nn.Module, scale: object) -> None:
    """Give the parameters of the model's encoder groups of their own, behind the others, with a scaled rate.

    Raises:
        ConfigError: `scale` is no positive number, or the model has no encoder.
    """
    if isinstance(scale, bool) or not isinstance(scale, (int, float)) or scale <= 0:
        raise ConfigError(
            f"optimizer: encoder_lr_scale={scale!r} must be a positive number; to freeze, see the encoder"
        )
    encoder = getattr(model, "encoder", None)
    if not isinstance(encoder, nn.Module):
        raise ConfigError(f"optimizer: encoder_lr_scale={scale} needs a model with an encoder")
    own = {id(parameter) for parameter in encoder.parameters()}
    for group in list(optimizer.param_groups):
        inside = [parameter for parameter in group["params"] if id(parameter) in own]
        others = [parameter for parameter in group["params"] if id(parameter) not in own]
        if inside and others:
            group["params"] = others
            optimizer.add_param_group({**group, "params": inside, "lr": group["lr"] * scale})
        elif inside:
            group["lr"] *= scale


class Schedule:
    """The learning rate of every step.

    `one_cycle` rises and falls over the whole run (Smith and Topin, https://arxiv.org/abs/1708.07120) and `plateau`
    looks at the evaluated score; both are torch's (timm's plateau forgets its counters on a resume). The other names
    are timm's: `cosine`, `step`, `multistep`, `poly`, `tanh`, functions of the step alone.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        cfg: Mapping[str, Any],
        epochs: int,
        steps_per_epoch: int,
        higher_is_better: bool | None,
    ) -> None:
        """Build by name.

        Args:
            optimizer: whose learning rates.
            cfg: `type` and the schedule's own arguments.
            epochs: of the whole run.
            steps_per_epoch: optimizer steps.
            higher_is_better: of the score that `plateau` looks at; None where nothing is evaluated.

        Raises:
            ConfigError: no such schedule, an argument that it does not take, or a `plateau` of no score.
        """
        arguments = dict(cfg)
        name = arguments.pop("type", None)
        if not isinstance(name, str):
            raise ConfigError(f"schedule must give a 'type', such as dict(type='one_cycle'); got {dict(cfg)}")
        self._torch: OneCycleLR | ReduceLROnPlateau | None = None
        given: dict[str, Any] = {"optimizer": optimizer}
        rates = [group["lr"] for group in optimizer.param_groups]
        if name == "one_cycle":
            given["max_lr"] = rates
            given |= {"total_steps": max(epochs * steps_per_epoch, 2), "cycle_momentum": False}
            function: Callable[..., Any] = OneCycleLR
        elif name == "plateau":
            if higher_is_better is None:
                raise ConfigError("schedule 'plateau' follows the evaluated score; give val_data, or another schedule")
            given["mode"] = "max" if higher_is_better else "min"
            if isinstance(arguments.get("min_lr"), (int, float)):
                arguments["min_lr"] = [arguments["min_lr"] * rate / max(rates) for rate in rates]
            function = ReduceLROnPlateau
        else:
            given |= {"sched": name, "num_epochs": epochs, "updates_per_epoch": steps_per_epoch}
            given["step_on_epochs"] = False
            function = create_scheduler_v2
            for group in optimizer.param_groups:
                # timm's floors and warm-up rates are those of the largest rate; it multiplies by lr_scale at the end
                if group["lr"] != max(rates):
                    group["lr_scale"] = group.get("lr_scale", 1.0) * group["lr"] / max(rates)
                    group["lr"] = max(rates)
        check_arguments(function, arguments, given, f"schedule {name!r}")
        try:
            built = function(**given, **arguments)
        except (ValueError, TypeError, AssertionError) as error:
            raise ConfigError(f"schedule {dict(cfg)} cannot be built: {error}") from error
        if function is create_scheduler_v2:
            self._timm = built[0]
            if self._timm is None:
                raise ConfigError(
                    f"schedule {dict(cfg)} cannot be built: {name!r} is none; "
                    "for a constant rate write schedule=dict(type='step', decay_rate=1.0)"
                )
            self._timm.step_update(0)
        else:
            self._torch = built

    def step(self, step: int) -> None:
        """Set the rate that follows optimizer step `step` (counted from 1)."""
        if self._torch is None:
            self._timm.step_update(step)
        elif isinstance(self._torch, OneCycleLR) and step < self._torch.total_steps:
            self._torch.step()

    def end_epoch(self, score: float | None) -> None:
        """Tell a plateau schedule the epoch's score; None and NaN are passed over."""
        if isinstance(self._torch, ReduceLROnPlateau) and score is not None and not math.isnan(score):
            self._torch.step(score)

    def state_dict(self) -> dict[str, Any]:
        """Return plain values; empty where the rate is a function of the step."""
        return _plain(self._torch.state_dict()) if self._torch is not None else {}

    def load_state_dict(self, state: Mapping[str, Any], step: int) -> None:
        """Go on from `state_dict()` after optimizer step `step`."""
        if self._torch is not None:
            self._torch.load_state_dict(dict(state))
        else:
            self._timm.step_update(step)


def _plain(state: Mapping[str, Any]) -> dict[str, Any]:
    kinds = (bool, int, float, str, list, tuple, dict, type(None))
    return {key: value for key, value in state.items() if isinstance(value, kinds)}
