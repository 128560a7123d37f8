from dataclasses import replace

import numpy as np
import pytest

from densezoo.comparison import matching
from densezoo.comparison.costs import count
from densezoo.comparison.matching import match_width
from densezoo.comparison.study import Match, apply_options
from densezoo.engine.config import RunConfig
from densezoo.errors import ConfigError
from densezoo.types import DatasetMeta

META = DatasetMeta(keypoint_names=("x", "y", "z"))
HOURGLASS = {"type": "StackedHourglass", "channels": 16, "num_stages": 1, "num_levels": 2, "norm": "group"}
BASE = RunConfig(
    encoder={"type": "NewellStem", "channels": 16, "norm": "group"},
    neck=HOURGLASS,
    tasks={"pose": {"type": "Pose", "num_keypoints": 3}},
    warp={"size": (32, 32)},
    train_data={},
)


def arm(**options):
    return apply_options(BASE, {f"neck.{key}": value for key, value in options.items()}, "test")


@pytest.mark.parametrize(
    ("options", "cost"),
    [({"fusion": "concat"}, "parameters"), ({"fusion": "gated"}, "macs"), ({"num_stages": 2}, "parameters")],
)
def test_the_width_is_the_nearest_of_all(options, cost):
    # the encoder is 16 wide, so that a 1×1 convolution disappears at 16 and the cost does not grow everywhere
    config, target = arm(**options), count(arm(channels=21), META, cost)
    found = match_width("arm", config, META, target, Match(cost))
    every = {width: count(arm(channels=width, **options), META, cost) for width in range(13, 23)}
    nearest = min(every, key=lambda width: abs(every[width] - target))
    assert (found.width, found.cost, found.ratio) == (nearest, every[nearest], every[nearest] / target)
    assert found.config == arm(channels=nearest, **options)
    assert 0.9 < found.ratio < 1.1


def test_an_arm_that_costs_the_same_keeps_its_width(monkeypatch):
    target = count(BASE, META, "macs")
    monkeypatch.setattr(matching, "count", None)  # nothing more is asked
    found = match_width("mean", arm(fusion="mean"), META, target, Match("macs"))
    assert (found.width, found.ratio, found.config) == (16, 1.0, arm(fusion="mean"))


def test_widths_of_a_list_keep_their_proportions():
    config = arm(channels=[16, 32], fusion="concat")
    target = count(arm(channels=[16, 32]), META, "parameters")
    found = match_width("concat", config, META, target, Match("parameters"))
    every = {
        width: count(arm(channels=[width, 2 * width], fusion="concat"), META, "parameters") for width in range(10, 17)
    }
    nearest = min(every, key=lambda width: abs(every[width] - target))
    assert found.width == found.config.neck["channels"] == [nearest, 2 * nearest]
    assert found.cost == every[nearest]
    wide = match_width("concat", arm(channels=(3, 100)), META, target, Match("parameters"))
    assert wide.width[1] == round(wide.width[0] * 100 / 3)


def test_another_key_than_that_of_the_neck_is_matched():
    found = match_width("s2", arm(num_stages=2), META, count(BASE, META, "macs"), Match("macs", "encoder.channels"))
    assert found.width == found.config.encoder["channels"] < 16
    assert found.config.neck == arm(num_stages=2).neck


@pytest.fixture
def costing(monkeypatch):
    """Return a function that lets an arm of a width cost what another function says, and gives the widths asked for."""

    def use(cost):
        asked = []

        def of_config(config, meta, kind):
            width = config.neck["channels"]
            asked.append(width)
            return cost(width)

        monkeypatch.setattr(matching, "cost_of", of_config)
        monkeypatch.setattr(matching, "count", of_config)
        return asked

    return use


def refuse(width):
    raise ConfigError(f"{width} is no width")


def test_the_search_is_short_and_right_wherever_it_starts(costing):
    rng = np.random.default_rng(0)
    for _ in range(60):
        costs = np.cumsum(rng.integers(0, 1000, 6000))
        target = int(rng.integers(costs[20], costs[2000]))
        asked = costing(lambda width, costs=costs: int(costs[width]))
        found = match_width("arm", arm(channels=int(rng.integers(32, 700))), META, target, Match("macs"))
        assert abs(found.cost - target) == np.abs(costs[1:] - target).min()
        assert found.cost == costs[found.width]
        assert len(asked) < 35


def test_a_dip_beside_the_end_is_found(costing):
    costing(lambda width: 10 * width - (15 if width == 51 else 0))
    assert match_width("arm", arm(channels=30), META, 496, Match("macs")).width == 51  # 495, where 50 has 500


def test_widths_that_the_parts_refuse_are_passed_over(costing):
    costing(lambda width: width**2 if width % 32 == 0 else refuse(width))
    for start, wanted in ((32, 544), (96, 64), (256, 96), (64, 1024)):
        found = match_width("arm", arm(channels=start), META, wanted**2 + 100, Match("parameters"))
        assert found.width == wanted


def test_the_nearest_is_given_where_no_width_is_within_the_tolerance(costing):
    costing(lambda width: 100 * width)
    found = match_width("arm", arm(channels=9), META, 330, Match("macs", tolerance=0.01))
    assert (found.width, found.ratio) == (3, 300 / 330)


@pytest.mark.parametrize(
    ("cost", "target", "words"),
    [
        (lambda width: 7, 8, "the cost does not depend on it"),
        (lambda width: 1000 + width, 900, "1,001 MACs at neck.channels = 1 and 1,032 MACs .* narrower it cannot be"),
        (lambda width: 10 + width, 10_000, "26 MACs at neck.channels = 16 and 1,034 MACs .* = 1024, and even 64 times"),
        (lambda width: 5 if width == 16 else refuse(width), 6, "the parts take no other width"),
        (lambda width: width if width > 12 else refuse(width), 5, "13 MACs at neck.channels = 13 .* narrower"),
    ],
)
def test_what_cannot_be_matched_is_refused_with_the_costs_and_a_way_out(costing, cost, target, words):
    costing(cost)
    with pytest.raises(ConfigError, match=f"arm 'x' cannot be matched to the base's {target:,} MACs.*{words}.*None"):
        match_width("x", BASE, META, target, Match("macs"))


def test_an_encoder_that_costs_more_than_the_base_is_refused():
    wide = replace(BASE, encoder={**BASE.encoder, "channels": 64})
    with pytest.raises(ConfigError, match=r"arm 'wide' cannot .* at neck\.channels = 1 "):
        match_width("wide", wide, META, count(BASE, META, "macs"), Match("macs"))


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("neck.chanels", r"arm 'x' has no neck\.chanels.*did you mean 'neck.channels' or.*\{'neck.chanels': 64\}"),
        ("neck.fusion", r"has no neck\.fusion to match"),
        ("neck.norm", r"neck\.norm is 'group', and a width is a number from 1 on.*'neck\.channels'"),
        ("epochs", "the cost does not depend on it; give match another width"),
    ],
)
def test_a_key_without_a_width_is_refused(key, words):
    with pytest.raises(ConfigError, match=words):
        match_width("x", BASE, META, 1000, Match("macs", key))


def test_an_arm_that_cannot_be_built_is_refused_by_its_name():
    with pytest.raises(ConfigError, match=r"^arm 'x': .*no fusion is called 'concta'"):
        match_width("x", arm(fusion="concta"), META, 1000, Match("macs"))


def test_latencies_are_searched_in_steps_and_the_best_are_measured_again(costing, monkeypatch):
    asked = costing(lambda width: width / 10 + (0.9 if width == 88 else 0))  # a slow pass at the width that is right
    again = []

    def together(configs, meta):
        again.extend(config.neck["channels"] for config in configs)
        return [width / 10 for width in again]

    monkeypatch.setattr(matching, "latencies", together)
    found = match_width("arm", arm(channels=256), META, 8.9, Match("latency"))
    assert again == [96, 88, 80]
    assert all(width % 8 == 0 for width in asked)
    assert (found.width, found.cost, found.ratio) == (88, 8.8, 8.8 / 8.9)
    assert len(asked) < 20
    # by now the machine is slower, and the base as well: 8.0 milliseconds stand for its 64 channels
    again.clear()
    monkeypatch.setattr(matching, "latencies", lambda configs, meta: [each.neck["channels"] / 8 for each in configs])
    found = match_width("arm", arm(channels=256), META, 7.9, Match("latency"), arm(channels=64))
    assert (found.width, found.cost, found.ratio) == (64, 8.0, 1.0)
