import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest

from densezoo.contracts import Dataset
from densezoo.datasets.narrowed import build_source
from densezoo.datasets.synthetic import Synthetic
from densezoo.errors import ConfigError, DataError
from densezoo.registry import DATASETS


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DENSEZOO_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield tmp_path_factory.mktemp("root")


def _build(root: Path, **arguments) -> Synthetic:
    return DATASETS.build({"type": "Synthetic", "num_images": 10, "size": 64, **arguments}, data_root=root)


def test_made_on_first_use_with_one_word_about_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DENSEZOO_CACHE", str(tmp_path / "cache"))
    first = _build(tmp_path)
    said = capsys.readouterr()
    assert str(first.folder) in said.err
    assert said.out == ""
    _build(tmp_path)
    assert capsys.readouterr().err == ""


def test_pose_gives_one_person_with_cocos_keypoints(root):
    people = _build(root)
    assert isinstance(people, Dataset)
    assert people.meta.classes == ("person",)
    assert people.meta.num_keypoints == len(people.meta.sigmas) == 17
    assert (5, 6) in people.meta.flip_pairs
    for index in range(len(people)):
        sample = people.read(index)
        assert sample["image"].shape == (64, 64, 3)
        assert sample["keypoints"].shape == (1, 17, 3)
        np.testing.assert_array_equal(sample["frame"], sample["boxes"][0])
        truth = people.truth(index)
        row = truth["ids"].tolist().index(sample["ids"][0])
        np.testing.assert_array_equal(truth["keypoints"][row], sample["keypoints"][0])


def test_scenes_give_every_object_with_mask_and_semantic_map(root):
    scenes = _build(root, view="scenes", masks=True, semantic=True)
    assert len(scenes) == 10
    assert scenes.meta.classes == ("person", "ellipse", "rectangle", "triangle", "star")
    assert scenes.meta.semantic_classes == ("background", *scenes.meta.classes)
    assert _build(root, view="scenes").meta.semantic_classes == ()
    for index in range(10):
        sample = scenes.read(index)
        painted = np.zeros((64, 64), np.uint8)
        for label, mask in zip(sample["labels"], sample["masks"], strict=True):
            painted[mask > 0] = label + 1
        np.testing.assert_array_equal(painted, sample["semantic"])
        np.testing.assert_array_equal(sample["keypoints"][:, :, 2].any(1), sample["labels"] == 0)
        assert len(scenes.truth(index)["rles"]) == len(sample["ids"])
        np.testing.assert_array_equal(scenes.truth(index)["semantic"], painted)


def test_objects_are_counted(root):
    scenes = _build(root, view="scenes")
    assert scenes.object_counts().tolist() == [len(scenes.read(index)["ids"]) for index in range(10)]
    assert not _build(root).object_counts().any()


def test_masks_that_are_not_read_are_no_annotation_to_learn_from(root):
    config = {"type": "Synthetic", "num_images": 10, "size": 64, "view": "scenes", "only": ["boxes", "masks"]}
    with pytest.raises(ConfigError, match=r"has no masks; .* masks=True"):
        build_source(config, root)
    assert "masks" in build_source(config | {"masks": True}, root).read(0)


def test_images_are_rgb_as_drawn(root):
    sample = _build(root).read(0)
    stored = cv2.imread(sample["path"])
    np.testing.assert_array_equal(sample["image"], stored[..., ::-1])


def test_splits_and_seeds_share_no_folder(root):
    folders = {
        _build(root, **change).folder
        for change in (
            {},
            {"split": "val"},
            {"split": "test"},
            {"seed": 1},
            {"size": (64, 96)},
            {"max_people": 1},
            {"difficulty": 0},
        )
    }
    assert len(folders) == 7
    assert _build(root, size=(64, 96)).read(0)["image"].shape == (64, 96, 3)


def test_a_subset_and_its_complement_share_no_image(root):
    kept, dropped = (_build(root, subset={"folds": 3, side: [0]}) for side in ("keep", "drop"))
    images = [{data.read(index)["image_id"] for index in range(len(data))} for data in (kept, dropped)]
    assert images[0]
    assert images[1]
    assert not images[0] & images[1]
    assert len(kept) + len(dropped) == len(_build(root))


def test_a_pickled_set_reads_the_same(root):
    people = _build(root)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(people)).read(3)["image"], people.read(3)["image"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"view": "boxes"}, "view"),
        ({"semantic": True}, "semantic"),
        ({"size": (64, 64, 3)}, "size"),
        ({"size": 8}, "size"),
        ({"split": "trainval"}, "split"),
        ({"num_image": 3}, "num_images"),
    ],
)
def test_impossible_arguments_are_config_errors(root, change, message):
    with pytest.raises(ConfigError, match=message):
        _build(root, **change)


def test_a_missing_image_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("DENSEZOO_CACHE", str(tmp_path / "cache"))
    people = _build(tmp_path, num_images=2)
    picture = people.folder / "images" / "000000.jpg"
    picture.unlink()
    with pytest.raises(DataError, match=r"000000\.jpg"):
        people.read(0)
