import json
import pickle

import numpy as np
import pytest

from densezoo.datasets.annotations import AnnotationStore
from densezoo.datasets.array_cache import open_columns
from densezoo.datasets.coco_parser.masks import narrowed
from densezoo.errors import DataError


def image(image_id, **changes):
    return {"id": image_id, "file_name": f"{image_id}.png", "height": 40, "width": 60, **changes}


def annotation(annotation_id, image_id, **changes):
    return {"id": annotation_id, "image_id": image_id, "category_id": 1, "bbox": [1, 2, 3, 4], **changes}


CATEGORY = {"id": 1, "name": "cat", "keypoints": ["nose", "tail"], "skeleton": [[1, 2]]}


@pytest.fixture
def open_store(tmp_path):
    def make(images, annotations, categories=(CATEGORY,)):
        path = tmp_path / "file.json"
        path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": list(categories)}))
        return AnnotationStore(path)

    return make


def test_annotations_are_grouped_by_image_and_keep_their_order(open_store):
    store = open_store(
        [image(30), image(10, file_name="größe.png"), image(20)],
        [annotation(5, 10), annotation(1, 30), annotation(4, 10), annotation(3, 30)],
    )
    ids = [store.columns["ids"][store.rows_of_image(row)].tolist() for row in range(3)]
    assert ids == [[1, 3], [5, 4], []]
    assert [store.file_name(row) for row in range(3)] == ["30.png", "größe.png", "20.png"]
    assert store.image_rows_of(np.array([20, 10, 11, 30, 99])).tolist() == [2, 1, -1, 0, -1]
    assert store.image_size(0) == (40, 60)
    assert store.num_images == 3


def test_labels_follow_the_category_ids_not_the_file(open_store):
    categories = [{"id": 7, "name": "b"}, {"id": 2, "name": "a"}]
    store = open_store([image(1)], [annotation(1, 1, category_id=7), annotation(2, 1, category_id=2)], categories)
    assert [category["name"] for category in store.categories] == ["a", "b"]
    assert store.columns["labels"].tolist() == [1, 0]


def test_annotations_of_categories_that_the_file_does_not_list_are_passed_over(open_store):
    segmentation = [[0, 0, 9, 0, 9, 9]]
    store = open_store(
        [image(3), image(7)],
        [
            annotation(1, 7, category_id=5, segmentation=segmentation),
            annotation(2, 7, bbox=[5, 6, 7, 8], segmentation=segmentation),
            annotation(3, 3, category_id=-1, keypoints="what an unknown thing has is not looked at"),
            annotation(4, 3),
            annotation(5, 7, category_id=5),
        ],
    )
    assert store.columns["ids"].tolist() == [4, 2]
    assert store.columns["boxes"].tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert store.columns["mask_parts"].tolist() == [0, 0, 1]
    assert store.columns["unlisted_rows"].tolist() == [1, 0, 1]
    assert store.columns["unlisted_categories"].tolist() == [5, -1, 5]


def test_missing_fields_have_defaults(open_store):
    bare = {"id": 1, "image_id": 1, "category_id": 1}
    full = annotation(2, 1, iscrowd=1, area=2.5, keypoints=[1.5, 2, 2, 3, 4, 0], bbox=[0.1, 0.2, 0.3, 0.4])
    store = open_store([image(1)], [bare, full, annotation(3, 1, bbox=None, keypoints=[], area=None, iscrowd=None)])
    assert np.isnan(store.columns["boxes"][[0, 2]]).all()
    assert store.columns["boxes"][1].tolist() == [0.1, 0.2, 0.3, 0.4]
    assert store.columns["crowd"].tolist() == [False, True, False]
    assert np.isnan(store.columns["areas"]).tolist() == [True, False, True]
    assert store.columns["labelled"].tolist() == [0, 1, 0]
    keypoints = store.keypoints(np.arange(3), 2)
    assert keypoints.tolist() == [[[0, 0, 0]] * 2, [[1.5, 2, 2], [3, 4, 0]], [[0, 0, 0]] * 2]
    assert keypoints.dtype == np.float32


def test_keypoints_of_a_category_without_names_are_not_stored(open_store):
    cat, car = CATEGORY, {"id": 2, "name": "car"}
    odd = [annotation(index, 1, category_id=2, keypoints=values) for index, values in enumerate(([1, 2, 2], "?", []))]
    store = open_store([image(1)], [*odd, annotation(7, 1, keypoints=[1, 2, 2, 3, 4, 1])], [cat, car])
    assert store.columns["keypoint_ends"].tolist() == [0, 0, 0, 0, 2]
    assert store.columns["labelled"].tolist() == [0, 0, 0, 2]


def test_usable_boxes_are_clipped_or_made_of_keypoints(open_store):
    seen = [10, 5, 2, 70, 20, 1]
    store = open_store(
        [image(1)],
        [
            annotation(1, 1, bbox=[-5, 30, 20, 20]),
            annotation(2, 1, bbox=[0, 0, 0, 10], keypoints=seen),
            annotation(3, 1, bbox=[100, 0, 10, 10], keypoints=seen),
            annotation(4, 1, bbox=None, keypoints=[10, 5, 2, 30, 20, 0]),
            annotation(5, 1, bbox=[3, 3, -2, 5]),
        ],
    )
    assert store.usable_boxes(np.arange(5)).tolist() == [
        [0, 30, 15, 40],
        [10, 5, 60, 20],
        [10, 5, 60, 20],
        [0, 0, 0, 0],
        [0, 0, 0, 0],
    ]
    assert store.boxes(np.array([0])).tolist() == [[-5, 30, 15, 50]]
    assert store.usable_boxes(np.arange(0)).shape == (0, 4)


def test_a_store_pickles_as_its_path(open_store):
    annotations = [annotation(index, 1, segmentation=[[0, 0, 9, 0, 9, 9] * 50]) for index in range(200)]
    store = open_store([image(1)], annotations)
    data = pickle.dumps(store)
    assert len(data) < 1000
    again = pickle.loads(data)
    assert again.columns["ids"].tolist() == list(range(200))
    assert isinstance(again.columns["coordinates"].base, np.memmap)


def test_an_empty_file_and_images_without_annotations(open_store):
    store = open_store([image(1), image(2)], [])
    assert store.rows_of_image(1).tolist() == []
    assert open_store([], []).image_rows_of(np.array([1, 2])).tolist() == [-1, -1]


def test_float32_only_where_it_loses_nothing():
    cents = np.random.default_rng(0).integers(0, 1_000_000, 3_000_000) / 100
    kept = narrowed(cents)
    assert kept.dtype == np.float32
    np.testing.assert_array_equal(np.round(kept.astype(np.float64), 2), cents)
    cents[2_500_000] = 1 / 3
    assert narrowed(cents) is cents


@pytest.mark.parametrize(
    ("images", "annotations", "message"),
    [
        ([image(1), image(1)], [], "image id 1 occurs 2 times"),
        ([image(1)], [annotation(4, 1), annotation(4, 1)], "annotation id 4 occurs 2 times"),
        ([image(1)], [annotation(4, 2)], "annotation 4: 'image_id' 2 is not the id of any image"),
        (
            [image(1)],
            [annotation(4, 1, category_id=9)],
            r"no annotation has a category of the file: annotation 4 has 'category_id' 9, .*'categories' are \[1\]; m",
        ),
        (
            [image(1)],
            [annotation(4, 1, category_id="1")],
            "annotation 4: 'category_id' must be a whole number, not '1'",
        ),
        ([image(1)], [annotation(4, 1, keypoints=[1, 2, 2])], "annotation 4: 'keypoints' has 3 numbers.* 'cat' .*6"),
        ([image(1)], [annotation(4, 1, keypoints=[1, 2, 2, 1, 2, 7])], r"annotation 4: 'keypoints' has \[1.0, 2.0, 7"),
        ([image(1)], [annotation(4, 1, keypoints=[1, None, 2, 1, 2, 0])], "annotation 4: 'keypoints' must be"),
        ([image(1)], [annotation(4, 1, keypoints=5)], "annotation 4: 'keypoints' must be"),
        ([image(1)], [annotation(4, 1, bbox=[1, 2, 3])], r"annotation 4: 'bbox' must be four .*\[1.0, 2.0, 3.0\]"),
        ([image(1)], [annotation(4, 1, bbox="1234")], "annotation 4: 'bbox' must be four"),
        ([image(1)], [annotation(4, 1, area="big")], "annotation 4: 'area' must be a number, not 'big'"),
        ([image(1)], [annotation(4, 1, iscrowd="yes")], "annotation 4: 'iscrowd' must be 0 or 1"),
        ([image(1)], [annotation("4", 1)], r"annotations\[0\]: 'id' must be a whole number, not '4'"),
        ([image(1)], [{"id": 4, "category_id": 1}], r"annotations\[0\]: 'image_id' must be .* not nothing"),
        ([image(1)], [7], r"annotations\[0\] must be an object, not 7"),
        ([image(2**70)], [], r"images\[0\]: 'id' must be a whole number"),
        ([image(1, width=0)], [], "image 1: 'width' is 0"),
        ([image(1, file_name=None)], [], "image 1: 'file_name' must be"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused_with_the_place(open_store, images, annotations, message):
    with pytest.raises(DataError, match=rf"file\.json: {message}"):
        open_store(images, annotations)


@pytest.mark.parametrize(
    ("category", "message"),
    [
        ({"name": "cat"}, r"categories\[0\]: 'id' must be"),
        ({"id": 1}, r"categories\[0\]: 'name' must be a string"),
        ({"id": 1, "name": "cat", "keypoints": [1, 2]}, "category 'cat': 'keypoints' must be a list of names"),
        ({"id": 1, "name": "cat", "keypoints": 2}, "category 'cat': 'keypoints' must be a list of names"),
        ({"id": 1, "name": "cat", "keypoints": ["a"], "skeleton": [[1]]}, "category 'cat': 'skeleton' must be"),
    ],
)
def test_a_category_without_sense(open_store, category, message):
    with pytest.raises(DataError, match=message):
        open_store([image(1)], [], [category])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"images": [],\n "annotations": [,]}', "broken JSON at line 2, column 18"),
        ("", "broken JSON at line 1, column 1"),
        ('{"images": [], "annotations": []}', "'categories' is missing"),
        ('{"images": {}, "annotations": [], "categories": []}', "'images' is no list"),
        ("[]", "holds a list .*'boxes='"),
        ("[" * 100_000, "nested too deeply"),
        ("\xff", "not text in UTF-8"),
    ],
)
def test_a_file_that_is_no_coco_json(tmp_path, text, message):
    path = tmp_path / "file.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=rf"file\.json: .*{message}"):
        AnnotationStore(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_id": None}, r"detection \[0\]: 'image_id' must be"),
        ({"bbox": [1, 2, 3]}, r"detection \[0\]: 'bbox' must be"),
        ({"bbox": [1, 2, 3, float("nan")]}, r"detection \[0\]: 'bbox' must be"),
        ({"score": "high"}, r"detection \[0\]: 'score' must be a number, not 'high'"),
    ],
)
def test_a_broken_detection_is_named(tmp_path, change, message):
    record = {"image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1], "score": 0.5} | change
    (tmp_path / "found.json").write_text(json.dumps([record]))
    with pytest.raises(DataError, match=message):
        open_columns(tmp_path / "found.json", "detections")


def test_annotations_are_no_detections(tmp_path):
    (tmp_path / "found.json").write_text("{}")
    with pytest.raises(DataError, match="detections are a list"):
        open_columns(tmp_path / "found.json", "detections")
