"""What every data set must do, on a small archive in the format that it reads."""

import json
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from densezoo.contracts import Dataset
from densezoo.errors import DataError
from densezoo.registry import DATASETS
from densezoo.types import ImageTruth, Sample

SIZE = (40, 60)
# (shape, type) of what is counted by instances; K stands for the number of keypoints
FIELDS = {
    "ids": ((), np.int64),
    "labels": ((), np.int64),
    "boxes": ((4,), np.float32),
    "areas": ((), np.float32),
    "crowd": ((), np.bool_),
    "keypoints": (("K", 3), np.float32),
    "head_sizes": ((), np.float32),
    "masks": (SIZE, np.uint8),
}


def write_images(folder, names):
    (folder / "images").mkdir(exist_ok=True)
    for name in names:
        cv2.imwrite(str(folder / "images" / name), np.full((*SIZE, 3), 90, np.uint8))


def coco(request, **more):
    category = {"id": 4, "name": "bird", "keypoints": ["left_wing", "right_wing"], "skeleton": [[1, 2]]}
    square = [[5, 5, 20, 5, 20, 15, 5, 15]]
    annotations = [
        {"id": 3, "image_id": 1, "category_id": 4, "bbox": [5, 5, 15, 10], "area": 150, "iscrowd": 0,
         "keypoints": [6, 7, 2, 18, 9, 1], "segmentation": square},
        {"id": 2, "image_id": 1, "category_id": 4, "bbox": [1, 2, 9, 9], "keypoints": [3, 4, 2, 0, 0, 0]},
    ]  # fmt: skip
    images = [{"id": 1, "file_name": "1.png", "height": SIZE[0], "width": SIZE[1]}]
    where = request.getfixturevalue("write_coco")(images, annotations, [category])
    return {"annotations": where["annotations"], "images": where["images"], **more}


def lsp(request, folder):
    joints = np.tile(5.0 + np.arange(14), (3, 2, 1)).transpose(0, 2, 1)
    joints[2] = 0
    savemat(folder / "joints.mat", {"joints": joints})
    write_images(folder, ["im0001.jpg", "im0002.jpg"])
    return {"annotations": "joints.mat", "images": "images"}


def flic(request, folder):
    example = {
        "coords": np.full((2, 29), 20.0), "filepath": "a-1.jpg", "torsobox": np.array([[11.0, 5.0, 31.0, 35.0]]),
        "istrain": True, "istest": False,
    }  # fmt: skip
    savemat(folder / "examples.mat", {"examples": request.getfixturevalue("struct_array")([example, example])})
    write_images(folder, ["a-1.jpg"])
    return {"annotations": "examples.mat", "images": "images"}


def mpii(request, folder):
    person = {
        "isValidation": 0.0, "img_paths": "015601864.jpg", "objpos": [30, 20], "scale_provided": 0.2,
        "joint_self": [[10.0 + joint, 12.0, 1.0] for joint in range(16)],
    }  # fmt: skip
    (folder / "mpii_annotations.json").write_text(json.dumps([person, person]))
    write_images(folder, ["015601864.jpg"])
    return {"annotations": "mpii_annotations.json", "images": "images"}


def draw(folder, numbers):
    """Write a photo where the number of a path is None, else a map whose left half is 0, and whose right the number."""
    for path, number in numbers.items():
        path = folder / path
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.full((*SIZE, 3), 90, np.uint8) if number is None else np.zeros(SIZE, np.uint8)
        pixels[:, SIZE[1] // 2 :] = 90 if number is None else number
        Image.fromarray(pixels).save(path)


def label_folders(request, folder):
    draw(folder, {"images/a.png": None, "images/b.png": None, "labels/a.png": 1, "labels/b.png": 1, "labels/c.png": 7})
    return {"images": "images", "labels": "labels", "classes": ["ground", "sky"]}


def cam_vid(request, folder):
    draw(folder, {"train/a.png": None, "trainannot/a.png": 11})
    return {"folder": "."}


def drive(request, folder):
    draw(folder, {"test/images/01_test.tif": None, "test/mask/01_test_mask.gif": 255})
    draw(folder, {"test/1st_manual/01_manual1.gif": 255, "test/2nd_manual/01_manual2.gif": 255})
    return {"folder": ".", "split": "test"}


def chase_db1(request, folder):
    for name in (f"{child}{eye}" for child in range(11, 15) for eye in "LR"):
        draw(folder, {f"Image_{name}.jpg": None, f"Image_{name}_1stHO.png": 255, f"Image_{name}_2ndHO.png": 1})
    return {"folder": ".", "split": "test"}


def cityscapes(request, folder):
    draw(folder, {"leftImg8bit/val/ulm/a_leftImg8bit.png": None, "gtFine/val/ulm/a_gtFine_labelIds.png": 33})
    return {"folder": ".", "split": "val"}


def ade20k(request, folder):
    draw(folder, {"images/training/a.jpg": None, "annotations/training/a.png": 150})
    rows = ["\t".join([str(number), "0", "0", "0", f"thing{number}"]) for number in range(151)]
    (folder / "objectInfo150.txt").write_text("\n".join(rows))
    return {"folder": "."}


def pascal_voc(request, folder):
    draw(folder, {"JPEGImages/a.jpg": None, "JPEGImages/b.jpg": None, "SegmentationClass/b.png": 255})
    (folder / "ImageSets" / "Segmentation").mkdir(parents=True)
    (folder / "ImageSets" / "Segmentation" / "val.txt").write_text("b\n")
    return {"folder": ".", "split": "val"}


def synthetic(request, folder, **more):
    return {"num_images": 2, "size": SIZE, **more}


ARCHIVES = {
    "Ade20k": [ade20k],
    "CamVid": [cam_vid],
    "ChaseDb1": [chase_db1],
    "Cityscapes": [cityscapes],
    "CocoPose": [lambda request, _: coco(request, masks=True)],
    "CocoScenes": [
        lambda request, _: coco(request, masks=True),
        lambda request, _: coco(request, semantic_from_masks=True),
    ],
    "Drive": [drive],
    "Flic": [flic],
    "LabelFolders": [label_folders],
    "Lsp": [lsp, lambda request, folder: lsp(request, folder) | {"frame": "image"}],
    "Mixed": [lambda request, _: {"sources": [{"type": "CocoScenes", **coco(request, masks=True)}] * 2}],
    "Mpii": [mpii],
    "PascalVoc": [pascal_voc],
    "Synthetic": [
        synthetic,
        lambda request, folder: synthetic(request, folder, view="scenes", masks=True, semantic=True),
    ],
    "SyntheticVolumes": [lambda request, folder: synthetic(request, folder, num_slices=8)],
}
"""Registered name to what writes a small archive of 40 x 60 pixels and gives the config that reads it."""


@pytest.fixture
def opened(dataset, tmp_path, monkeypatch, request):
    """Every way to open this kind of data set."""
    monkeypatch.setenv("DENSEZOO_CACHE", str(tmp_path / "cache"))
    assert dataset in ARCHIVES, f"write a small archive for {dataset} in ARCHIVES of this file"
    return [
        DATASETS.build({"type": dataset, **write(request, tmp_path)}, data_root=tmp_path) for write in ARCHIVES[dataset]
    ]


def check_fields(found, num_keypoints):
    assert ("keypoints" in found) == (num_keypoints > 0)
    counts = set()
    for name, (shape, dtype) in FIELDS.items():
        if name in found:
            wanted = tuple(num_keypoints if side == "K" else side for side in shape)
            assert (found[name].shape[1:], found[name].dtype) == (wanted, dtype), name
            counts.add(len(found[name]))
    if counts:  # where nothing is annotated of instances, a sample has none of this
        assert len(counts) == 1
        assert len(set(found["ids"].tolist())) == counts.pop()


def test_samples_and_truth_are_what_the_types_say(opened):
    for data in opened:
        assert isinstance(data, Dataset)
        assert len(data)
        assert len(data.meta.classes) == len(data.meta.category_ids)
        assert len(data.meta.sigmas) in (0, data.meta.num_keypoints)
        assert sorted(data.meta.flip_order) == list(range(data.meta.num_keypoints))
        for index in range(len(data)):
            sample, truth = data.read(index), data.truth(index)
            assert Sample.__required_keys__ <= set(sample) <= set(Sample.__annotations__)
            assert ImageTruth.__required_keys__ <= set(truth) <= set(ImageTruth.__annotations__)
            assert not {"truth", "flipped", "error"} & set(sample)
            check_fields(sample, data.meta.num_keypoints)
            check_fields(truth, data.meta.num_keypoints)
            assert (sample["image"].shape, sample["image"].dtype) == ((*SIZE, 3), np.uint8)
            assert truth["size"] == SIZE
            assert (sample["frame"].shape, sample["frame"].dtype) == ((4,), np.float32)
            assert sample["to_original"].dtype == np.float64
            np.testing.assert_array_equal(sample["to_original"], np.eye(2, 3))
            assert type(sample["image_id"]) is int
            assert Path(sample["path"]).is_file()
            if "semantic" in sample:
                assert (sample["semantic"].shape, sample["semantic"].dtype) == (SIZE, np.uint8)
                np.testing.assert_array_equal(truth["semantic"], sample["semantic"])
                assert set(np.unique(sample["semantic"])) <= {*range(len(data.meta.semantic_classes)), 255}
            if "volume" in sample:
                assert (sample["volume"].shape, sample["volume"].dtype) == (
                    (data.meta.volume_slices[0], *SIZE),
                    np.uint8,
                )
                np.testing.assert_array_equal(truth["volume"], sample["volume"])
            if "second_semantic" in truth:
                assert (truth["second_semantic"].shape, truth["second_semantic"].dtype) == (SIZE, np.uint8)
            if "rles" in truth:
                assert len(truth["rles"]) == len(truth["ids"])
            if sample.get("whole_image", False):
                assert sample["frame"].tolist() == [0, 0, SIZE[1], SIZE[0]]
            else:
                assert len(sample["ids"]) == 1
            for found in (sample, truth) if "ids" in sample else (truth,):
                assert set(found["labels"].tolist()) <= set(range(len(data.meta.classes)))
                assert (found["boxes"][:, 2:] >= found["boxes"][:, :2]).all()
                assert set(found["ids"].tolist()) <= set(truth["ids"].tolist())
            if "keypoints" in sample:
                assert np.isin(sample["keypoints"][..., 2], (0, 1, 2)).all()
                rows = [truth["ids"].tolist().index(each) for each in sample["ids"].tolist()]
                np.testing.assert_array_equal(sample["keypoints"], truth["keypoints"][rows])


def test_what_a_sample_gives_away_can_be_changed(opened):
    for data in opened:
        first = data.read(0)
        for value in first.values():
            if isinstance(value, np.ndarray):
                value[...] = 77
        for name, value in data.read(0).items():
            if isinstance(value, np.ndarray) and name in ("keypoints", "boxes", "frame", "ids", "semantic"):
                assert (value != 77).any(), name


def test_data_sets_travel_to_workers(opened):
    for data in opened:
        again = pickle.loads(pickle.dumps(data))
        assert (len(again), again.meta) == (len(data), data.meta)
        sample = again.read(0)
        for name, value in data.read(0).items():
            np.testing.assert_array_equal(sample[name], value, name)


def test_a_missing_image_is_named(opened):
    for data in opened:
        path = Path(data.read(0)["path"])
        stored = path.read_bytes()
        path.unlink()
        with pytest.raises(DataError, match=path.name):
            data.read(0)
        path.write_bytes(stored)
