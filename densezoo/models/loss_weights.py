"""How the losses of a model's tasks are added up; what is learned of it belongs to the model.

- Fixed factors: `loss_weights = {'pose': 1, 'boxes': 0.5, 'boxes/offset': 2}`, of a task's losses or of one of them.
- `dict(type='uncertainty')`: Kendall, Gal, Cipolla 2018, "Multi-Task Learning Using Uncertainty to Weigh Losses",
  https://arxiv.org/abs/1705.07115. A task's loss L becomes exp(-s) L + s / 2 with a learned log-variance s, 0 at first.
  The paper halves exp(-s) L for regression and not for classification, which is the same with another s: here it never
  is. A task that learns nothing from an optimizer step adds no s / 2 either.
- `dict(type='gradnorm', alpha=1.5)`: Chen et al. 2018, "GradNorm", https://arxiv.org/abs/1711.02257. Factors are such
  that the gradient of each task's loss at what the heads read has the norm of their mean, times its relative loss (its
  loss now over that of its first step, over the mean of all tasks) to the power of alpha. Deviations: the norms are
  taken at the shared features and not at the last shared weights, which costs nothing, since the gradients pass there
  anyway (so heads must read the same levels, or their norms would be of different features); and where the paper
  descends on the differences with the network's optimizer, a factor is multiplied by (wanted norm / norm)^rate, which
  has the same fixed point, whatever the scale of the losses. Of a task that a step says nothing of, the last known norm
  and loss stand in the means, so that steps of one task each move the factors, too.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from densezoo.contracts import Task
from densezoo.errors import ConfigError, near_names
from densezoo.functional.annotated import MEANINGS, annotated
from densezoo.registry import check_arguments, check_kinds
from densezoo.types import Batch, Pyramid

LOSS = "loss_weights"
"""What stands in the name of a loss in the place of a task, for what weights add to the sum."""


class LossWeights(nn.Module, ABC):
    """Factors of the losses of named tasks; those that are no factors of whole tasks are fixed.

    Attributes:
        tasks: names.
        compiles: whether `torch.compile` can go through them.
    """

    compiles = True

    def __init__(self, tasks: Mapping[str, Task]) -> None:
        """Take the names of the tasks, and what they learn from."""
        super().__init__()
        self.tasks = list(tasks)
        self._reads = {
            name: [key for key, field in MEANINGS.items() if field in task.meta_fields] for name, task in tasks.items()
        }
        self._tasks = dict(tasks)

    @abstractmethod
    def factors(self) -> Tensor:
        """Return (T,) float32 factors of the tasks, differentiable where they are learned by gradients."""

    def normalisers(self, batch: Batch) -> dict[str, Tensor]:
        """Return `'loss_weights/task'` to 1 where the task learns from the batch, else 0, as `Task.normalisers`."""
        return {f"{LOSS}/{name}": self._learns(batch, name) for name in self.tasks}

    def _learns(self, batch: Batch, task: str) -> Tensor:
        """Return 0-d float32: 1 where a loss has something to be divided by, or a sample all that the task reads.

        Such a sample may show nothing, and that is learned, but by a task of labelled pixels. One with a part of it
        teaches some tasks and others not.
        """
        valid = batch["valid"]
        whole = valid.new_ones(len(valid))
        for key in self._reads[task]:
            whole = whole & annotated(batch, key)
        learned = [count > 0 for count in self._tasks[task].normalisers(batch).values()]
        if not getattr(self._tasks[task], "learns_labelled_only", False):
            learned.append(whole.any())
        return torch.stack(learned).any().float()

    def forward(
        self, losses: Mapping[str, Tensor], batch: Batch, normalisers: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Weigh the losses of one batch.

        Args:
            losses: `'task/loss'` to a 0-d float32 loss: this batch's share of the step's.
            batch: it.
            normalisers: of the whole step.

        Returns:
            The weighted losses by the same names, and what else is to be added.
        """
        factors = dict(zip(self.tasks, self.factors().unbind(), strict=True))
        return {label: value * factors[label.split("/")[0]] for label, value in losses.items()}

    def watch(self, task: str, pyramid: Pyramid) -> Pyramid:
        """Return what a task's head is to read, which is the pyramid."""
        return pyramid

    def end_step(self, add_up: Callable[[Tensor], Tensor], processes: int) -> None:
        """Take note of the end of an optimizer step; losses and gradients of all its batches are known.

        Args:
            add_up: sums a tensor over processes.
            processes: how many there are; their number multiplies the gradients of the loss.
        """

    def values(self) -> dict[str, float]:
        """Return task name to its factor."""
        return dict(zip(self.tasks, self.factors().tolist(), strict=True))


class FixedWeights(LossWeights):
    """Factors that stay; the only ones that a single loss can have."""

    of_tasks: Tensor

    def __init__(self, tasks: Mapping[str, Task], factors: Mapping[str, float]) -> None:
        """Take `'task'` or `'task/loss'` to a factor; what is not named has 1.

        Raises:
            ConfigError: no such task, or a factor that is no number above 0.
        """
        super().__init__(tasks)
        for name, factor in factors.items():
            if str(name).split("/")[0] not in tasks:
                raise ConfigError(f"loss_weights: no task is called {name!r}; {near_names(str(name), tasks)}")
            if isinstance(factor, bool) or not isinstance(factor, (int, float)) or not 0 < factor < float("inf"):
                raise ConfigError(f"loss_weights: the factor of {name!r} must be a number above 0, not {factor!r}")
        of_tasks = torch.tensor([float(factors.get(name, 1.0)) for name in self.tasks])
        self.register_buffer("of_tasks", of_tasks, persistent=False)
        self.of_losses = {name: float(factor) for name, factor in factors.items() if "/" in name}

    def factors(self) -> Tensor:
        """Return (T,) float32 factors of the tasks."""
        return self.of_tasks

    def normalisers(self, batch: Batch) -> dict[str, Tensor]:
        """Return nothing; fixed weights need not know what a step learns from."""
        return {}

    def forward(
        self, losses: Mapping[str, Tensor], batch: Batch, normalisers: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Weigh the losses of one batch.

        Raises:
            ConfigError: no loss has a name that a factor is given for.
        """
        for name in self.of_losses:
            if name not in losses:
                raise ConfigError(f"loss_weights: no loss is called {name!r}; {near_names(name, losses)}")
        weighted = super().forward(losses, batch, normalisers)
        return {name: value * self.of_losses.get(name, 1.0) for name, value in weighted.items()}


class UncertaintyWeights(LossWeights):
    """Learned log-variances, (T,) float32; the optimizer learns them with all else (timm's without weight decay)."""

    def __init__(self, tasks: Mapping[str, Task]) -> None:
        """Start with factors of 1."""
        super().__init__(tasks)
        self.log_variances = nn.Parameter(torch.zeros(len(tasks)))

    def factors(self) -> Tensor:
        """Return exp(-s)."""
        return torch.exp(-self.log_variances)

    def forward(
        self, losses: Mapping[str, Tensor], batch: Batch, normalisers: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Weigh the losses of one batch, and add its share of the s / 2, as `'loss_weights/task'`."""
        weighted = super().forward(losses, batch, normalisers)
        for name, s in zip(self.tasks, self.log_variances.unbind(), strict=True):
            share = self._learns(batch, name) / normalisers[f"{LOSS}/{name}"].clamp(min=1)
            weighted[f"{LOSS}/{name}"] = s / 2 * share
        return weighted


class GradNormWeights(LossWeights):
    """Factors that bring the gradients of all tasks at the shared features to related norms.

    A task that nothing of a step is annotated for keeps its factor in it, up to the sum of all, which is their number.
    The others move by its last norm and loss; before there are any, it is left out of the means.

    Attributes:
        weights: (T,) float32 factors.
        first_losses: (T,) float32 losses of each task's first step, 0 before it.
        relative_losses: (T,) float32, of each task's last step over that of its first, 0 before it.
        norms: (T,) float32, of the gradients of each task's unweighted loss in its last step, 0 before it.
    """

    compiles = False
    weights: Tensor
    first_losses: Tensor
    relative_losses: Tensor
    norms: Tensor

    def __init__(self, tasks: Mapping[str, Task], alpha: float = 1.5, rate: float = 0.025) -> None:
        """Start with factors of 1.

        Args:
            tasks: by name.
            alpha: how strongly a task that learns slowly is preferred; 0 asks for equal norms. The paper's default.
            rate: share of the way to the wanted norm, in the logarithm, that a step goes.

        Raises:
            ConfigError: a number out of its range.
        """
        super().__init__(tasks)
        if alpha < 0 or not 0 < rate <= 1:
            raise ConfigError(f"loss_weights: alpha={alpha} must be 0 or more, and rate={rate} above 0 and at most 1")
        self.alpha, self.rate = alpha, rate
        self.register_buffer("weights", torch.ones(len(tasks)))
        for name in ("first_losses", "relative_losses", "norms"):
            self.register_buffer(name, torch.zeros(len(tasks)))
        # Of the step under way; no buffers, since those of the first process would take the place of all others'.
        self._losses: dict[str, Tensor] = {}
        self._squares: dict[str, Tensor] = {}

    def factors(self) -> Tensor:
        """Return (T,) float32 factors of the tasks."""
        return self.weights

    def normalisers(self, batch: Batch) -> dict[str, Tensor]:
        """Return nothing; losses and gradients say what a step learns from."""
        return {}

    def forward(
        self, losses: Mapping[str, Tensor], batch: Batch, normalisers: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Weigh the losses of one batch and keep them for the end of the step."""
        if torch.is_grad_enabled():
            for label, value in losses.items():
                _add(self._losses, label.split("/")[0], value.detach())
        return super().forward(losses, batch, normalisers)

    def watch(self, task: str, pyramid: Pyramid) -> Pyramid:
        """Return the same maps, the gradients of which at this task's head are measured on their way back."""
        if not (torch.is_grad_enabled() and any(level.requires_grad for level in pyramid)):
            return pyramid
        seen = [level.view_as(level) for level in pyramid]

        def measure(gradient: Tensor) -> None:
            _add(self._squares, task, gradient.float().square().sum())

        for level in seen:
            level.register_hook(measure)  # type: ignore[no-untyped-call]
        return seen

    @torch.no_grad()
    def end_step(self, add_up: Callable[[Tensor], Tensor], processes: int) -> None:
        """Move the factors towards those of the wanted norms."""
        nothing = torch.zeros_like(self.weights[0])
        kept = [[found.get(name, nothing) for name in self.tasks] for found in (self._losses, self._squares)]
        losses, squares = add_up(torch.stack([torch.stack(values) for values in kept])).unbind()
        self._losses, self._squares = {}, {}
        norms = squares.sqrt() / processes
        known = (losses > 0) & (norms > 0) & (losses + norms).isfinite()
        self.first_losses.copy_(torch.where(known & (self.first_losses == 0), losses, self.first_losses))
        self.relative_losses.copy_(torch.where(known, losses / self.first_losses, self.relative_losses))
        self.norms.copy_(torch.where(known, norms / self.weights, self.norms))
        seen = self.norms > 0
        wanted = _over_mean(self.relative_losses**self.alpha, seen) / _over_mean(self.weights * self.norms, seen)
        moved = self.weights * torch.where(known, wanted**self.rate, 1.0)
        self.weights.copy_(moved * len(self.tasks) / moved.sum())


def build_loss_weights(config: Mapping[str, Any], tasks: Mapping[str, Task]) -> LossWeights:
    """Build what a config's `loss_weights` says.

    Args:
        config: factors, or a dict with the `type` `'uncertainty'` or `'gradnorm'` and its arguments.
        tasks: of the model.

    Raises:
        ConfigError: an unknown type, argument or task, a value that cannot be, or weights to learn for a single task.
    """
    kinds = {"uncertainty": UncertaintyWeights, "gradnorm": GradNormWeights}
    kind = config.get("type")
    if not isinstance(kind, str):
        return FixedWeights(tasks, config)
    if kind not in kinds:
        raise ConfigError(f"loss_weights: no type {kind!r}; {near_names(kind, kinds)}")
    if len(tasks) < 2:
        raise ConfigError(f"loss_weights: {kind!r} weighs several tasks, and there is one; take loss_weights out")
    arguments = {key: value for key, value in config.items() if key != "type"}
    check_arguments(kinds[kind], arguments, {"tasks": tasks}, f"loss_weights {kind!r}")
    check_kinds(dict.fromkeys(arguments, float), arguments, f"loss_weights {kind!r}: ")
    built: LossWeights = kinds[kind](tasks, **arguments)
    return built


def _add(sums: dict[str, Tensor], name: str, value: Tensor) -> None:
    sums[name] = sums[name] + value if name in sums else value


def _over_mean(values: Tensor, known: Tensor) -> Tensor:
    """Divide (T,) values by the mean of the known ones; 1 for the others."""
    mean = values.where(known, 0.0).sum() / known.sum().clamp(min=1)
    return torch.where(known, values / mean, 1.0)
