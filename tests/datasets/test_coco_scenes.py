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
    assert len(dataset) == 2
    assert dataset.left_out == {"unlisted_category": 0, "other_category": 0, "no_box": 1, "empty": 0}
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
    # where the file names none, all of the box, and 0.53 of it where the category has joints
    np.testing.assert_allclose(truth["areas"], [0.53 * 18, 4, 0])
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


@pytest.fixture
def odd(write_coco):
    """On two images: everything that can be wrong with a box or its category."""
    cars = [
        {"bbox": [0, 0, 2, 2], "area": 4.0},
        {"bbox": [2, 1, 0, 2], "area": 0.0},
        {"bbox": [4, 3, -2, -2]},
        {"bbox": [9, 9, 3, 3], "area": 9.0},
        {"bbox": [3, 1, 9, 2], "area": 18.0},
        {"bbox": [0, 0, 6.4, 4], "area": 25.6},
        {"bbox": [0, 0, 6, 4], "area": 24.0, "iscrowd": 1},
        {"category_id": 7, "bbox": [0, 0, 2, 2]},
        {"category_id": 5, "bbox": [0, 0, 2, 2]},
        {"area": 3.0},
    ]
    annotations = [{"id": number, "image_id": 1, "category_id": 20, **each} for number, each in enumerate(cars)]
    annotations.append({"id": 99, "image_id": 2, "category_id": 4, "bbox": [0, 0, 1, 1]})
    return write_coco([image(1), image(2)], annotations, [CAR])


def test_odd_boxes_are_clipped_or_not_learned_and_always_evaluated_as_annotated(odd):
    dataset = CocoScenes(**odd)
    sample, truth = dataset.read(0), dataset.truth(0)
    assert sample["ids"].tolist() == [0, 4, 5, 6]
    assert sample["boxes"].tolist() == [[0, 0, 2, 2], [3, 1, 6, 3], [0, 0, 6, 4], [0, 0, 6, 4]]
    assert sample["crowd"].tolist() == [False, False, False, True]
    assert truth["ids"].tolist() == [0, 1, 2, 3, 4, 5, 6, 9]
    assert truth["boxes"][[1, 2, 3, 7]].tolist() == [[2, 1, 2, 3], [4, 3, 2, 1], [9, 9, 12, 12], [0, 0, 0, 0]]
    assert truth["areas"].tolist() == pytest.approx([4, 0, 0, 9, 18, 25.6, 24, 3])
    assert dataset.read(1)["boxes"].shape == (0, 4)


def test_what_is_odd_is_counted_and_said_in_one_line(odd):
    dataset = CocoScenes(**odd, keep_empty=False)
    assert dataset.left_out == {"unlisted_category": 3, "other_category": 0, "no_box": 4, "empty": 1}
    path = odd["data_root"] / "file.json"
    assert dataset.input_notes() == [
        f"{path}: 3 annotations of categories that the file does not list (left out): 4, 5, 7; "
        "4 annotations without an area in the image (not learned); 1 image without annotations (left out); "
        "1 box reaching out of the image (clipped for learning); 1 crowd (not learned, ignored in evaluation)"
    ]
    assert CocoScenes(**odd).object_counts().tolist() == [7, 0]
    assert dataset.object_counts().tolist() == [7]


def test_nothing_is_said_of_a_file_in_order(write_coco):
    where = write_coco([image(1)], [{"id": 1, "image_id": 1, "category_id": 20, "bbox": [0, 0, 1, 1]}], [CAR])
    assert CocoScenes(**where).input_notes() == []
    assert CocoScenes(**where).object_counts().tolist() == [1]


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


def test_only_the_categories_that_are_asked_for(scene, write_coco):
    every, birds = CocoScenes(**scene), CocoScenes(**scene, categories=["bird"])
    assert (birds.meta.classes, birds.meta.category_ids, birds.meta.num_keypoints) == (("bird",), (30,), 2)
    assert birds.read(0)["ids"].tolist() == [9]
    assert birds.read(0)["labels"].tolist() == birds.truth(0)["labels"].tolist() == [0]
    assert every.read(0)["labels"][every.read(0)["ids"] == 9].tolist() == [1]
    np.testing.assert_array_equal(birds.read(0)["keypoints"], every.read(0)["keypoints"][every.read(0)["ids"] == 9])
    assert birds.object_counts().tolist() == [1, 0]
    assert birds.left_out == {"unlisted_category": 0, "other_category": 2, "no_box": 0, "empty": 0}
    assert "2 annotations of another category (left out)" in birds.input_notes()[0]
    assert len(CocoScenes(**scene, categories=["car", "bird"])) == len(birds) == 2
    assert len(CocoScenes(**scene, categories=["bird"], keep_empty=False)) == 1
    drawn = CocoScenes(**scene, categories=["car"], semantic_from_masks=True)
    assert drawn.meta.semantic_classes == ("background", "car")
    cars = CocoScenes(**scene, categories=["car"], masks=True)
    assert (cars.meta.classes, cars.meta.num_keypoints) == (("car",), 0)
    assert cars.truth(0)["crowd"].tolist() == [True, False]
    assert cars.left_out["no_box"] == 1
    with pytest.raises(ConfigError, match="no category 'brid'; did you mean 'bird'"):
        CocoScenes(**scene, categories=["brid"])
    with pytest.raises(ConfigError, match="must be a list of names"):
        CocoScenes(**scene, categories="bird")


def test_classes_of_one_name_are_told_apart_by_their_ids(write_coco):
    given = write_coco([image(1)], [], [{"id": 3, "name": "cell"}, {"id": 1, "name": "cell"}, {"id": 2, "name": "rod"}])
    assert CocoScenes(**given).meta.classes == ("cell (1)", "rod", "cell (3)")


def test_boxes_that_lie_nowhere_are_none(write_coco):
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1e308, 1, 1e308, 3], "area": 3, "iscrowd": 0}
    scenes = CocoScenes(**write_coco([image(1)], [box], [{"id": 1, "name": "cell"}]))
    assert scenes.left_out["no_box"] == 1
    assert np.isfinite(scenes.truth(0)["boxes"]).all()


def test_masks_that_cannot_be_read_are_counted_where_masks_are_asked_for(write_coco):
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 3], "area": 15, "iscrowd": 0}
    good = {**box, "id": 2, "segmentation": [[1, 1, 6, 1, 6, 4]]}
    given = write_coco([image(1)], [{**box, "segmentation": "no RLE"}, good], [{"id": 1, "name": "cell"}])
    assert CocoScenes(**given).input_notes() == []
    (note,) = CocoScenes(**given, masks=True).input_notes()
    assert note.endswith("1 mask that cannot be read (their images are skipped)")


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
