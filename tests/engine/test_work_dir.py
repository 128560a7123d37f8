from dataclasses import replace

import pytest

from densezoo.engine.config import load_config
from densezoo.engine.work_dir import WorkDir
from densezoo.errors import CheckpointError, ConfigError


@pytest.fixture
def config(tiny_config):
    return load_config(tiny_config)


def test_a_folder_with_a_run_is_never_taken_silently(config, tmp_path):
    folder = WorkDir(tmp_path / "run")
    assert folder.check(config, resume=False) is False
    folder.begin(config)
    assert load_config(folder.config) == config
    folder.check(config, resume=False)  # killed before its first checkpoint: nothing to lose
    folder.metrics.write_text("{}\n")
    with pytest.raises(ConfigError, match="already holds a run; choose another --work-dir, or continue"):
        folder.check(config, resume=False)
    assert folder.check(config, resume=True) is False
    folder.last.parent.mkdir()
    folder.last.touch()
    assert folder.check(config, resume=True) is True


def test_resuming_with_another_config_names_what_differs(config, tmp_path):
    folder = WorkDir(tmp_path / "run")
    folder.begin(config)
    folder.metrics.touch()
    with pytest.raises(CheckpointError, match="epochs, seed differ"):
        folder.check(replace(config, seed=3, epochs=9), resume=True)
    folder.check(config.with_engine(workers=3), resume=True)


def test_files_of_a_run_without_its_config_are_not_touched(config, tmp_path):
    folder = WorkDir(tmp_path)
    folder.metrics.touch()
    with pytest.raises(ConfigError, match=r"no config\.py"):
        folder.check(config, resume=True)


def test_a_config_that_no_run_wrote_is_not_overwritten(config, tmp_path):
    (tmp_path / "config.py").write_text("mine = 1\n")
    with pytest.raises(ConfigError, match=r"is not a run's"):
        WorkDir(tmp_path).check(config, resume=False)


def test_a_best_checkpoint_without_a_last_one_is_not_overwritten(config, tmp_path):
    folder = WorkDir(tmp_path / "run")
    folder.begin(config)
    folder.best.parent.mkdir()
    folder.best.touch()
    with pytest.raises(CheckpointError, match="start in another --work-dir"):
        folder.check(config, resume=True)


def test_a_folder_that_cannot_be_made_is_named(config, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"file.*config\.py cannot be written"):
        WorkDir(tmp_path / "file" / "run").begin(config)
