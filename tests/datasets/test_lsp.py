from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from densezoo.datasets.lsp import META, Lsp
from densezoo.errors import ConfigError, DataError
from densezoo.registry import DATASETS


def write_images(folder: Path, pattern: str, count: int) -> None:
    folder.mkdir()
    for number in range(1, count + 1):
        image = np.full((20 + number, 30, 3), (10, 20, 30 + number), np.uint8)  # BGR; height and red tell which
        cv2.imwrite(str(folder / "exact.png"), image)  # readers go by what is in a file, not by its name's ending
        (folder / "exact.png").rename(folder / pattern.format(number))


@pytest.fixture
def lsp(tmp_path: Path) -> Path:
    """Four images in the format of lsp_dataset.zip: 3 × 14 × N, flag 1 = hidden."""
    joints = np.zeros((3, 14, 4))
    for person in range(4):
        joints[0, :, person] = 5 + np.arange(14) + person
        joints[1, :, person] = 2 + np.arange(14)
    joints[2, 3, 0] = 1
    savemat(tmp_path / "joints.mat", {"joints": joints})
    write_images(tmp_path / "images", "im{:04d}.jpg", 4)
    return tmp_path


@pytest.fixture
def lspet(tmp_path: Path) -> Path:
    """Three images in the format of lspet_dataset.zip: 14 × 3 × N, flag 1 = labelled; the last person has no label."""
    joints = np.zeros((14, 3, 3))
    joints[:, 0] = 6.25
    joints[:, 1] = 9.5
    joints[:, 2] = 1
    joints[0, :, 0] = 0, -26.10911452, 0  # what the published file has for an unlabelled ankle
    joints[13, :2, 0] = 16.25, 1.5
    joints[:, 2, 2] = 0
    savemat(tmp_path / "joints.mat", {"joints": joints})
    write_images(tmp_path / "images", "im{:05d}.jpg", 3)
    return tmp_path


def test_lsp_inverts_the_flag_and_moves_to_the_corner_frame(lsp: Path) -> None:
    data = DATASETS.build({"type": "Lsp", "annotations": "joints.mat", "images": "images"}, data_root=lsp)
    sample = data.read(0)
    expected = np.stack([4.5 + np.arange(14), 1.5 + np.arange(14), np.full(14, 2)], axis=1)
    expected[3, 2] = 1  # flagged: labelled but hidden
    np.testing.assert_array_equal(sample["keypoints"], expected[None].astype(np.float32))
    np.testing.assert_array_equal(sample["boxes"], [[4.5, 1.5, 17.5, 14.5]])
    np.testing.assert_array_equal(sample["frame"], [4.5, 1.5, 17.5, 14.5])
    assert sample["image_id"] == 1
    assert sample["ids"].tolist() == [1]
    assert Path(sample["path"]).name == "im0001.jpg"
    assert sample["image"].shape == (21, 30, 3)
    assert sample["image"][0, 0].tolist() == [31, 20, 10]
    np.testing.assert_array_equal(sample["to_original"], np.eye(2, 3))
    assert data.left_out == {"no_keypoints": 0}


def test_lsp_first_half_trains_and_second_half_tests(lsp: Path) -> None:
    def image_ids(split: str) -> list[int]:
        data = Lsp(lsp, "joints.mat", "images", split=split)
        return [data.read(index)["image_id"] for index in range(len(data))]

    assert image_ids("train") == [1, 2]
    assert image_ids("test") == [3, 4]
    assert image_ids("all") == [1, 2, 3, 4]


def test_lsp_truth_is_that_of_the_file(lsp: Path) -> None:
    truth = Lsp(lsp, "joints.mat", "images", split="test").truth(1)
    assert truth["ids"].tolist() == [4]
    assert truth["size"] == (24, 30)
    assert truth["areas"].tolist() == [169.0]
    assert truth["crowd"].tolist() == [False]
    assert truth["keypoints"][0, 0].tolist() == [7.5, 1.5, 2]
    assert "head_sizes" not in truth


def test_whole_image_frame_does_not_use_the_ground_truth(lsp: Path) -> None:
    sample = Lsp(lsp, "joints.mat", "images", split="test", frame="image").read(0)
    assert sample["frame"].tolist() == [0, 0, 30, 23]
    assert sample["boxes"].tolist() == [[6.5, 1.5, 19.5, 14.5]]


def test_lspet_flag_means_labelled(lspet: Path) -> None:
    data = Lsp(lspet, "joints.mat", "images")
    assert len(data) == 2
    assert data.left_out == {"no_keypoints": 1}
    assert data.input_notes()[0].endswith("joints.mat: 1 person without labelled keypoints (left out)")
    keypoints = data.read(0)["keypoints"][0]
    assert keypoints[0].tolist() == [0, 0, 0]
    assert keypoints[1].tolist() == [5.75, 9.0, 2]
    assert keypoints[13].tolist() == [15.75, 1.0, 2]
    assert data.read(0)["boxes"].tolist() == [[5.75, 1.0, 15.75, 9.0]]
    assert Path(data.read(1)["path"]).name == "im00002.jpg"
    with pytest.raises(ConfigError, match="training set"):
        Lsp(lspet, "joints.mat", "images", split="test")


def test_subsets_divide_the_split(lsp: Path) -> None:
    def ids(subset: dict[str, object]) -> set[int]:
        try:
            data = Lsp(lsp, "joints.mat", "images", split="all", subset=subset)
        except DataError:  # a fold may be empty
            return set()
        return {int(data.read(index)["ids"][0]) for index in range(len(data))}

    kept, dropped = ids({"folds": 2, "keep": [0]}), ids({"folds": 2, "drop": [0]})
    assert kept | dropped == {1, 2, 3, 4}
    assert not kept & dropped


def test_mirroring_swaps_left_and_right() -> None:
    mirrored = [META.keypoint_names[k] for k in META.flip_order]
    swapped = [name.replace("left", "L").replace("right", "left").replace("L", "right") for name in META.keypoint_names]
    assert mirrored == swapped


@pytest.mark.parametrize("shape", [(3, 16, 5), (14, 3), (2, 14, 5)])
def test_other_shapes_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    (tmp_path / "images").mkdir()
    savemat(tmp_path / "joints.mat", {"joints": np.zeros(shape)})
    with pytest.raises(DataError, match=r"'joints' has shape .*; LSP has \(3, 14, 2000\)"):
        Lsp(tmp_path, "joints.mat", "images")


def test_errors_name_what_to_mend(lsp: Path) -> None:
    with pytest.raises(DataError, match=r"there is no file .*joint\.mat"):
        Lsp(lsp, "joint.mat", "images")
    with pytest.raises(DataError, match=r"there is no folder .*pictures"):
        Lsp(lsp, "joints.mat", "pictures")
    with pytest.raises(ConfigError, match=r"no split 'val'.*subset"):
        Lsp(lsp, "joints.mat", "images", split="val")
    with pytest.raises(ConfigError, match="no frame 'box'"):
        Lsp(lsp, "joints.mat", "images", frame="box")
    (lsp / "images" / "im0002.jpg").unlink()
    with pytest.raises(DataError, match=r"im0002\.jpg"):
        Lsp(lsp, "joints.mat", "images").read(1)
