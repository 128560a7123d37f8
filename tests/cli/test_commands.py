"""The commands from end to end: a config goes in; a trained model, scores and pictures come out."""

import argparse
import csv
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from densezoo.cli.arguments import add_config
from densezoo.cli.main import COMMANDS, main

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_text):
    """Config and checkpoint of a run that the train command made."""
    folder = tmp_path_factory.mktemp("cli")
    config = folder / "tiny.py"
    config.write_text(tiny_text)
    assert main(["train", str(config), "--work-dir", str(folder / "run"), "--seed", "3", "--amp"]) == 0
    return config, folder / "run" / "checkpoints" / "best.pt"


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_train_records_what_the_command_line_said(trained):
    text = (trained[1].parents[1] / "config.py").read_text()
    assert "seed = 3" in text
    assert "'amp': True" in text


def test_test_prints_a_table_and_writes_results_that_pycocotools_reads(trained, tiny_root, capsys):
    config, checkpoint = trained
    assert (
        main(
            [
                "test",
                str(config),
                str(checkpoint),
                "--flip-test",
                "--baseline",
                "--scales",
                "1",
                "0.5",
                "--intervals",
                "20",
            ]
        )
        == 0
    )
    folder = checkpoint.parents[1] / "test"
    out = capsys.readouterr().out
    assert "pose/PCK@0.2" in out
    assert "baseline" in out
    assert files(folder) == ["curves.png", "draws.json", "metrics.json", "per_image.csv", "predictions.json"]
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["flip_test"] is True
    assert metrics["scales"] == [1, 0.5]
    low, high = metrics["intervals"]["pose/PCK@0.2"]
    assert low <= metrics["scores"]["pose/PCK@0.2"] <= high
    assert "interval of 95 %" in out
    assert 0 <= metrics["baseline"]["pose/PCK@0.2"] <= 1
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    annotations = next(tiny_root.glob("synthetic/*val*/annotations/val.json"))
    truth = COCO(str(annotations))
    found = truth.loadRes(str(folder / "predictions.json"))
    evaluation = COCOeval(truth, found, "keypoints")
    evaluation.params.catIds = [1]  # shapes have no keypoints
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(metrics["scores"]["pose/AP"], abs=1e-3)
    rows = list(csv.DictReader((folder / "per_image.csv").open()))
    assert {int(row["image_id"]) for row in rows} <= set(truth.getImgIds())
    assert any(name.startswith("pose/PCK") for name in rows[0])
    assert main(["test", str(config), str(checkpoint), "--cases", "2"]) == 0
    assert files(checkpoint.parents[1] / "test-2") == sorted({*files(folder), "best.png", "worst.png"} - {"draws.json"})


def test_predict_draws_any_size_and_answers_in_the_files_pixels(trained, tmp_path, capsys):
    config, checkpoint = trained
    photos = tmp_path / "photos"
    photos.mkdir()
    for name, size in (("wide.jpg", (50, 203, 3)), ("tall.png", (301, 97, 3))):
        cv2.imwrite(str(photos / name), cv2.randu(np.zeros(size, "uint8"), 0, 255))
    boxes = {
        "images": [{"id": 5, "file_name": "wide.jpg"}, {"id": 6, "file_name": "tall.png"}],
        "annotations": [
            {"image_id": 5, "category_id": 1, "bbox": [100, 0, 60, 50], "score": 0.5},
            {"image_id": 5, "category_id": 1, "bbox": [0, 0, 40, 50]},
            {"image_id": 5, "category_id": 999, "bbox": [0, 0, 40, 50]},
        ],
    }
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    whole, boxed = tmp_path / "whole", tmp_path / "boxed"
    common = [str(config), str(checkpoint), str(photos)]
    assert main(["predict", *common, "--out", str(whole), "--heatmaps"]) == 0
    assert files(whole) == ["predictions.json", "tall.png", "tall_heatmaps_0.png", "wide.png", "wide_heatmaps_0.png"]
    answers = json.loads((whole / "predictions.json").read_text())
    assert [answer["file_name"] for answer in answers] == ["tall.png", "wide.jpg"]
    wide = cv2.imread(str(whole / "wide.png"))
    assert wide.shape[1] / wide.shape[0] == pytest.approx(203 / 50, rel=0.05)
    assert main(["predict", *common, "--out", str(boxed), "--boxes", str(tmp_path / "boxes.json")]) == 0
    right, left = json.loads((boxed / "predictions.json").read_text())
    assert right["image_id"] == 5
    xs = right["keypoints"][0::3]
    # the box from 100 to 160, padded by a quarter and fitted into 48×32, shows x from 92.5 to 167.5 and a little more
    assert min(xs) > 80
    assert max(xs) < 180
    assert max(left["keypoints"][0::3]) < 70


def test_pictures_of_equal_names_do_not_overwrite_each_other(trained, tmp_path):
    config, checkpoint = trained
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        cv2.imwrite(str(tmp_path / folder / "x.png"), np.zeros((40, 40, 3), "uint8"))
    out = tmp_path / "out"
    images = [str(tmp_path / folder / "x.png") for folder in ("a", "b")]
    assert main(["predict", str(config), str(checkpoint), *images, "--out", str(out)]) == 0
    assert files(out) == ["predictions.json", "x.png", "x_2.png"]


@pytest.mark.parametrize("data", ["train", "val"])
def test_browse_data_draws_samples_and_targets(trained, tmp_path, data):
    out = tmp_path / "look"
    assert main(["browse_data", str(trained[0]), "--out", str(out), "--data", data, "--number", "3"]) == 0
    assert files(out) == ["000.png", "001.png", "002.png", "all.png"]
    assert main(["browse_data", str(trained[0]), "--out", str(tmp_path / "other"), "--epoch", "-1"]) == 2


def test_profile_counts_every_part(trained, capsys):
    assert main(["profile", str(trained[0]), "--size", "64", "64", "--repeats", "1"]) == 0
    rows = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines() if line.split()}
    assert set(rows) >= {"encoder", "neck", "heads", "model"}
    parameters = {name: float(rows[name][1]) for name in ("encoder", "neck", "heads", "model")}
    assert parameters["model"] == pytest.approx(sum(parameters.values()) - parameters["model"], abs=2e-3)
    macs = {name: float(rows[name][3]) for name in ("encoder", "neck", "heads", "model")}
    assert macs["model"] == pytest.approx(macs["encoder"] + macs["neck"] + macs["heads"], abs=2e-3)
    assert macs["neck"] > 0


@pytest.mark.parametrize("size", [["0", "1"], ["-3", "33"]])
def test_profile_refuses_sizes_that_cannot_be(tiny_config, size, capsys):
    assert main(["profile", str(tiny_config), "--size", *size]) == 2
    assert capsys.readouterr().err.endswith(f"this size is {size[0]}×{size[1]}\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_has_an_example(command, capsys):
    with pytest.raises(SystemExit) as exit_:
        main([command, "--help"])
    assert exit_.value.code == 0
    assert f"densezoo {command}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("nothing_reads_this = 1", "unknown key 'nothing_reads_this'"),
        ("neck['type'] = 'StackedHourglas'", "no neck is called 'StackedHourglas'; did you mean 'StackedHourglass'?"),
        ("encoder['width'] = 3", "encoder 'NewellStem' has no argument 'width'"),
        ("tasks['pose']['num_keypoints'] = 16", "num_keypoints=16, but the data set has 17"),
        ("train_data = dict(type='CocoPose', annotations='no.json', images='x')", "no.json"),
        ("warp['scale'] = (1.25, 0.75)", "scale"),
        ("train_data['subset'] = dict(folds=2, keep=[])", "subset"),
        ("neck['feedback'] = ['pose.heatmaps']", "did you mean 'pose.heatmap'"),
        ("tasks['pose']['sigma'] = 'abc'", "task 'Pose': sigma must be float, not 'abc'"),
        ("neck['num_stages'] = 1.5", "neck 'StackedHourglass': num_stages must be int, not 1.5"),
    ],
)
def test_errors_of_the_user_are_one_line_and_exit_code_2(tiny_config, tmp_path, capsys, change, message):
    tiny_config.write_text(tiny_config.read_text() + change + "\n")
    assert main(["train", str(tiny_config), "--work-dir", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert [line for line in error.splitlines() if line.startswith("densezoo train: ")] == error.splitlines()[-1:]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("workers", [0, 2])
def test_errors_of_data_workers_are_one_line_too(tiny_config, tmp_path, capsys, workers):
    change = "train_data['view'] = 'scenes'\nval_data = None\nwarp['half_body'] = 1.0\n"
    tiny_config.write_text(tiny_config.read_text() + change + f"engine['workers'] = {workers}\n")
    assert main(["train", str(tiny_config), "--work-dir", str(tmp_path / "run")]) == 2
    error = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("draw")]
    assert len(error) == 1
    assert "half_body" in error[0]


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("3", 3),
        ("1e-3", 1e-3),
        ("None", None),
        ("a,2", ["a", 2]),
        ("/my data/a", "/my data/a"),
        ("'5'", "5"),
        ("[a,b]", ["a", "b"]),
        ("['a=1', 2]", ["a=1", 2]),
        ("(1, 2.5)", (1, 2.5)),
        ("{'type': 'FPN', 'channels': [8, 16]}", {"type": "FPN", "channels": [8, 16]}),
    ],
)
def test_values_of_options_are_read_as_python_or_as_plain_words(word, value):
    parser = argparse.ArgumentParser()
    add_config(parser)
    assert parser.parse_args(["c.py", "--cfg-options", f"key={word}", "other.x=1"]).cfg_options == {
        "key": value,
        "other.x": 1,
    }


def test_a_value_that_cannot_be_read_is_an_error_of_the_command_line(tiny_config, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["profile", str(tiny_config), "--cfg-options", "train_data=[dict(type='Drive',folder='drive')]*4"])
    assert exit_.value.code == 2
    assert "the value cannot be read; write it as Python would" in capsys.readouterr().err


def test_options_without_a_value_are_an_error_of_the_command_line(tiny_config, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["profile", str(tiny_config), "--cfg-options", "epochs", "3"])
    assert exit_.value.code == 2
    assert "write KEY=VALUE" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["convert_checkpoint", "--out", "x.pt", "--options", "rgb=True", "hg.pth", "bearpaw"])
    assert "'hg.pth': write KEY=VALUE, and other arguments before --options" in capsys.readouterr().err


def test_an_image_that_cannot_be_read_is_named_and_skipped(trained, tmp_path, caplog, capsys):
    config, checkpoint = trained
    cv2.imwrite(str(tmp_path / "good.png"), np.zeros((40, 40, 3), "uint8"))
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    assert main(["predict", str(config), str(checkpoint), str(tmp_path), "--out", str(tmp_path / "out")]) == 0
    assert any("bad.jpg" in record.getMessage() for record in caplog.records)
    assert "1 predictions on 1 images" in capsys.readouterr().out


def test_a_checkpoint_that_is_not_there_leaves_no_folder(trained, tmp_path, capsys):
    assert main(["test", str(trained[0]), str(tmp_path / "typo" / "checkpoints" / "best.pt")]) == 2
    assert "no checkpoint" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_results_are_never_overwritten(trained, tmp_path, capsys):
    (tmp_path / "mine.txt").touch()
    assert main(["test", str(trained[0]), str(trained[1]), "--out", str(tmp_path)]) == 2
    assert "is not empty" in capsys.readouterr().err


def test_an_unknown_command_is_refused(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["trian"])
    assert exit_.value.code == 2


@pytest.mark.parametrize("script", sorted(COMMANDS))
def test_every_tool_runs_as_a_script_from_anywhere(script, tmp_path):
    command = [sys.executable, str(ROOT / "tools" / f"{script}.py"), "missing.py"]
    command += {
        "train": ["--work-dir", "run"],
        "test": ["none.pt"],
        "predict": ["none.pt", ".", "--out", "out"],
        "browse_data": ["--out", "out"],
        "profile": [],
        "convert_checkpoint": ["bearpaw", "--out", "out.pt"],
        "compare": ["--work-dir", "run"],
        "sharing": ["pose=none"],
    }[script]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    what = {
        "convert_checkpoint": "no checkpoint missing.py; ",
        "compare": "no study missing.py; check the path",
        "sharing": "missing.py/metrics.json is not what densezoo test writes",
    }.get(script, "no config file missing.py; ")
    assert done.returncode == 2
    assert done.stderr.startswith(f"densezoo {script}: {what}")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_has_seen_enough_ends_the_command_quietly(tiny_config):
    command = [sys.executable, str(ROOT / "tools" / "profile.py"), str(tiny_config)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()  # as head does, sooner or later
    assert process.stderr.read() == ""
    assert process.wait() == 141
