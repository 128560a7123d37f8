"""A study's file: arms, grids and matches, and everything that can be wrong in it."""

import textwrap

import pytest

from densezoo.comparison.study import AGAIN, apply_options, fingerprint
from densezoo.comparison.study_file import load_study
from densezoo.engine.config import differing_keys, differing_values, load_config
from densezoo.errors import ConfigError

TEST_DATA = 'test_data = dict(type="Synthetic", split="test", num_images=6, size=64)\n'
STUDY = """
base = "tiny.py"
base_name = "sum"
arms = dict(concat={"neck.fusion": "concat"}, fpn={"neck": dict(type="FPN", channels=16)})
match = dict(cost="macs")
metric = "pose/PCK@0.5"
smallest_difference = 0.02
learning_rates = [1e-3, 2e-3]
"""


@pytest.fixture
def write(tmp_path, tiny_text):
    """Return a function that writes a base and a study of it, and gives the study's path."""

    def write(text=STUDY, base=TEST_DATA):
        (tmp_path / "tiny.py").write_text(tiny_text + base)
        path = tmp_path / "study.py"
        path.write_text(textwrap.dedent(text))
        return path

    return write


class TestArms:
    def test_the_base_comes_first_and_its_repetition_last(self, write):
        study = load_study(write())
        assert [arm.name for arm in study.arms] == ["sum", "concat", "fpn", AGAIN]
        assert not differing_keys(study.base.config, study.arms[-1].config)
        assert study.seeds == [0, 1, 2, 3, 4]
        assert study.learning_rates == [1e-3, 2e-3]

    def test_an_arm_differs_in_its_options_alone(self, write):
        study = load_study(write())
        assert differing_keys(study.arm("concat").config, study.base.config) == ["neck.fusion"]
        assert study.arm("fpn").config.neck == {"type": "FPN", "channels": 16}

    def test_the_repetition_has_seeds_of_its_own(self, write):
        study = load_study(write())
        assert study.seed_of("concat", 3) == study.seed_of("sum", 3) == 3
        assert not {study.seed_of(AGAIN, seed) for seed in study.seeds} & set(study.seeds)

    def test_raw_and_matched_arms_in_one_study(self, write):
        study = load_study(write(STUDY + 'arms["raw"] = {"neck.fusion": "concat", "match": None}'))
        assert study.arm("concat").match.cost == "macs"
        assert study.arm("concat").match.width == "neck.channels"
        assert study.arm("raw").match is None
        assert study.arm("raw").config == study.arm("concat").config

    def test_a_grid_has_every_combination_and_knows_the_base(self, write):
        study = load_study(
            write("""
            base = "tiny.py"
            grid = {"neck.fusion": ["sum", "concat"], "neck.num_stages": [2, 1]}
            metric = "pose/PCK@0.5"
            smallest_difference = 0.02
        """)
        )
        assert [arm.name for arm in study.arms] == [
            "fusion-sum+num_stages-2",
            "fusion-sum+num_stages-1",
            "fusion-concat+num_stages-2",
            "fusion-concat+num_stages-1",
            AGAIN,
        ]
        assert study.learning_rates == [1e-3]

    def test_a_part_in_a_grid_is_called_by_its_type(self, write):
        grid = "grid = {'neck': [dict(type='FPN', channels=16), dict(type='UNet', channels=16)]}\n"
        study = load_study(write(STUDY.replace("arms =", "_ =").replace("match =", "_m =") + grid))
        assert [arm.name for arm in study.arms] == ["sum", "neck-FPN", "neck-UNet", AGAIN]
        assert study.arm("neck-UNet").config.neck == {"type": "UNet", "channels": 16}

    def test_options_are_for_every_arm(self, write):
        study = load_study(write(STUDY + 'options = {"epochs": 7}'), {"batch_size": 2}, seeds=2)
        assert {(arm.config.epochs, arm.config.batch_size) for arm in study.arms} == {(7, 2)}
        assert study.seeds == [0, 1]

    def test_a_part_of_the_training_set_is_for_choices_where_there_is_no_other(self, write):
        study = load_study(write(base=TEST_DATA + "val_data = None\n"))
        for arm in study.arms:
            assert arm.config.train_data["subset"] == {"folds": 10, "drop": [0]}
            assert arm.config.val_data == {**arm.config.train_data, "subset": {"folds": 10, "keep": [0]}}


class TestWrong:
    @pytest.mark.parametrize(
        ("line", "words"),
        [
            ("arms = dict(sum2={})", "resolve to the same config"),
            ('arms = dict(plain={"neck.fusion": "sum"})', "resolve to the same config"),  # the default
            ('arms = dict(plain={"neck.fusion": dict(type="sum")})', "resolve to the same config"),  # and its long form
            ('arms = dict(flip={"engine.flip_test": True})', "cannot have its own engine.flip_test"),
            ('arms = dict(a={"neck.fusion": "max"}, b={"neck.fusion": "max"})', "'a' and 'b' resolve to the same"),
            ('arms = dict(again={"neck.fusion": "max"})', "cannot be called 'again'"),
            ('arms = {"a/b": {"neck.fusion": "max"}}', "cannot be called 'a/b'"),
            ('arms = dict(sum={"neck.fusion": "max"})', "cannot be called 'sum'"),
            ('arms = dict(a={"nek.fusion": "max"})', "unknown key 'nek'"),
            ('arms = dict(a={"epochs.x": 1})', "epochs.x leads through epochs"),
            ("arms = dict(a={5: 1})", "5 is no key"),
            ("grid = {3: [1, 2]}", "grid: 3 is no key"),
            ('arms = dict(a={"neck.feedback.5": "x"})', "'5' is no index into a list of 1"),
            ('arms = dict(a={"neck.fusion": "max", "match": "macs"})', "match can only be None"),
            ('arms = dict(a={"optimizer.lr": 2e-3})', "chosen, not set"),
            ('grid = {"optimizer": [dict(type="adamw", lr=5e-3)]}', "chosen, not set"),
            ("arms = dict(a=3)", "arm 'a' must be a dict"),
            ("arms = {}", "give arms="),
            ("seeds = 0", "seeds must be at least 1"),
            ("smallest_difference = 0", "smallest_difference must be above 0"),
            ("metric = None", "'metric' must be given"),
            ("metrics = 1", "unknown key 'metrics'"),
            ('arms = dict(a={"seed": 1})', "'a' cannot have its own seed"),
            ('arms = dict(a={"test_data.num_images": 5})', "its own test_data"),
            ('arms = dict(a={"val_data": dict(type="Synthetic", split="test")})', "its own val_data"),
            ('arms = dict(a={"val_data": None})', "its own val_data"),
            ('arms = dict(a={"tasks.pose.metrics": [dict(type="PCK", threshold=0.9)]})', "own tasks.pose.metrics"),
            ("learning_rates = [1e-3, 1e-3]", "different numbers above 0"),
            ("learning_rates = [1e-3, -1]", "different numbers above 0"),
            ("learning_rates = [1e-3, float('inf')]", "different numbers above 0"),
            ("learning_rates = [1e-3, float('nan')]", "different numbers above 0"),
            ("learning_rates = []", "at least one, not []"),
            ("smallest_difference = float('inf')", "above 0 and finite"),
            ("smallest_difference = float('nan')", "above 0 and finite"),
            ('grid = {"neck.fusion": "sum"}', "neck.fusion must be a list of values, such as ['sum', …], not 'sum'"),
            ('grid = {"neck.num_stages": 2}', "neck.num_stages must be a list of values"),
            ('grid = {"neck.fusion": []}', "neck.fusion must be a list of values"),
            ('grid = {"neck.fusion": ["max", "mean", "max"]}', "neck.fusion has 'max' twice"),
            (
                'grid = {"neck": [dict(type="FPN"), dict(type="FPN", channels=8)]}',
                "two arms would be called 'neck-FPN'",
            ),
            ('grid = {"warp": [dict(size=(64, 64))]}', "a dict without a type gives an arm no name; use arms="),
            ("tuning_share = 0", "tuning_share must be above 0"),
            ("draws = 0", "draws must be above 1"),
            ('cluster = "("', "no regular expression"),
            ('cluster = "abc"', "needs a group"),
            ('match = dict(cost="flops")', "parameters, macs, latency"),
            ('match = dict(cost="macs", with_="x")', "match has no key"),
            ('match = dict(cost="macs", tolerance=2)', "tolerance must lie between"),
            ('base = "missing.py"', "no config file"),
        ],
    )
    def test_says_what(self, write, line, words):
        with pytest.raises(ConfigError, match=r"(?s).*" + words.replace("(", r"\(").replace("[", r"\[")):
            load_study(write(STUDY + line))

    def test_without_a_test_set(self, write):
        with pytest.raises(ConfigError, match="needs test_data"):
            load_study(write(base=""))

    def test_an_arm_that_trains_on_what_was_cut_out_for_choices(self, write):
        text = STUDY + 'arms = dict(more={"train_data.subset": dict(limit=9)})'
        with pytest.raises(ConfigError, match="'more' cannot have its own train_data"):
            load_study(write(text, base=TEST_DATA + "val_data = None\n"))
        assert load_study(write(text)).arm("more").config.train_data["subset"] == {"limit": 9}

    def test_a_training_set_that_is_a_part_already(self, write):
        with pytest.raises(ConfigError, match="cannot be parted"):
            load_study(write(base=TEST_DATA + "val_data = None\ntrain_data['subset'] = dict(limit=5)\n"))

    def test_missing_file(self, tmp_path):
        with pytest.raises(ConfigError, match="no study"):
            load_study(tmp_path / "x.py")
        (tmp_path / "x.yaml").write_text("a: 1")
        with pytest.raises(ConfigError, match="must be a Python file"):
            load_study(tmp_path / "x.yaml")


class TestApart:
    @pytest.mark.parametrize(
        ("base", "keys"),
        [
            ("val_data = test_data", "val_data and test_data"),
            ("val_data = [val_data, test_data]", "val_data and test_data"),
            ("val_data = train_data", "train_data and val_data"),
            ("test_data = dict(**train_data, difficulty=1.0)", "train_data and test_data"),  # the default
            ("train_data['subset'] = dict(limit=5)\nval_data = dict(train_data)", "train_data and val_data"),
            ("val_data = dict(**train_data, subset=dict(limit=5))", "train_data and val_data"),
            ("val_data = dict(**train_data, only=['boxes'])", "train_data and val_data"),
            ("val_data = dict(**train_data, view='scenes')", "train_data and val_data"),
            (
                "val_data = dict(**train_data, subset=dict(folds=10, keep=[1]))\n"
                "train_data['subset'] = dict(folds=10, drop=[0])",
                "train_data and val_data",
            ),
            (
                "val_data = dict(**train_data, subset=dict(folds=5, keep=[0]))\n"
                "train_data['subset'] = dict(folds=10, drop=[0])",
                "train_data and val_data",
            ),
            (
                "val_data = dict(**train_data, subset=dict(limit=900))\ntrain_data['subset'] = dict(limit=500)",
                "train_data and val_data",
            ),
            ("train_data = dict(type='Mixed', sources=[val_data, train_data])", "train_data and val_data"),
        ],
    )
    def test_scores_on_what_was_learned_from_are_refused(self, write, base, keys):
        words = f"arm 'sum': {keys} have the same Synthetic, and scores must be on images that nothing was learned"
        with pytest.raises(ConfigError, match=words):
            load_study(write(base=TEST_DATA + base + "\n"))

    def test_an_arm_that_learns_from_the_test_set(self, write):
        arms = "arms = dict(more={'train_data': dict(type='Synthetic', split='test', num_images=6, size=64)})"
        with pytest.raises(ConfigError, match="arm 'more': train_data and test_data have the same Synthetic"):
            load_study(write(STUDY + arms))

    def test_different_subsets_of_one_source_are_apart(self, write):
        base = "val_data = dict(train_data)\nval_data['subset'] = dict(folds=5, keep=[0])\n"
        base += "train_data['subset'] = dict(folds=5, drop=[0])\n"
        assert load_study(write(base=TEST_DATA + base)).base.config.val_data["subset"] == {"folds": 5, "keep": [0]}

    def test_a_subset_of_the_part_that_is_left_out_is_apart_too(self, write):
        base = "val_data = dict(**train_data, subset=dict(folds=10, keep=[3]))\n"
        base += "train_data['subset'] = dict(folds=5, drop=[3])\n"
        assert load_study(write(base=TEST_DATA + base)).base.config.val_data["subset"] == {"folds": 10, "keep": [3]}

    def test_a_subset_that_cannot_be_is_named(self, write):
        base = "val_data = dict(**train_data, subset=dict(folds=0, keep=[3]))\ntrain_data['subset'] = dict(limit=5)\n"
        with pytest.raises(ConfigError, match="folds must be a positive number"):
            load_study(write(base=TEST_DATA + base))


class TestApplyOptions:
    def test_leaves_the_config_as_it_is(self, tiny_config):
        config = load_config(tiny_config)
        before = config.to_dict()
        changed = apply_options(config, {"tasks.pose.metrics.0.threshold": 0.7, "neck.norm": "batch"}, "here")
        assert changed.tasks["pose"]["metrics"][0]["threshold"] == 0.7
        assert changed.neck["norm"] == "batch"
        assert config.to_dict() == before

    def test_none_takes_a_key_away(self, tiny_config):
        config = apply_options(load_config(tiny_config), {"neck.feedback": None, "val_data": None}, "here")
        assert "feedback" not in config.neck
        assert config.val_data is None

    def test_takes_a_copy_of_a_value(self, tiny_config):
        options = {"warp.size": (32, 32), "neck": {"type": "FPN"}}
        config = apply_options(load_config(tiny_config), options, "here")
        assert config.warp["size"] == [32, 32]
        assert config.neck == options["neck"]
        assert config.neck is not options["neck"]


class TestFingerprint:
    def test_knows_what_changes_numbers_and_no_more(self, write):
        path = write()
        same = load_study(path, {"data_root": "elsewhere", "engine.workers": 3}, seeds=9)
        assert fingerprint(same) == fingerprint(load_study(path))
        assert fingerprint(load_study(path, {"epochs": 3})) != fingerprint(load_study(path))

    def test_knows_the_order_of_arms(self, write):
        before = fingerprint(load_study(write()))
        lines = "arms = dict(fpn=arms['fpn'], concat=arms['concat'])"
        assert differing_values(before, fingerprint(load_study(write(STUDY + lines)))) == ["order"]

    @pytest.mark.parametrize("line", ["draws = 7", "smallest_difference = 0.1", 'cluster = "(a)"'])
    def test_knows_how_it_is_judged(self, write, line):
        before = fingerprint(load_study(write()))
        assert fingerprint(load_study(write(STUDY + line))) != before
