"""Every named model: what the publications count, and that torch's compilers take it."""

import pytest
import torch

from densezoo.models import create_model, list_models
from densezoo.models.named import MODELS

MILLIONS = {
    "newell_hourglass_s1": 3.43,
    "newell_hourglass_s2": 6.57,
    "newell_hourglass_s4": 12.86,
    "newell_hourglass_s8": 25.43,
    "hourglass52": 93.66,
    "hourglass104": 187.70,
    "cornernet_hourglass104": 201.04,
    "unet_2015": 31.03,
    "unet_resnet34": 24.44,
    "unetplusplus_resnet34": 26.08,
    "linknet_resnet34": 21.77,
    "fpn_resnet34": 23.16,
}
"""Published, or counted in the implementation that the model equals."""
SMALL = {"unet_2015": (188, 188)}
"""Sizes for models that do not take 64×64."""


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def on_meta(name, **overrides):
    with torch.device("meta"):
        return create_model(name, **overrides).eval()


def image_of(model, size, device="cpu"):
    torch.manual_seed(0)
    return torch.randn(1, len(model.encoder.mean), *size, device=device)


@pytest.mark.parametrize("name", sorted(MILLIONS))
def test_published_parameter_counts(name):
    assert name in list_models()
    assert round(count(on_meta(name)) / 1e6, 2) == MILLIONS[name]


def test_the_neck_of_fpn_resnet50():
    assert round(count(on_meta("fpn_resnet50").neck) / 1e6, 2) == 3.34


@pytest.mark.parametrize("name", list_models())
def test_every_named_model_runs_at_its_size_with_and_without_tasks(name):
    entry = MODELS[name]
    model = on_meta(name)
    images = image_of(model, entry.size, "meta")
    outputs = model(images)
    assert list(outputs) == list(entry.config.get("tasks", {}))
    assert all(len(stages) == model.num_stages for stages in outputs.values())
    plain = on_meta(name, tasks=None)
    assert list(plain.heads) == []
    pyramids = plain.forward_features(images)
    assert len(pyramids) == plain.num_stages
    for level, width in zip(pyramids[-1], plain.neck.out_channels, strict=True):
        assert level.shape[1] == width


def flat(outputs):
    return [values for stages in outputs.values() for maps in stages for values in maps.values()]


class Maps(torch.nn.Module):
    """All that a model gives, as a flat list: what an exported program can return."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, images):
        if self.model.tasks:
            return flat(self.model(images))
        return [level for pyramid in self.model.forward_features(images) for level in pyramid]


def check_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4 * float(other.abs().max()))


@pytest.mark.slow
@pytest.mark.parametrize("name", list_models())
def test_export(name):
    module = Maps(create_model(name).eval())
    images = image_of(module.model, SMALL.get(name, (64, 64)))
    with torch.no_grad():
        check_same(torch.export.export(module, (images,)).module()(images), module(images))


@pytest.mark.slow
@pytest.mark.parametrize("name", list_models())
def test_inductor(name):
    torch.compiler.reset()  # each model is another variant of the same code, of which torch takes only so many
    module = Maps(create_model(name).eval())
    images = image_of(module.model, SMALL.get(name, (64, 64)))
    with torch.no_grad():
        check_same(torch.compile(module, fullgraph=True)(images), module(images))
