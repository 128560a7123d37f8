import json

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from densezoo.datasets.coco_pose import CocoPose

SIZES = {7: (300, 500), 9: (60, 80), 9001: (120, 90), 9002: (50, 40)}


@pytest.fixture(scope="module")
def tool(load_tool):
    module = load_tool("make_lspet")
    module.TEST_IDS = range(9001, 9003)
    return module


@pytest.fixture
def source(tmp_path):
    """Four images of a ramp, each with its joints on a diagonal; joint 3 is not visible, joint 5 outside."""
    (tmp_path / "images").mkdir()
    joints = np.zeros((14, 3, 10000))
    for image_id, (width, height) in SIZES.items():
        ramp = np.broadcast_to(np.arange(height, dtype=np.float64)[:, None, None] * (255 / height), (height, width, 3))
        cv2.imwrite(str(tmp_path / f"images/im{image_id:05d}.jpg"), ramp.astype(np.uint8))
        share = np.linspace(0.2, 0.8, 14)
        joints[:, :, image_id - 1] = np.stack([width * share, height * share, np.ones(14)], 1)
        joints[3, 2, image_id - 1] = 0
        joints[5, 0, image_id - 1] = width + 1
    savemat(tmp_path / "joints.mat", {"joints": joints})
    (tmp_path / "ids.txt").write_text("7\n9\n")
    return tmp_path


def test_joints_lie_in_the_part_that_is_kept(tool, source, tmp_path):
    out = tmp_path / "lspet"
    assert tool.main(["--source", str(source), "--out", str(out), "--ids", str(source / "ids.txt")]) == 0
    people = CocoPose("annotations/lspet_train.json", "images", out)
    assert len(people) == 2
    assert len(CocoPose("annotations/lspet_test.json", "images", out)) == 2
    content = json.loads((out / "annotations/lspet_train.json").read_text())
    image, annotation = content["images"][0], content["annotations"][0]
    # joints from 60, 100 to 240, 400; 66 pixels beyond them are kept, of which the image has 60 at the left and right
    assert image["crop_xy_scale"] == [0, 34, round(224 / 432, 5)]
    assert (image["width"], image["height"]) == (round(300 * 224 / 432), 224)
    assert annotation["num_keypoints"] == 12
    sample = people.read(0)
    shown = sample["keypoints"][0]
    assert (shown[[3, 5], 2] == 0).all()
    known = shown[:, 2] > 0
    share = np.linspace(0.2, 0.8, 14)[known]
    expected = np.stack([300 * share, 500 * share - 34], 1) * (224 / 432)
    np.testing.assert_allclose(shown[known, :2], expected, atol=0.006)
    # the ramp says where in the original a pixel lies
    for x, y in shown[known, :2]:
        assert sample["image"][int(y), int(x), 0] == pytest.approx((y * 432 / 224 + 34) * 255 / 500, abs=3)
    box = np.array(annotation["bbox"])
    np.testing.assert_allclose(box[:2], np.maximum(expected.min(0) - 0.08 * np.ptp(expected, 0).max(), 0), atol=0.006)
    assert annotation["area"] == pytest.approx(0.53 * box[2] * box[3], rel=1e-3)


def test_small_images_keep_their_pixels(tool, source, tmp_path):
    out = tmp_path / "lspet"
    assert tool.main(["--source", str(source), "--out", str(out), "--ids", str(source / "ids.txt")]) == 0
    image = json.loads((out / "annotations/lspet_train.json").read_text())["images"][1]
    assert image["crop_xy_scale"] == [0, 0, 1.0]
    assert (image["width"], image["height"]) == (60, 80)


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda root: (root / "images/im09002.jpg").unlink(), "1 images are missing"),
        (lambda root: savemat(root / "joints.mat", {"joints": np.zeros((3, 14, 2000))}), "must hold 14 × 3 × 10000"),
        (lambda root: (root / "joints.mat").unlink(), "there is no file"),
        (lambda root: (root / "ids.txt").write_text("seven"), "ids.txt cannot be read"),
        (lambda root: (root / "ids.txt").write_text("8"), "1 images are missing"),
    ],
)
def test_what_is_not_lspet_is_said(tool, source, tmp_path, capsys, break_it, message):
    break_it(source)
    assert tool.main(["--source", str(source), "--out", str(tmp_path / "out"), "--ids", str(source / "ids.txt")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert tool.main(["--source", str(source), "--out", str(source)]) == 2
    assert "is not empty" in capsys.readouterr().err
