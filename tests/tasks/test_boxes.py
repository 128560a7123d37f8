import numpy as np
import pytest

import densezoo.metrics  # noqa: F401  # registers the metrics
from densezoo.errors import ConfigError
from densezoo.tasks.boxes import Boxes
from densezoo.types import DatasetMeta

META = DatasetMeta(classes=("red", "white"), category_ids=(4, 7))


def test_metrics_are_box_ap_unless_given():
    (metric,) = Boxes(2, META).metrics()
    assert (metric.primary, metric.classes) == ("AP", ("red", "white"))
    given = [{"type": "BoxAP", "class_agnostic": True}]
    assert Boxes(2, META, given).metrics()[0].classes == ("object",)
    assert Boxes(2, META, []).metrics() == []
    with pytest.raises(ConfigError, match="meta"):
        Boxes(2).metrics()


def test_the_constant_answer_is_the_mean_box_of_the_commonest_class():
    samples = [
        {"boxes": np.float32([[0, 0, 4, 4], [2, 2, 10, 8]]), "labels": np.array([0, 1]), "crowd": np.zeros(2, bool)},
        {"boxes": np.float32([[4, 4, 20, 10]]), "labels": np.array([1]), "crowd": np.zeros(1, bool)},
    ]
    answer = Boxes(2, META).constant_prediction(samples)
    assert answer["boxes"].tolist() == [[3, 3, 15, 9]]
    assert (answer["labels"].tolist(), answer["scores"].tolist()) == ([1], [1])


def test_the_number_of_classes_is_the_data_sets():
    with pytest.raises(ConfigError, match=r"num_classes=3, but the data set has 2 classes; set num_classes=2"):
        Boxes(3, META)
    with pytest.raises(ConfigError, match="at least 1"):
        Boxes(0)
