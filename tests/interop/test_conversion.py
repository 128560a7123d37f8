import logging

import pytest
import torch
from filling import conv, filled, hollow, norm
from hourglasses import bearpaw

from densezoo.errors import ConfigError, DataError
from densezoo.interop import convert_state_dict
from densezoo.interop.conversion import Weights, concat_order, list_sources, one_or_list


@pytest.fixture
def weights():
    return Weights(hollow([*conv("body.0", 4, 3, 3), *conv("body.1", 4, 4), *conv("old.0", 4, 4)]))


def expected(**shapes):
    return {key.replace("_", "."): torch.empty(shape, device="meta") for key, shape in shapes.items()}


def test_every_source_is_listed():
    assert {"anibali", "bearpaw", "cornernet", "mmdet", "mmpose", "princeton"} <= set(list_sources())


def test_unknown_sources_and_options_are_refused():
    with pytest.raises(ConfigError, match="no source is called 'bearpow'; did you mean 'bearpaw'"):
        convert_state_dict({}, "bearpow")
    state_dict = hollow(bearpaw(1, 1, 2, stem=4, half=4))
    with pytest.raises(ConfigError, match="source 'bearpaw' has no argument 'maen'; did you mean 'mean'"):
        convert_state_dict(state_dict, "bearpaw", maen=[0.5] * 3)
    with pytest.raises(ConfigError, match=r"source 'bearpaw': mean must be Sequence.*, not 0.5"):
        convert_state_dict(state_dict, "bearpaw", mean=0.5)
    with pytest.raises(ConfigError, match="source 'bearpaw' has no argument 'source'"):
        convert_state_dict(state_dict, "bearpaw", source=1)


@pytest.mark.parametrize("wrong", [{}, {"state_dict": {"a": torch.zeros(1)}}, {"a": torch.zeros(1), "epoch": 3}])
def test_what_is_no_state_dict_is_refused(wrong):
    with pytest.raises(DataError, match=r"this is no state dict: .* under 'state_dict' or 'model'"):
        convert_state_dict(wrong, "bearpaw")


def test_looking_at_names_and_shapes(weights):
    assert "body.0.weight" in weights
    assert weights.has("old.")
    assert not weights.has("new.")
    assert weights.count("body.") == 2
    assert weights.count("old.") == 1
    assert weights.shape("body.0.weight") == (4, 3, 3, 3)
    assert weights.width("body.0.weight") == 4
    assert weights.width("body.0.bias", 1) == 4
    with pytest.raises(DataError, match=r"body.0.bias is \(4,\), and not 4 sizes"):
        weights.width("body.0.bias")
    with pytest.raises(DataError, match=r"no 'body.0.wieght'; did you mean 'body.0.weight'.*another source"):
        weights.shape("body.0.wieght")


def test_a_prefix_of_all_names_is_dropped_and_one_of_some_on_demand():
    weights = Weights({f"module.{key}": value for key, value in hollow(conv("net.a", 1, 1)).items()})
    assert "net.a.weight" in weights
    weights.drop_prefix("net.")
    weights.layer("a", "b")
    assert weights.finish(expected(b_weight=(1, 1, 1, 1), b_bias=(1,))).keys() == {"b.weight", "b.bias"}


def test_all_that_does_not_fit_is_listed_by_the_sources_names(weights):
    weights.layer("body.0", "first")
    weights.move("body.1.weight", "second.weight")
    with pytest.raises(DataError, match="8 places") as error:
        weights.finish(expected(first_weight=(4, 3, 5, 5), first_scale=(4,), third=()))
    assert [line.strip() for line in str(error.value).splitlines()[1:]] == [
        "missing body.0.scale",
        "missing what goes to third",
        "unknown body.1.bias (4,)",
        "unknown old.0.weight (4, 4, 1, 1)",
        "unknown old.0.bias (4,)",
        "body.0.weight is (4, 3, 3, 3), not (4, 3, 5, 5)",
        "unknown body.0.bias (4,)",
        "unknown body.1.weight (4, 4, 1, 1)",
    ]


def test_a_layer_that_is_not_there_is_missing_and_taken_only_once(weights):
    weights.layer("body.0", "a")
    weights.layer("body.0", "b")
    weights.layer("body.7", "c")
    with pytest.raises(DataError, match=r"missing body.0.weight\n  missing body.7.weight"):
        weights.finish({})


def test_dead_weights_are_noted_with_their_size(weights):
    weights.dead(("old.", "older."), "nobody runs them")
    assert weights.notes == ["left out 2 tensors of 'old.' (0.00 M numbers): nobody runs them"]
    weights.dead("old.", "nobody runs them")
    assert len(weights.notes) == 1


def test_counters_that_old_checkpoints_lack_are_zero():
    weights = Weights({key: value for key, value in filled(norm("bn", 2)).items() if "num" not in key})
    weights.layer("bn", "norm")
    converted = weights.finish(torch.nn.BatchNorm2d(2).state_dict(prefix="norm."))
    assert converted["norm.num_batches_tracked"] == 0


def test_notes_are_logged_with_the_source(caplog):
    with caplog.at_level(logging.WARNING, "densezoo"):
        convert_state_dict(hollow(bearpaw(1, 1, 2, stem=4, half=4)), "bearpaw")
    assert "bearpaw: assumed mean=" in caplog.text


def test_the_order_of_joined_maps_can_be_changed():
    weight = torch.arange(6.0).reshape(1, 6, 1, 1)
    changed = concat_order(1, 2, 3, order=(2, 0, 1))(weight)
    assert changed.flatten().tolist() == [3, 4, 5, 0, 1, 2]
    maps = [torch.randn(1, width, 2, 2) for width in (1, 2, 3)]
    conv2d = torch.nn.functional.conv2d
    there = conv2d(torch.cat(maps, 1), weight)
    here = conv2d(torch.cat([maps[2], maps[0], maps[1]], 1), changed)
    torch.testing.assert_close(here, there)


def test_joined_maps_of_another_width_are_left_as_they_are():
    weight = torch.ones(1, 5, 1, 1)
    assert concat_order(1, 2, 3, order=(2, 0, 1))(weight) is weight


def test_a_gap_in_numbered_parts_counts_and_a_number_beyond_all_reason_does_not():
    weights = Weights(hollow([*conv("a.0", 1, 1), *conv("a.2", 1, 1), *conv("a.99999999", 1, 1)]))
    assert weights.count("a.") == 3


def test_equal_numbers_are_said_once():
    assert one_or_list([3, 3]) == 3
    assert one_or_list((3, 4)) == [3, 4]
