"""The commands with a segmentation task: what differs from poses."""

import csv
import json

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from densezoo.cli.main import main

CONFIG = """
encoder = dict(type="PlainUNet", channels=[8, 16], norm="group")
neck = dict(type="UNet", norm="group")
tasks = dict(seg=dict(type="Segmentation", num_classes=6, loss=dict(cross_entropy=1.0, lovasz=1.0)))
warp = dict(size=(48, 40), padding=1.0, flip=0.5)
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
    folder = tmp_path_factory.mktemp("segmentation")
    config = folder / "config.py"
    config.write_text(CONFIG.format(root=tiny_root))
    assert main(["train", str(config), "--work-dir", str(folder / "run"), "--amp"]) == 0
    return config, folder / "run" / "checkpoints" / "best.pt"


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_test_scores_in_the_files_pixels_and_writes_masks(trained, tiny_root, tmp_path, capsys):
    config, checkpoint = trained
    command = ["test", str(config), str(checkpoint), "--flip-test", "--baseline", "--cases", "2"]
    assert main([*command, "--out", str(tmp_path / "test")]) == 0
    out = capsys.readouterr().out
    assert "seg/mIoU" in out
    assert "  ellipse" in out
    assert files(tmp_path / "test") == ["best.png", "metrics.json", "per_image.csv", "predictions.json", "worst.png"]
    scores = json.loads((tmp_path / "test" / "metrics.json").read_text())
    assert 0.1 < scores["baseline"]["seg/mIoU"] < 0.4
    assert scores["baseline"]["seg/mIoU/background"] > 0.5
    # the accuracy again, from the written masks and the files of the data set
    folder = next(tiny_root.glob("synthetic/val_8x64x64*"))
    content = json.loads((folder / "annotations" / "val.json").read_text())
    truths = {image["id"]: cv2.imread(str(folder / image["semantic"]), 0) for image in content["images"]}
    right = 0
    for entry in json.loads((tmp_path / "test" / "predictions.json").read_text()):
        mask = coco_mask.decode(entry["segmentation"]) > 0
        right += (truths[entry["image_id"]][mask] == entry["category_id"]).sum()
    share = right / sum(truth.size for truth in truths.values())
    assert scores["scores"]["seg/pixel_accuracy"] == pytest.approx(share)
    rows = list(csv.DictReader((tmp_path / "test" / "per_image.csv").open()))
    assert len(rows) == 8
    assert "seg/mIoU" in rows[0]


def test_predict_writes_overlays_and_label_maps_of_the_files_size(trained, tmp_path):
    config, checkpoint = trained
    cv2.imwrite(str(tmp_path / "wide.png"), cv2.randu(np.zeros((50, 203, 3), "uint8"), 0, 255))
    common = ["predict", str(config), str(checkpoint), str(tmp_path / "wide.png")]
    assert main([*common, "--out", str(tmp_path / "whole"), "--heatmaps"]) == 0
    names = ["predictions.json", "wide.png", "wide_heatmaps_0.png", "wide_labels.png"]
    assert files(tmp_path / "whole") == names
    labels = cv2.imread(str(tmp_path / "whole" / "wide_labels.png"), cv2.IMREAD_UNCHANGED)
    assert labels.shape == (50, 203)
    assert labels.max() < 6
    entries = json.loads((tmp_path / "whole" / "predictions.json").read_text())
    assert {entry["category_id"] for entry in entries} == set(np.unique(labels).tolist())
    boxes = {
        "images": [{"id": 5, "file_name": "wide.png"}],
        "annotations": [{"image_id": 5, "category_id": 1, "bbox": [100, 10, 30, 36]}],
    }
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    assert main([*common, "--out", str(tmp_path / "boxed"), "--boxes", str(tmp_path / "boxes.json")]) == 0
    labels = cv2.imread(str(tmp_path / "boxed" / "wide_labels.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(np.flatnonzero((labels != 255).any(0)), np.arange(100, 130))
    np.testing.assert_array_equal(np.flatnonzero((labels != 255).any(1)), np.arange(10, 46))


def test_label_maps_and_pictures_of_like_names_do_not_overwrite_each_other(trained, tmp_path):
    config, checkpoint = trained
    for name in ("a.png", "a_labels.png", "a_2.png"):
        cv2.imwrite(str(tmp_path / name), np.zeros((40, 40, 3), "uint8"))
    images = [str(tmp_path / name) for name in ("a_labels.png", "a.png", "a_2.png")]
    out = tmp_path / "out"
    assert main(["predict", str(config), str(checkpoint), *images, "--out", str(out)]) == 0
    stems = ["a_2", "a_2_2", "a_labels"]  # `a` would write a_labels.png, which is there
    assert files(out) == sorted(
        ["predictions.json", *(f"{stem}{end}.png" for stem in stems for end in ("", "_labels"))]
    )


def test_browse_data_draws_the_target_as_a_label_map(trained, tmp_path):
    assert main(["browse_data", str(trained[0]), "--out", str(tmp_path / "look"), "--number", "2"]) == 0
    assert files(tmp_path / "look") == ["000.png", "001.png", "all.png"]


def test_data_with_other_classes_is_refused(trained, tmp_path, capsys):
    config, checkpoint = trained
    command = ["test", str(config), str(checkpoint), "--out", str(tmp_path / "out")]
    assert main([*command, "--cfg-options", "val_data.semantic=False"]) == 2
    assert "val_data has the semantic classes []" in capsys.readouterr().err
