"""Everything of a run that changes while it trains, the optimizer step, and how it is saved and restored."""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import cast

import torch
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from densezoo.engine.build import build_dataset, build_dense_model, build_loader, build_samples
from densezoo.engine.checkpoint import Checkpoint, init_from, match_weights, restore_rng_state, rng_state
from densezoo.engine.config import RunConfig
from densezoo.engine.distributed import Processes
from densezoo.engine.eval_sets import EvalSet, build_eval_sets
from densezoo.engine.evaluate import choose_best
from densezoo.engine.input_notes import input_notes
from densezoo.engine.loading import EpochBatches, WarpedDataset
from densezoo.engine.log import ProgressReport
from densezoo.engine.optim import Schedule, build_optimizer
from densezoo.errors import CheckpointError, ConfigError, DataError
from densezoo.models import Model
from densezoo.types import Batch, DatasetMeta, Sample


class TrainingStep(nn.Module):
    """A model's losses as a forward pass, so that DistributedDataParallel and `torch.compile` can wrap it."""

    def __init__(self, model: Model) -> None:
        """Wrap `model`."""
        super().__init__()
        self.model = model

    def forward(self, batch: Batch, normalisers: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return named 0-d losses."""
        return self.model.losses(batch, normalisers)


@dataclass
class Run:
    """A run in memory; `Run.build` makes it from a config."""

    config: RunConfig
    processes: Processes
    meta: DatasetMeta
    model: Model
    step_module: nn.Module
    optimizer: Optimizer
    schedule: Schedule
    averaged: ModelEmaV3 | None
    train_loader: DataLoader[Sample]
    train_sampler: EpochBatches
    val_sets: list[tuple[EvalSet, DataLoader[Sample]]]
    best_names: list[str]
    higher_is_better: bool
    bad_images: set[str]
    scores: dict[str, float]
    misfits: list[str]
    best_score: float | None = None
    epoch: int = 0
    step: int = 0
    nan_scores: set[str] = field(default_factory=set)

    @classmethod
    def build(cls, config: RunConfig, processes: Processes, resumes: bool = False) -> "Run":
        """Build data, model and optimizer; nothing is written. A run that resumes has its weights from a checkpoint."""
        dataset = build_dataset(config.train_data, config.data_root)
        loader, sampler = build_loader(config, build_samples(config, dataset, training=True), processes)
        val_sets = []
        if config.val_data is not None:
            for each in build_eval_sets(config.val_data, config.data_root, dataset.meta, config.tasks, "val_data"):
                samples = build_samples(config, each.dataset, training=False)
                val_sets.append((each, build_loader(config, samples, processes)[0]))
        model = build_dense_model(config, dataset.meta, processes.device, starts=not resumes)
        optimizer = build_optimizer(model, config.optimizer)
        if config.engine.compile and model.loss_weights is not None and not model.loss_weights.compiles:
            raise ConfigError(
                f"engine.compile cannot go with loss_weights={config.loss_weights}, which looks at gradients on their "
                "way back; turn one of them off"
            )
        best_names, higher = choose_best(model.tasks, config.engine.best)
        steps = len(sampler) // config.engine.accumulate
        if steps == 0:
            raise DataError(
                f"{len(dataset)} training samples do not fill one step of {config.engine.accumulate} × "
                f"{config.batch_size}; lower batch_size or engine.accumulate"
            )
        schedule = Schedule(optimizer, config.schedule, config.epochs, steps, higher if val_sets else None)
        step_module: nn.Module = TrainingStep(model)
        if config.engine.compile:
            step_module.compile()
        if processes.count > 1:
            step_module = DistributedDataParallel(step_module)
        averaged = ModelEmaV3(model, decay=config.engine.ema, use_warmup=True) if config.engine.ema else None
        return cls(
            config, processes, dataset.meta, model, step_module, optimizer, schedule, averaged, loader, sampler,
            val_sets, best_names, higher, set(), {}, [],
        )  # fmt: skip

    def start_from(self, weights: Mapping[str, Tensor] | None) -> None:
        """Take over `weights`, where they are given, and on top what fits of the config's `init_from`.

        Raises:
            CheckpointError: a tensor of `weights` is missing, left over or of another shape, or nothing of `init_from`
                fits.
        """
        if weights is not None:
            _, misfits = match_weights(self.model, weights)
            if misfits:
                raise CheckpointError(f"the weights to start from are not those of the config's model: {misfits[0]}")
            self.model.load_state_dict(weights)
        if self.config.init_from:
            self.misfits = init_from(self.model, self.config.init_from)
        if self.averaged is not None:
            self.averaged.module.load_state_dict(self.model.state_dict())

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps."""
        return len(self.train_sampler) // self.config.engine.accumulate

    @property
    def evaluated_model(self) -> Model:
        """The averaged weights where those are on, else the trained ones."""
        if self.averaged is None:
            return self.model
        averaged = self.averaged.module
        assert isinstance(averaged, Model)
        return averaged

    def optimize(self, group: list[Batch]) -> dict[str, Tensor]:
        """One optimizer step on the batches of `group`; returns this process's share of each loss, on the device."""
        engine, count = self.config.engine, self.processes.count
        normalisers = _sum_normalisers(self.model, group, self.processes)
        sums: dict[str, Tensor] = {}
        for number, batch in enumerate(group, start=1):
            last = number == len(group)
            waits = isinstance(self.step_module, DistributedDataParallel) and not last
            with self.step_module.no_sync() if waits else nullcontext():  # type: ignore[operator]
                with torch.autocast(self.processes.device.type, torch.bfloat16, enabled=engine.amp):
                    losses = self.step_module(batch, normalisers)
                # DistributedDataParallel averages gradients; the normalisers are sums over processes already.
                (sum(losses.values()) * count).backward()
            for name, value in losses.items():
                sums[name] = sums[name] + value.detach() if name in sums else value.detach()
        if self.model.loss_weights is not None:
            self.model.loss_weights.end_step(self.processes.sum, count)
        if engine.clip is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), engine.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        self.schedule.step(self.step)
        if self.averaged is not None:
            self.averaged.update(self.model, self.step)
        return sums

    def note_score(self, score: float | None) -> bool:
        """Keep the best score; returns whether `score` is it."""
        if score is None or score != score:
            return False
        known = self.best_score
        if known is not None and not (score > known if self.higher_is_better else score < known):
            return False
        self.best_score = score
        return True

    def model_checkpoint(self) -> Checkpoint:
        """What a user of the model needs."""
        return {
            "model": self.evaluated_model.state_dict(),
            "meta": self.meta.to_dict(),
            "config": self.config.to_text(),
            "epoch": self.epoch,
            "step": self.step,
            "step_images": self.train_sampler.batch_size * self.config.engine.accumulate,
            "scores": self.scores,
        }

    def checkpoint(self) -> Checkpoint:
        """What a resumed run needs on top."""
        return self.model_checkpoint() | {
            "trained_model": self.model.state_dict() if self.averaged is not None else {},
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "best_score": self.best_score,
            "bad_images": sorted(self.bad_images),
            "rng": rng_state(),
        }

    def restore(self, saved: Checkpoint) -> None:
        """Go on from `checkpoint()`.

        Raises:
            CheckpointError: it holds a model only.
        """
        missing = sorted({"trained_model", "optimizer", "schedule", "best_score", "bad_images", "rng"} - saved.keys())
        if missing:
            raise CheckpointError(
                f"the checkpoint to resume from has no {missing[0]!r}: it holds a model only, as best.pt does; start a "
                "run in another folder from it with init_from"
            )
        self.model.load_state_dict(saved["trained_model"] or saved["model"])
        if self.averaged is not None:
            self.averaged.module.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.schedule.load_state_dict(saved["schedule"], saved["step"])
        self.epoch, self.step, self.best_score = saved["epoch"], saved["step"], saved["best_score"]
        self.bad_images, self.scores = set(saved["bad_images"]), saved["scores"]
        restore_rng_state(saved["rng"])

    def describe(self, report: ProgressReport) -> None:
        """Say what will run."""
        parameters = sum(item.numel() for item in self.model.parameters())
        report.say(
            f"{len(self.train_loader.dataset)} training samples, "  # type: ignore[arg-type]
            f"{sum(len(each.dataset) for each, _ in self.val_sets)} for validation, "
            f"{parameters / 1e6:.2f} M parameters, {self.processes.count} × {self.processes.device}"
        )
        train_set = cast(WarpedDataset, self.train_loader.dataset).dataset
        for line in input_notes(train_set, self.model.tasks, "train_data"):
            report.say(line)
        for each, _ in self.val_sets:
            for line in input_notes(each.dataset, {name: self.model.tasks[name] for name in each.tasks}, each.name):
                report.say(line)
        if self.config.init_from and not self.step:
            report.say(f"started from {self.config.init_from}; {len(self.misfits)} tensors were not taken")
            for line in self.misfits:
                report.say(f"  {line}")
        if self.epoch:
            report.say(f"resumed after epoch {self.epoch}")


def _sum_normalisers(model: Model, group: list[Batch], processes: Processes) -> dict[str, Tensor]:
    counted = [model.normalisers(batch) for batch in group]
    names = list(counted[0])
    if not names:
        return {}
    summed = processes.sum(torch.stack([torch.stack([count[name] for name in names]) for count in counted]).sum(dim=0))
    return dict(zip(names, summed.unbind(), strict=True))
