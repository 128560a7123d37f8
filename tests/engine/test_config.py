import sys
from dataclasses import replace
from pathlib import Path

import pytest

from densezoo.engine.config import EngineOptions, check_config, config_from_text, differing_keys, load_config
from densezoo.errors import ConfigError
from densezoo.registry import FUSIONS


def test_a_config_reads_back_from_its_own_text(tiny_config):
    config = load_config(tiny_config, {"engine.clip": 1, "optimizer.lr": 5e-4})
    assert config.optimizer["lr"] == 5e-4
    assert config.engine.clip == 1
    again = config_from_text(config.to_text(), "text")
    assert again == config
    assert differing_keys(config, again) == []


def test_a_base_is_followed_and_underscored_names_are_the_files_own(tiny_config, tmp_path):
    child = tmp_path / "child.py"
    child.write_text('_base_ = "tiny.py"\n_shared = 3\nepochs = _shared\n')
    config = load_config(child)
    assert config.epochs == 3
    assert config.batch_size == 4


def test_parts_of_ones_own_may_lie_beside_the_config(tiny_config, tmp_path):
    (tmp_path / "own_part_in_a_test.py").write_text(
        "from torch import nn\nfrom densezoo.registry import FUSIONS\n"
        "@FUSIONS.register()\nclass OwnPartInATest(nn.Module):\n    pass\n"
    )
    child = tmp_path / "child.py"
    child.write_text('_base_ = "tiny.py"\ncustom_imports = dict(imports=["own_part_in_a_test"])\n')
    before = list(sys.path)
    load_config(child)
    assert "OwnPartInATest" in FUSIONS.names()
    assert sys.path == before


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("epoch = 3", "unknown key 'epoch'; did you mean 'epochs'"),
        ("engine = dict(worker=1)", "engine has no option 'worker'; did you mean 'workers'"),
        ("epochs = 0", "epochs and batch_size must be at least 1, not 0"),
        ("batch_size = '8'", "batch_size must be int"),
        ("batch_size = True", "batch_size must be int"),
        ("engine = dict(ema=1.0)", "engine.ema must lie between 0 and 1"),
        ("engine = dict(workers=-1)", "cannot be negative"),
        ("engine = dict(clip=0)", "engine.clip must be above 0"),
        ("engine = dict(scales=[0.5, 0])", "engine.scales must be factors above 0"),
        ("engine = dict(scales=[])", "engine.scales must be factors above 0"),
        ("engine = dict(window=[5])", "engine.window must be (height"),
        ("engine = dict(window=[0, 5])", "engine.window must be (height"),
        ("engine = dict(window_overlap=1)", "engine.window_overlap must be from 0 to below 1"),
        ("engine = 'x'", "engine must be dict or None, not 'x'"),
        ("seed = -1", "seed cannot be negative"),
        ("tasks = dict(pose='Pose')", "tasks.pose must be dict, not 'Pose'"),
        ("x = 1 / 0", "ZeroDivisionError"),
        ("tasks = dict()", "tasks is empty"),
        ("warp = None", "'warp' must be given"),
        ("detector = 'FCOS'", "detector must be dict or None, not 'FCOS'"),
        ("x = undefined_name", "NameError"),
        ("x = (", "line"),
    ],
)
def test_wrong_configs_say_what_is_wrong(tiny_config, line, message):
    tiny_config.write_text(tiny_config.read_text() + line + "\n")
    with pytest.raises(ConfigError, match=message.replace("(", r"\(")):
        load_config(tiny_config)


def test_options_of_the_command_line_cannot_invent_keys(tiny_config):
    with pytest.raises(ConfigError, match="no config key 'optimiser'; did you mean 'optimizer'"):
        load_config(tiny_config, {"optimiser.lr": 1})


@pytest.mark.parametrize("name", ["run.yaml", "run.json"])
def test_only_python_configs_are_read(tmp_path, name):
    (tmp_path / name).write_text("{}")
    with pytest.raises(ConfigError, match="must be a Python file"):
        load_config(tmp_path / name)


def test_a_missing_config_is_named():
    with pytest.raises(ConfigError, match=r"no config file nowhere\.py"):
        load_config(Path("nowhere.py"))


def test_text_of_a_checkpoint_is_data_and_never_runs(tmp_path):
    mark = tmp_path / "mark"
    with pytest.raises(ConfigError, match="cannot be read"):
        config_from_text(f"epochs = __import__('pathlib').Path({str(mark)!r}).touch()", "a.pt")
    assert not mark.exists()


def test_differing_keys_pass_over_what_changes_no_number(tiny_config):
    config = load_config(tiny_config)
    same = replace(config, data_root="elsewhere", engine=replace(config.engine, workers=4))
    assert differing_keys(config, same) == []
    assert differing_keys(config, replace(config, seed=1)) == ["seed"]
    other = replace(config, neck=config.neck | {"num_stages": 3})
    assert differing_keys(config, other) == ["neck.num_stages"]


def test_differing_keys_of_an_engine_without_any_option(tiny_config):
    plain = replace(load_config(tiny_config), engine=EngineOptions())
    assert differing_keys(plain, plain.with_engine(workers=0, device="cpu", max_bad_images=0)) == []
    assert differing_keys(plain, plain.with_engine(scales=[1.0])) == []
    assert differing_keys(plain, plain.with_engine(workers=0, amp=True)) == ["engine.amp"]


def test_keys_of_a_config_may_be_numbers(tiny_config):
    config = load_config(tiny_config)
    one, other = (replace(config, train_data=config.train_data | {"values": {0: 0, 255: value}}) for value in (1, 2))
    assert differing_keys(one, one) == []
    assert differing_keys(one, other) == ["train_data.values.255"]


def test_engine_defaults_are_those_documented():
    values = {key: {} for key in ("encoder", "neck", "warp", "train_data")}
    assert check_config(values | {"tasks": {"pose": {}}}).engine == EngineOptions()
