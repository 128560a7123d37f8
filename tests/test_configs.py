"""Every config that ships can be read, and its network built."""

from pathlib import Path

import pytest
import torch

from densezoo import load_study
from densezoo.engine.build import build_warp
from densezoo.engine.config import load_config
from densezoo.models import build_model
from densezoo.registry import DATASETS
from densezoo.types import DatasetMeta

ROOT = Path(__file__).parents[1] / "configs"
EVERY = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("[!_]*.py"))
STUDIES = [name for name in EVERY if name.startswith("compare/")]


@pytest.mark.parametrize("name", [name for name in EVERY if name not in STUDIES])
def test_a_config_builds(name):
    config = load_config(ROOT / name)
    for data in (config.train_data, config.val_data, config.test_data):
        for each in [data] if isinstance(data, dict) else data or []:
            DATASETS.with_defaults(each)
    build_warp(config, DatasetMeta(), training=False)
    with torch.device("meta"):
        model = build_model(
            config.encoder, config.neck, config.tasks, loss_weights=config.loss_weights, detector=config.detector
        )
    assert sum(weight.numel() for weight in model.parameters()) > 10_000


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_is_read(name):
    study = load_study(ROOT / name)
    assert study.smallest_difference > 0
    assert study.metric.split("/")[0] in study.base.config.tasks
    assert len(study.seeds) > 1
