import subprocess
import sys

import pytest
import timm
import torch

import densezoo
from densezoo.errors import ConfigError
from densezoo.interop.timm import NAMES

NEWELL = ([256] * 5, [4, 8, 16, 32, 64])
LAW = ([256, 256, 384, 384, 384, 512], [4, 8, 16, 32, 64, 128])


def make(name, **arguments):
    return timm.create_model(name, features_only=True, **arguments)


def test_importing_the_package_brings_no_torch_and_registers_once_timm_comes():
    program = """
import sys, importlib.util
import densezoo
assert not {"torch", "timm", "numpy", "mmengine"} & set(sys.modules)
importlib.util.find_spec("timm")  # a look is no import
finders = len(sys.meta_path)
import timm
assert len(sys.meta_path) == finders - 1
assert "hourglass52" in timm.list_models()
assert not [name for name in sys.modules if name.startswith("densezoo.models")]
print("done")
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.stdout == "done\n", result.stderr


def test_names_are_those_of_the_zoo_and_known_to_timm():
    assert set(NAMES) <= set(densezoo.list_models())
    assert set(NAMES) <= set(timm.list_models())
    assert set(timm.list_models("*hourglass*")) == set(NAMES)  # timm has none of its own that these would replace


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *((f"newell_hourglass_s{stages}", NEWELL) for stages in (1, 2, 4, 8)),
        ("hourglass52", LAW),
        ("hourglass104", LAW),
    ],
)
def test_feature_info_says_what_is_there(name, expected):
    with torch.device("meta"):
        model = make(name).eval()
        maps = model(torch.zeros(1, 3, 255, 130))
    channels, strides = expected
    info = model.feature_info
    assert (info.channels(), info.reduction()) == (channels, strides)
    assert [level.shape for level in maps] == [
        (1, width, -(-255 // stride), -(-130 // stride)) for width, stride in zip(channels, strides, strict=True)
    ]
    modules = dict(model.named_modules())
    assert len({id(modules[module]) for module in info.module_name()}) == len(channels)
    assert model.pretrained_cfg["mean"] == (0.485, 0.456, 0.406)


def test_the_modules_that_feature_info_names_give_the_maps():
    torch.manual_seed(0)
    model = make("newell_hourglass_s2").eval()
    seen = {}
    for name in model.feature_info.module_name():
        model.get_submodule(name).register_forward_hook(lambda _, __, out, name=name: seen.update({name: out}))
    with torch.no_grad():
        maps = model(torch.randn(1, 3, 65, 40))
    for name, level in zip(model.feature_info.module_name(), maps, strict=True):
        assert torch.equal(seen[name], level)


@pytest.mark.parametrize(
    ("out_indices", "levels"),
    [((0, 1, 2, 3), [0, 1, 2, 3]), ((2, 3), [2, 3]), ((-1,), [4]), (2, [3, 4]), (None, [0, 1, 2, 3, 4])],
)
@pytest.mark.parametrize("name", ["newell_hourglass_s1", "newell_hourglass_s2"])
def test_only_what_is_asked_for_is_built(name, out_indices, levels):
    torch.manual_seed(0)
    model = make(name, out_indices=out_indices)
    assert model.feature_info.reduction() == [NEWELL[1][level] for level in levels]
    maps = model(torch.randn(2, 3, 64, 64))
    assert [level.shape[-1] for level in maps] == [64 // NEWELL[1][level] for level in levels]
    sum((level * torch.randn_like(level)).sum() for level in maps).backward()
    assert [key for key, parameter in model.named_parameters() if parameter.grad is None] == []


def test_the_finest_map_is_the_zoos_own_model():
    torch.manual_seed(0)
    model = make("newell_hourglass_s2", out_indices=(0,)).eval()
    ours = densezoo.create_model("newell_hourglass_s2", neck={"out_levels": [0]}, tasks=None).eval()
    ours.load_state_dict({key.removeprefix("model."): value for key, value in model.state_dict().items()}, strict=True)
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(model(images)[0], ours.forward_features(images)[-1][0])


def test_input_channels_are_taken():
    model = make("newell_hourglass_s1", in_chans=1, out_indices=(0,)).eval()
    assert model(torch.randn(1, 1, 32, 32))[0].shape == (1, 256, 8, 8)
    assert (model.pretrained_cfg["input_size"], model.pretrained_cfg["mean"]) == ((1, 256, 256), (0.5,))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"features_only": False}, "no classifier; give features_only=True"),
        ({"pretrained": True}, "no published weights"),
        ({"out_indices": (0, 5)}, r"out_indices=\(0, 5\) must be among its 5 levels"),
        ({"out_indices": 6}, "out_indices=6 must be among"),
        ({"out_indices": ()}, "must be among"),
        (
            {"output_stride": 16},
            "output_stride=16 would take dilations.*; the coarsest .* has 64: give output_stride=64",
        ),
    ],
)
def test_what_cannot_be_made_says_why(arguments, message):
    with pytest.raises(ConfigError, match=message):
        timm.create_model("newell_hourglass_s1", **{"features_only": True, **arguments})


@pytest.mark.parametrize("output_stride", [16, 32])
def test_the_output_stride_that_it_has_may_be_asked_for(output_stride):
    with torch.device("meta"):
        model = make("newell_hourglass_s1", out_indices=(0, 1, 2), output_stride=output_stride)
    assert model.feature_info.reduction() == [4, 8, 16]


@pytest.mark.parametrize(("name", "depth"), [("newell_hourglass_s1", 5), ("hourglass52", 4)])
def test_segmentation_models_take_them_as_encoders(name, depth):
    smp = pytest.importorskip("segmentation_models_pytorch")
    with torch.device("meta"):
        model = smp.Unet(
            f"tu-{name}",
            encoder_weights=None,
            encoder_depth=depth,
            decoder_channels=[32, 24, 16, 12, 8][-depth:],
            in_channels=3,
            classes=2,
        ).eval()
        assert model.encoder.out_channels == [3, 0, *model.encoder.model.feature_info.channels()]
        assert model(torch.zeros(1, 3, 64, 96)).shape == (1, 2, 64, 96)


def test_registering_again_and_finders_of_another_kind_do_no_harm():
    code = (
        "import sys, densezoo\n"
        "sys.meta_path.append(type('Old', (), {'find_module': lambda *_: None})())\n"
        "for name in [name for name in sys.modules if name.startswith('densezoo')]: del sys.modules[name]\n"
        "import densezoo, timm\n"
        "print(timm.is_model('hourglass52'))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.stdout.strip() == "True", found.stderr
