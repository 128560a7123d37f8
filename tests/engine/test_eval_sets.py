from dataclasses import replace

import pytest

from densezoo.engine import eval_sets
from densezoo.engine.config import load_config
from densezoo.engine.eval_sets import build_eval_sets, parts_of_test
from densezoo.engine.score import score_checkpoint
from densezoo.errors import ConfigError
from densezoo.types import DatasetMeta

TRAINED = DatasetMeta(classes=("a", "b"), keypoint_names=("nose",), semantic_classes=("sky", "sea"))
TASKS = {"pose": {"type": "Pose"}, "boxes": {"type": "Corners"}, "segmentation": {"type": "Segmentation"}}
SETS = {
    "all": TRAINED,
    "posed": DatasetMeta(classes=("a", "b"), keypoint_names=("nose",)),
    "sea": DatasetMeta(semantic_classes=("sky", "sea")),
    "roads": DatasetMeta(semantic_classes=("road",)),
    "bare": DatasetMeta(),
    "joints": DatasetMeta(keypoint_names=("nose",)),
    "boxed": DatasetMeta(classes=("a", "b")),
}


class Bare:
    def __init__(self, meta):
        self.meta = meta


@pytest.fixture(autouse=True)
def _named(monkeypatch):
    monkeypatch.setattr(eval_sets, "build_dataset", lambda cfg, root: Bare(SETS[cfg["type"]]))


def build(data):
    return build_eval_sets(data, "root", TRAINED, TASKS, "val_data")


def test_one_set_is_for_all_tasks_and_of_several_each_for_what_it_is_annotated_for():
    (one,) = build({"type": "all"})
    assert (one.name, one.tasks) == ("val_data", list(TASKS))
    posed, sea = build([{"type": "posed"}, {"type": "sea"}])
    assert (posed.name, posed.tasks) == ("val_data[0]", ["pose", "boxes"])
    assert (sea.name, sea.tasks) == ("val_data[1]", ["segmentation"])
    (alone,) = build([{"type": "all"}])
    assert alone.tasks == list(TASKS)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"type": "posed"}, r"val_data has the semantic classes \[\], the model was trained with \['sky'"),
        ([{"type": "posed"}], "task 'segmentation' reads semantic classes; of .* none has them"),
        ([{"type": "all"}, {"type": "sea"}], r"'segmentation' .* val_data\[0\] and val_data\[1\] has them.*only="),
        ([{"type": "posed"}, {"type": "roads"}], r"val_data\[1\] has the semantic classes \['road'\]"),
        ([{"type": "all"}, {"type": "bare"}], r"val_data\[1\] is annotated for none of the tasks"),
        ([], "an empty list"),
        ({"type": "Mixed"}, "not mixed in evaluation"),
    ],
)
def test_sets_that_do_not_fit_the_tasks_are_refused(data, message):
    with pytest.raises(ConfigError, match=message):
        build(data)


@pytest.mark.parametrize("boxes", [{"type": "Centers"}, {"type": "Centers", "num_keypoints": 0}])
def test_centers_without_keypoints_are_scored_where_there_are_none(boxes):
    tasks = {"pose": {"type": "Pose"}, "boxes": boxes}
    sets = build_eval_sets([{"type": "joints"}, {"type": "boxed"}], "root", TRAINED, tasks, "val_data")
    assert [each.tasks for each in sets] == [["pose"], ["boxes"]]
    (one,) = build_eval_sets({"type": "all"}, "root", SETS["boxed"], {"boxes": boxes}, "val_data")
    assert one.tasks == ["boxes"]
    posed = {"boxes": {**boxes, "num_keypoints": 1}}
    with pytest.raises(ConfigError, match=r"val_data has the keypoint names \[\]"):
        build_eval_sets({"type": "boxed"}, "root", TRAINED, posed, "val_data")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"type": "Mixed", "sources": []}, "test_data: sets are not mixed in evaluation"),
        ([], "test_data is an empty list"),
    ],
)
def test_test_data_is_not_mixed_and_not_empty(tiny_config, tmp_path, data, message):
    config = replace(load_config(tiny_config), test_data=data)
    with pytest.raises(ConfigError, match=message):
        parts_of_test(config, TRAINED)
    with pytest.raises(ConfigError, match=message):
        score_checkpoint(config, tmp_path / "a.pt")


def test_several_sets_are_not_scored_as_one(tiny_config, tmp_path):
    config = replace(load_config(tiny_config), test_data=[{"type": "posed"}, {"type": "sea"}])
    with pytest.raises(ConfigError, match="test_data has 2 data sets, which are scored one by one"):
        score_checkpoint(config, tmp_path / "a.pt")
