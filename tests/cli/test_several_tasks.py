"""The commands with several tasks in one network: what differs from one."""

import csv
import json
import os

import cv2
import numpy as np
import pytest

from densezoo.cli.main import main
from densezoo.engine.checkpoint import load_checkpoint, save_checkpoint

CONFIG = """
encoder = dict(type="NewellStem", channels=16, norm="group")
neck = dict(type="StackedHourglass", num_stages=1, num_levels=2, norm="group")
tasks = dict(
    pose=dict(type="Centers", num_classes=5, num_keypoints=17, head=dict(type="Center", channels=16),
              metrics=[dict(type="KeypointAP"), dict(type="PCK", normalizer="box")]),
    boxes=dict(type="Corners", num_classes=5, head=dict(type="Corner", channels=16, pool_channels=8, norm="group")),
    segmentation=dict(type="Segmentation", num_classes=6),
)
warp = dict(size=(48, 40), padding=1.0)
data_root = "{root}"
_set = dict(type="Synthetic", view="scenes", semantic=True, num_images=8, size=64)
train_data = dict(**_set, split="train")
val_data = dict(**_set, split="val")
epochs = 1
batch_size = 4
engine = dict(workers=0, device="cpu")
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_root):
    """Folder with runs of the shared network and of two of its tasks alone, and their tests."""
    folder = tmp_path_factory.mktemp("several")
    for name in ("shared", "pose", "segmentation"):
        config = folder / f"{name}.py"
        alone = "" if name == "shared" else f"tasks = dict({name}=tasks['{name}'])\n"
        config.write_text(CONFIG.format(root=tiny_root) + alone)
        assert main(["train", str(config), "--work-dir", str(folder / name)]) == 0
        checkpoint = str(folder / name / "checkpoints" / "best.pt")
        assert main(["test", str(config), checkpoint, "--intervals", "8", "--cases", "1"]) == 0
    return folder


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_one_test_gives_the_scores_of_every_task(trained):
    folder = trained / "shared" / "test"
    assert files(folder) == [
        "best.png", "curves.png", "draws.json", "metrics.json", "per_image.csv", "predictions_boxes.json",
        "predictions_pose.json", "predictions_segmentation.json", "worst.png",
    ]  # fmt: skip
    metrics = json.loads((folder / "metrics.json").read_text())
    assert {"pose/AP", "pose/PCK_box@0.2", "boxes/AP", "segmentation/mIoU"} <= set(metrics["scores"])
    assert metrics["training"]["images"] == 8
    assert metrics["training"]["seconds"] > 0
    rows = list(csv.DictReader((folder / "per_image.csv").open()))
    assert len(rows) == 8
    assert {"pose/OKS", "boxes/AP", "segmentation/mIoU"} <= set(rows[0])
    shared, single = (cv2.imread(str(trained / name / "test" / "worst.png")) for name in ("shared", "pose"))
    assert shared.shape[1] > 1.8 * single.shape[1]  # annotations and three tasks beside each other, not two


def test_sharing_compares_each_task_with_its_single_network(trained, tmp_path, capsys):
    singles = [f"{task}={trained / task / 'test'}" for task in ("pose", "segmentation")]
    assert main(["sharing", str(trained / "shared" / "test"), *singles, "--out", str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    assert "segmentation/mIoU" in out
    assert "interval of 95 %" in out
    assert "all single ones" in out
    found = json.loads((tmp_path / "out" / "sharing.json").read_text())
    change = found["tasks"]["segmentation"]["segmentation/pixel_accuracy"]
    assert change["difference"] == pytest.approx(change["shared"] - change["single"])
    low, high = change["interval"]
    assert low <= high
    assert found["training"]["pose"]["parameters"] < found["training"]["shared"]["parameters"]
    assert (tmp_path / "out" / "sharing.md").read_text().startswith("## pose")


def test_a_comparison_that_cannot_be_written_is_an_error_of_the_file(trained, tmp_path, capsys, monkeypatch):
    def fill(source, target):
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr(os, "replace", fill)
    folders = [str(trained / "shared" / "test"), f"pose={trained / 'pose' / 'test'}"]
    assert main(["sharing", *folders, "--out", str(tmp_path / "out")]) == 2
    assert f"{tmp_path / 'out' / 'sharing.json'} cannot be written: [Errno 28]" in capsys.readouterr().err


def test_sharing_refuses_unequal_budgets_until_it_is_told_to_compare(trained, tiny_root, tmp_path, capsys):
    config, work_dir = trained / "pose.py", tmp_path / "long"
    longer = ["--cfg-options", "epochs=2", "batch_size=64", "val_data.num_images=4"]
    assert main(["train", str(config), "--work-dir", str(work_dir), *longer]) == 0
    assert main(["test", str(config), str(work_dir / "checkpoints" / "last.pt"), "--out", str(tmp_path / "test")]) == 0
    command = ["sharing", str(trained / "shared" / "test"), f"pose={tmp_path / 'test'}"]
    capsys.readouterr()
    assert main(command) == 2
    said = capsys.readouterr().err
    assert "pose: epochs" in said
    assert "pose: val_data.num_images" in said
    assert "pose: training images (8 shared, 16 single)" in said  # the batches are of all 8 images, not of 64
    assert main([*command, "--allow-differences"]) == 0
    assert "The runs also differ in pose: batch_size, pose: epochs" in capsys.readouterr().out
    assert main(["sharing", str(trained / "shared" / "test"), "pose"]) == 2
    assert "write TASK=DIR" in capsys.readouterr().err


def test_a_checkpoint_whose_config_is_no_longer_read_is_tested_without_a_record(trained, tmp_path, caplog):
    saved = load_checkpoint(trained / "segmentation" / "checkpoints" / "best.pt")
    save_checkpoint(tmp_path / "old.pt", saved | {"config": saved["config"] + "gone = 1\n"})
    command = ["test", str(trained / "segmentation.py"), str(tmp_path / "old.pt"), "--out", str(tmp_path / "test")]
    assert main(command) == 0
    assert "unknown key 'gone'" in caplog.text
    assert json.loads((tmp_path / "test" / "metrics.json").read_text())["training"] == {}


def test_several_test_sets_are_scored_apart_and_shown_in_one_table(trained, tmp_path, capsys):
    config = tmp_path / "lists.py"
    config.write_text(
        (trained / "shared.py").read_text()
        + "test_data = [dict(**_set, split='val', only=['semantic']),\n"
        + "             dict(**_set, split='test', only=['boxes', 'keypoints'])]\n"
    )
    checkpoint = trained / "shared" / "checkpoints" / "best.pt"
    out = tmp_path / "test"
    assert main(["test", str(config), str(checkpoint), "--intervals", "4", "--baseline", "--out", str(out)]) == 0
    table = capsys.readouterr().out
    assert all(name in table for name in ("pose/AP", "boxes/AP", "segmentation/mIoU", "baseline"))
    assert files(out) == ["draws.json", "metrics.json", "pose_boxes", "segmentation"]
    assert "predictions_boxes.json" in files(out / "pose_boxes")
    assert "predictions.json" in files(out / "segmentation")
    before = json.loads((trained / "shared" / "test" / "metrics.json").read_text())["scores"]
    after = json.loads((out / "metrics.json").read_text())["scores"]
    assert after.keys() == before.keys()
    assert after["segmentation/mIoU"] == pytest.approx(before["segmentation/mIoU"])  # of the same images
    assert after["boxes/AR100"] != before["boxes/AR100"]


def test_pictures_show_every_task(trained, tmp_path):
    config, checkpoint = trained / "shared.py", trained / "shared" / "checkpoints" / "best.pt"
    cv2.imwrite(str(tmp_path / "photo.png"), np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8))
    common = [str(tmp_path / "photo.png"), "--out", str(tmp_path / "out"), "--box-threshold", "0"]
    assert main(["predict", str(config), str(checkpoint), *common]) == 0
    assert files(tmp_path / "out") == ["photo.png", "photo_labels.png", "predictions.json"]
    drawn = cv2.imread(str(tmp_path / "out" / "photo.png"))
    assert drawn.shape[1] > 3 * 480  # each of three tasks on an enlarged picture of its own
    assert main(["browse_data", str(config), "--out", str(tmp_path / "look"), "--number", "2"]) == 0
    assert files(tmp_path / "look") == ["000.png", "001.png", "all.png"]
