"""Odd annotations on the way through the commands: handled as COCO's rules say, counted, and said once."""

import contextlib
import io
import json

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from densezoo.cli.main import main

CONFIG = """
encoder = dict(type="PlainUNet", channels=[8, 16], norm="group")
neck = dict(type="UNet", norm="group")
tasks = dict(boxes=dict(type="Corners", num_classes=2, max_detections=3, head=dict(type="Corner", channels=8,
    pool_channels=4)))
warp = dict(size=(32, 32), padding=1.0, flip=0.5)
data_root = "{root}"
train_data = dict(type="CocoScenes", annotations="file.json", images="images", masks={masks})
val_data = dict(**train_data)
epochs = 2
batch_size = 3
engine = dict(workers=0, device="cpu", max_bad_images={max_bad_images})
"""


def box(image_id, x, y, width, height, **more):
    return {"image_id": image_id, "category_id": 1, "bbox": [x, y, width, height], "area": width * height, **more}


@pytest.fixture
def odd(write_coco, tmp_path, monkeypatch):
    """Return a function that writes images 1 to 6 with these annotations, and the config that reads them."""
    monkeypatch.setenv("DENSEZOO_CACHE", str(tmp_path / "cache"))

    def make(annotations, masks=False, max_bad_images=0):
        images = [{"id": number, "file_name": f"{number}.png", "height": 32, "width": 32} for number in range(1, 7)]
        numbered = [{"id": number, "iscrowd": 0, **each} for number, each in enumerate(annotations, 1)]
        where = write_coco(images, numbered, [{"id": 1, "name": "cell"}, {"id": 2, "name": "plate"}])
        path = tmp_path / "config.py"
        path.write_text(CONFIG.format(root=where["data_root"], masks=masks, max_bad_images=max_bad_images))
        return path, where["data_root"] / "file.json"

    return make


def official(path, predictions):
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(path))
        evaluator = COCOeval(truth, truth.loadRes(str(predictions)), "bbox")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return evaluator.stats


def test_odd_boxes_train_and_score_as_cocos_rules_say_and_are_reported_once(
    odd, tmp_path, capsys, answers_near_the_truth
):
    config, path = odd(
        [
            *(box(image_id, 3 * image_id, 5, 9, 8) for image_id in range(1, 7)),
            *(box(6, 3 * column, 2, 5, 25, category_id=2) for column in range(4)),
            box(1, 5, 5, 0, 7),
            box(2, 20, 20, -4, 6),
            box(3, 40, 40, 5, 5),
            box(4, 20, 20, 30, 30),
            box(5, 0, 0, 30, 30, iscrowd=1),
            box(6, 1, 1, 9, 9, category_id=3),
        ]
    )
    assert main(["train", str(config), "--work-dir", str(tmp_path / "run")]) == 0
    said = capsys.readouterr().out
    note = (
        f"{path}: 1 annotation of categories that the file does not list (left out): 3; "
        "3 annotations without an area in the image (not learned); "
        "1 box reaching out of the image (clipped for learning); 1 crowd (not learned, ignored in evaluation)\n"
    )
    assert said.count(note) == 2  # of train_data and val_data, which are the same here
    many = "1 of 6 images have more than the 3 objects that task 'boxes' finds in one (up to 5); raise max_detections\n"
    assert (said.count(f"train_data: {many}"), said.count(f"val_data: {many}")) == (1, 1)
    out = tmp_path / "test"
    answers_near_the_truth("boxes")
    assert main(["test", str(config), str(tmp_path / "run/checkpoints/best.pt"), "--out", str(out)]) == 0
    said = capsys.readouterr().err
    assert (said.count(note), said.count(f"val_data: {many}")) == (1, 1)
    scores = json.loads((out / "metrics.json").read_text())["scores"]
    expected = official(path, out / "predictions.json")
    assert 0.1 < expected[0] < 0.9
    found = [scores[f"boxes/{name}"] for name in ("AP", "AP50", "AP75", "APs", "AR1", "AR10", "AR100")]
    assert found == pytest.approx(expected[[0, 1, 2, 3, 6, 7, 8]], abs=1e-3)


@pytest.mark.parametrize("counts", [[100, 5], "no RLE", [7, -7, 1024]])
def test_a_malformed_mask_is_an_error_or_a_skipped_image_that_is_said_once(odd, tmp_path, capsys, counts):
    annotations = [box(image_id, 3 * image_id, 5, 9, 8) for image_id in range(1, 7)]
    annotations[0]["segmentation"] = [[3, 5, 12, 5, 12, 13, 3, 13]]
    annotations[3]["segmentation"] = {"size": [32, 32], "counts": counts}
    config, path = odd(annotations, masks=True)
    assert main(["train", str(config), "--work-dir", str(tmp_path / "strict")]) == 2
    why = f"{path}: annotation 4: 'segmentation' is malformed: "
    assert why in capsys.readouterr().err.splitlines()[-1]
    config, _ = odd(annotations, masks=True, max_bad_images=1)
    assert main(["train", str(config), "--work-dir", str(tmp_path / "run")]) == 0
    assert capsys.readouterr().out.count(f"skipped: {why}") == 1
    config, _ = odd(annotations)  # boxes do without masks
    assert main(["train", str(config), "--work-dir", str(tmp_path / "boxes")]) == 0
    assert np.isfinite(json.loads((tmp_path / "boxes/metrics.jsonl").read_text().splitlines()[0])["loss"])


def test_a_file_whose_annotations_all_have_another_category_is_an_error(odd, tmp_path, capsys):
    config, path = odd([box(1, 1, 1, 9, 9, category_id=0)])
    assert main(["train", str(config), "--work-dir", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert f"{path}: no annotation has a category of the file: annotation 1 has 'category_id' 0" in error
    assert not (tmp_path / "run").exists()
