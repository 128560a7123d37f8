import logging

import pytest
import torch
from converting import assert_every_tensor_counts, assert_reads_pixels
from filling import assert_golden, filled, hollow, image
from hourglasses import bearpaw, heatmaps

from densezoo.errors import ConfigError, DataError
from densezoo.interop import convert_state_dict
from densezoo.models import create_model


def test_golden_heatmaps_of_every_stage():
    """Two stacks of two blocks, at a size of which the source's stem drops a row."""
    maps = heatmaps(filled(bearpaw(2, 2, 5, stem=8, half=6)), "bearpaw", image(66, 63))
    assert_golden(maps, BEARPAW)


BEARPAW = [
    ((-25.618284, 37.656067, 0.25844237), [6.1948185, -21.879293, -4.1323862, 0.92460454, -2.0054793, 12.703824]),
    ((-593.61395, 323.03125, -170.29175), [80.034821, 159.90913, 8.5914116, -72.472168, -359.78641, 132.16666]),
]


@pytest.mark.parametrize(("stacks", "millions"), [(2, 6.73), (8, 25.59)])
def test_published_parameter_counts(stacks, millions):
    shapes = list(bearpaw(stacks, 1, 16))
    config, weights = convert_state_dict(hollow(shapes), "bearpaw")
    with torch.device("meta"):
        count = sum(values.numel() for values in create_model(config).parameters())
    assert round(count / 1e6, 2) == millions
    assert len(weights) == len(shapes)


def test_sizes_are_read_from_the_tensors():
    config, _ = convert_state_dict(hollow(bearpaw(3, 2, 7, stem=4, half=10)), "bearpaw")
    assert config["encoder"]["channels"] == [4, 8, 16, 20]
    assert (config["neck"]["num_stages"], config["neck"]["blocks"]) == (3, 2)
    assert config["tasks"]["pose"]["num_keypoints"] == 7


def test_images_are_normalised_as_the_source_does(caplog):
    """Shifted by the mean of RGB in 0–1, and not divided by a deviation."""
    state_dict = filled(bearpaw(1, 1, 2, stem=4, half=4))
    with caplog.at_level(logging.WARNING, "densezoo"):
        assert_reads_pixels(state_dict, "bearpaw", [0.4404, 0.4440, 0.4327], [1.0] * 3)
    assert "mean=(0.4404, 0.444, 0.4327) (that of MPII); give mean=" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING, "densezoo"):
        assert_reads_pixels(state_dict, "bearpaw", [0.1, 0.2, 0.3], [1.0] * 3, options={"mean": [0.1, 0.2, 0.3]})
    assert not caplog.records
    with pytest.raises(ConfigError, match=r"mean=.* must have in_channels=3 numbers"):
        convert_state_dict(state_dict, "bearpaw", mean=[0.5])
    with pytest.raises(ConfigError, match="divide numbers of 0–255"):
        convert_state_dict(state_dict, "bearpaw", mean=[112.0, 113.0, 110.0])


def test_every_tensor_counts(monkeypatch):
    assert_every_tensor_counts(monkeypatch, hollow(bearpaw(1, 1, 2, stem=4, half=4)), "bearpaw")


def test_what_is_missing_unknown_or_of_another_shape_is_named():
    complete = hollow(bearpaw(2, 1, 2, stem=4, half=4))
    for key in list(complete)[::37]:
        state_dict = {name: value for name, value in complete.items() if name != key}
        if key.endswith("num_batches_tracked"):
            assert len(convert_state_dict(state_dict, "bearpaw")[1]) == len(complete)
        else:
            with pytest.raises(DataError, match=f"{key}(?![\\w.])"):
                convert_state_dict(state_dict, "bearpaw")
    wrong = {**complete, "fc.1.0.weight": torch.empty(3, 8, 1, 1), "fc.2.0.weight": torch.empty(8, 8, 1, 1)}
    with pytest.raises(DataError, match=r"2 places:\n  unknown fc.2.0.weight .*\n  fc.1.0.weight is \(3, 8, 1, 1\)"):
        convert_state_dict(wrong, "bearpaw")
