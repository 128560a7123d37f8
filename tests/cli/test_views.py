"""The commands with images of any size: the file's own pixels, crops and windows."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from densezoo.cli.main import main
from densezoo.engine.config import load_config
from densezoo.models import build_model

UNET_2015 = Path(__file__).parents[2] / "configs" / "segmentation" / "unet_2015_synthetic.py"
CONFIG = """
encoder = dict(type="PlainUNet", channels=[8, 16], norm="group")
neck = dict(type="UNet", norm="group")
tasks = dict(seg=dict(type="Segmentation", num_classes=6))
warp = dict(size=None, padding=1.0, crop=(32, 40), flip=0.5, scale=(0.8, 1.25))
data_root = "{root}"
_set = dict(type="Synthetic", view="scenes", semantic=True, num_images=8, size=64)
train_data = dict(**_set, split="train")
val_data = dict(**_set, split="val")
epochs = 1
batch_size = 4
engine = dict(workers=0, device="cpu")
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_root):
    folder = tmp_path_factory.mktemp("views")
    config = folder / "config.py"
    config.write_text(CONFIG.format(root=tiny_root))
    assert main(["train", str(config), "--work-dir", str(folder / "run")]) == 0
    return str(config), str(folder / "run" / "checkpoints" / "best.pt")


def noise(path, size, seed):
    cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8))


def labels_of(folder, name):
    return cv2.imread(str(folder / f"{name}_labels.png"), cv2.IMREAD_UNCHANGED)


def test_files_of_any_size_are_answered_as_if_alone(trained, tmp_path):
    sizes = {"a": (37, 61), "b": (50, 24), "c": (64, 64)}
    for seed, (name, size) in enumerate(sizes.items()):
        noise(tmp_path / f"{name}.png", size, seed)
    images = [str(tmp_path / f"{name}.png") for name in sizes]
    assert main(["predict", *trained, *images, "--out", str(tmp_path / "all")]) == 0
    for name, size in sizes.items():
        assert main(["predict", *trained, str(tmp_path / f"{name}.png"), "--out", str(tmp_path / name)]) == 0
        together, alone = labels_of(tmp_path / "all", name), labels_of(tmp_path / name, name)
        assert together.shape == size
        assert together.max() < 6
        np.testing.assert_array_equal(together, alone)


def test_windows_are_an_option_of_the_commands(trained, tmp_path):
    noise(tmp_path / "a.png", (90, 70), 0)
    common = ["predict", *trained, str(tmp_path / "a.png"), "--heatmaps"]
    assert main([*common, "--out", str(tmp_path / "plain")]) == 0
    assert main([*common, "--window", "96", "96", "--out", str(tmp_path / "one")]) == 0
    np.testing.assert_array_equal(labels_of(tmp_path / "plain", "a"), labels_of(tmp_path / "one", "a"))
    out = str(tmp_path / "test")
    assert main(["test", *trained, "--window", "32", "48", "--window-overlap", "0.25", "--baseline", "--out", out]) == 0
    metrics = json.loads((tmp_path / "test" / "metrics.json").read_text())
    assert (metrics["window"], metrics["window_overlap"]) == ([32, 48], 0.25)
    assert 0 <= metrics["scores"]["seg/mIoU"] <= 1


def test_windows_that_do_not_fit_the_network_are_named(trained, tmp_path, capsys):
    common = ["test", *trained, "--out", str(tmp_path / "out")]
    assert main([*common, "--window", "31", "48"]) == 2
    assert "engine.window: a window of 31 pixels does not do" in capsys.readouterr().err
    assert main([*common[:-1], str(tmp_path / "other"), "--window", "0", "48"]) == 2
    assert "engine.window must be (height, width) in pixels" in capsys.readouterr().err


def test_the_unet_of_2015_trains_and_answers_for_images_of_any_size(tmp_path, tiny_root):
    """Elastic deformation, border weights, mirrored borders and overlap tiles, in a narrow network."""
    options = [
        "--cfg-options",
        f"data_root={tiny_root}",
        "encoder.channels=[2,2,4,4,4]",
        "train_data.num_images=3",
        "train_data.size=64",
        "val_data.num_images=2",
        "val_data.size=64",
        "test_data=None",
        "epochs=1",
        "warp.crop=[220,204]",
        "engine.window=[220,204]",
        "engine.workers=0",
        "engine.device=cpu",
    ]
    run = str(tmp_path / "run")
    assert main(["train", str(UNET_2015), "--work-dir", run, *options]) == 0
    checkpoint = f"{run}/checkpoints/best.pt"
    noise(tmp_path / "odd.png", (45, 61), 0)
    command = ["predict", f"{run}/config.py", checkpoint, str(tmp_path / "odd.png"), "--out", str(tmp_path / "out")]
    assert main(command) == 0
    labels = labels_of(tmp_path / "out", "odd")
    assert labels.shape == (45, 61)
    assert labels.max() < 6  # an answer for every pixel


def test_the_config_of_the_unet_of_2015_is_that_network():
    config = load_config(UNET_2015)
    with torch.device("meta"):
        model = build_model(config.encoder, config.neck, config.tasks)
        lost = model.heads[-1]["segmentation"].origin
        assert config.warp["crop_margin"] == lost == 92
        (height, width), (stride, origin) = config.engine.window, model.neck.coarsest
        assert all(side % stride == 2 * origin % stride for side in (height, width, *config.warp["crop"]))
    count = sum(parameter.numel() for parameter in model.parameters())
    assert count == pytest.approx(31.03e6, rel=1e-3)
