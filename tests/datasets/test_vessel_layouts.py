"""DRIVE and CHASE-DB1, from small archives laid out as their authors', and DRIVE from the real files where they are."""

import numpy as np
import pytest
from PIL import Image

from densezoo.datasets.chase_db1 import ChaseDb1
from densezoo.datasets.drive import Drive
from densezoo.errors import DataError

VESSELS = np.array([[0, 255, 255, 0], [0, 0, 255, 0]], np.uint8)
SECOND = np.array([[0, 255, 0, 0], [255, 0, 255, 0]], np.uint8)
VIEW = np.array([[0, 255, 255, 255], [255, 255, 255, 0]], np.uint8)


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def published(root):
    photo = np.full((2, 4, 3), 90, np.uint8)
    for number in (21, 22):
        write(root / f"training/images/{number}_training.tif", photo)
        write(root / f"training/1st_manual/{number}_manual1.gif", VESSELS)
        write(root / f"training/mask/{number}_training_mask.gif", VIEW)
    write(root / "test/images/01_test.tif", photo)
    write(root / "test/1st_manual/01_manual1.gif", VESSELS)
    write(root / "test/2nd_manual/01_manual2.gif", SECOND)
    write(root / "test/mask/01_test_mask.gif", VIEW)


def converted(root):
    photo = np.full((2, 4, 3), 90, np.uint8)
    for part, numbers in (("training", (21, 22)), ("test", ("01",))):
        for number in numbers:
            files = {"images": photo, "vessel": VESSELS, "fov": VIEW, "vessel_2nd": SECOND}
            for folder, pixels in files.items():
                if folder != "vessel_2nd" or part == "test":
                    write(root / f"{part}/{folder}/{number}.png", pixels)


@pytest.mark.parametrize("layout", [published, converted])
def test_drive(tmp_path, layout):
    layout(tmp_path / "DRIVE")
    train, test = Drive("DRIVE", tmp_path), Drive("DRIVE", tmp_path, split="test")
    assert (len(train), len(test)) == (2, 1)
    assert train.meta.semantic_classes == ("background", "vessel")
    expected = np.where(VIEW > 0, VESSELS > 0, 255)
    np.testing.assert_array_equal(train.read(1)["semantic"], expected)
    np.testing.assert_array_equal(test.read(0)["semantic"], expected)
    assert "second_semantic" not in train.truth(0)
    np.testing.assert_array_equal(test.truth(0)["second_semantic"], np.where(VIEW > 0, SECOND > 0, 255))


def test_what_lacks_in_drive_is_named(tmp_path):
    published(tmp_path / "DRIVE")
    (tmp_path / "DRIVE/training/mask/22_training_mask.gif").unlink()
    with pytest.raises(DataError, match=r"no .*22_training_mask\.gif for .*22_training\.tif"):
        Drive("DRIVE", tmp_path)
    with pytest.raises(DataError, match=r"no file fits .*CHASE/training/images/\{name\}_training\.tif; .* holds DRIVE"):
        Drive("CHASE", tmp_path)


@pytest.mark.parametrize("one_bit", [True, False])
def test_chase_db1(tmp_path, one_bit):
    names = [f"{child:02}{eye}" for child in range(1, 15) for eye in "LR"]
    for name in names:
        write(tmp_path / f"Image_{name}.jpg", np.full((2, 4, 3), 90, np.uint8))
        for observer, pixels in (("1st", VESSELS), ("2nd", SECOND)):
            write(tmp_path / f"Image_{name}_{observer}HO.png", pixels > 0 if one_bit else pixels)
    train, test = ChaseDb1(".", tmp_path), ChaseDb1(".", tmp_path, split="test")
    assert [train.read(index)["path"][-7:-4] for index in range(len(train))] == names[:20]
    assert [test.read(index)["path"][-7:-4] for index in range(len(test))] == names[20:]
    assert test.read(0)["image_id"] == 20
    np.testing.assert_array_equal(train.read(0)["semantic"], VESSELS > 0)
    np.testing.assert_array_equal(train.truth(0)["second_semantic"], SECOND > 0)


def test_the_real_drive(real_data):
    if not (real_data / "drive").is_dir():
        pytest.skip(f"no drive in {real_data}")
    train, test = (Drive("drive", real_data, split=split) for split in ("train", "test"))
    assert (len(train), len(test)) == (20, 20)
    truths = [test.truth(index) for index in range(20)]
    assert {truth["size"] for truth in truths} == {(584, 565)}
    first, second = (np.stack([truth[key] for truth in truths]) for key in ("semantic", "second_semantic"))
    inside = first != 255
    np.testing.assert_array_equal(inside, second != 255)
    assert inside.mean() == pytest.approx(0.6867, abs=0.01)
    dice = 2 * ((first == 1) & (second == 1)).sum() / ((first == 1).sum() + (second == 1).sum())
    assert dice == pytest.approx(0.788, abs=0.002)
