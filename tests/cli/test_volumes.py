"""The commands with a volume task: what differs from poses."""

import json

import cv2
import numpy as np
import pytest

from densezoo.cli.main import main
from densezoo.functional.volumes import decode_volume

CONFIG = """
encoder = dict(type="NewellStem", channels=16, norm="group")
neck = dict(type="StackedHourglass", num_stages=2, num_levels=3, norm="group", feedback=["head.slices"])
tasks = dict(head=dict(type="Volume", num_slices=8))
warp = dict(size=48, padding=1.0, scale=(0.85, 1.15), rotation=30, flip=0.5)
data_root = "{root}"
_set = dict(type="SyntheticVolumes", num_images=8, size=64, num_slices=8, difficulty=0.0)
train_data = dict(**_set, split="train")
val_data = dict(**_set, split="val")
epochs = 1
batch_size = 4
engine = dict(workers=0, device="cpu")
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("volumes")
    config = folder / "config.py"
    config.write_text(CONFIG.format(root=folder))
    assert main(["train", str(config), "--work-dir", str(folder / "run"), "--amp"]) == 0
    return config, folder / "run" / "checkpoints" / "best.pt"


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_test_scores_volumes_and_draws_them(trained, tmp_path, capsys):
    config, checkpoint = trained
    command = ["test", str(config), str(checkpoint), "--flip-test", "--baseline", "--cases", "2"]
    assert main([*command, "--out", str(tmp_path / "test")]) == 0
    assert "head/surface_NME" in capsys.readouterr().out
    assert files(tmp_path / "test") == ["best.png", "metrics.json", "per_image.csv", "predictions.json", "worst.png"]
    scores = json.loads((tmp_path / "test" / "metrics.json").read_text())
    assert 0.2 < scores["baseline"]["head/IoU"] < 0.9
    assert 0 <= scores["scores"]["head/IoU"] < 1
    answers = json.loads((tmp_path / "test" / "predictions.json").read_text())
    assert [answer["image_id"] for answer in answers] == list(range(1, 9))
    assert decode_volume(answers[0]["volume"]).shape == (8, 48, 48)
    np.testing.assert_allclose(answers[0]["to_original"], [[64 / 48, 0, 0], [0, 64 / 48, 0]], atol=1e-9)


def test_predict_writes_a_mesh_and_a_picture(trained, tmp_path):
    config, checkpoint = trained
    folder = next((config.parent / "synthetic_volumes").glob("val*")) / "images"
    images, out = [str(folder / f"00000{number}.jpg") for number in range(2)], tmp_path / "out"
    assert main(["predict", str(config), str(checkpoint), *images, "--out", str(out)]) == 0
    names = [f"00000{number}{ending}" for number in range(2) for ending in (".png", "_head_0.obj", "_head_0.png")]
    assert files(out) == [*names, "predictions.json"]
    answers = json.loads((out / "predictions.json").read_text())
    assert [(answer["file_name"], answer["task"]) for answer in answers] == [
        ("000000.jpg", "head"),
        ("000001.jpg", "head"),
    ]


def test_browse_data_draws_volumes_and_targets(trained, tmp_path):
    config, _ = trained
    assert main(["browse_data", str(config), "--out", str(tmp_path / "look"), "--number", "2"]) == 0
    picture = cv2.imread(str(tmp_path / "look" / "000.png"))
    left, right = picture[:, : picture.shape[1] // 2], picture[:, picture.shape[1] // 2 :]
    assert picture.shape[1] > 640
    assert left.std() > 10
    assert right.std() > 10
