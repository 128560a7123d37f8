import math
from dataclasses import replace
from pathlib import Path

import pytest

from densezoo.comparison import units as units_module
from densezoo.comparison.prepared import Prepared
from densezoo.comparison.study import Arm, Study
from densezoo.comparison.units import Unit, chosen_rate, needs, parse_unit, read_result, run_unit, units_of
from densezoo.engine.config import RunConfig
from densezoo.errors import ConfigError, DivergedError
from densezoo.types import DatasetMeta

METRIC = "pose/PCK@0.2"


def study_of(config=None, rates=(0.001, 0.01), seeds=(0, 1), **more):
    config = config or RunConfig(encoder={}, tasks={}, warp={}, train_data={}, epochs=10)
    arms = [Arm(name, {}, config, None) for name in ("base", "concat", "again")]
    return Study("fusion", "fusion.py", arms, list(seeds), METRIC, 0.01, list(rates), **more)


def prepared_of(study):
    return Prepared({arm.name: arm.config for arm in study.arms}, {}, True, DatasetMeta())


@pytest.fixture
def scored(monkeypatch):
    """Trainings give these scores, by arm and rate, and leave their configs in a list; errors are raised."""
    scores, configs = {}, []

    def train(config, folder, resume, start):
        assert resume
        configs.append(config)
        score = scores[Path(folder).parent.name, config.optimizer["lr"]]
        if isinstance(score, Exception):
            raise score
        return {METRIC: score}

    monkeypatch.setattr(units_module, "shared_start", lambda *_: None)
    monkeypatch.setattr(units_module, "train", train)
    return scores, configs


def run_tries(study, work_dir, arm="base", higher=True):
    prepared = replace(prepared_of(study), higher_is_better=higher)
    return [run_unit(study, prepared, Unit(arm, "lr", rate), work_dir) for rate in study.learning_rates]


def test_units_come_in_the_order_to_run_them():
    names = [unit.name for unit in units_of(study_of())]
    assert names == [
        "base/lr-0.001", "base/lr-0.01", "concat/lr-0.001", "concat/lr-0.01", "again/lr-0.001", "again/lr-0.01",
        "base/seed-0", "concat/seed-0", "again/seed-0", "base/seed-1", "concat/seed-1", "again/seed-1",
    ]  # fmt: skip
    assert [unit.name for unit in units_of(study_of(rates=[0.1]))] == names[6:]


def test_names_lead_back_to_their_units(tmp_path):
    study = study_of(rates=[1e-05, 0.002, 1.0, 0.30000000000000004])
    for unit in units_of(study):
        assert parse_unit(unit.name, study) == unit
        assert unit.folder(tmp_path) == tmp_path / "units" / unit.name
    for name, words in (
        ("concat/sed-0", "did you mean 'concat/seed-0'"),
        ("base/lr-0.003", "did you mean 'base/lr-0.002'"),
        ("base/seed-7", "'base/seed-1'"),
        ("nonsense", "known: "),
    ):
        with pytest.raises(ConfigError, match=rf"fusion\.py has no unit '{name}'.*{words}"):
            parse_unit(name, study)


def test_a_seed_needs_the_tries_of_its_arm():
    study = study_of()
    tries = {arm: [Unit(arm, "lr", 0.001), Unit(arm, "lr", 0.01)] for arm in ("base", "concat", "again")}
    assert needs(Unit("concat", "seed", 1), study) == tries["concat"]
    assert needs(Unit("again", "seed", 0), study) == tries["again"]
    assert needs(tries["base"][0], study) == []
    assert needs(Unit("concat", "seed", 1), study_of(rates=[0.1])) == []


def test_a_try_is_short_evaluated_once_and_knows_no_test_set(scored, tmp_path):
    scores, configs = scored
    scores["base", 0.001] = scores["base", 0.01] = 0.5
    config = RunConfig(
        encoder={}, tasks={}, warp={}, train_data={}, epochs=10, test_data={"type": "Secret"}, seed=3,
        optimizer={"type": "adamw", "lr": 7.0, "weight_decay": 0.1},
    )  # fmt: skip
    for share, epochs in ((0.25, 2), (0.26, 3), (0.001, 1), (1.0, 10)):
        run_tries(study_of(config, seeds=[3, 4], tuning_share=share), tmp_path / str(share))
        for tried, rate in zip(configs[-2:], (0.001, 0.01), strict=True):
            engine = replace(config.engine, eval_every=epochs, best=METRIC)
            optimizer = {"type": "adamw", "lr": rate, "weight_decay": 0.1}
            assert tried == replace(config, epochs=epochs, test_data=None, engine=engine, optimizer=optimizer)


def test_the_repetition_is_tried_with_a_seed_of_its_own(scored, tmp_path):
    scores, configs = scored
    for arm, best in (("base", 0.001), ("again", 0.01)):
        scores |= {(arm, rate): float(rate == best) for rate in (0.001, 0.01)}
        run_tries(study_of(seeds=[3, 4]), tmp_path, arm)
        assert chosen_rate(study_of(), arm, tmp_path) == best
    assert [config.seed for config in configs] == [3, 3, 1003, 1003]


def test_the_best_try_gives_the_rate(scored, tmp_path):
    scores, _ = scored
    study = study_of(rates=[0.1, 0.2, 0.3])
    for name, values, higher, best in (
        ("highest", (0.5, 0.7, 0.6), True, 0.2),
        ("lowest", (0.5, 0.7, 0.6), False, 0.1),
        ("first of equal ones", (0.5, 0.7, 0.7), True, 0.2),
        ("not nan", (math.nan, 0.1, math.nan), True, 0.2),
        ("not nan, lowest", (math.nan, 0.1, 0.2), False, 0.2),
        ("not a diverged one", (DivergedError("the loss is nan"), 0.0, -1.0), True, 0.2),
    ):
        scores |= {("base", rate): value for rate, value in zip(study.learning_rates, values, strict=True)}
        assert chosen_rate(study, "base", tmp_path / name) is None
        results = run_tries(study, tmp_path / name, higher=higher)
        assert chosen_rate(study, "base", tmp_path / name) == best
        assert chosen_rate(study, "concat", tmp_path / name) is chosen_rate(study, "again", tmp_path / name) is None
    assert [result.error for result in results] == ["the loss is nan", None, None]
    assert chosen_rate(study_of(rates=[0.4]), "concat", tmp_path) == 0.4
    with pytest.raises(ConfigError, match="no arm 'conct'; did you mean 'concat'"):
        chosen_rate(study, "conct", tmp_path)


def test_a_seed_without_tries_or_without_a_rate_says_so(scored, tmp_path):
    scores, configs = scored
    study = study_of()
    seed = Unit("base", "seed", 0)
    with pytest.raises(ConfigError, match=r"base/seed-0 needs base/lr-0\.001, base/lr-0\.01 first: --unit base/lr"):
        run_unit(study, prepared_of(study), seed, tmp_path)
    scores |= {("base", 0.001): math.nan, ("base", 0.01): DivergedError("the loss is nan")}
    run_tries(study, tmp_path)
    with pytest.raises(
        ConfigError, match=r"no learning rate gave arm 'base' a score \(the loss is nan\); begin a study"
    ):
        run_unit(study, prepared_of(study), seed, tmp_path)
    assert len(configs) == 2
    assert math.isnan(run_tries(study, tmp_path)[0].score)
    assert len(configs) == 2  # what has a result is not run again


def test_a_broken_result_is_named(tmp_path):
    unit = Unit("base", "seed", 0)
    folder = unit.folder(tmp_path)
    folder.mkdir(parents=True)
    for text in ("{", "[]", '{"score": 0.5}'):
        (folder / "result.json").write_text(text)
        with pytest.raises(ConfigError, match=r"seed-0.result\.json is not what densezoo compare writes"):
            read_result(unit, tmp_path)
