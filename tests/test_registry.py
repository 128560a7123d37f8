import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from mmengine.registry import MODELS as ROOT_MODELS
from torch import nn

import densezoo
from densezoo.errors import ConfigError, near_names
from densezoo.registry import DATASETS, ENCODERS, FUSIONS, HEADS, METRICS, NECKS, TASKS, PartRegistry, check_kinds


@pytest.fixture
def birds():
    registry = PartRegistry("bird")

    @registry.register()
    class Sparrow:
        def __init__(self, wings, colour="brown", given=None):
            self.wings, self.colour, self.given = wings, colour, given

    yield registry
    densezoo.registry._KIND_OF_NAME.pop("Sparrow")


def test_a_part_is_built_from_its_config_and_what_the_program_gives(birds):
    built = birds.build({"type": "Sparrow", "wings": 2}, given=7, not_asked_for=1)
    assert (built.wings, built.colour, built.given) == (2, "brown", 7)
    assert birds.build({"type": "densezoo.Sparrow", "wings": 3}).wings == 3


@pytest.mark.parametrize(
    ("cfg", "message"),
    [
        ({"type": "Sparow", "wings": 2}, "no bird is called 'Sparow'; did you mean 'Sparrow'?"),
        ({"type": "os.system", "wings": 2}, "no bird is called 'os.system'"),
        ({"type": os.system, "wings": 2}, "must be a name"),
        ({"wings": 2}, "needs a dict with a 'type'"),
        ({"type": "Sparrow", "wings": 2, "color": "red"}, "has no argument 'color'; did you mean 'colour'?"),
        ({"type": "Sparrow"}, "needs the argument 'wings'"),
        ({"type": "Sparrow", "wings": 2, "given": 1}, "'given' is worked out by the program"),
    ],
)
def test_wrong_configs_name_the_mistake_and_the_way_out(birds, cfg, message):
    with pytest.raises(ConfigError) as error:
        birds.build(cfg, given=7)
    assert message in str(error.value)


def test_a_part_of_ones_own_that_is_not_known_hints_at_the_decorator(birds):
    with pytest.raises(ConfigError, match=r"one of your own needs @BIRDS.register\(\) .* custom_imports"):
        birds.get("Eagle")
    with pytest.raises(ConfigError, match=r"^an encoder needs a dict with a 'type'"):
        ENCODERS.build("NewellStem")


def test_only_classes_are_registered_and_only_with_parentheses(birds):
    with pytest.raises(ConfigError, match=r"write @BIRDS.register\(\), with the parentheses, above <class .*Crow"):
        birds.register(type("Crow", (), {}))
    with pytest.raises(ConfigError, match=r"a bird must be a class, and <function .* is none"):
        birds.register("crow")(lambda: None)
    assert birds.names() == ["Sparrow"]


HINTS = {
    "width": int,
    "widths": int | Sequence[int] | None,
    "mean": Sequence[float],
    "names": Sequence[str],
    "pairs": Sequence[Sequence[int | str]],
    "parts": Sequence[Mapping[str, Any]],
    "weights": str | Mapping[str, float],
    "anything": Any,
    "unannotated_inside": list,
}


@pytest.mark.parametrize(
    "values",
    [
        {"width": 3, "widths": 3, "mean": (0, 0.5, 1)},
        {"widths": [3, 4], "names": ["a"], "pairs": [(1, "b"), [2, 3]]},
        {"widths": None, "parts": [{"type": "PCK", "threshold": 0.2}], "weights": {"dice": 1}},
        {"weights": "dice", "anything": ["8"], "unannotated_inside": ["8", 8], "unknown": True},
    ],
)
def test_values_of_the_annotated_kinds_pass(values):
    check_kinds(HINTS, values, "")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"width": True}, "x.width must be int, not True"),
        ({"widths": ["8", "8"]}, r"x.widths must be int or Sequence of int or None, not \['8', '8'\]"),
        ({"widths": [8.0]}, r"not \[8.0\]"),
        ({"widths": (8, True)}, r"not \(8, True\)"),
        ({"widths": "88"}, "not '88'"),
        ({"widths": [[8]]}, r"not \[\[8\]\]"),
        ({"mean": ["a", "b"]}, r"x.mean must be Sequence of float, not \['a', 'b'\]"),
        ({"mean": [True]}, "Sequence of float"),
        ({"names": "ab"}, "x.names must be Sequence of str, not 'ab'"),
        ({"pairs": [[1, 0.5]]}, "x.pairs must be Sequence of Sequence of int or str"),
        ({"parts": ["PCK"]}, "x.parts must be Sequence of Mapping, not"),
        ({"weights": {"dice": "1"}}, "x.weights must be str or Mapping of float, not"),
    ],
)
def test_values_and_items_of_other_kinds_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        check_kinds(HINTS, values, "x.")


@pytest.mark.parametrize(
    "config",
    [
        {"channels": ["8"] * 4},
        {"channels": [8.5] * 5},
        {"out_levels": ["0"]},
        {"out_levels": [0.0]},
        {"out_levels": [True]},
    ],
)
def test_items_are_checked_where_parts_are_built(config):
    with pytest.raises(ConfigError, match=r"neck 'FPN': .* must be .*Sequence of int"):
        NECKS.build({"type": "FPN", **config}, in_channels=[4], in_strides=[4])


def test_annotations_for_type_checkers_alone_are_passed_over(birds):
    @birds.register("Wren")
    class Wren:
        def __init__(self, wings: "NobodyImportsThis"):  # noqa: F821
            self.wings = wings

    assert birds.build({"type": "Wren", "wings": 2}).wings == 2
    densezoo.registry._KIND_OF_NAME.pop("Wren")


def test_a_name_is_taken_across_kinds(birds):
    with pytest.raises(ConfigError, match="'Sparrow' is already registered as a bird"):
        PartRegistry("tree").register("Sparrow")(type("Sparrow", (), {}))


def test_every_network_part_resolves_from_openmmlab():
    import densezoo.models  # noqa: F401  # registers all parts

    for registry in (ENCODERS, NECKS, HEADS, FUSIONS):
        for name in registry.names():
            cls = registry.get(name)
            if issubclass(cls, nn.Module):
                assert ROOT_MODELS.get(f"densezoo.{name}") is cls


def test_class_names_are_registered_names_and_files_are_their_snake_case():
    import densezoo.datasets
    import densezoo.models  # noqa: F401

    for registry in (ENCODERS, NECKS, HEADS, TASKS, DATASETS, METRICS):
        for name in registry.names():
            cls = registry.get(name)
            if not cls.__module__.startswith("densezoo."):
                continue  # a test's own part
            file = cls.__module__.rsplit(".", 1)[1]
            assert cls.__name__ == name
            assert file.replace("_", "") == name.lower()


def test_near_names():
    assert near_names("hourglas", ["Hourglass", "FPN"]) == "did you mean 'Hourglass'?"
    assert near_names("zzz", ["b", "a"]) == "known: 'a', 'b'"
    assert near_names("zzz", []) == "none are known"
    many = [f"net{number:03}" for number in range(1000)]
    assert near_names("", many) == "known: " + ", ".join(map(repr, many[:10])) + ", … and 990 more"
    assert near_names("a_net", [*many, "a_new_one"]).startswith("known: 'a_new_one', 'net")


def test_the_public_api_is_what_it_promises():
    for name in densezoo.__all__:
        assert callable(getattr(densezoo, name))
    with pytest.raises(AttributeError, match="no attribute 'secret'"):
        _ = densezoo.secret


def test_a_module_may_be_run_again(birds):
    again = type("Sparrow", (), {})
    first = birds.get("Sparrow")
    again.__module__, again.__qualname__ = first.__module__, first.__qualname__
    birds.register("Sparrow")(again)
    assert birds.get("Sparrow") is again


@pytest.mark.parametrize(
    "line",
    [
        "from mmengine.registry import MODELS; print(MODELS.get('densezoo.FPN').__name__)",
        "from mmengine.registry import Registry, MODELS; own = Registry('model', parent=MODELS, scope='mmown'); "
        "print(own.get('densezoo.FPN').__name__)",
        "from densezoo.registry import NECKS; print(NECKS.get('FPN').__name__)",
        "print(densezoo.FPN.__name__)",
    ],
)
def test_parts_are_found_in_a_fresh_process(line):
    command = [sys.executable, "-c", f"import densezoo; {line}"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.stdout.strip().endswith("FPN"), found.stderr
