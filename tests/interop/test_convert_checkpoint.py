"""The command: foreign weights go in, and a checkpoint comes out that the other commands read."""

import json
import os

import cv2
import numpy as np
import pytest
import torch
from filling import conv, filled
from hourglasses import SMALL, bearpaw, cornernet

from densezoo.cli.main import main
from densezoo.engine.checkpoint import init_from, load_checkpoint
from densezoo.engine.load import load_model
from densezoo.interop import convert_state_dict
from densezoo.models import create_model


@pytest.fixture
def foreign(tmp_path):
    """A checkpoint as bearpaw's training script writes it, of 17 keypoints."""
    state_dict = filled(bearpaw(1, 1, 17, stem=4, half=4))
    path = tmp_path / "model_best.pth.tar"
    torch.save({"epoch": 3, "state_dict": {f"module.{key}": value for key, value in state_dict.items()}}, path)
    return path


def test_with_a_config_it_is_like_the_checkpoint_of_a_run(foreign, tiny_config, tmp_path, capsys):
    out = tmp_path / "hg.pt"
    arguments = ["convert_checkpoint", str(foreign), "bearpaw", "--out", str(out), "--config", str(tiny_config)]
    assert main([*arguments, "--options", "mean=0.1,0.2,0.3"]) == 0
    config, weights = convert_state_dict(torch.load(foreign)["state_dict"], "bearpaw", mean=[0.1, 0.2, 0.3])
    direct = create_model(config).eval()
    direct.load_state_dict(weights)
    images = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    loaded = load_model(out)
    assert loaded.tasks["pose"].meta.num_keypoints == 17
    torch.testing.assert_close(loaded(images)["pose"][0]["heatmap"], direct(images)["pose"][0]["heatmap"])
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((40, 30, 3), np.uint8))
    predict = ["predict", str(tmp_path / "hg.py"), str(out), str(tmp_path / "a.png"), "--out", str(tmp_path / "seen")]
    assert main(predict) == 0
    (prediction,) = json.loads((tmp_path / "seen" / "predictions.json").read_text())
    assert len(prediction["keypoints"]) == 3 * 17
    assert main(["test", str(tmp_path / "hg.py"), str(out)]) == 0
    assert "pose/PCK" in capsys.readouterr().out
    assert main(arguments) == 2
    assert "hg.pt is there already" in capsys.readouterr().err


def test_nothing_is_left_where_the_config_cannot_be_written(foreign, tiny_config, tmp_path, capsys, monkeypatch):
    def replace(source, target):
        if str(target).endswith(".py"):
            raise OSError(28, "No space left on device")
        real(source, target)

    real = os.replace
    monkeypatch.setattr(os, "replace", replace)
    (tmp_path / "new").mkdir()
    out = tmp_path / "new" / "hg.pt"
    assert main(["convert_checkpoint", str(foreign), "bearpaw", "--out", str(out), "--config", str(tiny_config)]) == 2
    assert "hg.py cannot be written: [Errno 28]" in capsys.readouterr().err
    assert list(out.parent.iterdir()) == []


def test_without_a_config_it_is_something_to_start_from(tmp_path, capsys):
    path, out = tmp_path / "network.pkl", tmp_path / "hourglass.pt"
    torch.save(filled(cornernet(1, **SMALL)), path)
    (tmp_path / "hourglass.py").touch()  # no config is written, so none is in the way
    assert main(["convert_checkpoint", str(path), "cornernet", "--out", str(out), "--options", "rgb=True"]) == 0
    printed = capsys.readouterr().out
    assert "encoder = {'type': 'CornerNetStem', 'channels': 16, 'mean': [0.47026115" in " ".join(printed.split())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hourglass.pt", "hourglass.py", "network.pkl"]
    neck = {"type": "StackedHourglass", "num_stages": 1, "num_levels": 3, "block": "basic"}
    neck |= {"channels": [16, 12, 20], "blocks": [1, 2, 3], "out_channels": 24}
    tasks = {"pose": {"type": "Pose", "num_keypoints": 4}}
    model = create_model({"encoder": {"type": "CornerNetStem", "channels": 16}, "neck": neck, "tasks": tasks})
    problems = init_from(model, out)
    assert [problem.split()[0] for problem in problems] == [
        f"heads.0.pose.branches.heatmap.0.{x}" for x in ("weight", "bias")
    ]
    weights = load_checkpoint(out)["model"]
    assert torch.equal(model.encoder.layers[0].conv.weight, weights["encoder.layers.0.conv.weight"])


def test_a_neck_alone_takes_its_place_in_a_model(tmp_path, capsys):
    layers = [*conv("inner_blocks.0.0", 8, 4), *conv("layer_blocks.0.0", 8, 8, 3)]
    layers += [*conv("inner_blocks.1.0", 8, 6), *conv("layer_blocks.1.0", 8, 8, 3)]
    path, out = tmp_path / "fpn.pth", tmp_path / "fpn.pt"
    torch.save(filled(layers), path)
    assert (
        main(["convert_checkpoint", str(path), "torchvision_fpn", "--out", str(out), "--options", "in_strides=4,8"])
        == 0
    )
    assert all(key.startswith("neck.stages.0.") for key in load_checkpoint(out)["model"])
    printed = capsys.readouterr().out
    assert "in_channels" not in printed  # which create_model works out itself
    assert "its encoder must give widths [4, 6] at strides [4, 8]" in printed


def test_mistakes_end_in_one_line(foreign, tiny_config, tiny_root, tmp_path, capsys):
    def error(*arguments):
        assert main(["convert_checkpoint", *map(str, arguments)]) == 2
        return capsys.readouterr().err

    out, backbone = tmp_path / "x.pt", tmp_path / "network.pkl"
    assert "did you mean 'bearpaw'" in error(foreign, "bearpow", "--out", out)
    assert "must end in .pt" in error(foreign, "bearpaw", "--out", tmp_path / "x")
    state_dict = filled(cornernet(1, **SMALL))
    torch.save({key: value for key, value in state_dict.items() if ".conv2." not in key}, backbone)
    text = error(backbone, "cornernet", "--out", out)
    assert "the state dict has no 'pre.1.conv2.weight'" in text
    torch.save({**state_dict, **{f"new.{index}": torch.zeros(2) for index in range(20)}}, backbone)
    text = error(backbone, "cornernet", "--out", out)
    assert "20 places: unknown new.0 (2,); unknown new.1 (2,)" in text
    assert text.endswith("unknown new.4 (2,); and 15 more\n")
    torch.save(state_dict, backbone)
    text = error(backbone, "cornernet", "--out", out, "--config", tiny_config)
    assert "no head; convert without --config" in text
    other = tmp_path / "sixteen.pth"
    torch.save(filled(bearpaw(1, 1, 16, stem=4, half=4)), other)
    tiny_config.write_text(tiny_config.read_text().replace(str(tiny_root), str(tmp_path / "new")))
    text = error(other, "bearpaw", "--out", out, "--config", tiny_config)
    assert "--config's task 'pose' has num_keypoints=17, the weights of bearpaw 16" in text
    assert not (tmp_path / "new").exists()  # no data is drawn for that
    assert not out.exists()
