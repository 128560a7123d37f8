"""What every encoder, neck, fusion and head must do."""

import inspect

import pytest
import torch
from mmengine.registry import MODELS
from torch import nn

from densezoo.registry import ENCODERS, FUSIONS, HEADS, NECKS

NORM_TYPES = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm)
SIZES = [(33, 47), (64, 32), (9, 5), (1, 1)]
CHANNELS, STRIDES = [16, 24], [4, 8]
# as wide as the finest level, which a head without layers shares out; called as a head of corners wants it
OUTPUTS = {"top_left_heat": 10, "bottom_right_offset": 6}


def pyramid_of(num_images=2, size=(16, 12)):
    sizes = [size, (-(-size[0] // 2), -(-size[1] // 2))]
    return [torch.randn(num_images, width, *level) for width, level in zip(CHANNELS, sizes, strict=True)]


def build_neck(config, feedback_channels=3):
    return NECKS.build(config, in_channels=CHANNELS, in_strides=STRIDES, feedback_channels=feedback_channels)


def build_head(config, **more):
    return HEADS.build({**config, **more}, in_channels=CHANNELS, in_strides=STRIDES, outputs=OUTPUTS)


def run_neck(neck, pyramid):
    x, pyramids = neck.begin(pyramid), []
    for index in range(neck.num_stages):
        pyramid_out, finest = neck.stage(index, x)
        pyramids.append(pyramid_out)
        if index + 1 < neck.num_stages:
            fed = torch.ones(len(pyramid[0]), 3, *finest.shape[-2:])
            x = neck.merge(index, x, finest, [fed])
    return pyramids


def check_every_parameter_learns(module, maps, all_move=True):
    sum((level * torch.randn_like(level)).sum() for level in maps).backward()
    assert [name for name, p in module.named_parameters() if p.grad is None] == []
    # a bias in front of a normalisation has no effect, but everything with more than one axis must move
    if all_move:
        assert [name for name, p in module.named_parameters() if p.ndim > 1 and not p.grad.abs().sum() > 0] == []


def check_batch_equals_singles(run, inputs):
    together = run(inputs)
    for index in range(len(inputs[0])):
        alone = run([level[index : index + 1] for level in inputs])
        for one, all_of_them in zip(alone, together, strict=True):
            torch.testing.assert_close(one, all_of_them[index : index + 1], atol=1e-4, rtol=1e-4)


def check_norm_reaches_everything(build):
    if "norm" not in inspect.signature(type(build())).parameters:
        pytest.skip("has no normalisation")
    kinds = {
        "batch": nn.BatchNorm2d,
        "sync": nn.SyncBatchNorm,
        "group": nn.GroupNorm,
        "layer": nn.LayerNorm,
    }
    counts = set()
    for name, kind in kinds.items():
        found = [module for module in build(norm=name).modules() if isinstance(module, NORM_TYPES)]
        assert all(isinstance(module, kind) for module in found), name
        counts.add(len(found))
    assert len(counts) == 1
    assert not [module for module in build(norm="none").modules() if isinstance(module, NORM_TYPES)]


def check_activation_reaches_everything(build):
    if "activation" not in inspect.signature(type(build())).parameters:
        pytest.skip("has no activation")
    module = build(activation="gelu")
    assert not [name for name, part in module.named_modules() if isinstance(part, nn.ReLU)]
    plain = [part for part in build(activation="relu").modules() if isinstance(part, nn.ReLU)]
    assert len([part for part in module.modules() if isinstance(part, nn.GELU)]) == len(plain)


@pytest.mark.parametrize("size", SIZES)
def test_encoders_take_any_size_and_say_their_widths_and_strides(encoder, config_of, size):
    module = ENCODERS.build(config_of(encoder)).eval()
    levels = module(torch.randn(1, 3, *size))
    assert [level.shape[1] for level in levels] == list(module.channels)
    assert list(module.strides) == sorted(module.strides)
    for level, stride in zip(levels, module.strides, strict=True):
        assert level.shape[-2:] == tuple(-(-side // stride) for side in size)
    assert len(module.mean) == len(module.std) == 3


def test_encoders_learn_and_do_not_mix_images(encoder, config_of):
    module = ENCODERS.build(config_of(encoder))
    check_every_parameter_learns(module, module(torch.randn(2, 3, 40, 33)))
    check_batch_equals_singles(lambda images: module.eval()(images[0]), [torch.randn(3, 3, 40, 33)])


def test_encoders_pass_norm_and_activation_on(encoder, config_of):
    def build(**more):
        return ENCODERS.build(config_of(encoder, **more))

    check_norm_reaches_everything(build)
    check_activation_reaches_everything(build)


@pytest.mark.parametrize("size", [(9, 13), (16, 16), (3, 2), (1, 1)])
def test_necks_take_any_size_and_say_their_widths_and_strides(neck, config_of, size):
    module = build_neck(config_of(neck)).eval()
    pyramids = run_neck(module, pyramid_of(1, size))
    assert len(pyramids) == module.num_stages
    for pyramid in pyramids:
        assert [level.shape[1] for level in pyramid] == list(module.out_channels)
        for level, stride in zip(pyramid, module.out_strides, strict=True):
            assert level.shape[-2:] == tuple(-(-side * STRIDES[0] // stride) for side in size)


def test_necks_learn_and_do_not_mix_images(neck, config_of):
    module = build_neck(config_of(neck))
    inputs = [level.requires_grad_() for level in pyramid_of()]
    check_every_parameter_learns(module, run_neck(module, inputs)[-1])
    fusion = inspect.signature(NECKS.get(neck)).parameters.get("fusion")
    read = inputs[-1:] if fusion is not None and fusion.default == "none" else inputs
    assert all(level.grad is not None and level.grad.abs().sum() > 0 for level in read)
    module.eval()
    check_batch_equals_singles(
        lambda pyramid: [level for out in run_neck(module, pyramid) for level in out], pyramid_of(3, (7, 9))
    )


@pytest.mark.parametrize("norm", ["none", "group", "layer"])
def test_necks_train_on_one_image_of_one_cell(neck, config_of, norm):
    module = build_neck(config_of(neck, norm=norm))
    (level, *_) = run_neck(module, pyramid_of(1, (1, 1)))[-1]
    assert level.isfinite().all()
    level.sum().backward()


def test_necks_pass_norm_and_activation_on(neck, config_of):
    def build(**more):
        return build_neck(config_of(neck, **more))

    check_norm_reaches_everything(build)
    check_activation_reaches_everything(build)


def test_necks_take_any_number_of_stages(neck, config_of):
    if "num_stages" not in inspect.signature(NECKS.get(neck)).parameters:
        pytest.skip("has a single stage")
    for num_stages in (1, 3):
        module = build_neck(config_of(neck, num_stages=num_stages))
        assert module.num_stages == num_stages
        check_every_parameter_learns(module, [level for out in run_neck(module, pyramid_of()) for level in out])


def test_necks_give_any_single_level_of_every_stage(neck, config_of):
    if "num_stages" not in inspect.signature(NECKS.get(neck)).parameters:
        pytest.skip("has a single stage")
    module = build_neck(config_of(neck, num_stages=3, out_levels=[1]))
    pyramids = run_neck(module, pyramid_of())
    assert [[tuple(level.shape) for level in pyramid] for pyramid in pyramids] == [
        [(2, *module.out_channels, 8, 6)]
    ] * 3
    check_every_parameter_learns(module, [level for out in pyramids for level in out])


@pytest.mark.parametrize("size", [(9, 13), (1, 1)])
@pytest.mark.parametrize("num_stages", [1, 2])
def test_every_neck_takes_every_fusion(neck, fusion, config_of, num_stages, size):
    # GELU, since a narrow layer of ReLUs may be dead from the start
    config = config_of(neck, num_stages=num_stages, norm="none", activation="gelu", fusion=config_of(fusion))
    module = build_neck(config)
    pyramids = run_neck(module, pyramid_of(2, size))
    assert len(pyramids) == num_stages
    for pyramid in pyramids:
        for level, width, stride in zip(pyramid, module.out_channels, module.out_strides, strict=True):
            assert level.shape == (2, width, *(-(-side * STRIDES[0] // stride) for side in size))
            assert level.isfinite().all()
    # a pooled cell is the cell itself, and attention learns nothing from two equal maps
    all_move = size != (1, 1)
    check_every_parameter_learns(module, [level for out in pyramids for level in out], all_move)
    module.eval()
    check_batch_equals_singles(
        lambda pyramid: [level for out in run_neck(module, pyramid) for level in out], pyramid_of(3, size)
    )
    again = build_neck(config)
    again.load_state_dict(module.state_dict(), strict=True)
    inputs = pyramid_of(1, size)
    for one, other in zip(run_neck(module, inputs), run_neck(again.eval(), inputs), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_every_neck_reads_one_level_of_any_encoder(neck, config_of):
    """A single level makes the neck build its own way down; finer levels make it go beyond the encoder's."""
    config = config_of(neck, num_stages=2, norm="group", num_levels=3, finer_levels=1, channels=16, out_levels=[0, 1])
    module = NECKS.build(config, in_channels=[12], in_strides=[4], feedback_channels=3)
    assert (module.out_strides, module.out_channels) == ([2, 4], [16, 16])
    pyramids = run_neck(module, [torch.randn(1, 12, 5, 7)])
    assert [[level.shape[-2:] for level in pyramid] for pyramid in pyramids] == [[(10, 14), (5, 7)]] * 2
    check_every_parameter_learns(module, [level for out in pyramids for level in out])


@pytest.mark.parametrize("out_levels", [[0], [1], [2]])
def test_necks_build_only_what_reaches_the_levels_read(neck, config_of, out_levels):
    config = config_of(neck, num_stages=1, norm="group", num_levels=3, channels=16, out_levels=out_levels)
    module = build_neck(config, feedback_channels=0)
    pyramid = pyramid_of(2, (8, 8))
    (out,) = module(pyramid)
    assert (len(out), module.out_strides) == (1, [STRIDES[0] * 2 ** out_levels[0]])
    check_every_parameter_learns(module, out)


@pytest.mark.parametrize("fusion_word", ["sum", "attention"])
def test_necks_compile_in_one_graph(neck, config_of, fusion_word):
    torch.compiler.reset()  # each neck is another variant of the same code, of which torch takes only so many
    module = build_neck(config_of(neck, num_stages=2, norm="batch", fusion=fusion_word), feedback_channels=0).eval()
    pyramid = pyramid_of(1, (9, 6))
    compiled = torch.compile(module, backend="eager", fullgraph=True)
    for one, other in zip(module(pyramid), compiled(pyramid), strict=True):
        for a, b in zip(one, other, strict=True):
            torch.testing.assert_close(a, b)


@pytest.mark.parametrize("size", [(40, 33), (3, 2)])
def test_every_encoder_goes_with_every_neck(encoder, neck, config_of, size):
    built = ENCODERS.build(config_of(encoder)).eval()
    config = config_of(neck, norm="group")
    module = NECKS.build(config, in_channels=built.channels, in_strides=built.strides).eval()
    with torch.no_grad():
        for pyramid in module(built(torch.randn(1, 3, *size))):
            assert [level.shape[1] for level in pyramid] == list(module.out_channels)
            assert all(level.isfinite().all() for level in pyramid)


def test_fusions_say_their_width_and_leave_their_maps_alone(fusion, config_of):
    for count in (2, 3):
        module = FUSIONS.build(config_of(fusion), in_channels=[6] * count)
        maps = [torch.randn(2, 6, 5, 3) for _ in range(count)]
        before = [level.clone() for level in maps]
        fused = module(maps)
        assert fused.shape == (2, module.out_channels, 5, 3)
        assert all(torch.equal(level, kept) for level, kept in zip(maps, before, strict=True))
        for index in range(count) if getattr(module, "uses_skips", True) else [count - 1]:  # every map counts
            changed = [level + (place == index) for place, level in enumerate(maps)]
            assert not torch.allclose(module(changed), fused)


def test_heads_give_the_maps_they_are_asked_for(head, config_of):
    module = build_head(config_of(head)).eval()
    pyramid = pyramid_of(1, (7, 5))
    maps = module(pyramid)
    assert {name: values.shape[1] for name, values in maps.items()} == OUTPUTS
    assert len({values.shape[-2:] for values in maps.values()}) == 1
    assert -(-7 * STRIDES[0] // module.stride) == maps["top_left_heat"].shape[-2]


def test_heads_learn_and_do_not_mix_images(head, config_of):
    module = build_head(config_of(head))
    inputs = [level.requires_grad_() for level in pyramid_of()]
    check_every_parameter_learns(module, list(module(inputs).values()))
    check_batch_equals_singles(lambda pyramid: list(module.eval()(pyramid).values()), pyramid_of(3))


def test_heads_pass_norm_and_activation_on(head, config_of):
    own = {"hidden_channels": (8, 8)} if "hidden_channels" in inspect.signature(HEADS.get(head)).parameters else {}

    def build(**more):
        return build_head(config_of(head, **own, **more))

    check_norm_reaches_everything(build)
    check_activation_reaches_everything(build)


def test_parts_resolve_from_openmmlab(encoder, neck, head, config_of):
    assert type(MODELS.build({**config_of(encoder), "type": f"densezoo.{encoder}"})) is ENCODERS.get(encoder)
    sizes = {"in_channels": CHANNELS, "in_strides": STRIDES}
    assert type(MODELS.build({**config_of(neck), "type": f"densezoo.{neck}", **sizes})) is NECKS.get(neck)
    built = MODELS.build({**config_of(head), "type": f"densezoo.{head}", **sizes, "outputs": OUTPUTS})
    assert type(built) is HEADS.get(head)
