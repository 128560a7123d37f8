import copy

import pytest
import timm
import torch

from densezoo.encoders.timm import Timm
from densezoo.errors import ConfigError

IMAGENET = (0.485, 0.456, 0.406)
FAMILIES = {  # strides, widths, to what multiples the image is padded
    "resnet18": ([2, 4, 8, 16, 32], [64, 64, 128, 256, 512], 1),
    "mobilenetv3_small_100": ([2, 4, 8, 16, 32], [16, 16, 24, 48, 576], 1),
    "efficientnet_b0": ([2, 4, 8, 16, 32], [16, 24, 40, 112, 320], 1),
    "convnext_atto": ([4, 8, 16, 32], [40, 80, 160, 320], 32),
    "hrnet_w18_small": ([2, 4, 8, 16, 32], [64, 128, 256, 512, 1024], 32),
    "swin_tiny_patch4_window7_224": ([4, 8, 16, 32], [96, 192, 384, 768], 4),
    "pvt_v2_b0": ([4, 8, 16, 32], [32, 64, 160, 256], 32),
    "vit_tiny_patch16_224": ([16], [192], 16),
    "maxvit_pico_rw_256": ([2, 4, 8, 16, 32], [32, 32, 64, 128, 256], 256),
}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("model", FAMILIES)
def test_families_give_maps_of_any_size_and_train_whole(model):
    strides, channels, multiple = FAMILIES[model]
    encoder = Timm(model)
    assert (encoder.strides, encoder.channels, encoder.multiple) == (strides, channels, multiple)
    assert encoder.origins == [0.0] * len(strides)
    encoder.eval()
    for height, width in ((65, 47), (1, 1)):
        with torch.no_grad():
            maps = encoder(torch.randn(1, 3, height, width))
        expected = [
            (1, c, -(-height // stride), -(-width // stride)) for c, stride in zip(channels, strides, strict=True)
        ]
        assert [level.shape for level in maps] == expected
        assert all(level.isfinite().all() for level in maps)
    encoder.train()
    sum((level * torch.randn_like(level)).sum() for level in encoder(torch.randn(2, 3, 33, 70))).backward()
    assert [name for name, parameter in encoder.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize(
    ("model", "strides"),
    [
        ("resnet18", [4, 8]),
        ("mobilenetv3_small_100", [8]),
        ("efficientnet_b0", [8, 16]),
        ("convnext_atto", [4, 8]),
        ("hrnet_w18_small", [4]),
        ("swin_tiny_patch4_window7_224", [4, 8]),
    ],
)
def test_what_lies_behind_the_last_map_is_left_out(model, strides):
    encoder, whole = Timm(model, strides=strides), Timm(model)
    assert encoder.strides == strides
    numbers = [sum(parameter.numel() for parameter in made.parameters()) for made in (encoder, whole)]
    assert numbers[0] < numbers[1]
    encoder.load_state_dict({key: whole.state_dict()[key] for key in encoder.state_dict()}, strict=True)
    images = torch.randn(2, 3, 64, 64)
    wanted = [whole.strides.index(stride) for stride in strides]
    with torch.no_grad():
        for level, index in zip(encoder.eval()(images), wanted, strict=True):
            torch.testing.assert_close(level, whole.eval()(images)[index])
    sum((level * torch.randn_like(level)).sum() for level in encoder.train()(images)).backward()
    assert [name for name, parameter in encoder.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize("model", ["resnet18", "convnext_atto", "efficientnet_b0"])
def test_names_and_maps_are_timms_own(model):
    encoder = Timm(model).eval()
    size = (96, 64) if encoder.multiple > 1 else (65, 47)
    indices = tuple(range(len(encoder.strides)))
    reference = timm.create_model(model, features_only=True, feature_cls="getter", out_indices=indices).eval()
    encoder.load_state_dict(reference.state_dict(), strict=True)
    assert {key.removeprefix("model.") for key in encoder.state_dict()} <= set(timm.create_model(model).state_dict())
    images = torch.randn(1, 3, *size)
    with torch.no_grad():
        for level, other in zip(encoder(images), reference(images), strict=True):
            assert torch.equal(level, other)


def test_swin_at_its_own_size_is_timms_but_for_the_shift_at_the_coarsest_level():
    name = "swin_tiny_patch4_window7_224"
    encoder, reference = Timm(name).eval(), timm.create_model(name, features_only=True).eval()
    weights = {key.replace("layers.", "layers_"): value for key, value in encoder.model.state_dict().items()}
    reference.load_state_dict(weights, strict=True)
    images = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        maps, expected = encoder(images), reference(images)
    for level, other in zip(maps[:3], expected[:3], strict=True):
        torch.testing.assert_close(level, other.permute(0, 3, 1, 2), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(maps[3], expected[3].permute(0, 3, 1, 2), atol=1e-3)


def test_a_plain_transformer_gives_its_last_map_only():
    name = "vit_tiny_patch16_224"
    encoder, reference = Timm(name).eval(), timm.create_model(name, num_classes=0).eval()
    weights = reference.state_dict()
    encoder.model.load_state_dict({key: weights[key] for key in encoder.model.state_dict()}, strict=True)
    images = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        (level,) = encoder(images)
        tokens = reference.forward_intermediates(images, indices=1, intermediates_only=True)
    torch.testing.assert_close(level, tokens[0], atol=1e-5, rtol=1e-5)


def test_padding_is_zeros_at_the_bottom_and_right():
    encoder = Timm("convnext_atto", strides=[4, 8]).eval()
    images = torch.randn(1, 3, 11, 8)
    padded = torch.zeros(1, 3, 16, 8)
    padded[:, :, :11] = images
    with torch.no_grad():
        for level, other, rows in zip(encoder(images), encoder(padded), (3, 2), strict=True):
            assert torch.equal(level, other[:, :, :rows])


def test_output_stride_dilates_and_each_stride_has_its_last_map():
    encoder = Timm("resnet18", output_stride=16)
    assert (encoder.strides, encoder.channels) == ([2, 4, 8, 16], [64, 64, 128, 512])
    assert encoder.model.layer4[1].conv1.dilation == (2, 2)
    assert encoder.eval()(torch.randn(1, 3, 40, 40))[-1].shape == (1, 512, 3, 3)


def test_channels_bring_their_statistics():
    assert Timm("resnet18").mean == IMAGENET
    assert Timm("vit_tiny_patch16_224").mean == (0.5, 0.5, 0.5)
    grey = Timm("resnet18", in_channels=1, strides=[4]).eval()
    assert (grey.mean, grey.std) == ((0.5,), (0.5,))
    assert grey(torch.randn(1, 1, 8, 8))[0].shape == (1, 64, 2, 2)


def test_frozen_stages_neither_learn_nor_adapt():
    encoder = Timm("resnet18", frozen_stages=2, strides=[4, 8])
    frozen = {name.split(".")[1] for name, p in encoder.named_parameters() if not p.requires_grad}
    assert frozen == {"conv1", "bn1", "layer1"}
    before = copy.deepcopy(encoder.state_dict())
    encoder.train()
    encoder(torch.randn(2, 3, 32, 32))[1].sum().backward()
    torch.optim.SGD([p for p in encoder.parameters() if p.grad is not None], 0.1).step()
    changed = {key.split(".")[1] for key, value in encoder.state_dict().items() if not torch.equal(value, before[key])}
    assert changed == {"layer2"}
    assert all(p.requires_grad for p in Timm("resnet18").parameters())


def test_it_can_be_built_without_weights():
    with torch.device("meta"):
        encoder = Timm("resnet50", strides=[4, 8, 16, 32])
    assert (encoder.channels, encoder.multiple) == ([256, 512, 1024, 2048], 1)
    assert sum(parameter.numel() for parameter in encoder.parameters()) == 23_508_032


def test_a_single_value_per_channel_is_refused_with_the_way_out():
    encoder = Timm("resnet18", strides=[4, 8, 16, 32]).train()
    with pytest.raises(ConfigError, match=r"Timm: batch normalisation cannot train .* take a larger batch"):
        encoder(torch.randn(1, 3, 32, 32))
    compiled = torch.compile(encoder, fullgraph=True, backend="eager")
    assert [level.shape[-1] for level in compiled(torch.randn(2, 3, 32, 32))] == [8, 4, 2, 1]
    assert encoder.eval()(torch.randn(1, 3, 32, 32))[-1].shape == (1, 512, 1, 1)


def test_other_errors_of_a_model_stay_what_they_are(monkeypatch):
    encoder = Timm("resnet18", strides=[4])

    def fail(images):
        raise ValueError("something else")

    monkeypatch.setattr(encoder, "_maps", fail)
    with pytest.raises(ValueError, match="something else"):
        encoder(torch.randn(1, 3, 32, 32))


def test_drop_path_is_passed_on():
    rates = {
        part.drop_prob for part in Timm("convnext_atto", drop_path_rate=0.3).modules() if hasattr(part, "drop_prob")
    }
    assert max(rates) == pytest.approx(0.3)


def test_weights_that_cannot_be_fetched_say_the_way_out(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", "/dev/null/none")
    with pytest.raises(ConfigError, match="come from the network unless pretrained=False"):
        Timm("resnet18", pretrained=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": "resnet19"}, "no model 'resnet19'; did you mean"),
        ({"model": "resnet18.nothing"}, "Invalid pretrained tag"),
        ({"model": "resnet18", "strides": [4, 64]}, r"gives the strides \[2, 4, 8, 16, 32\], not strides=\[4, 64\]"),
        ({"model": "resnet18", "strides": [8, 4]}, "ascending"),
        ({"model": "resnet18", "strides": []}, "name some"),
        ({"model": "convnext_atto", "strides": [2, 4]}, r"gives the strides \[4, 8, 16, 32\]"),
        ({"model": "vit_tiny_patch16_224", "strides": [8, 16]}, r"gives the strides \[16\]"),
        ({"model": "hrnet_w18_small", "strides": [8]}, r"ask for the strides \[4, 8\]"),
        ({"model": "hrnet_w18_small", "output_stride": 8}, "output_stride=8: it does not take these values"),
        ({"model": "swin_tiny_patch4_window7_224", "output_stride": 8}, "unexpected keyword argument 'output_stride'"),
        ({"model": "resnet18", "frozen_stages": 9}, "frozen_stages=9 must be from 0 to 5"),
        ({"model": "mixer_s16_224"}, "images of any size: its layers are made for 224×224 pixels; take one of timm's"),
        ({"model": "legacy_xception"}, r"images of any size: 96×32 pixels give maps of \[\(45, 13\).* cells; take"),
        ({"model": "zzz"}, r"known: '.*', … and \d+ more; timm.list_models\(\) has all"),
        ({"model": "resnet18", "pretrained": True, "in_channels": 0}, "in_channels=0 must be at least 1"),
    ],
)
def test_wrong_arguments_say_what_exists(arguments, message):
    with pytest.raises(ConfigError, match=message):
        Timm(**arguments)
