import logging

import pytest
import torch
from converting import assert_every_tensor_counts, assert_named, assert_reads_pixels, convert
from filling import assert_golden, conv, filled, hollow, image
from hourglasses import HOURGLASS, SMALL, block, conv_norm, features, heatmaps, hourglass

from densezoo.errors import DataError
from densezoo.interop import convert_state_dict
from densezoo.models import create_model


def openmmlab(stacks, channels, blocks, stem, out, prefix=""):
    """Names and shapes of both libraries' HourglassNet."""
    yield from conv_norm(f"{prefix}stem.0", stem, 3, 7)
    yield from block(f"{prefix}stem.1.0", stem, channels[0], 2, "downsample")
    for stack in range(stacks):
        yield from hourglass(f"{prefix}hourglass_modules.{stack}", channels, blocks, "downsample")
        yield from conv_norm(f"{prefix}out_convs.{stack}", out, channels[0], 3)
    for stack in range(stacks - 1):
        yield from conv_norm(f"{prefix}conv1x1s.{stack}", channels[0], channels[0], 1)
        yield from conv_norm(f"{prefix}remap_convs.{stack}", channels[0], out, 1)
    for index in range(max(stacks - 1, 1)):
        yield from block(f"{prefix}inters.{index}", channels[0], channels[0], 1, "downsample")


def test_golden_features_of_mmdet():
    """Two stacks on an image whose levels are odd: 12×10, 6×5, 3×3."""
    assert_golden(features(filled(openmmlab(2, **SMALL)), "mmdet", image(45, 38)), MMDET)


MMDET = [
    ((0.0, 3.2143359, 0.43657425), [0.52995139, 0.97392863, 0.0, 1.359253, 0.0, 0.0]),
    ((0.0, 4.2261748, 0.36468198), [0.0, 1.5528979, 0.0, 0.0, 0.0, 0.74346268]),
]


def test_golden_heatmaps_of_mmpose():
    """One stack with a plain final layer."""
    sizes = {"channels": (256, 8, 12), "blocks": (1, 2, 1), "stem": 128, "out": 10}
    state_dict = {f"backbone.{key}": value for key, value in filled(openmmlab(1, **sizes)).items()}
    state_dict |= filled(conv("head.multi_final_layers.0", 5, 10))
    assert_golden(heatmaps(state_dict, "mmpose", image(48, 61)), MMPOSE)


MMPOSE = [
    (
        (-4.3687077, 1.7640147, -0.61359275),
        [-0.22006884, 0.29889536, -3.2669625, -0.60140651, -0.054730438, -0.38845527],
    ),
]


def corner_head(stacks, classes):
    """Names and shapes of mmdetection's CornerHead in a detector."""
    width = 256
    for stack in range(stacks):
        for corner in ("bbox_head.tl", "bbox_head.br"):
            module = f"{corner}_pool.{stack}"
            yield from conv_norm(f"{module}.direction1_conv", 128, width, 3)
            yield from conv_norm(f"{module}.direction2_conv", 128, width, 3)
            yield from conv_norm(f"{module}.aftpool_conv", width, 128, 3)
            yield from conv_norm(f"{module}.conv1", width, width, 1)
            yield from conv_norm(f"{module}.conv2", width, width, 3)
            for part, channels in (("heat", classes), ("off", 2), ("emb", 1)):
                yield from conv(f"{corner}_{part}.{stack}.0.conv", width, width, 3)
                yield from conv(f"{corner}_{part}.{stack}.1.conv", channels, width)


def test_golden_corner_maps_of_mmdet():
    """Two stacks; the last stage."""
    sizes = {**SMALL, "out": 256}
    config, model = convert(filled([*openmmlab(2, **sizes, prefix="backbone."), *corner_head(2, 3)]), "mmdet")
    assert config["tasks"]["corners"]["cells"] == "image"
    with torch.no_grad():
        maps = model(image(48, 61))["corners"][1]
    assert maps.keys() == CORNER_MAPS.keys()
    for name, golden in CORNER_MAPS.items():
        assert_golden([maps[name]], [golden])


CORNER_MAPS = {
    "top_left_heat": (
        (-0.61293763, 1.3267255, 0.13997274),
        [0.0024736896, -0.060980827, 0.87851894, 0.31119385, -0.38598293, 0.12453051],
    ),
    "top_left_embedding": (
        (-0.64429325, 0.41048098, 0.015996472),
        [-0.13403012, 0.26056439, 0.13544638, -0.058426641, 0.070974849, 0.046219256],
    ),
    "top_left_offset": (
        (-0.80596721, 1.136517, 0.11378927),
        [0.1479556, 0.89550096, 0.87374914, -0.2958912, 1.02284, 0.4780857],
    ),
    "bottom_right_heat": (
        (-0.54985774, 0.67993462, 0.03513789),
        [-0.078239813, -0.37570873, 0.48254722, 0.0022631809, 0.38264164, -0.16258286],
    ),
    "bottom_right_embedding": (
        (-0.56458479, 0.54150265, 0.004592792),
        [-0.35325617, 0.23113494, 0.41174316, -0.36093026, -0.17575777, 0.10468318],
    ),
    "bottom_right_offset": (
        (-0.66224837, 0.22559988, -0.17746417),
        [0.18223383, 0.15018103, 0.052910879, -0.22535682, -0.18467705, -0.10554648],
    ),
}


@pytest.mark.slow
def test_full_size_features_of_mmdet():
    """Hourglass-52, on an image whose levels are odd."""
    assert_golden(features(filled(openmmlab(1, **HOURGLASS)), "mmdet", image(127, 125)), FULL_SIZE, tolerance=3e-5)


FULL_SIZE = [
    ((0.0, 13.337915, 1.3639152), [0.22303145, 2.3889832, 6.3059177, 3.3807673, 3.0247793, 2.353888]),
]


@pytest.mark.parametrize("source", ["mmpose", "mmdet"])
def test_images_are_normalised_by_imagenet_or_as_given(source, caplog):
    state_dict = filled(openmmlab(2, **SMALL))
    mean, std = torch.tensor([123.675, 116.28, 103.53]) / 255, torch.tensor([58.395, 57.12, 57.375]) / 255
    with caplog.at_level(logging.WARNING, "densezoo"):
        assert_reads_pixels(state_dict, source, mean.tolist(), std.tolist())
    assert "assumed mean=(0.485, 0.456, 0.406) (ImageNet's, as in" in caplog.text
    assert "assumed std=(0.229, 0.224, 0.225) (ImageNet's, as in" in caplog.text
    caplog.clear()
    mean, std = [0.1, 0.2, 0.3], [0.4, 0.5, 0.6]
    with caplog.at_level(logging.WARNING, "densezoo"):
        assert_reads_pixels(state_dict, source, mean, std, options={"mean": mean, "std": std})
    assert not caplog.records


@pytest.mark.parametrize("source", ["mmpose", "mmdet"])
@pytest.mark.parametrize(("stacks", "name"), [(1, "hourglass52"), (2, "hourglass104")])
def test_the_network_is_the_named_one(source, stacks, name):
    config, _ = convert_state_dict(hollow(openmmlab(stacks, **HOURGLASS)), source)
    assert_named(config, name)


@pytest.mark.parametrize("source", ["mmpose", "mmdet"])
@pytest.mark.parametrize(("stacks", "count"), [(1, 93_662_848), (2, 187_700_352)])
def test_published_parameter_counts(source, stacks, count, caplog):
    with caplog.at_level(logging.WARNING, "densezoo"):
        config, _ = convert_state_dict(hollow(openmmlab(stacks, **HOURGLASS)), source)
    with torch.device("meta"):
        assert sum(values.numel() for values in create_model(config).parameters()) == count
    assert ("left out 12 tensors of 'inters.' (1.18 M numbers)" in caplog.text) == (stacks == 1)


def test_heads_of_every_stack_become_heatmaps():
    heads = [item for stack in range(2) for item in conv(f"keypoint_head.multi_final_layers.{stack}", 17, 24, 3)]
    state_dict = hollow([*openmmlab(2, **SMALL, prefix="backbone."), *heads])
    config, weights = convert_state_dict(state_dict, "mmpose")
    assert config["tasks"]["pose"]["num_keypoints"] == 17
    assert weights["heads.1.pose.branches.heatmap.0.weight"].shape == (17, 24, 3, 3)
    del state_dict["keypoint_head.multi_final_layers.1.bias"]
    with pytest.raises(DataError, match=r"missing keypoint_head.multi_final_layers.1.bias"):
        convert_state_dict(state_dict, "mmpose")


@pytest.mark.parametrize(
    ("source", "head"),
    [
        ("mmpose", "head.multi_deconv_layers.0.0.weight"),
        ("mmpose", "head.final_layer.weight"),
        ("mmdet", "bbox_head.heatmap_head.0.weight"),
        ("mmdet", "bbox_head.tl_pool.0.conv1.conv.weight"),
    ],
)
def test_other_heads_are_left_out_and_named(source, head, caplog):
    backbone = hollow(openmmlab(2, **SMALL, prefix="backbone."))
    with caplog.at_level(logging.WARNING, "densezoo"):
        config, weights = convert_state_dict({**backbone, head: torch.empty(3, 24, 1, 1)}, source)
    assert "tasks" not in config
    assert len(weights) == len(backbone)
    assert f"left out 1 tensors of '{head.split('.')[0]}.'" in caplog.text
    with pytest.raises(DataError, match=r"unknown neck.lateral.weight \(3,\)"):
        convert_state_dict({**backbone, "neck.lateral.weight": torch.empty(3)}, source)


@pytest.mark.parametrize("source", ["mmpose", "mmdet"])
def test_every_tensor_counts(monkeypatch, source):
    sizes = {"channels": (16, 12), "blocks": (1, 2), "stem": 8, "out": 256}
    shapes = [*openmmlab(1, **sizes, prefix="backbone.")]
    shapes += corner_head(1, 3) if source == "mmdet" else conv("head.multi_final_layers.0", 5, 256)
    assert_every_tensor_counts(monkeypatch, hollow(shapes), source, lambda key: ".inters." in key)


def test_what_is_missing_is_named():
    complete = hollow(openmmlab(2, **SMALL))
    for key in [key for key in complete if not key.endswith("num_batches_tracked")][::13]:
        with pytest.raises(DataError, match=rf"{key}(?![\w.])"):
            convert_state_dict({name: value for name, value in complete.items() if name != key}, "mmdet")
