"""The commands with one of torchvision's detectors: what differs from poses."""

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from densezoo.cli.main import main
from densezoo.engine.checkpoint import load_checkpoint

CONFIG = """
encoder = dict(type="NewellStem", channels=32, norm="group")
neck = dict(type="StackedHourglass", num_stages=2, num_levels=3, norm="group")
tasks = dict(boxes=dict(type="Boxes", num_classes=5))
detector = dict(type="{kind}", {options})
warp = dict(size=(48, 52), padding=1.0, scale=(0.75, 1.25), flip=0.5)
data_root = "{root}"
_set = dict(type="Synthetic", view="scenes", num_images=8, size=64)
train_data = dict(**_set, split="train")
val_data = dict(**_set, split="val")
optimizer = dict(type="adamw", lr=1e-3)
epochs = 2
batch_size = 4
engine = dict(workers=0, device="cpu")
"""


@pytest.fixture
def write_config(tmp_path, tiny_root):
    def write(kind="FCOS", options="levels=[0, 1], score_thresh=0.0", more=""):
        path = tmp_path / f"{kind}.py"
        path.write_text(CONFIG.format(root=tiny_root, kind=kind, options=options) + more)
        return path

    return write


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_root):
    folder = tmp_path_factory.mktemp("detection")
    config = folder / "config.py"
    options = "levels=[0, 1], score_thresh=0.0, detections_per_img=30"
    config.write_text(CONFIG.format(root=tiny_root, kind="FCOS", options=options))
    words = ["--amp", "--cfg-options", "engine.ema=0.5"]
    assert main(["train", str(config), "--work-dir", str(folder / "run"), *words]) == 0
    return config, folder / "run" / "checkpoints" / "best.pt"


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def weights(folder):
    return load_checkpoint(folder / "checkpoints" / "last.pt")["model"]


def test_train_logs_every_loss(trained):
    lines = [json.loads(line) for line in (trained[1].parents[1] / "metrics.jsonl").read_text().splitlines()]
    losses = [line["losses"] for line in lines if line["kind"] == "train"]
    assert list(losses[0]) == ["boxes/classification", "boxes/bbox_regression", "boxes/bbox_ctrness"]
    assert sum(losses[1].values()) < sum(losses[0].values())
    assert {"boxes/AP", "boxes/AP50", "boxes/AP/person"} <= set(lines[-1]["scores"])


def test_test_scores_in_the_files_pixels(trained, tiny_root, tmp_path, capsys, answers_near_the_truth):
    config, checkpoint = trained
    answers_near_the_truth("boxes")
    words = ["--flip-test", "--baseline", "--cases", "2", "--out", str(tmp_path / "test")]
    assert main(["test", str(config), str(checkpoint), *words]) == 0
    assert "boxes/AP50" in capsys.readouterr().out
    assert files(tmp_path / "test") == ["best.png", "metrics.json", "per_image.csv", "predictions.json", "worst.png"]
    scores = json.loads((tmp_path / "test" / "metrics.json").read_text())
    assert scores["baseline"].keys() == scores["scores"].keys()
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth = COCO(str(next(tiny_root.glob("synthetic/val_8x64x64*")) / "annotations" / "val.json"))
    evaluation = COCOeval(truth, truth.loadRes(str(tmp_path / "test" / "predictions.json")), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert 0.1 < evaluation.stats[0] < 0.9
    assert evaluation.stats[0] == pytest.approx(scores["scores"]["boxes/AP"], abs=1e-3)
    assert evaluation.stats[8] == pytest.approx(scores["scores"]["boxes/AR100"], abs=1e-2)
    assert len(list(csv.DictReader((tmp_path / "test" / "per_image.csv").open()))) == 8


def test_predict_draws_boxes_above_the_threshold(trained, tmp_path, capsys):
    config, checkpoint = trained
    cv2.imwrite(str(tmp_path / "wide.png"), cv2.randu(np.zeros((50, 203, 3), "uint8"), 0, 255))
    common = ["predict", str(config), str(checkpoint), str(tmp_path / "wide.png")]
    assert main([*common, "--out", str(tmp_path / "all"), "--box-threshold", "0"]) == 0
    assert main([*common, "--out", str(tmp_path / "none"), "--box-threshold", "2"]) == 0
    answers = json.loads((tmp_path / "all" / "predictions.json").read_text())
    assert 0 < len(answers) <= 30
    boxes = np.array([answer["bbox"] for answer in answers])
    assert boxes[:, 0].min() >= -1
    assert (boxes[:, 0] + boxes[:, 2]).max() <= 204
    assert (boxes[:, 0] + boxes[:, 2]).max() > 60  # the network's own pixels end at 52
    drawn, bare = (cv2.imread(str(tmp_path / name / "wide.png")) for name in ("all", "none"))
    assert (drawn != bare).any()
    assert json.loads((tmp_path / "none" / "predictions.json").read_text()) == answers
    assert main([*common, "--out", str(tmp_path / "maps"), "--heatmaps"]) == 2
    assert "leave --heatmaps out" in capsys.readouterr().err


def test_browse_data_draws_samples_without_targets(trained, tmp_path):
    assert main(["browse_data", str(trained[0]), "--out", str(tmp_path / "look"), "--number", "2"]) == 0
    picture = cv2.imread(str(tmp_path / "look" / "000.png"))
    assert picture.shape[1] / picture.shape[0] == pytest.approx(52 / 48, rel=0.01)


@pytest.mark.parametrize("kind", ["FCOS", "RetinaNet", "FasterRCNN"])
def test_profile_counts_every_part(write_config, capsys, kind):
    assert main(["profile", str(write_config(kind, "levels=[0, 1]")), "--repeats", "1"]) == 0
    rows = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines() if line.split()}
    for column, tolerance in ((1, 2e-3), (3, 2e-3)):
        parts = {name: float(rows[name][column]) for name in ("encoder", "neck", "heads", "model")}
        assert parts["model"] == pytest.approx(parts["encoder"] + parts["neck"] + parts["heads"], abs=tolerance)
        assert min(parts.values()) > 0


def test_other_numbers_of_stages_start_from_what_fits(trained, write_config, tmp_path, capsys):
    more = f'init_from = "{trained[1]}"\nneck["num_stages"] = 1\nepochs = 1\nval_data = None\n'
    more += 'optimizer = dict(type="adamw", lr=1e-3, encoder_lr_scale=0.1)\n'
    assert main(["train", str(write_config(more=more)), "--work-dir", str(tmp_path / "run")]) == 0
    out = capsys.readouterr().out
    assert "neck.stages.1." in out
    assert "encoder." not in out
    assert "detector." not in out


def test_a_detector_on_the_encoder_alone(write_config, tmp_path):
    more = 'neck = None\ndetector["levels"] = None\nepochs = 1\n'
    assert main(["train", str(write_config(more=more)), "--work-dir", str(tmp_path / "run")]) == 0
    assert "neck" not in (tmp_path / "run" / "config.py").read_text()
    assert not [name for name in weights(tmp_path / "run") if name.startswith("neck.")]


def test_errors_of_the_user_are_one_line(write_config, tmp_path, capsys):
    for change, message in (
        ('detector["nms_tresh"] = 0.5', "no argument 'nms_tresh'; did you mean 'nms_thresh'"),
        ('neck["feedback"] = ["boxes.heat"]', "take 'feedback' out of the neck's config"),
        ("detector = None", "one of torchvision's detectors answers Boxes"),
        ('tasks["boxes"]["num_classes"] = 2', "the data set has 5 classes"),
    ):
        config = write_config(more=change + "\n")
        assert main(["train", str(config), "--work-dir", str(tmp_path / "run")]) == 2
        assert message in capsys.readouterr().err
        assert not Path(tmp_path / "run").exists()
