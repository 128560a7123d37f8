import types

import numpy as np
import pytest

from densezoo.engine.input_notes import input_notes
from densezoo.models import build_model
from densezoo.registry import TASKS


@pytest.fixture
def dataset():
    """Stand-in for a data set: three samples and one line about its file."""
    return types.SimpleNamespace(
        input_notes=lambda: ["a.json: 3 crowds"], object_counts=lambda: np.array([4, 130, 101])
    )


def test_images_with_more_objects_than_a_task_finds(dataset):
    tasks = {
        "boxes": types.SimpleNamespace(max_objects=100, limited_by="max_detections"),
        "many": types.SimpleNamespace(max_objects=130, limited_by="max_people"),
        "pose": types.SimpleNamespace(),
    }
    assert input_notes(dataset, tasks, "val_data") == [
        "a.json: 3 crowds",
        "val_data: 2 of 3 images have more than the 100 objects that task 'boxes' finds in one (up to 130); raise "
        "max_detections",
    ]


def test_tasks_that_find_boxes_say_how_many():
    corners = {"type": "Corners", "num_classes": 2, "top_k": 30, "max_detections": 40}
    assert (TASKS.build(corners).max_objects, TASKS.build(corners).limited_by) == (30, "top_k")
    corners = {"type": "Corners", "num_classes": 2, "max_detections": 300}
    assert (TASKS.build(corners).max_objects, TASKS.build(corners).limited_by) == (100, "top_k")
    assert TASKS.build({"type": "Centers", "num_classes": 2, "max_detections": 7}).max_objects == 7
    encoder = {"type": "NewellStem", "channels": 8}
    detector = {"type": "FasterRCNN", "box_detections_per_img": 9, "channels": 8}
    model = build_model(encoder, None, {"boxes": {"type": "Boxes", "num_classes": 2}}, detector=detector)
    assert (model.tasks["boxes"].max_objects, model.tasks["boxes"].limited_by) == (9, "box_detections_per_img")


def test_a_data_set_that_says_nothing():
    assert (
        input_notes(
            types.SimpleNamespace(), {"boxes": types.SimpleNamespace(max_objects=1, limited_by="top_k")}, "train_data"
        )
        == []
    )
