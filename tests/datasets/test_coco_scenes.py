import cv2
import numpy as np
import pytest

from densezoo.datasets.coco_scenes import CocoScenes
from densezoo.datasets.subset import in_subset
from densezoo.errors import ConfigError, DataError

BIRD = {"id": 30, "name": "bird", "keypoints": ["left_wing", "right_wing"], "skeleton": [[1, 2]]}
CAR = {"id": 20, "name": "car"}
RUNS = {"size": [4, 6], "counts": [3, 2, 19]}


def image(image_id, **changes):
    return {"id": image_id, "file_name": f"{image_id}.png", "height": 4, "width": 6, **changes}


@pytest.fixture
def scene(write_coco):
    return write_coco(
        [image(1), image(2)],
        [
            {"id": 9, "image_id": 1, "category_id": 30, "bbox": [1, 1, 9, 2], "keypoints": [1, 2, 2, 3, 3, 1]},
            {"id": 8, "image_id": 1, "category_id": 20, "bbox": [0, 0, 2, 2], "iscrowd": 1, "segmentation": RUNS},
            {"id": 7, "image_id": 1, "category_id": 20, "bbox": [0, 0, 0, 2]},
        ],
        [BIRD, CAR],
    )


def test_a_scene_has_all_categories_and_crowds(scene):
    dataset = CocoScenes(**scene, masks=True)
    assert (len(dataset), dataset.left_out) == (2, {"no_box": 1, "empty": 0})
    assert (dataset.meta.classes, dataset.meta.category_ids) == (("car", "bird"), (20, 30))
    assert dataset.meta.flip_pairs == ((0, 1),)
    sample = dataset.read(0)
    assert sample["ids"].tolist() == [9, 8]
    assert sample["labels"].tolist() == [1, 0]
    assert sample["crowd"].tolist() == [False, True]
    assert sample["boxes"].tolist() == [[1, 1, 6, 3], [0, 0, 2, 2]]
    assert sample["frame"].tolist() == [0, 0, 6, 4]
    assert sample["whole_image"] is True
    assert sample["keypoints"].tolist() == [[[1, 2, 2], [3, 3, 1]], [[0, 0, 0]] * 2]
    moved = CocoScenes(**scene, keypoint_shift=0.5)
    assert moved.read(0)["keypoints"].tolist() == [[[1.5, 2.5, 2], [3.5, 3.5, 1]], [[0, 0, 0]] * 2]
    assert moved.meta.keypoint_shift == 0.5
    assert np.argwhere(sample["masks"][1]).tolist() == [[0, 1], [3, 0]]
    assert sample["masks"][0].sum() == 0
    truth = dataset.truth(0)
    assert truth["ids"].tolist() == [9, 8, 7]
    assert truth["boxes"][0].tolist() == [1, 1, 10, 3]
    assert truth["areas"].tolist() == [18, 4, 0]
    assert [rle is not None for rle in truth["rles"]] == [False, True, False]


def test_an_image_without_annotations(scene):
    sample = CocoScenes(**scene, masks=True).read(1)
    assert sample["boxes"].shape == (0, 4)
    assert sample["keypoints"].shape == (0, 2, 3)
    assert sample["masks"].shape == (0, 4, 6)
    assert sample["labels"].dtype == np.int64
    assert CocoScenes(**scene).truth(1)["ids"].shape == (0,)
    kept = CocoScenes(**scene, keep_empty=False)
    assert (len(kept), kept.left_out["empty"]) == (1, 1)


def test_without_keypoints_there_are_none(write_coco):
    where = write_coco([image(1)], [{"id": 1, "image_id": 1, "category_id": 20, "bbox": [0, 0, 1, 1]}], [CAR])
    dataset = CocoScenes(**where)
    assert dataset.meta.num_keypoints == 0
    assert "keypoints" not in dataset.read(0)
    assert "keypoints" not in dataset.truth(0)
    assert "masks" not in dataset.read(0)


def test_keypoints_can_be_described_by_the_config(scene, write_coco):
    dataset = CocoScenes(**scene, flip_pairs=[], sigmas=[0.1, 0.2], num_keypoints=2)
    assert (dataset.meta.flip_pairs, dataset.meta.sigmas) == ((), (0.1, 0.2))
    assert (dataset.meta.classes, dataset.meta.category_ids) == (("car", "bird"), (20, 30))
    with pytest.raises(ConfigError, match=r"num_keypoints is 17, but category 'bird' of .* has 2 keypoints"):
        CocoScenes(**scene, num_keypoints=17)
    with pytest.raises(ConfigError, match="sigmas must be 2"):
        CocoScenes(**scene, sigmas=[0.1])
    bare = write_coco([image(1)], [], [CAR], "bare.json")
    with pytest.raises(ConfigError, match="no category has keypoints; take flip_pairs, sigmas out"):
        CocoScenes(**bare, flip_pairs=[], sigmas=[0.1])


def test_annotations_that_only_poses_or_masks_need_do_not_stand_in_the_way_of_boxes(write_coco):
    odd = {"id": 1, "image_id": 1, "category_id": 20, "bbox": [1, 1, 2, 2], "keypoints": [1, 2, 2], "segmentation": 5}
    where = write_coco([image(1)], [odd], [CAR])
    sample = CocoScenes(**where).read(0)
    assert sample["boxes"].tolist() == [[1, 1, 3, 3]]
    assert "keypoints" not in sample


def test_categories_with_different_keypoints_need_a_choice(write_coco):
    fish = {"id": 40, "name": "fish", "keypoints": ["eye", "fin", "tail"], "skeleton": []}
    annotations = [
        {"id": 1, "image_id": 1, "category_id": 40, "bbox": [0, 0, 1, 1], "keypoints": [1] * 9},
        {"id": 2, "image_id": 1, "category_id": 30, "bbox": [0, 0, 1, 1], "keypoints": [2] * 6},
    ]
    where = write_coco([image(1)], annotations, [BIRD, fish])
    with pytest.raises(ConfigError, match="different keypoints for 'bird', 'fish'"):
        CocoScenes(**where)
    sample = CocoScenes(**where, keypoint_category="bird").read(0)
    assert sample["keypoints"].tolist() == [[[0] * 3] * 2, [[2] * 3] * 2]
    with pytest.raises(ConfigError, match="did you mean 'bird'"):
        CocoScenes(**where, keypoint_category="birds")


def test_semantic_maps_by_name_by_entry_and_by_pattern(scene, write_coco):
    labels = np.arange(24, dtype=np.uint8).reshape(4, 6)
    folder = scene["data_root"] / "maps"
    folder.mkdir()
    cv2.imwrite(str(folder / "1.png"), labels)
    cv2.imwrite(str(folder / "2_map.png"), labels + 1)
    plain = CocoScenes(**scene, semantic="maps", semantic_ignore=3)
    semantic = plain.read(0)["semantic"]
    assert semantic[0].tolist() == [0, 1, 2, 255, 4, 5]
    with pytest.raises(DataError, match=r"maps/2\.png"):
        plain.read(1)
    np.testing.assert_array_equal(CocoScenes(**scene, semantic="maps/{stem}_map.png").read(1)["semantic"], labels + 1)
    named = write_coco([image(1), image(2, semantic="2_map.png")], [], [CAR], "named.json")
    dataset = CocoScenes(**named, semantic="maps")
    assert "semantic" not in dataset.read(0)
    np.testing.assert_array_equal(dataset.read(1)["semantic"], labels + 1)


def test_a_malformed_mask_is_an_error_of_the_data(write_coco):
    broken = {"id": 5, "image_id": 1, "category_id": 20, "bbox": [0, 0, 1, 1]}
    broken["segmentation"] = {"size": [4, 6], "counts": [3, 200]}
    where = write_coco([image(1)], [broken], [CAR])
    with pytest.raises(DataError, match=r"file\.json: annotation 5"):
        CocoScenes(**where, masks=True).read(0)
    with pytest.raises(DataError, match="annotation 5"):
        CocoScenes(**where, masks=True).truth(0)
    assert CocoScenes(**where).read(0)["boxes"].tolist() == [[0, 0, 1, 1]]


def test_subsets_and_empty_sets(scene, write_coco):
    part = CocoScenes(**scene, subset={"limit": 1})
    assert [part.read(index)["image_id"] for index in range(len(part))] == [1 + int(in_subset([1, 2], {"limit": 1})[1])]
    with pytest.raises(DataError, match="'images' is empty"):
        CocoScenes(**write_coco([], [], [CAR], "none.json"))
    with pytest.raises(DataError, match="keep_empty=True"):
        CocoScenes(**write_coco([image(1)], [], [CAR], "bare.json"), keep_empty=False)


def test_semantic_classes_name_the_values_and_others_are_errors(scene):
    labels = np.arange(24, dtype=np.uint8).reshape(4, 6) % 4
    labels[0, 0] = 255
    folder = scene["data_root"] / "maps"
    folder.mkdir()
    cv2.imwrite(str(folder / "1.png"), labels)
    cv2.imwrite(str(folder / "2.png"), labels + 5)
    names = ["road", "tree", "sky", "car"]
    dataset = CocoScenes(**scene, semantic="maps", semantic_classes=names)
    assert dataset.meta.semantic_classes == tuple(names)
    np.testing.assert_array_equal(dataset.read(0)["semantic"], labels)
    np.testing.assert_array_equal(dataset.truth(0)["semantic"], labels)
    for read in (dataset.read, dataset.truth):
        with pytest.raises(
            DataError, match=r"maps/2\.png: .*values \[4, 5, 6, 7, 8\], but .* 0 to 3; .*set semantic_ignore"
        ):
            read(1)
    assert "semantic" not in CocoScenes(**scene).truth(0)
    with pytest.raises(ConfigError, match="say where with 'semantic'"):
        CocoScenes(**scene, semantic_classes=names)
