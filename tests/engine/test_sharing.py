import copy
import json

import pytest

from densezoo.engine.config import load_config
from densezoo.engine.intervals import Draws, read_draws, write_draws
from densezoo.engine.sharing import compare, read_test, to_json, to_markdown, to_text
from densezoo.errors import ConfigError


@pytest.fixture
def write_test(tiny_config, tmp_path):
    """Write what a test command would, of a network with some tasks, and return the folder."""
    config = json.loads(json.dumps(load_config(tiny_config).to_dict()))
    pose = config["tasks"]["pose"]

    def write(name, tasks, scores, drawn=(), image_ids=(1, 2, 3), seconds=60.0, images=24, **changes):
        folder = tmp_path / name
        folder.mkdir()
        known = copy.deepcopy({**config, **changes, "tasks": dict.fromkeys(tasks, pose)})
        training = {"config": known, "epoch": 2, "parameters": 1_500_000, "images": images, "seconds": seconds}
        content = {"scores": scores, "training": training, "tested_config": known}
        (folder / "metrics.json").write_text(json.dumps(content))
        if drawn:
            write_draws(folder / "draws.json", [Draws(list(image_ids), 0, dict(drawn))])
        return folder

    return write


def test_differences_have_the_interval_of_pairs(write_test):
    nan = float("nan")
    shared = write_test(
        "shared",
        ["pose", "other"],
        {"pose/AP": 0.5, "pose/AP/nose": 0.1, "pose/APl": None, "other/AP": 0.25},
        {"pose/AP": [0.1, 0.9, 0.5], "pose/AP/nose": [0.1] * 3, "pose/APl": [nan] * 3},
        loss_weights={"type": "uncertainty"},
    )
    pose = write_test(
        "pose",
        ["pose"],
        {"pose/AP": 0.375, "pose/AP/nose": 0.2, "pose/APl": None},
        {"pose/AP": [0.0, 0.8, 0.4], "pose/AP/nose": [0.3] * 3, "pose/APl": [nan] * 3},
    )
    other = write_test("other", ["other"], {"other/AP": 0.5}, seconds=None)
    found = compare(read_test(shared), {"pose": read_test(pose), "other": read_test(other)})
    assert found.differences == []
    change = found.changes["pose"]["pose/AP"]
    assert (change.single, change.shared, change.difference) == (0.375, 0.5, 0.125)
    assert change.ends == pytest.approx((0.1, 0.1))  # the draws are pairs: both move by as much
    assert found.changes["other"]["other/AP"].ends is None
    assert found.notes == ["other: no intervals; test both with --intervals 1000 to have them"]
    text = to_text(found)
    assert "pose/AP   0.3750  0.5000     +0.1250  +0.1000 to +0.1000" in text
    assert "nose" not in text
    assert "all single ones      3.00 M               48" in text
    assert "|other/AP|0.5000|0.2500|-0.2500|" in to_markdown(found)
    plain = json.loads(json.dumps(to_json(found), allow_nan=False))
    assert plain["tasks"]["pose"]["pose/AP/nose"]["difference"] == pytest.approx(-0.1)
    assert plain["tasks"]["pose"]["pose/APl"]["single"] is None
    assert plain["training"]["shared"] == {"epoch": 2, "parameters": 1_500_000, "images": 24, "seconds": 60.0}


def test_other_budgets_and_data_are_named(write_test):
    shared = read_test(write_test("shared", ["pose", "other"], {"pose/AP": 0.5}))
    single = write_test("pose", ["pose"], {"pose/AP": 0.5}, epochs=9, val_data=None, engine={"best": "pose/AP"})
    found = compare(shared, {"pose": read_test(single)})
    assert "pose: epochs" in found.differences
    assert any(name.startswith("pose: val_data") for name in found.differences)
    assert not any("best" in name or "other" in name for name in found.differences)
    assert "The runs also differ in pose: epochs" in to_text(found)


def test_draws_of_other_images_are_no_pairs(write_test):
    shared = read_test(write_test("shared", ["pose"], {"pose/AP": 0.5}, {"pose/AP": [0.5, 0.5]}))
    for name, more, note in (
        ("images", {"image_ids": [1, 2]}, "since the two tests drew from different images"),
        ("number", {"drawn": {"pose/AP": [0.5]}}, "test both with the same --intervals"),
    ):
        folder = write_test(name, ["pose"], {"pose/AP": 0.5}, **{"drawn": {"pose/AP": [0.5, 0.5]}, **more})
        found = compare(shared, {"pose": read_test(folder)})
        assert found.changes["pose"]["pose/AP"].ends is None
        assert note in found.notes[0]


def test_of_a_list_of_test_sets_the_one_of_the_single_run_counts(write_test):
    joints, boxes, other = ({"type": "Synthetic", "num_images": number} for number in (3, 4, 5))
    drawn = {"pose/AP": [0.5, 0.5]}
    scores = {"pose/AP": 0.5}
    shared = write_test("shared", ["pose", "other"], scores, drawn, val_data=[boxes, joints], test_data=[joints, boxes])
    same = write_test("same", ["pose"], scores, drawn, val_data=joints, test_data=joints)
    found = compare(read_test(shared), {"pose": read_test(same)})
    assert found.differences == found.notes == []
    assert found.changes["pose"]["pose/AP"].ends == (0, 0)
    unlike = write_test("unlike", ["pose"], scores, drawn, val_data=joints, test_data=other)
    found = compare(read_test(shared), {"pose": read_test(unlike)})
    assert {name.split(".")[0] for name in found.differences} == {"pose: test_data"}
    assert found.changes["pose"]["pose/AP"].ends is None  # though the ids are the same
    assert found.notes == ["pose: no intervals, since the two tests are of different data sets"]


@pytest.mark.parametrize("mixed", [False, True])
def test_a_network_on_several_data_sets_is_compared_with_one_on_its_own(write_test, mixed):
    own, other = {"type": "Synthetic", "num_images": 8}, {"type": "Synthetic", "num_images": 9, "only": ["semantic"]}
    train = {"type": "Mixed", "sources": [own, other], "weights": [1, 1]} if mixed else [own, other]
    shared = write_test("shared", ["pose", "other"], {"pose/AP": 0.5}, images=51, train_data=train)
    single = write_test("single", ["pose"], {"pose/AP": 0.375}, train_data=own)
    found = compare(read_test(shared), {"pose": read_test(single)})
    assert found.differences == []
    assert found.notes[0].startswith("pose: 51 training images of all data sets shared, 24 single; how many of them")
    elsewhere = write_test("elsewhere", ["pose"], {"pose/AP": 0.375}, train_data={**own, "num_images": 7})
    assert "pose: train_data" in " ".join(compare(read_test(shared), {"pose": read_test(elsewhere)}).differences)


def test_a_run_that_stopped_early_is_named_with_its_images(write_test):
    shared = read_test(write_test("shared", ["pose", "other"], {"pose/AP": 0.5}))
    single = read_test(write_test("pose", ["pose"], {"pose/AP": 0.5}, images=16))
    found = compare(shared, {"pose": single})
    assert found.differences == ["pose: training images (24 shared, 16 single)"]


def test_folders_without_the_task_or_without_a_record_are_refused(write_test, tmp_path):
    shared = read_test(write_test("shared", ["pose", "other"], {}))
    with pytest.raises(ConfigError, match="has no task 'pos'; did you mean 'pose'"):
        compare(shared, {"pos": shared})
    with pytest.raises(ConfigError, match="is of several tasks"):
        compare(shared, {"pose": shared})
    with pytest.raises(ConfigError, match="is not what densezoo test writes"):
        read_test(tmp_path)
    (tmp_path / "metrics.json").write_text(json.dumps({"scores": {}, "training": {}, "tested_config": {}}))
    with pytest.raises(ConfigError, match="without its run's config"):
        read_test(tmp_path)
    (tmp_path / "draws.json").write_text("[{}]")
    with pytest.raises(ConfigError, match="is not what densezoo test --intervals writes"):
        read_draws(tmp_path / "draws.json")
