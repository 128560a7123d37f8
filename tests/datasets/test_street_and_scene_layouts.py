"""CamVid, Cityscapes, ADE20K and Pascal VOC, each from a small archive laid out as its authors' and, where it is there,
from the real one."""

import numpy as np
import pytest
from PIL import Image

from densezoo.datasets.ade20k import Ade20k
from densezoo.datasets.cam_vid import CamVid
from densezoo.datasets.cityscapes import Cityscapes
from densezoo.datasets.pascal_voc import PascalVoc
from densezoo.errors import ConfigError, DataError


def write(path, pixels, palette=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    if palette is not None:
        image.putpalette(palette)
    image.save(path)


def picture(path, size=(2, 4)):
    write(path, np.full((*size, 3), 90, np.uint8))


def labels_of(dataset, index=0):
    return dataset.read(index)["semantic"]


def test_camvid(tmp_path):
    labels = np.array([[0, 1, 10, 11]], np.uint8)
    for part in ("train", "val"):
        picture(tmp_path / f"CamVid/{part}/0001TP_006690.png", (1, 4))
        write(tmp_path / f"CamVid/{part}annot/0001TP_006690.png", labels)
    dataset = CamVid("CamVid", tmp_path)
    assert len(dataset.meta.semantic_classes) == 11
    assert [dataset.meta.semantic_classes[label] for label in (0, 3, 10)] == ["Sky", "Road", "Bicyclist"]
    np.testing.assert_array_equal(labels_of(dataset), [[0, 1, 10, 255]])
    write(tmp_path / "CamVid/valannot/0001TP_006690.png", labels + 1)
    with pytest.raises(DataError, match=r"valannot/0001TP_006690\.png: .* 12 on 1 pixels"):
        CamVid("CamVid", tmp_path, split="val")
    with pytest.raises(ConfigError, match="CamVid has no split 'tset'; did you mean 'test'"):
        CamVid("CamVid", tmp_path, split="tset")


@pytest.mark.parametrize("kind", ["labelIds", "labelTrainIds"])
def test_cityscapes(tmp_path, kind):
    ids = np.array([[0, 7, 8, 10], [33, 28, 29, 24]], np.uint8)
    train_ids = np.array([[255, 0, 1, 255], [18, 15, 255, 11]], np.uint8)
    for city in ("ulm", "bonn"):
        picture(tmp_path / f"leftImg8bit/train/{city}/{city}_000000_000019_leftImg8bit.png")
        for name, pixels in (("labelIds", ids), ("labelTrainIds", train_ids), ("instanceIds", ids)):
            write(tmp_path / f"gtFine/train/{city}/{city}_000000_000019_gtFine_{name}.png", pixels)
    dataset = Cityscapes(".", tmp_path, labels=kind)
    assert len(dataset) == 2
    assert len(dataset.meta.semantic_classes) == 19
    assert dataset.meta.semantic_classes[11] == "person"
    np.testing.assert_array_equal(labels_of(dataset), train_ids)
    assert "bonn" in dataset.read(0)["path"]
    with pytest.raises(ConfigError, match="no labels 'labelIDs'; did you mean 'labelIds'"):
        Cityscapes(".", tmp_path, labels="labelIDs")


def test_ade20k(tmp_path):
    root = tmp_path / "ADEChallengeData2016"
    for part, name in (("training", "ADE_train_00000001"), ("validation", "ADE_val_00000001")):
        picture(root / f"images/{part}/{name}.jpg")
        write(root / f"annotations/{part}/{name}.png", np.array([[0, 1, 2, 150], [3, 3, 0, 1]], np.uint8))
    rows = [f"{number}\t0.01\t10\t2\tthing{number} , other name" for number in range(1, 151)]
    (root / "objectInfo150.txt").write_text("\n".join(["Idx\tRatio\tTrain\tVal\tName", *rows]) + "\n")
    for split in ("train", "val"):
        dataset = Ade20k("ADEChallengeData2016", tmp_path, split=split)
        assert dataset.meta.semantic_classes[::149] == ("thing1", "thing150")
        np.testing.assert_array_equal(labels_of(dataset), [[255, 0, 1, 149], [2, 2, 255, 0]])
    (root / "objectInfo150.txt").write_text("\n".join(rows))
    with pytest.raises(DataError, match="must number 150 classes from 1; it numbers 149"):
        Ade20k("ADEChallengeData2016", tmp_path)
    (root / "objectInfo150.txt").write_text("a\nb c")
    with pytest.raises(DataError, match="is not the table of classes"):
        Ade20k("ADEChallengeData2016", tmp_path)
    (root / "objectInfo150.txt").unlink()
    with pytest.raises(DataError, match=r"objectInfo150\.txt: No such file.* names the classes"):
        Ade20k("ADEChallengeData2016", tmp_path)


def test_pascal_voc(tmp_path):
    root = tmp_path / "VOCdevkit/VOC2012"
    labels = np.array([[0, 1, 20, 255]], np.uint8)
    for name in ("2007_000027", "2007_000032", "2007_000039", "2007_000061"):
        picture(root / f"JPEGImages/{name}.jpg", (1, 4))
    for name in ("2007_000032", "2007_000061"):
        write(root / f"SegmentationClass/{name}.png", labels, palette=[value // 3 for value in range(768)])
    for split, names in (("train", ["2007_000032"]), ("val", ["2007_000061"]), ("trainval", ["2007_000039"])):
        (root / "ImageSets/Segmentation").mkdir(parents=True, exist_ok=True)
        (root / f"ImageSets/Segmentation/{split}.txt").write_text("\n".join(names) + "\n")
    train, val = (PascalVoc("VOCdevkit/VOC2012", tmp_path, split=split) for split in ("train", "val"))
    assert len(train.meta.semantic_classes) == 21
    np.testing.assert_array_equal(labels_of(train), labels)
    assert [data.read(0)["image_id"] for data in (train, val)] == [1, 3]
    with pytest.raises(DataError, match=r"no .*SegmentationClass/2007_000039\.png for .*2007_000039\.jpg"):
        PascalVoc("VOCdevkit/VOC2012", tmp_path, split="trainval")


@pytest.mark.parametrize(
    ("split", "images", "sky"), [("train", 367, 10682767), ("val", 101, None), ("test", 233, None)]
)
def test_the_real_camvid(real_data, split, images, sky):
    if not (real_data / "camvid").is_dir():
        pytest.skip(f"no camvid in {real_data}")
    dataset = CamVid("camvid", real_data, split=split)
    assert len(dataset) == images
    counts = np.zeros(256, np.int64)
    for index in range(0, images, 1 if sky else 20):
        truth = dataset.truth(index)
        assert truth["size"] == (360, 480)
        counts += np.bincount(truth["semantic"].ravel(), minlength=256)
    assert counts[11:255].sum() == 0
    assert (counts[:11] > 0).all()
    if sky:
        assert counts[0] == sky
