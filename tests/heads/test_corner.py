import zlib

import pytest
import torch

from densezoo.errors import ConfigError
from densezoo.heads.corner import Corner
from densezoo.layers.map_branch import HEAT_BIAS

OUTPUTS = {
    f"{c}_{p}": n for c in ("top_left", "bottom_right") for p, n in (("heat", 3), ("embedding", 1), ("offset", 2))
}
CORNERS = {"top_left": "tl", "bottom_right": "br"}
PARTS = {"heat": "heat", "embedding": "tag", "offset": "regr"}
LAYERS = {"before.0": "p1_conv1.", "before.1": "p2_conv1.", "after": "p_", "skip": "", "last": "conv2."}
# mean, first and last value of CornerNet's own modules, filled by their own names
GOLDEN = {
    "top_left_heat": (0.6424619555473328, 0.3910942077636719, 0.695993185043335),
    "top_left_embedding": (0.26953205466270447, 0.2709348201751709, 0.2709348201751709),
    "top_left_offset": (-0.9353394508361816, -0.5266380310058594, -1.4168452024459839),
    "bottom_right_heat": (-0.2842289209365845, 0.2711142301559448, 0.9892172813415527),
    "bottom_right_embedding": (0.21978364884853363, 0.18858501315116882, 0.17312616109848022),
    "bottom_right_offset": (-0.9345704317092896, -0.45981156826019287, -1.4062062501907349),
}


def cornernets_name(name):
    """What CornerNet calls a parameter of this head, with the numbers of layers that it appends left away."""
    kind, owner, *rest = name.split(".")
    if kind == "branches":
        corner, part = owner.rsplit("_", 1)
        return f"{CORNERS[corner]}_{PARTS[part]}." + ".".join(rest)
    layer, position = (".".join(rest[:2]), 2) if rest[0] == "before" else (rest[0], 1)
    own, number = LAYERS[layer], "1" if layer in ("after", "skip") else ""
    word = "bn" if rest[position] == "norm_act" else "conv"
    return f"{CORNERS[owner]}_cnv.{own}{word}{number}.{rest[-1]}"


def fill(name, shape):
    """Fixed numbers of about the size that a trained layer has."""
    phase = zlib.crc32(name.encode()) % 1000 + 0.37 * torch.arange(torch.Size(shape).numel()).double()
    values = phase.sin().reshape(shape)
    if len(shape) > 1:
        values = values / torch.Size(shape[1:]).numel() ** 0.5
    elif name.endswith(("weight", "running_var")):
        values = 1 + values / 4
    return values.float() if "num_batches" not in name else torch.tensor(0)


def make(**more):
    return Corner([8], [4], OUTPUTS, **{"channels": 8, "pool_channels": 4, **more})


def test_equals_cornernet():
    head = make(pool_channels=128).eval()
    head.load_state_dict({name: fill(cornernets_name(name), value.shape) for name, value in head.state_dict().items()})
    maps = head([fill("image", (1, 8, 9, 7))])
    for name, expected in GOLDEN.items():
        values = maps[name]
        found = torch.stack([values.mean(), values.flatten()[0], values.flatten()[-1]])
        torch.testing.assert_close(found, torch.tensor(expected), rtol=0, atol=2e-6)


def test_has_as_many_parameters_as_cornernet():
    with torch.device("meta"):
        head = Corner([256], [4], OUTPUTS)
    assert sum(p.numel() for p in head.parameters()) == 6_627_852


def test_heat_starts_at_a_tenth():
    head = make()
    for name, branch in head.branches.items():
        assert branch[-1].bias.eq(HEAT_BIAS).all() == name.endswith("_heat")
    assert torch.sigmoid(torch.tensor(HEAT_BIAS)).item() == pytest.approx(0.1, abs=1e-3)


def test_without_pooling_the_layers_are_the_same_and_the_maps_local():
    with_pooling, without = make(norm="none").eval(), make(norm="none", pooling=False).eval()
    without.load_state_dict(with_pooling.state_dict())
    image = torch.zeros(1, 8, 24, 24)
    changed = image.clone()
    changed[..., 20, 20] = 5  # below and to the right of nearly all
    for head, far in ((with_pooling, True), (without, False)):
        reached = (head([image])["top_left_heat"] != head([changed])["top_left_heat"]).any(1)[0]
        assert reached[20, 2] == far
        assert reached[20, 20]


def test_corners_look_into_their_box():
    head = make(norm="none").eval()
    image = torch.zeros(1, 8, 24, 24)
    changed = image.clone()
    changed[..., 12, 12] = 5
    before, after = head([image]), head([changed])
    reached = {name: (before[name] != after[name]).any(1)[0] for name in OUTPUTS}
    for name, values in reached.items():
        assert values[12, 12]
        assert values[12, 0] == values[0, 12] == name.startswith("top_left")
        assert values[12, 23] == values[23, 12] == name.startswith("bottom_right")


def test_reads_the_level_it_is_told_to_and_builds_only_what_is_asked_for():
    head = Corner([8, 16], [4, 8], {"top_left_heat": 2}, in_origins=[0.0, 6.0], level=1, channels=8, pool_channels=4)
    assert (head.stride, head.origin) == (8, 6.0)
    maps = head([torch.empty(0), torch.randn(2, 16, 5, 3)])
    assert {name: values.shape for name, values in maps.items()} == {"top_left_heat": (2, 2, 5, 3)}
    assert set(head.corners) == {"top_left"}


def test_maps_are_float32_under_autocast():
    with torch.autocast("cpu", torch.bfloat16):
        maps = make()([torch.rand(2, 8, 5, 5)])
    for values in maps.values():
        assert values.dtype == torch.float32
        assert not torch.equal(values, values.bfloat16().float())


class _Flat(torch.nn.Module):
    """A head from one map to a tuple of maps, in the order of `OUTPUTS`."""

    def __init__(self, head):
        super().__init__()
        self.head = head

    def forward(self, x):
        return tuple(self.head([x]).values())


def check_same_maps(found, expected):
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(torch.as_tensor(one), other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("backend", ["eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_compiles_in_one_graph(backend):
    torch.compiler.reset()
    head, x = _Flat(make()), torch.rand(2, 8, 6, 5)
    compiled = torch.compile(head, fullgraph=True, backend=backend)
    gradients = []
    for module in (head, compiled):
        maps = module(x)
        check_same_maps(maps, head(x))
        gradients.append(torch.autograd.grad(sum(values.square().sum() for values in maps), list(head.parameters())))
    check_same_maps(*gradients)


def test_onnx_gives_the_same_maps():
    pytest.importorskip("onnxscript")  # torch's exporter needs it
    from onnx.reference import ReferenceEvaluator

    head, x = _Flat(make()).eval(), torch.rand(1, 8, 5, 4)
    model = torch.onnx.export(head, (x,), dynamo=True, verbose=False).model_proto
    assert "Max" in {node.op_type for node in model.graph.node}
    assert not [node.op_type for node in model.graph.node if node.domain]  # ONNX's own operators alone
    (name,) = [each.name for each in model.graph.input]
    with torch.no_grad():
        check_same_maps(ReferenceEvaluator(model).run(None, {name: x.numpy()}), head(x))


def test_impossible_values_say_how():
    with pytest.raises(ConfigError, match="levels 0 to 0"):
        make(level=1)
    for name in ("channels", "pool_channels"):
        with pytest.raises(ConfigError, match=f"{name}=0"):
            make(**{name: 0})
    with pytest.raises(ConfigError, match=r"'heatmap' belongs to no corner.*Corners"):
        Corner([8], [4], {"heatmap": 2})
