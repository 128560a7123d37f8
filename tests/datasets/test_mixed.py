import numpy as np
import pytest

from densezoo.datasets.mixed import Mixed, merge_metas
from densezoo.datasets.narrowed import Narrowed, build_source
from densezoo.engine.loading import collate
from densezoo.errors import ConfigError
from densezoo.tasks.associative_embedding import AssociativeEmbedding
from densezoo.types import DatasetMeta, Grid

SCENES = {"type": "Synthetic", "view": "scenes", "num_images": 4, "size": 48, "semantic": True, "masks": True}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("mixed")


def test_samples_have_the_annotations_of_their_source(root):
    sources = [
        {**SCENES, "only": ["semantic"]},
        {**SCENES, "split": "val", "subset": {"limit": 2}, "only": ["boxes", "keypoints"]},
    ]
    mixed = Mixed(sources, root, weights=[1, 3])
    assert (len(mixed), mixed.lengths, mixed.weights) == (6, [4, 2], [1.0, 3.0])
    first, last = mixed.read(3), mixed.read(4)
    assert {"boxes", "keypoints", "masks"}.isdisjoint(first)
    assert {"semantic", "masks"}.isdisjoint(last)
    assert "semantic" in first
    assert {"boxes", "keypoints", "labels", "ids"} <= set(last)
    whole = [build_source({**SCENES, "split": split}, root) for split in ("train", "val")]
    np.testing.assert_array_equal(first["image"], whole[0].read(3)["image"])
    paths = [whole[1].read(index)["path"] for index in range(4)]
    assert {mixed.read(4)["path"], mixed.read(5)["path"]} < set(paths)
    assert (mixed.meta.classes, mixed.meta.semantic_classes) == (whole[0].meta.classes, whole[0].meta.semantic_classes)
    assert mixed.meta.keypoint_names == whole[1].meta.keypoint_names
    assert mixed.truth(4)["ids"].tolist() == mixed.read(4)["ids"].tolist()
    assert len(mixed.object_counts()) == 6
    assert not mixed.object_counts()[:4].any()  # nobody is to be found there


def test_metas_are_merged_field_by_field():
    body = DatasetMeta(classes=("a",), category_ids=(7,), keypoint_names=("x", "y"), flip_pairs=((0, 1),))
    land = DatasetMeta(category_ids=(1,), semantic_classes=("sky", "sea"))
    for metas in ({"one": body, "two": land}, {"two": land, "one": body}):
        merged = merge_metas(metas)
        assert merged.classes == ("a",)
        assert merged.category_ids == (7,)
        assert merged.keypoint_names == ("x", "y")
        assert merged.flip_pairs == ((0, 1),)
        assert merged.semantic_classes == ("sky", "sea")


@pytest.mark.parametrize(
    ("field", "value"),
    [("classes", ("cat",)), ("keypoint_names", ("tail",)), ("semantic_classes", ("road", "sky"))],
)
def test_contradictions_name_both_sources(field, value):
    one = DatasetMeta(classes=("person",), keypoint_names=("nose",), semantic_classes=("sea",))
    other = DatasetMeta(**{field: value})
    with pytest.raises(ConfigError, match=rf"source 1.*{getattr(one, field)[0]}.*source 2.*{value[0]}.*only="):
        merge_metas({"source 1 (A)": one, "source 2 (B)": other})


def test_the_meaning_goes_with_the_annotation(root):
    meta = build_source({**SCENES, "only": ["boxes", "keypoints"]}, root).meta
    assert meta.semantic_classes == ()
    assert (len(meta.classes), meta.num_keypoints) == (5, 17)
    meta = build_source({**SCENES, "only": ["boxes"]}, root).meta
    assert (meta.keypoint_names, meta.flip_pairs, meta.sigmas, meta.skeleton) == ((), (), (), ())


class People:
    """One class, of which every sample has two instances."""

    meta = DatasetMeta(classes=("person",), keypoint_names=("nose",), keypoint_shift=0.5)

    def __len__(self):
        return 1

    def read(self, _):
        two = {"labels": np.zeros(2, np.int64), "crowd": np.zeros(2, bool), "boxes": np.ones((2, 4), np.float32)}
        return {"image": np.zeros((8, 8, 3), np.uint8), **two, "keypoints": np.full((2, 1, 3), 2, np.float32)}

    def truth(self, _):
        return {"ids": np.arange(2), "rles": [None, None]}


def test_labels_are_left_out_with_the_boxes_whose_classes_they_count():
    one = Narrowed(People(), ["keypoints"])
    assert one.meta == DatasetMeta(keypoint_names=("nose",), keypoint_shift=0.5)
    assert set(one.read(0)) == {"image", "crowd", "keypoints"}
    boxes = Narrowed(People(), ["boxes"])
    assert boxes.meta == DatasetMeta(classes=("person",))
    assert set(boxes.read(0)) == {"image", "crowd", "boxes", "labels"}
    assert set(Narrowed(People(), ["masks"]).read(0)) == {"image"}


@pytest.mark.parametrize("only", [["keypoints"], ["semantic", "masks"]])
def test_a_set_of_several_classes_keeps_its_boxes(root, only):
    with pytest.raises(ConfigError, match=rf"does not say which of the 5 classes {only[-1]} are of; add 'boxes'"):
        build_source({**SCENES, "only": only}, root)


def test_people_without_a_label_are_learned_beside_others_of_several_classes():
    meta = DatasetMeta(classes=("car", "person"), keypoint_names=("nose",))
    task = AssociativeEmbedding(num_keypoints=1, meta=meta)
    whole = {**People().read(0), "labels": np.array([0, 1])}
    batch = collate([Narrowed(People(), ["keypoints"]).read(0), whole])
    heat = task.encode(batch, Grid(size=(8, 8), stride=1))
    assert (heat["maps"]["tags"] > 0).flatten(1).any(1).tolist() == [True, True]
    learned = task._people(batch)[0]
    assert learned.tolist() == [[True, True], [False, True]]


@pytest.mark.parametrize("shifts", [(0.5, 0.0), (0.0, 0.5)])
def test_the_shift_is_that_of_the_first_set_with_keypoints(shifts):
    bare = DatasetMeta(classes=("a",), keypoint_shift=2.0)
    one, two = (DatasetMeta(keypoint_names=("x",), keypoint_shift=shift) for shift in shifts)
    assert merge_metas({"bare": bare, "one": one, "two": two}).keypoint_shift == shifts[0]


@pytest.mark.parametrize(
    ("cfg", "message"),
    [
        ({"sources": []}, "a list of data sets"),
        ({"sources": [{"type": "Mixed", "sources": [SCENES]}]}, "none of them Mixed"),
        ({"sources": [SCENES], "weights": [1, 2]}, "weights must be 1 numbers above 0"),
        ({"sources": [SCENES], "weights": [0]}, "weights must be 1 numbers above 0"),
        ({"sources": [{**SCENES, "only": ["box"]}]}, "no annotation 'box'; did you mean 'boxes'"),
        ({"sources": [{**SCENES, "only": "boxes"}]}, "must be a list of annotations"),
        ({"sources": [{**SCENES, "semantic": False, "only": ["semantic"]}]}, "it has no semantic"),
        ({"sources": [SCENES], "only": ["boxes"]}, "only belongs to its sources"),
    ],
)
def test_what_cannot_be_mixed_is_refused(root, cfg, message):
    with pytest.raises(ConfigError, match=message):
        build_source({"type": "Mixed", **cfg}, root)


def test_a_narrowed_set_says_what_the_whole_one_says():
    class Notes:
        meta = DatasetMeta(classes=("a",))

        def __len__(self):
            return 2

        def input_notes(self):
            return ["odd"]

        def object_counts(self):
            return np.array([3, 4])

        def truths_without_samples(self):
            return [(1, {})]

    one = Narrowed(Notes(), ["boxes"])
    assert one.input_notes() == ["odd"]
    assert one.object_counts().tolist() == [3, 4]
    assert one.truths_without_samples() == [(1, {})]
