"""What tests of all sources do with a converted network."""

import pytest
import torch
from filling import pixels

from densezoo.errors import ConfigError, DataError
from densezoo.interop import conversion, convert_state_dict
from densezoo.models import create_model


def convert(state_dict, source, **options):
    """The config and the model, with its weights, ready to run."""
    config, weights = convert_state_dict(state_dict, source, **options)
    model = create_model(config).eval()
    model.load_state_dict(weights, strict=True)
    return config, model


@torch.no_grad()
def assert_reads_pixels(state_dict, source, mean, std, channels=3, options=None):
    """On uint8 images the network gives what it gives on the floats that the source would make of them."""
    _, model = convert(state_dict, source, **(options or {}))
    images = pixels(64, 64, channels)
    floats = (images / 255 - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    found, expected = (model.forward_features(given)[-1][0] for given in (images, floats))
    assert float(expected.std()) > 1e-3
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def assert_every_tensor_counts(monkeypatch, state_dict, source, unread=lambda key: False):
    """Without any one of its tensors, or with one of another shape, a state dict is refused, and nothing worse.

    What is missing is named; of a wrong shape that decides a size, only what contradicts it can be. Counters that old
    checkpoints lack may be missing, and what is `unread` need not fit.
    """
    networks = {}  # most changes leave the config as it is, so few networks are built

    def create(config):
        if repr(config) not in networks:
            networks[repr(config)] = create_model(config)
        return networks[repr(config)]

    monkeypatch.setattr(conversion, "create_model", create)
    refused = 0
    for key, tensor in state_dict.items():
        if unread(key):
            continue
        others = {name: value for name, value in state_dict.items() if name != key}
        if key.endswith("num_batches_tracked"):
            convert_state_dict(others, source)
        else:
            with pytest.raises(DataError) as error:
                convert_state_dict(others, source)
            assert key.removeprefix("backbone.") in str(error.value)
            refused += 1
        larger = tuple(size + 1 for size in tensor.shape) or (1,)
        for shape in (larger, ()) if tensor.ndim == 4 else (larger,):
            with pytest.raises((ConfigError, DataError)):
                convert_state_dict({**others, key: torch.empty(shape, device="meta")}, source)
    assert refused > 10


def assert_named(config, name, **overrides):
    """The network has the tensors of a named model."""
    with torch.device("meta"):
        found, named = create_model(config), create_model(name, **overrides)
    assert {key: value.shape for key, value in found.state_dict().items()} == {
        key: value.shape for key, value in named.state_dict().items()
    }
