import json

import cv2
import numpy as np
import pytest

from densezoo.datasets.coco_scenes import CocoScenes

BOXES = {
    "b": [("WBC", 3, 4, 30, 20), ("RBC", -2, 10, 12, 99)],  # the second reaches beyond two edges
    "a": [("Platelets", 5, 5, 5, 9), ("RBC", 1, 1, 4, 6)],  # the first has no area
    "c": [],
    "d": [("RBC", 2, 2, 9, 9)],
}


@pytest.fixture(scope="module")
def tool(load_tool):
    return load_tool("make_bccd")


@pytest.fixture
def source(tmp_path):
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (tmp_path / "BCCD" / folder).mkdir(parents=True)
    for name, boxes in BOXES.items():
        objects = "".join(
            f"<object><name>{kind}</name><bndbox><xmin>{x}</xmin><ymin>{y}</ymin><xmax>{high_x}</xmax>"
            f"<ymax>{high_y}</ymax></bndbox></object>"
            for kind, x, y, high_x, high_y in boxes
        )
        text = f"<annotation><size><width>40</width><height>30</height></size>{objects}</annotation>"
        (tmp_path / "BCCD/Annotations" / f"{name}.xml").write_text(text)
        cv2.imwrite(str(tmp_path / "BCCD/JPEGImages" / f"{name}.jpg"), np.zeros((30, 40, 3), np.uint8))
    for part, names in (("train", "b a"), ("val", "c"), ("test", "d")):
        (tmp_path / "BCCD/ImageSets/Main" / f"{part}.txt").write_text(names.replace(" ", "\n"))
    return tmp_path


def test_boxes_of_every_part_as_coco_json(tool, source, tmp_path):
    assert tool.main(["--source", str(source), "--out", str(tmp_path / "bccd")]) == 0
    parts = {part: CocoScenes(f"annotations/instances_{part}.json", "images", tmp_path / "bccd")
             for part in ("train", "val", "test")}  # fmt: skip
    train = parts["train"]
    assert train.meta.classes == ("RBC", "WBC", "Platelets")
    assert [len(part) for part in parts.values()] == [2, 1, 1]
    assert train.truth(0)["boxes"].tolist() == [[1, 1, 4, 6]]
    assert train.truth(1)["boxes"].tolist() == [[3, 4, 30, 20], [0, 10, 12, 30]]
    assert train.truth(1)["labels"].tolist() == [1, 0]
    assert train.read(1)["path"].endswith("b.jpg")
    content = json.loads((tmp_path / "bccd/annotations/instances_train.json").read_text())
    assert [each["id"] for each in content["annotations"]] == [1, 2, 3]
    assert content["annotations"][1]["area"] == 27 * 16


def test_nothing_is_written_over_or_from_half_a_set(tool, source, tmp_path, capsys):
    out = tmp_path / "bccd"
    (source / "BCCD/JPEGImages/d.jpg").unlink()
    assert tool.main(["--source", str(source), "--out", str(out)]) == 2
    assert "1 images are missing" in capsys.readouterr().err
    (source / "BCCD/Annotations/a.xml").write_text("<annotation>")
    assert tool.main(["--source", str(source), "--out", str(out)]) == 2
    assert "a.xml is not as BCCD publishes it" in capsys.readouterr().err
    assert tool.main(["--source", str(tmp_path / "none"), "--out", str(out)]) == 2
    assert "must be a clone of BCCD_Dataset" in capsys.readouterr().err
    assert not out.exists()
    assert tool.main(["--source", str(source), "--out", str(source)]) == 2
    assert "is not empty" in capsys.readouterr().err
