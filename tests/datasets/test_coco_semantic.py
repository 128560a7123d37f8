import numpy as np
import pytest
from pycocotools import mask as coco_mask

from densezoo.datasets.coco_scenes import CocoScenes
from densezoo.errors import ConfigError, DataError

SIZE = (6, 8)
CATEGORIES = [{"id": 1, "name": "person"}, {"id": 5, "name": "dog"}, {"id": 9, "name": "tie"}]


def box_mask(left, top, right, bottom):
    mask = np.zeros(SIZE, np.uint8)
    mask[top:bottom, left:right] = 1
    rle = coco_mask.encode(np.asfortranarray(mask))
    return {"size": list(SIZE), "counts": rle["counts"].decode()}


def annotation(number, category, corners, **more):
    left, top, right, bottom = corners
    box = {"bbox": [left, top, right - left, bottom - top], "segmentation": box_mask(*corners)}
    return {"id": number, "image_id": 1, "category_id": category, **box, **more}


@pytest.fixture
def where(write_coco):
    annotations = [
        annotation(1, 9, (2, 2, 3, 4)),  # the smallest, listed first
        annotation(2, 1, (1, 1, 5, 5)),
        annotation(3, 5, (4, 3, 7, 6)),
        annotation(4, 1, (4, 0, 8, 4), iscrowd=1),
    ]
    images = [{"id": number, "file_name": f"{number}.png", "height": SIZE[0], "width": SIZE[1]} for number in (1, 2)]
    return write_coco(images, annotations, CATEGORIES)


def test_smaller_instances_lie_on_top_and_crowds_are_unlabelled(where):
    dataset = CocoScenes(**where, semantic_from_masks=True)
    assert dataset.meta.semantic_classes == ("background", "person", "dog", "tie")
    expected = np.zeros(SIZE, np.uint8)
    expected[0:4, 4:8] = 255
    expected[1:5, 1:5] = 1
    expected[3:6, 4:7] = 2
    expected[2:4, 2:3] = 3
    sample = dataset.read(0)
    np.testing.assert_array_equal(sample["semantic"], expected)
    np.testing.assert_array_equal(dataset.truth(0)["semantic"], expected)
    assert "masks" not in sample
    np.testing.assert_array_equal(dataset.read(1)["semantic"], np.zeros(SIZE, np.uint8))
    both = CocoScenes(**where, semantic_from_masks=True, masks=True).read(0)
    assert both["masks"].shape == (4, *SIZE)
    np.testing.assert_array_equal(both["semantic"], expected)


def test_other_categories_are_background(where):
    dataset = CocoScenes(**where, semantic_from_masks=True, semantic_categories=["tie", "dog"])
    assert dataset.meta.semantic_classes == ("background", "tie", "dog")
    assert dataset.meta.classes == ("person", "dog", "tie")
    expected = np.zeros(SIZE, np.uint8)
    expected[3:6, 4:7] = 2
    expected[2:4, 2:3] = 1
    np.testing.assert_array_equal(dataset.read(0)["semantic"], expected)


def test_of_an_instance_without_a_mask_nothing_is_known_in_its_box(write_coco):
    annotations = [annotation(1, 1, (1, 1, 3, 3)), {**annotation(2, 1, (2, 2, 6, 5)), "segmentation": []}]
    annotations[1]["bbox"] = [2.5, 2.5, 3.2, 2]
    image = {"id": 1, "file_name": "1.png", "height": SIZE[0], "width": SIZE[1]}
    dataset = CocoScenes(**write_coco([image], annotations, CATEGORIES), semantic_from_masks=True)
    expected = np.zeros(SIZE, np.uint8)
    expected[2:5, 2:6] = 255
    expected[1:3, 1:3] = 1
    np.testing.assert_array_equal(dataset.read(0)["semantic"], expected)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"semantic_from_masks": True, "semantic": "maps"}, "choose one"),
        ({"semantic_categories": ["dog"]}, "where semantic_from_masks=True"),
        ({"semantic_from_masks": True, "semantic_categories": ["dgo"]}, "has no 'dgo'; did you mean 'dog'"),
        ({"semantic_from_masks": True, "semantic_categories": ["dog", "dog"]}, "none of them twice"),
        ({"semantic_from_masks": True, "semantic_categories": []}, "must be 1 to 254 names"),
    ],
)
def test_options_that_cannot_be(where, arguments, told):
    with pytest.raises(ConfigError, match=told):
        CocoScenes(**where, **arguments)


def test_files_without_masks_and_damaged_masks(write_coco):
    image = {"id": 1, "file_name": "1.png", "height": SIZE[0], "width": SIZE[1]}
    bare = {**annotation(1, 1, (1, 1, 3, 3)), "segmentation": []}
    with pytest.raises(
        ConfigError, match=r"semantic_from_masks=True, but no annotation of .* set semantic_from_masks=False"
    ):
        CocoScenes(**write_coco([image], [bare], CATEGORIES, "bare.json"), semantic_from_masks=True)
    short = {**bare, "segmentation": {"size": list(SIZE), "counts": [3, 2]}}
    dataset = CocoScenes(**write_coco([image], [short], CATEGORIES, "short.json"), semantic_from_masks=True)
    with pytest.raises(DataError, match="annotation 1: 'segmentation' is malformed"):
        dataset.read(0)


def test_people_of_real_images_cover_what_pycocotools_draws(real_data):
    dataset = CocoScenes(
        "coco_person/annotations/person_test.json",
        "coco_person/images",
        real_data,
        masks=True,
        semantic_from_masks=True,
        semantic_categories=["person"],
    )
    for index in range(0, len(dataset), 16):
        sample = dataset.read(index)
        people = sample["masks"][~sample["crowd"]].any(0)
        crowd = sample["masks"][sample["crowd"]].any(0) & ~people
        np.testing.assert_array_equal(sample["semantic"], np.where(people, 1, np.where(crowd, 255, 0)))
