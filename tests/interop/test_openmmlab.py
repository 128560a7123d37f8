import pytest
from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.registry import DefaultScope, Registry

import densezoo.models  # noqa: F401  # registers all parts
from densezoo.encoders.corner_net_stem import CornerNetStem
from densezoo.encoders.timm import Timm
from densezoo.errors import ConfigError
from densezoo.necks.stacked_hourglass import StackedHourglass

NECK = {"type": "densezoo.StackedHourglass", "in_channels": [8], "in_strides": [4], "num_stages": 1}


@pytest.fixture(scope="module")
def detection_models():
    """What mmdet's registry is to mmengine's: a child of the root, of another scope."""
    return Registry("model", parent=ROOT_MODELS, scope="someone_elses")


@pytest.fixture
def _default_scope():
    """The scope that a Runner of that toolbox sets."""
    with DefaultScope.overwrite_default_scope("someone_elses"):
        yield


def test_the_root_registry_builds_parts_of_the_zoo():
    neck = ROOT_MODELS.build(NECK)
    assert isinstance(neck, StackedHourglass)
    assert neck.out_strides == [4]


def test_a_sibling_registry_builds_them_by_their_scope(detection_models):
    assert isinstance(detection_models.build(NECK), StackedHourglass)
    assert isinstance(detection_models.build({"type": "densezoo.CornerNetStem", "channels": 8}), CornerNetStem)
    encoder = detection_models.build({"type": "densezoo.Timm", "model": "resnet18", "strides": [4, 8]})
    assert isinstance(encoder, Timm)
    assert encoder.channels == [64, 128]


@pytest.mark.usefixtures("_default_scope")
def test_another_default_scope_changes_nothing(detection_models):
    assert isinstance(ROOT_MODELS.build(NECK), StackedHourglass)
    assert isinstance(detection_models.build(NECK), StackedHourglass)
    assert detection_models.get("densezoo.StackedHourglass") is StackedHourglass
    with pytest.raises(KeyError, match="StackedHourglass is not in the"):
        detection_models.build({**NECK, "type": "StackedHourglass"})


def test_a_part_of_the_toolbox_may_hold_parts_of_the_zoo(detection_models):
    @detection_models.register_module()
    class Detector:
        def __init__(self, backbone, neck):
            self.backbone = detection_models.build(backbone)
            channels, strides = self.backbone.channels, self.backbone.strides
            self.neck = detection_models.build({**neck, "in_channels": channels, "in_strides": strides})

    built = ROOT_MODELS.build(
        {
            "type": "someone_elses.Detector",
            "backbone": {"type": "densezoo.NewellStem", "channels": 16},
            "neck": {"type": "densezoo.StackedHourglass", "num_stages": 2},
        }
    )
    assert built.neck.out_channels == [16]


def test_a_wrong_value_speaks_the_zoos_language(detection_models):
    with pytest.raises(ConfigError, match="num_stages=0"):
        detection_models.build({**NECK, "num_stages": 0})
