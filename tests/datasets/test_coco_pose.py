import json
import pickle

import numpy as np
import pytest

from densezoo.datasets.coco_pose import CocoPose
from densezoo.errors import ConfigError, DataError
from densezoo.registry import DATASETS

BIRD = {"id": 3, "name": "bird", "keypoints": ["left_wing", "right_wing", "tail"], "skeleton": [[1, 3], [2, 3]]}
CAR = {"id": 2, "name": "car"}
SEEN = [10, 12, 2, 20.5, 18, 1, 0, 0, 0]


def image(image_id):
    return {"id": image_id, "file_name": f"{image_id}.png", "height": 40, "width": 60}


def bird(annotation_id, image_id, **changes):
    record = {"id": annotation_id, "image_id": image_id, "category_id": 3, "bbox": [5, 6, 30, 20], "area": 333.5}
    return record | {"iscrowd": 0, "keypoints": SEEN} | changes


@pytest.fixture
def birds(write_coco):
    """Two birds on image 7, on image 8 one without joints, a crowd, a car, one joint and one nowhere; 9 is empty."""
    return write_coco(
        [image(7), image(8), image(9)],
        [
            bird(1, 8, keypoints=[0] * 9),
            bird(2, 8, iscrowd=1),
            bird(3, 7, bbox=[-4, 30, 20, 30]),
            bird(4, 8, keypoints=[10, 12, 2, 0, 0, 0, 0, 0, 0], bbox=[0, 0, 0, 0]),
            {"id": 5, "image_id": 7, "category_id": 2, "bbox": [1, 1, 2, 2]},
            bird(6, 7, bbox=[0, 0, 0, 0], segmentation=[[10, 10, 20, 10, 20, 20]]),
        ],
        [BIRD, CAR],
    )


def test_samples_are_the_labelled_boxed_instances(birds):
    dataset = CocoPose(**birds)
    assert [int(dataset.read(index)["ids"][0]) for index in range(len(dataset))] == [3, 6]
    assert dataset.left_out == {"unlisted_category": 0, "crowd": 1, "few_keypoints": 1, "no_box": 1}
    (line,) = dataset.input_notes()
    assert line == (
        f"{birds['data_root'] / 'file.json'}: 1 crowd (not learned, ignored in evaluation); 1 annotation with too few "
        "keypoints (no samples); 1 annotation without an area in the image (not learned); "
        "1 box reaching out of the image (clipped for learning)"
    )
    assert dataset.meta.keypoint_names == ("left_wing", "right_wing", "tail")
    assert dataset.meta.flip_pairs == ((0, 1),)
    assert dataset.meta.skeleton == ((0, 2), (1, 2))
    assert dataset.meta.sigmas == ()


def test_without_an_area_in_the_file_it_is_a_share_of_the_box(write_coco):
    files = write_coco([image(7)], [bird(1, 7, area=None), bird(2, 7)], [BIRD])
    np.testing.assert_allclose(CocoPose(**files).truth(0)["areas"], [0.53 * 600, 333.5])


def test_a_sample_is_in_the_files_pixels(birds):
    sample = CocoPose(**birds).read(0)
    assert sample["image"].shape == (40, 60, 3)
    assert sample["boxes"].tolist() == [[0, 30, 16, 40]]
    assert sample["frame"].tolist() == [0, 30, 16, 40]
    np.testing.assert_array_equal(sample["keypoints"], np.float32(SEEN).reshape(1, 3, 3))
    np.testing.assert_array_equal(sample["to_original"], np.eye(2, 3))
    assert (sample["labels"].tolist(), sample["crowd"].tolist()) == ([0], [False])
    assert (sample["image_id"], sample["path"]) == (7, str(birds["data_root"] / "images" / "7.png"))
    assert not {"masks", "score", "truth"} & set(sample)
    assert {name: value.dtype for name, value in sample.items() if isinstance(value, np.ndarray)} == {
        "image": np.uint8,
        "boxes": np.float32,
        "frame": np.float32,
        "keypoints": np.float32,
        "ids": np.int64,
        "labels": np.int64,
        "crowd": np.bool_,
        "to_original": np.float64,
    }


def test_indices_of_pixels_are_read_at_the_pixels_centres(birds):
    dataset = CocoPose(**birds, keypoint_shift=0.5)
    corner = [10.5, 12.5, 2, 21, 18.5, 1, 0, 0, 0]
    for opened in (dataset, pickle.loads(pickle.dumps(dataset))):
        np.testing.assert_array_equal(opened.read(0)["keypoints"], np.float32(corner).reshape(1, 3, 3))
        np.testing.assert_array_equal(opened.truth(0)["keypoints"][0], np.float32(corner).reshape(3, 3))
        assert opened.read(1)["boxes"].tolist() == [[10.5, 12.5, 21, 18.5]]
        assert opened.meta.keypoint_shift == 0.5


def test_a_box_without_area_becomes_the_extent_of_the_keypoints(birds):
    assert CocoPose(**birds).read(1)["boxes"].tolist() == [[10, 12, 20.5, 18]]


def test_truth_has_every_instance_of_the_category_as_annotated(birds):
    truth = CocoPose(**birds).truth(0)
    assert truth["ids"].tolist() == [3, 6]
    assert truth["boxes"].tolist() == [[-4, 30, 16, 60], [0, 0, 0, 0]]
    assert truth["areas"].tolist() == [333.5, 333.5]
    assert truth["size"] == (40, 60)
    assert "rles" not in truth
    one_joint = CocoPose(**birds, min_keypoints=0)
    crowded = one_joint.truth(len(one_joint) - 1)
    assert crowded["ids"].tolist() == [1, 2, 4]
    assert crowded["crowd"].tolist() == [False, True, False]
    assert crowded["keypoints"].shape == (3, 3, 3)


def test_masks_where_asked_for(birds):
    dataset = CocoPose(**birds, masks=True)
    assert dataset.read(0)["masks"].sum() == 0
    mask = dataset.read(1)["masks"]
    assert mask.shape == (1, 40, 60)
    assert mask[0, 12, 18] == 1
    assert mask[0, 18, 12] == 0
    assert [rle is None for rle in dataset.truth(0)["rles"]] == [True, False]


def test_birds_of_a_category_that_the_file_does_not_list_are_counted(write_coco):
    where = write_coco([image(7)], [bird(1, 7), bird(2, 7, category_id=33)], [BIRD])
    dataset = CocoPose(**where)
    assert len(dataset) == 1
    assert dataset.truth(0)["ids"].tolist() == [1]
    assert dataset.left_out["unlisted_category"] == 1
    assert "of categories that the file does not list (left out): 33" in dataset.input_notes()[0]


def test_subset_keeps_all_instances_of_an_image_together(write_coco):
    where = write_coco([image(k) for k in range(1, 31)], [bird(k, k // 2 + 1) for k in range(60)], [BIRD])
    parts = [CocoPose(**where, subset={"folds": 3, side: [0]}) for side in ("keep", "drop")]
    images = [{part.read(index)["image_id"] for index in range(len(part))} for part in parts]
    assert images[0] | images[1] == set(range(1, 31))
    assert not images[0] & images[1]
    assert len(parts[0]) + len(parts[1]) == 60
    assert 0 < len(parts[0]) < len(parts[1])


def test_detections_make_samples_with_a_score(birds):
    found = [
        {"image_id": 8, "category_id": 3, "bbox": [50, 10, 30, 10], "score": 0.25},
        {"image_id": 7, "category_id": 3, "bbox": [1, 2, 3, 4], "score": 0.5},
        {"image_id": 7, "category_id": 2, "bbox": [1, 2, 3, 4], "score": 0.5},
        {"image_id": 77, "category_id": 3, "bbox": [1, 2, 3, 4], "score": 0.5},
        {"image_id": 7, "category_id": 3, "bbox": [70, 2, 3, 4], "score": 0.5},
    ]
    (birds["data_root"] / "found.json").write_text(json.dumps(found))
    dataset = CocoPose(**birds, boxes="found.json")
    assert len(dataset) == 2
    assert dataset.left_out == {"unknown_image": 1, "other_category": 1, "no_box": 1}
    assert dataset.input_notes() == [
        f"{birds['data_root'] / 'found.json'}: 1 detection of images that the annotations do not know (left out); "
        "1 detection of another category (left out); 1 detection without an area in the image (not learned)"
    ]
    sample = dataset.read(0)
    assert (sample["image_id"], sample["score"], sample["frame"].tolist()) == (8, 0.25, [50, 10, 60, 20])
    assert not {"ids", "keypoints"} & set(sample)
    assert dataset.truth(0)["ids"].tolist() == [1, 2, 4]
    assert list(dataset.truths_without_samples()) == []
    assert pickle.loads(pickle.dumps(dataset)).read(1)["image_id"] == 7
    (birds["data_root"] / "found.json").write_text(json.dumps(found[:1]))
    missed = dict(CocoPose(**birds, boxes="found.json").truths_without_samples())
    assert {image_id: truth["ids"].tolist() for image_id, truth in missed.items()} == {7: [3, 6]}


def test_a_dataset_pickles_without_its_annotations(write_coco):
    segmentation = [[float(k % 50) for k in range(400)]]
    where = write_coco([image(1)], [bird(k, 1, segmentation=segmentation) for k in range(500)], [BIRD])
    dataset = CocoPose(**where, masks=True)
    data = pickle.dumps(dataset)
    assert len(data) < 4 * 500 + 3000
    again = pickle.loads(data)
    assert again.meta == dataset.meta
    np.testing.assert_array_equal(again.read(499)["masks"], dataset.read(499)["masks"])


def test_the_category_must_be_clear(write_coco):
    fish = {"id": 4, "name": "fish", "keypoints": ["eye", "fin", "tail"], "skeleton": []}
    where = write_coco([image(1)], [bird(1, 1), bird(2, 1, category_id=4)], [BIRD, CAR, fish])
    with pytest.raises(ConfigError, match="keypoints for 'bird', 'fish': say which"):
        CocoPose(**where)
    assert CocoPose(**where, category="fish").read(0)["ids"].tolist() == [2]
    with pytest.raises(ConfigError, match="'car' has no keypoints; known: 'bird', 'fish'"):
        CocoPose(**where, category="car")
    with pytest.raises(ConfigError, match="'brid' does not exist; did you mean 'bird'"):
        CocoPose(**where, category="brid")
    with pytest.raises(DataError, match="no category has 'keypoints'"):
        CocoPose(**write_coco([image(1)], [], [CAR], "cars.json"))


def test_arguments_that_do_not_fit_the_file(birds):
    with pytest.raises(ConfigError, match=r"num_keypoints is 17, but category 'bird' of .*file\.json has 3"):
        CocoPose(**birds, num_keypoints=17)
    assert CocoPose(**birds, num_keypoints=3, sigmas=[0.1] * 3).meta.sigmas == (0.1,) * 3
    with pytest.raises(DataError, match=r"there is no folder .*nowhere"):
        CocoPose(**birds | {"images": "nowhere"})
    with pytest.raises(DataError, match=r"gone\.json: No such file"):
        CocoPose(**birds | {"annotations": "gone.json"})
    with pytest.raises(ConfigError, match="did you mean 'min_keypoints'"):
        DATASETS.build({"type": "CocoPose", **birds, "min_keypoint": 3})


def test_nothing_left_is_an_error(birds, write_coco):
    with pytest.raises(DataError, match=r"no sample is left on 3 images.*min_keypoints=4"):
        CocoPose(**birds, min_keypoints=4)
    with pytest.raises(DataError, match="'images' is empty"):
        CocoPose(**write_coco([], [], [BIRD], "empty.json"))
    with pytest.raises(DataError, match="none of its 3 images is in subset"):
        CocoPose(**birds, subset={"folds": 10**6, "keep": [0]})
    with pytest.raises(ConfigError, match="masks=True, but no annotation"):
        CocoPose(**write_coco([image(1)], [bird(1, 1)], [BIRD], "plain.json"), masks=True)


def test_a_bad_image_is_named_when_it_is_read(birds):
    dataset = CocoPose(**birds)
    path = birds["data_root"] / "images" / "7.png"
    path.write_bytes(b"")
    with pytest.raises(DataError, match=r"7\.png"):
        dataset.read(0)
    path.unlink()
    with pytest.raises(DataError, match=r"7\.png: .*No such file"):
        dataset.read(0)
    with pytest.raises(IndexError):
        dataset.read(len(dataset))


def test_an_image_of_another_size_is_refused(birds, write_coco):
    where = write_coco([image(7) | {"width": 61}], [bird(1, 7)], [BIRD], "wider.json")
    with pytest.raises(DataError, match=r"7\.png: the image has 60x40 pixels, but .*wider\.json says 61x40"):
        CocoPose(**where).read(0)
