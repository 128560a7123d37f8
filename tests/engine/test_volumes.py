import cv2
import numpy as np
import pytest

from densezoo.engine.evaluate import AnnotatedFile, Evaluation, coco_results
from densezoo.engine.pictures import draw_answers, draw_cases
from densezoo.engine.volumes import write_volume
from densezoo.errors import ConfigError
from densezoo.functional.volumes import decode_volume, slice_depths
from densezoo.metrics.volume_iou import VolumeIoU
from densezoo.types import DatasetMeta

META = DatasetMeta(volume_slices=(16, 2.0))
TO_FILE = np.array([[2.5, 0, 7], [0, 2.5, 3.0]])
CENTRE, RADII = (14.0, 18.0, -5.0), (6.0, 10.0, 8.0)  # x, y and depth of an ellipsoid in a view of 32 x 32 pixels


def view(size=32):
    x, y, z = np.arange(size) + 0.5, np.arange(size)[:, None] + 0.5, slice_depths(16, 2.0)[:, None, None]
    parts = [((place - middle) / radius) ** 2 for place, middle, radius in zip((x, y, z), CENTRE, RADII, strict=True)]
    volume = np.clip(0.5 + 4 * (1 - np.sqrt(sum(parts))), 0, 1).astype(np.float16)
    image = np.zeros((size, size, 3), np.uint8)
    image[:, 14:] = 255, 102, 0
    sample = {"image": image, "image_id": 3, "path": "3.png", "to_original": TO_FILE, "whole_image": True}
    return volume, sample


def test_the_mesh_stands_upright_in_the_files_pixels(tmp_path):
    volume, sample = view()
    write_volume(tmp_path / "a.b_0", volume, sample, META)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.b_0.obj", "a.b_0.png"]
    assert cv2.imread(str(tmp_path / "a.b_0.png")).shape[1] > 4 * 320
    lines = (tmp_path / "a.b_0.obj").read_text().splitlines()
    vertices = np.array([line.split()[1:] for line in lines if line.startswith("v ")], float)
    corners = np.array([line.split()[1:] for line in lines if line.startswith("f ")], int) - 1
    low, high = vertices[:, :3].min(0), vertices[:, :3].max(0)
    # y is up, and z towards the viewer
    middle = np.array([2.5 * 14 + 7, -(2.5 * 18 + 3), 2.5 * 5])
    np.testing.assert_allclose((low + high) / 2, middle, atol=0.8)
    np.testing.assert_allclose((high - low) / 2, 2.5 * np.array(RADII), rtol=0.06)
    a, b, c = (vertices[corners[:, corner], :3] for corner in range(3))
    assert (a * np.cross(b, c)).sum() / 6 == pytest.approx(4 / 3 * np.pi * np.prod(RADII) * 2.5**3, rel=0.05)
    right = vertices[:, 0] > 2.5 * 14 + 7
    assert (vertices[right, 3:] == (1, 0.4, 0)).all()
    assert (vertices[~right, 3:] == 0).mean() > 0.9


def test_an_empty_volume_has_an_empty_mesh(tmp_path):
    volume, sample = view()
    write_volume(tmp_path / "empty", 0 * volume, sample, META)
    assert (tmp_path / "empty.obj").read_text().strip() == ""
    with pytest.raises(ConfigError, match="cannot be written"):
        write_volume(tmp_path / "empty.obj" / "a", volume, sample, META)


def test_results_hold_the_voxels_and_where_they_lie():
    volume, sample = view()
    (entry,) = coco_results({"volume": volume, "scores": np.zeros(0, np.float32)}, sample, META)
    np.testing.assert_array_equal(decode_volume(entry["volume"]), volume >= 0.5)
    assert (entry["image_id"], entry["to_original"]) == (3, TO_FILE.tolist())
    file = np.full((100, 90, 3), 128, np.uint8)
    drawn = draw_answers(file, [{"head": [entry]}], META)
    factor = drawn.shape[1] / 90
    changed = np.argwhere(abs(drawn.astype(int) - 128).max(2) > 20).mean(0) / factor
    np.testing.assert_allclose(changed, (2.5 * 18 + 3, 2.5 * 14 + 7), atol=2)


def test_cases_show_truth_and_answer(tmp_path):
    volume, sample = view()
    path = tmp_path / "3.png"
    cv2.imwrite(str(path), np.full((40, 40, 3), 128, np.uint8))
    truth = {"size": (40, 40), "boxes": np.zeros((0, 4)), "labels": np.zeros(0, int), "crowd": np.zeros(0, bool)}
    truth["volume"] = np.pad((volume > 0.5).astype(np.uint8), ((0, 0), (0, 8), (0, 8)))
    sample |= {"path": str(path), "to_original": np.eye(2, 3), "truth": truth}
    file = AnnotatedFile.of(sample)
    assert "volume" not in file.truth
    assert "volume" in truth
    nothing = coco_results({"volume": 0 * volume, "scores": np.zeros(0)}, sample, META)
    found = Evaluation({"head": [VolumeIoU(META)]}, results={"head": nothing}, files={3: file}, meta=META)
    picture = draw_cases(found, [(3, 0.0)])
    left, right = picture[:, : picture.shape[1] // 2], picture[:, picture.shape[1] // 2 :]
    assert np.ptp(left[40:-40, 40:-40]) > 100
    assert np.ptp(right[40:-40, 40:-40]) < 10
