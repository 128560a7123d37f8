import math

import numpy as np
import pytest

from densezoo.errors import ConfigError, DataError
from densezoo.functional.affine import fit_frame, invert
from densezoo.functional.surfaces import surface_distance, surface_points
from densezoo.functional.volumes import slice_depths, warp_volume
from densezoo.metrics.volume_iou import VolumeIoU
from densezoo.types import DatasetMeta

META = DatasetMeta(volume_slices=(12, 2.0))


def box(left, top, front, right, bottom, back, size=(20, 24), count=12):
    volume = np.zeros((count, *size), np.uint8)
    volume[front:back, top:bottom, left:right] = 1
    return volume


def sample_of(volume, image_id=1, to_original=None):
    truth = {"volume": volume, "size": volume.shape[1:]}
    return {
        "image_id": image_id,
        "path": f"{image_id}.png",
        "to_original": np.eye(2, 3) if to_original is None else to_original,
        "truth": truth,
    }


def scored(*pairs, **more):
    metric = VolumeIoU(META)
    for image_id, (truth, answer) in enumerate(pairs, 1):
        metric.update([{"volume": answer.astype(np.float16)}], [sample_of(truth, image_id, **more)])
    return metric


def test_scores_of_a_shifted_box():
    truth, answer = box(4, 4, 2, 12, 12, 8), box(6, 4, 2, 14, 12, 8)
    found = scored((truth, answer)).compute()
    assert found["IoU"] == pytest.approx(6 / 10)
    exact = surface_distance(surface_points(truth > 0, 2.0), surface_points(answer > 0, 2.0))
    assert found["surface_error"] == pytest.approx(exact)
    assert 0.3 < exact < 2
    assert found["surface_NME"] == pytest.approx(exact / 8)  # the truth's box has 8 x 8 pixels
    assert found["surface_missed"] == 0


def test_a_perfect_answer_is_perfect():
    truth = box(4, 4, 2, 12, 12, 8)
    assert scored((truth, truth)).compute() == {"IoU": 1, "surface_error": 0, "surface_NME": 0, "surface_missed": 0}


def test_answers_are_compared_in_the_files_pixels():
    x, y = np.arange(48) + 0.5 - 24, np.arange(40)[:, None] + 0.5 - 20
    truth = (x**2 + y**2 + slice_depths(20, 2.0)[:, None, None] ** 2 < 14**2).astype(np.uint8)
    affine = fit_frame(np.array([4, 2, 44, 38]), (72, 80), 0.9, 20.0)
    answer = warp_volume(truth.astype(np.float32), affine, (72, 80))
    metric = VolumeIoU(DatasetMeta(volume_slices=(20, 2.0)))
    metric.update([{"volume": answer.astype(np.float16)}], [sample_of(truth, to_original=invert(affine))])
    assert metric.compute()["IoU"] > 0.95
    assert metric.compute()["surface_error"] < 0.2


def test_what_is_missed_counts_in_iou_and_is_said():
    truth, nothing = box(4, 4, 2, 12, 12, 8), np.zeros((12, 20, 24))
    metric = scored((truth, truth), (truth, nothing))
    assert metric.compute() == {"IoU": 0.5, "surface_error": 0, "surface_NME": 0, "surface_missed": 1}
    assert metric.per_image()[2] == {"IoU": 0, "surface_error": math.inf, "surface_NME": math.inf}
    metric.add_truth(3, sample_of(truth)["truth"])
    assert metric.compute()["IoU"] == pytest.approx(1 / 3)
    assert metric.compute({1: 3.0, 2: 1.0}) == {
        "IoU": 0.75,
        "surface_error": 0,
        "surface_NME": 0,
        "surface_missed": 1,
    }


def test_an_image_with_nothing_is_left_out():
    truth, nothing = box(4, 4, 2, 12, 12, 8), np.zeros((12, 20, 24), np.uint8)
    metric = scored((truth, truth), (nothing, nothing))
    assert metric.compute()["IoU"] == 1
    assert all(math.isnan(value) for value in metric.per_image()[2].values())
    assert scored((nothing, truth)).compute()["IoU"] == 0
    assert math.isnan(VolumeIoU(META).compute()["IoU"])


def test_what_cannot_be_scored_is_refused():
    with pytest.raises(ConfigError, match="data set with volumes"):
        VolumeIoU(DatasetMeta())
    metric, truth = VolumeIoU(META), box(4, 4, 2, 12, 12, 8)
    with pytest.raises(DataError, match="task Volume"):
        metric.update([{"scores": np.zeros(0)}], [sample_of(truth)])
    with pytest.raises(DataError, match="3 slices, the annotated volume 12"):
        metric.update([{"volume": truth[:3]}], [sample_of(truth)])
    with pytest.raises(DataError, match="nothing annotated"):
        metric.update([{"volume": truth}], [{"path": "a.png", "image_id": 1}])
    metric.update([{"volume": truth}], [{"error": "gone"}])
    assert metric.per_image() == {}
