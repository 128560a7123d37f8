import contextlib
import random

import numpy as np
import pytest
import torch
from torch import nn

from densezoo.engine import checkpoint
from densezoo.engine.checkpoint import (
    init_from,
    load_checkpoint,
    load_weights,
    restore_rng_state,
    rng_state,
    save_checkpoint,
)
from densezoo.errors import CheckpointError


def test_a_failed_write_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "run" / "last.pt"
    save_checkpoint(path, {"model": {"w": torch.ones(2)}, "epoch": 1})

    def fill_disk(value, file):
        file.write(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(checkpoint.torch, "save", fill_disk)
    with pytest.raises(CheckpointError, match=r"No space left.*previous checkpoint is untouched"):
        save_checkpoint(path, {"epoch": 2})
    assert load_checkpoint(path)["epoch"] == 1
    assert [file.name for file in path.parent.iterdir()] == ["last.pt"]


def test_broken_and_foreign_files_are_refused_by_name(tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint"):
        load_checkpoint(tmp_path / "none.pt")
    broken = tmp_path / "broken.pt"
    broken.write_bytes(b"not a checkpoint")
    with pytest.raises(CheckpointError, match=r"broken\.pt does not load"):
        load_checkpoint(broken)
    (tmp_path / "empty.pt").touch()
    with pytest.raises(CheckpointError, match=r"empty\.pt does not load"):
        load_checkpoint(tmp_path / "empty.pt")
    truncated = tmp_path / "cut.pt"
    save_checkpoint(truncated, {"model": {"w": torch.ones(1000)}})
    truncated.write_bytes(truncated.read_bytes()[:2000])
    with pytest.raises(CheckpointError, match=r"cut\.pt does not load"):
        load_checkpoint(truncated)


@pytest.mark.parametrize("text", ["hello", "import torch\n", "version https://git-lfs.github.com/spec/v1\n", "(", "X"])
def test_text_is_no_checkpoint(tmp_path, text):
    (tmp_path / "text.pt").write_text(text)
    with pytest.raises(CheckpointError, match=r"text\.pt does not load .* torch\.save did not write it") as error:
        load_checkpoint(tmp_path / "text.pt")
    assert "\n" not in str(error.value)


def test_a_whole_model_says_to_save_its_weights(tmp_path):
    torch.save(nn.Sequential(nn.Linear(1, 1)), tmp_path / "whole.pt")
    with pytest.raises(CheckpointError, match=r"torch\.nn\.\S+Sequential.*; save model\.state_dict\(\) ") as error:
        load_checkpoint(tmp_path / "whole.pt")
    assert "\n" not in str(error.value)
    assert "\x1b" not in str(error.value)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("zipped", [True, False])
def test_damage_never_ends_in_anything_else(tmp_path, zipped):
    path = tmp_path / "a.pt"
    torch.save(nn.Linear(2, 3).state_dict(), path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    draw = random.Random(0)
    for _ in range(150):
        damaged = bytearray(whole)
        for _ in range(3):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        path.write_bytes(damaged)
        with contextlib.suppress(CheckpointError):
            load_checkpoint(path)


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "mark"), "w"))

    torch.save({"model": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(CheckpointError, match="does not load as tensors"):
        load_checkpoint(tmp_path / "evil.pt")
    assert not (tmp_path / "mark").exists()


def test_load_weights_wants_an_exact_fit(tmp_path):
    path = tmp_path / "a.pt"
    save_checkpoint(path, {"model": nn.Linear(2, 3).state_dict()})
    with pytest.raises(CheckpointError, match=r"weight is \(3, 2\) there and \(4, 2\) here"):
        load_weights(nn.Linear(2, 4), path)
    model = nn.Linear(2, 3)
    load_weights(model, path)
    assert torch.equal(model.weight, load_checkpoint(path)["model"]["weight"])


def test_keys_that_are_no_names_are_passed_over(tmp_path):
    torch.save({0: torch.zeros(1)}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="holds no tensors"):
        load_weights(nn.Linear(2, 3), tmp_path / "a.pt")


@pytest.mark.parametrize("key", ["model", "state_dict", None])
def test_init_from_takes_what_fits_of_any_checkpoint_and_reports_the_rest(tmp_path, key):
    trained = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 17))
    state = {f"module.{name}": value for name, value in trained.state_dict().items()}
    torch.save({key: state} if key else state, tmp_path / "a.pt")
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 14), nn.Linear(1, 1))
    before = model[1].weight.clone()
    lines = init_from(model, tmp_path / "a.pt")
    assert torch.equal(model[0].weight, trained[0].weight)
    assert torch.equal(model[1].weight, before)
    assert sorted(line.split()[0] for line in lines) == ["1.bias", "1.weight", "2.bias", "2.weight"]
    with pytest.raises(CheckpointError, match="not one tensor fits"):
        init_from(nn.Conv2d(1, 1, 1), tmp_path / "a.pt")


def test_init_from_leaves_learned_loss_weights_to_their_run(tmp_path):
    def build():
        return nn.ModuleDict({"heads": nn.Linear(1, 1), "loss_weights": nn.BatchNorm1d(2)})

    trained, model = build(), build()
    nn.init.constant_(trained["loss_weights"].weight, 5.0)
    save_checkpoint(tmp_path / "a.pt", {"model": trained.state_dict()})
    said = init_from(model, tmp_path / "a.pt")
    assert model["loss_weights"].weight.tolist() == [1.0, 1.0]
    assert torch.equal(model["heads"].weight, trained["heads"].weight)
    assert "loss_weights.weight is not taken, since it is of the other run's losses" in said
    assert not any("heads" in line for line in said)
    load_weights(model, tmp_path / "a.pt")
    assert model["loss_weights"].weight.tolist() == [5.0, 5.0]


def test_random_states_survive_a_checkpoint(tmp_path):
    save_checkpoint(tmp_path / "rng.pt", {"rng": rng_state()})
    expected = torch.rand(3), random.random(), np.random.rand(3)
    restore_rng_state(load_checkpoint(tmp_path / "rng.pt")["rng"])
    assert torch.equal(torch.rand(3), expected[0])
    assert random.random() == expected[1]
    assert np.array_equal(np.random.rand(3), expected[2])
