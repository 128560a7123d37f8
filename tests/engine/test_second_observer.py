import json

import numpy as np
import pytest
import torch
from PIL import Image

from densezoo.cli.main import main
from densezoo.engine.build import build_dataset, build_dense_model
from densezoo.engine.checkpoint import save_checkpoint
from densezoo.engine.config import load_config
from densezoo.engine.score import score_table

CONFIG = """
encoder = dict(type="PlainUNet", channels=[8, 16], norm="group")
neck = dict(type="UNet", norm="group")
tasks = dict(vessels=dict(type="Segmentation", num_classes=2))
warp = dict(size=(32, 32), padding=1.0)
train_data = dict(type="LabelFolders", images="images", labels="labels", classes=["background", "vessel"],
                  values={{0: 0, 255: 1}}, field_of_view="view"{more})
val_data = train_data
batch_size = 2
engine = dict(workers=0, device="cpu")
data_root = "{root}"
"""


@pytest.fixture
def folder(tmp_path):
    """Three images of 30 x 50 pixels, twice as wide as the network sees them."""
    rng = np.random.default_rng(0)
    for number in range(3):
        masks = {kind: rng.integers(0, 2, (30, 50), np.uint8) * 255 for kind in ("labels", "second", "view")}
        for kind, pixels in {"images": rng.integers(0, 255, (30, 50, 3), np.uint8), **masks}.items():
            (tmp_path / kind).mkdir(exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / kind / f"{number}.png")
    return tmp_path


def test_command(folder, more, *options):
    """Run `densezoo test` on a network as it is born; return its metrics.json."""
    path = folder / "config.py"
    path.write_text(CONFIG.format(root=folder, more=more))
    config = load_config(path)
    meta = build_dataset(config.train_data, config.data_root).meta
    model = build_dense_model(config, meta, torch.device("cpu"))
    save_checkpoint(folder / "a.pt", {"model": model.state_dict(), "meta": meta.to_dict()})
    assert main(["test", str(path), str(folder / "a.pt"), "--out", str(folder / "out"), *options]) == 0
    return json.loads((folder / "out" / "metrics.json").read_text())


test_command.__test__ = False


def pixels(folder, kind):
    return np.stack([np.array(Image.open(folder / kind / f"{number}.png")) > 0 for number in range(3)])


def test_the_second_observer_is_scored_in_the_files_pixels_without_being_asked_for(folder, capsys):
    found = test_command(folder, ', second_labels="second"', "--baseline", "--cases", "1")
    first, second, inside = (pixels(folder, kind) for kind in ("labels", "second", "view"))
    overlap = [(first == label) & (second == label) & inside for label in (False, True)]
    union = [((first == label) | (second == label)) & inside for label in (False, True)]
    ious = [over.sum() / every.sum() for over, every in zip(overlap, union, strict=True)]
    scores = found["second_observer"]
    assert scores["vessels/mIoU"] == pytest.approx(np.mean(ious))
    assert scores["vessels/mIoU/vessel"] == pytest.approx(ious[1])
    assert scores["vessels/pixel_accuracy"] == pytest.approx((first == second)[inside].mean())
    assert scores.keys() == found["scores"].keys() == found["baseline"].keys()
    assert np.array(Image.open(folder / "out" / "best.png")).ndim == 3
    head, first_line = capsys.readouterr().out.splitlines()[:2]
    assert head.split() == ["model", "baseline", "second", "observer"]
    assert first_line.endswith(f"{np.mean(ious):.4f}")
    assert len(first_line) == len(head)


def test_without_a_second_observer_there_is_no_such_column(folder, capsys):
    found = test_command(folder, "")
    assert "second_observer" not in found
    assert found["baseline"] == {}
    assert "second observer" not in capsys.readouterr().out


def test_scores_that_a_column_lacks_are_no_numbers():
    table = score_table({"a/AUC": 0.5, "a/Dice": 0.25}, {"second observer": {"a/Dice": 0.75}}, {}).splitlines()
    assert [line.split()[-1] for line in table] == ["observer", "nan", "0.7500"]
