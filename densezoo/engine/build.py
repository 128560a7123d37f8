"""From a checked config to the objects of a run: data sets, model, loaders."""

import inspect
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


def build_warp(config: RunConfig, meta: DatasetMeta, training: bool) -> Warp:
    """Build the warp of a config for a data set's keypoints; half bodies, which need some, only for training."""
    arguments = _arguments(Warp, config.warp, "warp", _warp_values(meta))
    return Warp(**arguments if training else arguments | {"half_body": 0.0})


def build_samples(config: RunConfig, dataset: Dataset, training: bool) -> WarpedDataset:
    """Return the data set's samples as the network sees them, augmented if `training`."""
    photometric = None
    if training and config.photometric:
        photometric = Photometric(**_arguments(Photometric, config.photometric, "photometric", {}))
    return WarpedDataset(dataset, build_warp(config, dataset.meta, training), photometric, config.seed, training)


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


def fields_read(task: Mapping[str, Any]) -> list[str]:
    """Return the fields of `DatasetMeta` that a task reads: the `meta_fields` of its class.

    Names of keypoints are read only where the task's config, or its default, has `num_keypoints` above 0.
    """
    kind: Any = TASKS.get(task.get("type", ""))
    default = inspect.signature(kind).parameters.get("num_keypoints")
    posed = task.get("num_keypoints", default.default if default is not None else 0) != 0
    return [field for field in kind.meta_fields if posed or field != "keypoint_names"]


def require_same_annotations(
    trained: DatasetMeta, other: DatasetMeta, tasks: Mapping[str, Mapping[str, Any]], what: str
) -> None:
    """Check that a data set's annotations mean what those meant that a model was trained with.

    Args:
        trained: of the training set.
        other: of the data set.
        tasks: configs of the model's tasks. Compared are the fields that they read, see `fields_read`, where the
            training set had them.
        what: the data set's key in the config, for the message.

    Raises:
        ConfigError: they differ in what a task reads.
    """
    for field in dict.fromkeys(field for task in tasks.values() for field in fields_read(task)):
        found, wanted = getattr(other, field), getattr(trained, field)
        if wanted and found != wanted:
            raise ConfigError(
                f"{what} has the {field.replace('_', ' ')} {list(found)}, the model was trained with {list(wanted)}; "
                "use data with the same, or fine-tune with init_from"
            )


def _warp_values(meta: DatasetMeta) -> dict[str, Any]:
    return {"flip_order": meta.flip_order, "keypoint_names": meta.keypoint_names}


def _arguments(function: type, cfg: Mapping[str, Any], where: str, given: Mapping[str, Any]) -> dict[str, Any]:
    return dict(cfg) | check_arguments(function, cfg, given, where)
