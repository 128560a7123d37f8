import importlib.util
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

EXAMPLE = Path(__file__).parents[2] / "examples" / "torchvision_detector.py"


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("torchvision_detector", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_example_learns_a_little_from_drawn_scenes(example, tmp_path, capsys):
    picture = tmp_path / "found.png"
    words = [
        "--data-root",
        str(tmp_path),
        "--steps",
        "8",
        "--batch-size",
        "2",
        "--size",
        "96",
        "--picture",
        str(picture),
    ]
    losses = example.main(words)
    assert len(losses) == 8
    assert sum(losses[-3:]) < sum(losses[:3])
    assert capsys.readouterr().out.startswith("step    1  loss ")
    assert cv2.imread(str(picture)).shape[1] > 800


def test_the_example_reads_any_coco_file(example, write_coco, tmp_path):
    images = [{"id": i, "file_name": f"{i}.png", "height": 60, "width": 80} for i in (1, 2)]
    box = {"iscrowd": 0, "area": 600, "bbox": [10, 10, 30, 20], "keypoints": [20, 20, 2, 30, 25, 1], "num_keypoints": 2}
    annotations = [{**box, "id": i, "image_id": i, "category_id": 7} for i in (1, 2)]
    crowd = {**box, "id": 3, "image_id": 1, "category_id": 7, "iscrowd": 1, "bbox": [0, 0, 80, 60]}
    category = {"id": 7, "name": "person", "keypoints": ["nose", "chin"], "skeleton": []}
    write_coco(images, [*annotations, crowd], [category])
    words = ["--annotations", str(tmp_path / "file.json"), "--images", str(tmp_path / "images"), "--steps", "1"]
    words += ["--batch-size", "2", "--size", "64", "--neck", "StackedHourglass", "--detector", "FasterRCNN"]
    (loss,) = example.main([*words, "--picture", str(tmp_path / "found.png")])
    assert 0 < loss < 100


def test_people_are_drawn_with_their_joints(example, write_coco, tmp_path):
    from densezoo.types import DatasetMeta
    from densezoo.visualization.overlay import LEFT, RIGHT

    image = np.zeros((60, 80, 3), np.uint8)
    box, joints = np.array([[10.0, 10.0, 40.0, 30.0]]), np.array([[[12.0, 14.0, 1.0], [36.0, 26.0, 1.0]]])
    meta = DatasetMeta(keypoint_names=("left_eye", "right_eye"), skeleton=((0, 1),), flip_pairs=((0, 1),))
    with_joints, without = (example.draw(image, box, ["person"], given, meta) for given in (joints, None))
    for colour in (LEFT, RIGHT):
        assert (with_joints == colour).all(-1).any()
        assert not (without == colour).all(-1).any()
    person = {"iscrowd": 0, "area": 600, "bbox": [10, 10, 30, 20], "category_id": 7, "image_id": 1, "id": 1}
    keypoints = {"keypoints": [12, 14, 2, 36, 26, 2], "num_keypoints": 2}
    category = {"id": 7, "name": "person", "keypoints": ["left_eye", "right_eye"], "skeleton": [[1, 2]]}
    write_coco([{"id": 1, "file_name": "1.png", "height": 60, "width": 80}], [{**person, **keypoints}], [category])
    words = ["--annotations", str(tmp_path / "file.json"), "--images", str(tmp_path / "images"), "--steps", "1"]
    words += ["--batch-size", "1", "--size", "64", "--detector", "KeypointRCNN"]
    example.main([*words, "--picture", str(tmp_path / "found.png")])
    picture = cv2.imread(str(tmp_path / "found.png"))[..., ::-1]
    assert (np.abs(picture[:, : picture.shape[1] // 2].astype(int) - LEFT) < 10).all(-1).any()


def test_mistakes_are_one_line(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(sys, "argv", [str(EXAMPLE), "--neck", "Unet", "--data-root", str(tmp_path)])
    with pytest.raises(SystemExit) as exit_:
        runpy.run_path(str(EXAMPLE), run_name="__main__")
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("torchvision_detector: no neck is called 'Unet'; did you mean 'UNet'")
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []  # before anything is drawn


def test_targets_are_torchvisions(example, write_coco, tmp_path):
    from densezoo.datasets.coco_scenes import CocoScenes

    record = {"iscrowd": 0, "area": 600, "bbox": [10, 10, 30, 20], "category_id": 7, "image_id": 1}
    annotations = [
        {**record, "id": 1, "keypoints": [20, 20, 2, 30, 25, 1], "num_keypoints": 2},
        {**record, "id": 2, "keypoints": [0, 0, 0, 0, 0, 0], "num_keypoints": 0},
        {**record, "id": 3, "keypoints": [0, 0, 0, 0, 0, 0], "num_keypoints": 0, "iscrowd": 1},
    ]
    category = {"id": 7, "name": "person", "keypoints": ["nose", "chin"], "skeleton": []}
    images = [{"id": 1, "file_name": "1.png", "height": 60, "width": 80}]
    sample = CocoScenes(**write_coco(images, annotations, [category])).read(0)
    image, target = example.to_torchvision(sample, keypoints=False)
    assert (image.shape, float(image.max())) == ((3, 60, 80), 0.0)
    assert target["labels"].tolist() == [1, 1]
    assert target["boxes"].tolist() == [[10, 10, 40, 30]] * 2
    image, target = example.to_torchvision(sample, keypoints=True)
    assert target["keypoints"].tolist() == [[[20, 20, 2], [30, 25, 1]]]
    assert torch.equal(target["labels"], torch.tensor([1]))
