from dataclasses import replace

import pytest
import torch
from torch import nn

from densezoo import train
from densezoo.comparison import shared_start as module
from densezoo.comparison.shared_start import same_start, shared_start
from densezoo.comparison.study import apply_options
from densezoo.datasets.synthetic import Synthetic
from densezoo.engine import train as train_module
from densezoo.engine.build import build_dense_model, build_loader, build_samples
from densezoo.engine.checkpoint import load_checkpoint, save_checkpoint
from densezoo.engine.config import RunConfig, load_config
from densezoo.engine.distributed import Processes
from densezoo.errors import CheckpointError
from densezoo.types import DatasetMeta

CPU = torch.device("cpu")
META = DatasetMeta(keypoint_names=("x", "y", "z"), semantic_classes=("ground", "thing"))
BASE = RunConfig(
    encoder={"type": "NewellStem", "channels": 16, "norm": "group"},
    neck={"type": "StackedHourglass", "num_stages": 2, "num_levels": 3, "norm": "group", "feedback": ["pose.heatmap"]},
    tasks={"pose": {"type": "Pose", "num_keypoints": 3}, "mask": {"type": "Segmentation", "num_classes": 2}},
    loss_weights={"type": "uncertainty"},
    warp={"size": (32, 32)},
    train_data={},
)


def arm(options):
    return apply_options(BASE, options, "test")


ARMS = [
    BASE,
    arm({"neck.fusion": "concat"}),
    arm({"neck.fusion": "gated"}),
    arm({"neck.fusion": "weighted"}),
    arm({"neck.fusion": "attention"}),
    arm({"neck.fusion": "none"}),
    arm({"neck.num_stages": 1}),
    arm({"neck.num_stages": 3}),
    arm({"neck": {"type": "FPN", "channels": 16, "num_levels": 3, "num_stages": 2, "feedback": ["pose.heatmap"]}}),
    BASE,
]


def plain(config, seed=0):
    return build_dense_model(replace(config, seed=seed), META, CPU).state_dict()


@pytest.fixture(scope="module")
def starts():
    return [shared_start(ARMS, META, which, seed=5) for which in range(len(ARMS))]


def common(one, other):
    return [name for name in one if name in other and one[name].shape == other[name].shape]


def differing(one, other):
    return [name for name in common(one, other) if not torch.equal(one[name], other[name])]


@pytest.fixture(scope="module")
def drawn():
    """Of each arm, the names of what a seed decides."""
    return [set(differing(plain(config, 1), plain(config, 2))) for config in ARMS]


def test_the_base_starts_as_it_does_by_itself(starts):
    assert differing(starts[0], plain(BASE, 5)) == []
    assert starts[0].keys() == plain(BASE).keys()
    alone = shared_start([ARMS[4]], META, 0, 5)
    assert differing(alone, plain(ARMS[4], 5)) == []


def test_every_two_arms_agree_in_what_both_have(starts):
    necks = [config.neck["type"] for config in ARMS]
    for first in range(len(ARMS)):
        for second in range(first):
            apart = differing(starts[first], starts[second])
            if necks[first] == necks[second]:
                assert apart == []
            else:  # the same names in an FPN mean something else
                assert all(name.startswith("neck.") for name in apart)
            assert len(common(starts[first], starts[second])) > 40


def test_the_part_that_an_arm_has_in_common_with_the_base():
    shares = [same_start(ARMS, META, which, 3) for which in range(len(ARMS) - 1)]
    assert shares[0] == 1
    assert all(0 < share <= 1 for share in shares)
    assert shares[1] < 1
    assert shares[3] > shares[1]  # a weighted sum has the blocks of a sum, a concatenation has wider ones


def test_from_one_seed_alone_they_would_not_agree():
    assert any(name.startswith("heads.") for name in differing(plain(BASE), plain(ARMS[1])))


def test_what_no_earlier_arm_has_is_shared_with_the_first_that_has_it(starts):
    refined = [name for name in starts[1] if ".refine." in name]
    assert len(refined) > 0
    for name in refined:
        assert name not in starts[0]
        assert torch.equal(starts[1][name], starts[2][name])
    last = [name for name in starts[7] if name.startswith("neck.stages.2.")]
    assert len(last) > 0
    assert not set(last) & starts[0].keys()


def test_every_arm_starts_from_all_of_its_tensors_as_they_would_be_drawn(starts, drawn):
    for config, start, random in zip(ARMS, starts, drawn, strict=True):
        alone = plain(config, 5)
        assert start.keys() == alone.keys()
        for name, value in start.items():
            assert value.shape == alone[name].shape
            if name not in random:
                assert torch.equal(value, alone[name])
            elif value.numel() >= 64:
                error = value.numel() ** -0.5
                assert value.std() / alone[name].std() == pytest.approx(1, abs=5 * error)
                assert abs(value.mean()) < 5 * error * value.std()


def test_no_two_tensors_of_a_start_are_made_of_the_same_random_numbers(starts, drawn):
    for start, random in zip(starts, drawn, strict=True):
        weights = [start[name].flatten()[:64] for name in random if start[name].numel() >= 64]
        signs = torch.stack([values - values.mean() for values in weights])
        signs = signs / signs.norm(dim=1, keepdim=True)
        alike = (signs @ signs.T).fill_diagonal_(0)
        assert alike.max() < 0.75  # one for a copy at another scale; 0.6 is six deviations


def test_seeds_and_the_base_again_share_nothing_random(starts, drawn):
    again = shared_start(ARMS, META, len(ARMS) - 1, seed=1005)
    other = shared_start(ARMS, META, 1, seed=6)
    assert set(differing(again, starts[0])) == drawn[0]
    assert set(differing(other, starts[1])) == drawn[1]
    assert differing(starts[-1], starts[0]) == []  # the same network of the same seed is the same
    assert differing(again, plain(BASE, 1005)) == []


def test_learned_loss_weights_and_buffers_are_those_of_the_arm():
    gradnorm = replace(BASE, neck={**BASE.neck, "feedback": None}, loss_weights={"type": "gradnorm"})
    norms = apply_options(gradnorm, {"neck.norm": "batch"}, "test")
    start = shared_start([BASE, gradnorm, norms], META, 2, 0)
    assert start["loss_weights.weights"].tolist() == [1, 1]
    assert start["loss_weights.first_losses"].tolist() == [0, 0]
    assert "loss_weights.log_variances" not in start
    running = [name for name in start if name.endswith("running_var")]
    assert len(running) > 10
    assert all((start[name] == 1).all() for name in running)


def test_the_same_layer_from_another_distribution_is_drawn_from_it():
    narrow = arm({"tasks.pose.head": {"type": "ConvHead", "initial_std": 0.001}})
    others = arm({"neck.fusion": "concat", "tasks.pose.head": {"type": "ConvHead", "initial_std": 0.001}})
    configs = [apply_options(each, {"tasks.pose.num_keypoints": 64}, "test") for each in (BASE, narrow, others)]
    meta = replace(META, keypoint_names=tuple(map(str, range(64))))
    starts = [shared_start(configs, meta, which, 0) for which in range(3)]
    name = "heads.0.pose.branches.heatmap.0.weight"
    assert starts[0][name].std() > 0.1
    assert starts[1][name].std() == pytest.approx(0.001, rel=0.1)
    assert torch.equal(starts[1][name], starts[2][name])


def test_fixed_values_and_drawn_ones_do_not_take_each_others_place(monkeypatch):
    class Net(nn.Module):
        def __init__(self, kind):
            super().__init__()
            self.layer = nn.Linear(8, 8)
            self.last = nn.Linear(8, 8) if kind != "bilinear" else nn.Bilinear(1, 1, 8)
            if kind == "fixed":
                nn.init.zeros_(self.last.weight)
            if kind == "bilinear":  # the same name and shape in another module
                self.last.weight = nn.Linear(8, 8).weight

    def build(config, meta, device, starts):
        assert starts  # pretrained weights are shared, too
        torch.manual_seed(config.seed)
        return Net(config.neck["type"])

    monkeypatch.setattr(module, "build_silently", build)
    arms = [replace(BASE, neck={"type": kind}) for kind in ("drawn", "fixed", "bilinear", "drawn")]
    base, fixed, bilinear, again = (shared_start(arms, META, which, 0) for which in range(4))
    assert (fixed["last.weight"] == 0).all()
    assert torch.equal(fixed["layer.weight"], base["layer.weight"])
    assert torch.equal(bilinear["layer.weight"], base["layer.weight"])
    assert not torch.equal(bilinear["last.weight"], base["last.weight"])
    assert differing(base, again) == []
    first_fixed = shared_start(arms[1:], META, 2, 0)
    assert first_fixed["last.weight"].std() > 0.1


def test_encoders_of_timm_are_the_same_under_other_necks():
    encoder = {"type": "Timm", "model": "test_resnet"}
    necks = [{"type": "UNet"}, {"type": "FPN", "channels": 16}, {"type": "StackedHourglass", "num_stages": 1}]
    configs = [replace(BASE, encoder=encoder, neck=neck) for neck in necks]
    states = [shared_start(configs, META, which, 1) for which in range(3)]
    inside = [{name: value for name, value in state.items() if name.startswith("encoder.")} for state in states]
    assert differing(inside[0], inside[1]) == differing(inside[0], inside[2]) == []
    assert inside[0].keys() == inside[1].keys() == inside[2].keys()


def test_arms_see_the_same_images_in_the_same_order_with_the_same_draws(tmp_path):
    dataset = Synthetic(split="train", num_images=6, size=48, data_root=tmp_path)
    arms = [replace(each, warp={"size": (32, 32), "scale": (0.7, 1.3), "rotation": 30, "flip": 0.5},
                    photometric={"gain": 0.4}, batch_size=3) for each in ARMS]  # fmt: skip

    def epochs(config, workers):
        config = config.with_engine(workers=workers)
        shared_start(arms[:2], META, 1, 3)  # whatever is drawn before must not matter
        loader, sampler = build_loader(config, build_samples(config, dataset, True), Processes(0, 1, CPU))
        batches = []
        for sampler.epoch in range(2):
            batches += list(loader)
        return batches

    expected = epochs(arms[0], 0)
    assert not torch.equal(expected[0]["images"], expected[2]["images"])
    for config, workers in ((arms[2], 0), (arms[6], 2), (arms[7], 0), (arms[8], 0)):
        for batch, other in zip(expected, epochs(config, workers), strict=True):
            assert torch.equal(batch["images"], other["images"])
            assert torch.equal(batch["keypoints"], other["keypoints"])
            assert [each["image_id"] for each in batch["samples"]] == [each["image_id"] for each in other["samples"]]
    assert not torch.equal(expected[0]["images"], epochs(replace(arms[0], seed=1), 0)[0]["images"])


def weights(work_dir, key="model"):
    return load_checkpoint(work_dir / "checkpoints" / "last.pt")[key]


def assert_near(found, expected):
    assert found.keys() == expected.keys()
    assert max((value - expected[name]).abs().max() for name, value in found.items()) < 1e-9


@pytest.fixture
def frozen(tiny_config):
    """A run of one epoch that stays where it starts."""
    return load_config(tiny_config, {"epochs": 1, "optimizer.lr": 1e-12, "optimizer.weight_decay": 0.0})


def test_a_run_starts_from_given_weights(frozen, tmp_path):
    meta = Synthetic(**{key: value for key, value in frozen.train_data.items() if key != "type"},
                     data_root=frozen.data_root).meta  # fmt: skip
    other = build_dense_model(replace(frozen, seed=9), meta, CPU).state_dict()
    train(frozen.with_engine(ema=0.9), tmp_path / "other", start=other)
    train(frozen, tmp_path / "own")
    for key in ("model", "trained_model"):
        assert_near(weights(tmp_path / "other", key), other)
    assert len(differing(weights(tmp_path / "own"), other)) > 20
    own = build_dense_model(frozen, meta, CPU).state_dict()
    train(frozen, tmp_path / "given", start=own)
    assert differing(weights(tmp_path / "given"), weights(tmp_path / "own")) == []


def test_a_run_that_resumes_and_a_checkpoint_on_top_keep_their_weights(frozen, tmp_path, monkeypatch):
    train(frozen, tmp_path / "first")
    state = weights(tmp_path / "first")
    ones = {name: torch.ones_like(value) for name, value in state.items()}
    heads = {name: value for name, value in state.items() if name.startswith("heads.")}
    save_checkpoint(tmp_path / "heads.pt", {"model": heads})
    train(replace(frozen, init_from=str(tmp_path / "heads.pt")), tmp_path / "second", start=ones)
    assert_near(weights(tmp_path / "second"), ones | heads)

    def stop(*_):
        raise KeyboardInterrupt

    longer = replace(frozen, epochs=2)
    monkeypatch.setattr(train_module, "draw_curves", stop)
    with pytest.raises(KeyboardInterrupt):
        train(longer, tmp_path / "third")
    monkeypatch.undo()
    train(longer, tmp_path / "third", resume=True, start=ones)
    assert_near(weights(tmp_path / "third"), state)


def test_weights_of_another_network_are_refused(frozen, tmp_path):
    with pytest.raises(CheckpointError, match=r"the weights to start from are not those of .*: a is only in the check"):
        train(frozen, tmp_path / "run", start={"a": torch.zeros(1)})
