"""Every box, keypoint and mask of real files, against pycocotools' own reading of them."""

import contextlib
import io

import numpy as np
import pytest
from pycocotools.coco import COCO

from densezoo.datasets.annotations import AnnotationStore
from densezoo.datasets.coco_masks import decode_masks
from densezoo.datasets.coco_pose import CocoPose
from densezoo.datasets.coco_scenes import CocoScenes

FILES = [
    "coco_person/annotations/person_train.json",
    "coco_person/annotations/person_test.json",
    "coco_multi/annotations/instances_train2017.json",
    "coco_multi/annotations/instances_val2017.json",
    "lspet/annotations/lspet_test.json",
    "bccd/annotations/instances_train.json",
]


def reference(path):
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(path))


@pytest.fixture(params=FILES)
def both(request, real_data):
    path = real_data / request.param
    if not path.exists():
        pytest.skip(f"no {path}")
    return AnnotationStore(path), reference(path)


def test_every_number_is_that_of_pycocotools(both):
    store, coco = both
    seen = 0
    assert {int(i) for i in store.columns["image_ids"]} == set(coco.imgs)
    for row, image_id in enumerate(store.columns["image_ids"].tolist()):
        info = coco.imgs[image_id]
        assert store.image_size(row) == (info["height"], info["width"])
        assert store.file_name(row) == info["file_name"]
        assert store.semantic_name(row) == info.get("semantic", "")
        rows = store.rows_of_image(row)
        expected = coco.imgToAnns[image_id]
        assert store.columns["ids"][rows].tolist() == [each["id"] for each in expected]
        assert store.columns["boxes"][rows].tolist() == [each["bbox"] for each in expected]
        assert store.columns["areas"][rows].tolist() == [each["area"] for each in expected]
        assert store.columns["crowd"][rows].tolist() == [bool(each["iscrowd"]) for each in expected]
        for one, each in zip(rows, expected, strict=True):
            category = store.categories[store.columns["labels"][one]]
            assert category["id"] == each["category_id"]
            points = np.float32(each.get("keypoints") or []).reshape(-1, 3)
            count = len(category["keypoints"])
            wanted = points if len(points) else np.zeros((count, 3), np.float32)
            np.testing.assert_array_equal(store.keypoints(np.array([one]), count)[0], wanted)
            seen += 1
    assert seen == len(coco.anns)


def test_every_mask_is_that_of_pycocotools(both):
    store, coco = both
    drawn = 0
    for row, image_id in enumerate(store.columns["image_ids"].tolist()):
        for one in store.rows_of_image(row):
            each = coco.anns[int(store.columns["ids"][one])]
            if each.get("segmentation"):
                mask = decode_masks(store, np.array([one]), store.image_size(row))[0]
                np.testing.assert_array_equal(mask, coco.annToMask(each), err_msg=f"image {image_id}")
                drawn += 1
    assert drawn == sum(bool(each.get("segmentation")) for each in coco.anns.values())


@pytest.mark.parametrize(("part", "samples"), [("train", 1633), ("test", 497)])
def test_people_of_coco_person(real_data, part, samples):
    dataset = CocoPose(f"coco_person/annotations/person_{part}.json", "coco_person/images", real_data)
    assert len(dataset) == samples
    coco = reference(real_data / f"coco_person/annotations/person_{part}.json")
    for index in range(0, samples, 97):
        sample = dataset.read(index)
        each = coco.anns[int(sample["ids"][0])]
        np.testing.assert_array_equal(sample["keypoints"][0].ravel(), np.float32(each["keypoints"]))
        x, y, width, height = each["bbox"]
        np.testing.assert_allclose(sample["boxes"][0], [x, y, x + width, y + height], atol=0.02)
        truth = dataset.truth(index)
        assert set(truth["ids"].tolist()) == {other["id"] for other in coco.imgToAnns[each["image_id"]]}


def test_lspet_and_bccd(real_data):
    lspet = CocoPose("lspet/annotations/lspet_test.json", "lspet/images", real_data, num_keypoints=14)
    assert len(lspet) == 1000
    assert len(lspet.meta.flip_pairs) == 6
    assert lspet.meta.sigmas == ()
    cells = CocoScenes("bccd/annotations/instances_val.json", "bccd/images", real_data)
    assert len(cells) == 87
    assert sum(len(cells.read(index)["ids"]) for index in range(87)) == 1137


def test_semantic_maps_of_coco_multi(real_data):
    dataset = CocoScenes(
        "coco_multi/annotations/instances_val2017.json", "coco_multi/images", real_data, semantic="coco_multi"
    )
    mapped = [index for index in range(len(dataset)) if "semantic" in dataset.read(index)]
    assert len(mapped) == 100
    sample = dataset.read(mapped[0])
    assert sample["semantic"].shape == sample["image"].shape[:2]
    assert sample["semantic"].max() > 80
