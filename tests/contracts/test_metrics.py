"""What every metric must do, whatever it measures."""

import pickle

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from densezoo.registry import METRICS

SIZE = (48, 64)
IMAGES = range(1, 7)


def make_image(image_id, content):
    """One file with two people, one of them a sample: every kind of annotation, and a prediction of every kind."""
    rng = np.random.default_rng(content)
    corners = np.sort(rng.uniform(0, 1, (2, 2, 2)), axis=1) * (SIZE[1] - 12, SIZE[0] - 12)
    corners[:, 1] += 12
    boxes = corners.reshape(2, 4).astype(np.float32)
    points = rng.uniform(corners[:, :1], corners[:, 1:], (2, 5, 2))
    keypoints = np.concatenate([points, rng.integers(1, 3, (2, 5, 1))], axis=2).astype(np.float32)
    masks = np.zeros((*SIZE, 2), np.uint8, order="F")
    for index, (left, top, right, bottom) in enumerate(boxes.astype(int).tolist()):
        masks[top:bottom, left:right, index] = 1
    volume = np.stack([masks[..., 0], masks.any(2), masks[..., 1]]).astype(np.uint8)
    truth = {
        "ids": np.array([10, 11]),
        "labels": np.zeros(2, np.int64),
        "boxes": boxes,
        "areas": np.prod(boxes[:, 2:] - boxes[:, :2], axis=1),
        "crowd": np.zeros(2, bool),
        "keypoints": keypoints,
        "head_sizes": np.float32([8, 9]),
        "rles": coco_mask.encode(masks),
        "semantic": masks[..., 0],
        "volume": volume,
        "size": SIZE,
    }
    one = slice(0, 1)
    sample = {
        "image": np.zeros((*SIZE, 3), np.uint8),
        "image_id": image_id,
        "path": f"{image_id}.png",
        "to_original": np.eye(2, 3),
        "frame": boxes[0],
        "keypoints": keypoints[one],
        "boxes": boxes[one],
        "labels": truth["labels"][one],
        "crowd": truth["crowd"][one],
        "ids": truth["ids"][one],
        "semantic": masks[..., 0],
        "volume": volume,
        "truth": truth,
    }
    noise = rng.normal(0, 2, (1, 5, 2))
    prediction = {
        "keypoints": np.concatenate([keypoints[one, :, :2] + noise, np.ones((1, 5, 1))], axis=2),
        "boxes": boxes[one] + rng.normal(0, 2, (1, 4)).astype(np.float32),
        "labels": truth["labels"][one],
        "scores": rng.uniform(0.2, 1, 1).astype(np.float32),
        "semantic": masks[..., 0] ^ (rng.random(SIZE) < 0.1).astype(np.uint8),
        "volume": np.roll(volume, 1 + content % 3, axis=2).astype(np.float16),
    }
    chances = np.clip(0.6 * prediction["semantic"] + rng.uniform(0, 0.4, SIZE), 0.01, 0.99)
    prediction["probabilities"] = np.stack([1 - chances, chances]).astype(np.float32)
    return prediction, sample


@pytest.fixture
def scored(metric, config_of, meta):
    """A metric of this kind that has seen (image id, content) pairs."""

    def make(*images):
        built = METRICS.build(config_of(metric), meta=meta)
        for image in images:
            prediction, sample = make_image(*image)
            built.update([prediction], [sample])
        return built

    return make


def every_image():
    return [(image_id, image_id) for image_id in IMAGES]


def test_metrics_say_what_ranks_models(scored):
    whole = scored(*every_image())
    assert isinstance(whole.higher_is_better, bool)
    scores = whole.compute()
    assert np.isfinite(scores[whole.primary])
    assert all(type(value) is float for value in scores.values())
    assert set(whole.per_image()) == set(IMAGES)
    perfect = scored()
    for image in every_image():
        prediction, sample = make_image(*image)
        prediction |= {key: sample[key] for key in ("keypoints", "boxes", "semantic", "volume")}
        perfect.update([prediction], [sample])
    better = perfect.compute()[whole.primary] - scores[whole.primary]
    assert better > 0 if whole.higher_is_better else better < 0


def test_merged_halves_equal_the_whole(scored):
    images = every_image()
    whole, first, second, nothing = scored(*images), scored(*images[::2]), scored(*images[1::2]), scored()
    first.merge(pickle.loads(pickle.dumps(second)))  # as it comes from another process
    first.merge(nothing)
    nothing.merge(first)
    for merged in (first, nothing):
        assert merged.compute() == pytest.approx(whole.compute(), nan_ok=True)
        assert merged.per_image() == whole.per_image()


def test_integer_weights_equal_repeated_images(scored):
    weights = {image_id: float(image_id % 4) for image_id in IMAGES}
    copies = [(100 * image_id + copy, image_id) for image_id in IMAGES for copy in range(image_id % 4)]
    whole, repeated = scored(*every_image()), scored(*copies)
    assert whole.compute(weights) == pytest.approx(repeated.compute(), nan_ok=True)
    assert whole.compute(weights) != pytest.approx(whole.compute(), nan_ok=True)
    assert whole.compute(dict.fromkeys(IMAGES, 1.0)) == pytest.approx(whole.compute(), nan_ok=True)
    assert whole.compute({1: 1.0}) == pytest.approx(scored((1, 1)).compute(), nan_ok=True)  # absent ids count 0


def test_files_without_samples_never_help(scored):
    whole = scored(*every_image())
    before = whole.compute()
    whole.add_truth(99, make_image(99, 99)[1]["truth"])
    after = whole.compute()
    assert after.keys() == before.keys()
    change = after[whole.primary] - before[whole.primary]
    assert change <= 1e-12 if whole.higher_is_better else change >= -1e-12
    other = scored()
    other.merge(whole)
    assert other.compute() == pytest.approx(after, nan_ok=True)
