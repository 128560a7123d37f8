"""What tests of all sources do with a converted network."""

import torch
from filling import pixels

from densezoo.interop import convert_state_dict
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


def assert_named(config, name, **overrides):
    """The network has the tensors of a named model."""
    with torch.device("meta"):
        found, named = create_model(config), create_model(name, **overrides)
    assert {key: value.shape for key, value in found.state_dict().items()} == {
        key: value.shape for key, value in named.state_dict().items()
    }
