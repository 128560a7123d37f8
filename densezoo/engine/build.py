"""From a checked config to the objects of a run: data sets, model, loaders."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from densezoo.contracts import Dataset
from densezoo.datasets.mixed import Mixed
from densezoo.datasets.narrowed import build_source
from densezoo.engine.config import RunConfig
from densezoo.engine.distributed import Processes
from densezoo.engine.loading import EpochBatches, WarpedDataset, make_loader
from densezoo.engine.mixing import Sources
from densezoo.errors import ConfigError
from densezoo.models import Model, build_model
from densezoo.registry import TASKS, check_arguments
from densezoo.transforms import Photometric, Warp
from densezoo.types import DatasetMeta, Sample


def build_dataset(cfg: Mapping[str, Any] | Sequence[Mapping[str, Any]], data_root: str) -> Dataset:
    """Build the data set of a config entry, or of a list of them a mixed one.

    Raises:
        ConfigError: an unknown type or argument, or sets whose annotations contradict each other.
        DataError: files that are missing or broken, or no sample at all.
    """
    if isinstance(cfg, (list, tuple)):
        cfg = {"type": "Mixed", "sources": cfg}
    assert isinstance(cfg, Mapping)
    return build_source(cfg, data_root)


def build_warp(config: RunConfig, meta: DatasetMeta) -> Warp:
    """Build the warp of a config for a data set's keypoints."""
    return Warp(**_arguments(Warp, config.warp, "warp", _warp_values(meta)))


def build_samples(config: RunConfig, dataset: Dataset, training: bool) -> WarpedDataset:
    """Return the data set's samples as the network sees them, augmented if `training`."""
    photometric = None
    if training and config.photometric:
        photometric = Photometric(**_arguments(Photometric, config.photometric, "photometric", {}))
    return WarpedDataset(dataset, build_warp(config, dataset.meta), photometric, config.seed, training)


def build_loader(
    config: RunConfig, samples: WarpedDataset, processes: Processes
) -> tuple[DataLoader[Sample], EpochBatches]:
    """Return the loader of one process and the sampler that needs the epoch."""
    dataset = samples.dataset
    sources = Sources(dataset.lengths, dataset.weights, dataset.alternate) if isinstance(dataset, Mixed) else None
    # files of different size are evaluated one by one, so that no answer depends on the images beside it
    batch_size = 1 if samples.warp.size is None and not samples.training else config.batch_size
    batches = EpochBatches(
        len(samples), batch_size, config.seed, samples.training, processes.rank, processes.count, sources
    )
    loader = make_loader(samples, batches, config.engine.workers, pin_memory=processes.device.type == "cuda")
    return loader, batches


def build_dense_model(config: RunConfig, meta: DatasetMeta | None, device: torch.device, starts: bool = False) -> Model:
    """Build the config's model with weights drawn from its seed, channels-last, on `device`.

    Pretrained weights are fetched only where training `starts` from them: a checkpoint has its own.
    """
    torch.manual_seed(config.seed)
    encoder = dict(config.encoder)
    if encoder.get("pretrained") and not starts:
        encoder["pretrained"] = False
    model = build_model(
        encoder=encoder,
        neck=config.neck,
        tasks=config.tasks,
        meta=meta,
        detector=config.detector,
        loss_weights=config.loss_weights,
    )
    moved: nn.Module = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    assert isinstance(moved, Model)
    return moved


def require_same_annotations(
    trained: DatasetMeta, other: DatasetMeta, tasks: Mapping[str, Mapping[str, Any]], what: str
) -> None:
    """Check that a data set's annotations mean what those meant that a model was trained with.

    Args:
        trained: of the training set.
        other: of the data set.
        tasks: configs of the model's tasks. Compared are the fields that their classes name in `meta_fields`.
        what: the data set's key in the config, for the message.

    Raises:
        ConfigError: they differ in what a task reads.
    """
    kinds: list[Any] = [TASKS.get(task.get("type", "")) for task in tasks.values()]
    for field in dict.fromkeys(field for kind in kinds for field in kind.meta_fields):
        found, wanted = getattr(other, field), getattr(trained, field)
        if found != wanted:
            raise ConfigError(
                f"{what} has the {field.replace('_', ' ')} {list(found)}, the model was trained with {list(wanted)}; "
                "use data with the same, or fine-tune with init_from"
            )


def _warp_values(meta: DatasetMeta) -> dict[str, Any]:
    return {"flip_order": meta.flip_order, "keypoint_names": meta.keypoint_names}


def _arguments(function: type, cfg: Mapping[str, Any], where: str, given: Mapping[str, Any]) -> dict[str, Any]:
    return dict(cfg) | check_arguments(function, cfg, given, where)
