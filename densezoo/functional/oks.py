"""Object keypoint similarity (OKS) and the published per-keypoint constants it needs.

OKS of two poses is the mean over the labelled joints of exp(-d² / (2 · area · (2 · sigma)²)), with d the distance in
pixels (https://cocodataset.org/#keypoints-eval). A sigma is a property of the joint *and* of how people annotated it,
so only constants that a data set's authors published are listed; no set of joints is given another set's numbers.
"""

from collections.abc import Sequence

import numpy as np

from densezoo.types import Array, DatasetMeta

COCO_KEYPOINTS = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
)  # fmt: skip
COCO_SIGMAS = (
    0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072,
    0.072, 0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089,
    0.089,
)  # fmt: skip
"""The constants of the COCO keypoint challenge, in the order of `COCO_KEYPOINTS`."""

CROWDPOSE_KEYPOINTS = (
    "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip",
    "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle", "top_head", "neck",
)  # fmt: skip
CROWDPOSE_SIGMAS = (
    0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107,
    0.107, 0.087, 0.087, 0.089, 0.089, 0.079, 0.079,
)  # fmt: skip
"""The constants of CrowdPose's own evaluation (https://arxiv.org/abs/1812.00324)."""

_PUBLISHED = (
    dict(zip(COCO_KEYPOINTS, COCO_SIGMAS, strict=True)),
    dict(zip(CROWDPOSE_KEYPOINTS, CROWDPOSE_SIGMAS, strict=True)),
)


def published_sigmas(keypoint_names: Sequence[str]) -> tuple[float, ...] | None:
    """Return the K published constants of a set of joints, or None where none are known here.

    Args:
        keypoint_names: K names in any order; capitals, blanks and hyphens do not matter. They must be exactly the
            joints of a known set: 17 joints of an animal do not get a person's constants.
    """
    names = [name.strip().lower().replace(" ", "_").replace("-", "_") for name in keypoint_names]
    if "neck" in names:  # CrowdPose's files say 'head' for what its paper and others call the top of the head
        names = ["top_head" if name == "head" else name for name in names]
    for known in _PUBLISHED:
        if len(names) == len(known) and set(names) == set(known):
            return tuple(known[name] for name in names)
    return None


def oks(predicted: Array, truth: Array, areas: Array, sigmas: Array, boxes: Array) -> Array:
    """Compare every predicted pose with every annotated one.

    An annotated instance without any labelled joint is compared by its box, as COCO's evaluation does it: every joint
    counts, and its distance is that to the box enlarged threefold about its centre (zero inside).

    Args:
        predicted: (D, K, 2 or more) x, y in pixels; further columns are not read.
        truth: (G, K, 3) x, y, visibility in the same frame; visibility 0 means unlabelled.
        areas: (G,) square pixels.
        sigmas: (K,) constants.
        boxes: (G, 4) xyxy in the same frame.

    Returns:
        (D, G) float64 in [0, 1]; D or G may be 0.
    """
    points = np.asarray(predicted, np.float64)[:, None, :, :2]
    truth = np.asarray(truth, np.float64)
    labelled = truth[..., 2] > 0
    low, high = _enlarged(np.asarray(boxes, np.float64))
    to_box = np.maximum(low - points, 0) + np.maximum(points - high, 0)
    by_box = ~np.any(labelled, axis=1)
    offsets = np.where(by_box[:, None, None], to_box, points - truth[None, :, :, :2])
    # The smallest number keeps an area of zero from dividing by zero; it is the one pycocotools adds.
    scale = (np.asarray(areas, np.float64)[:, None] + np.spacing(1)) * 2 * (2 * np.asarray(sigmas, np.float64)) ** 2
    counted = labelled | by_box[:, None]
    similarity = np.exp(-np.square(offsets).sum(axis=-1) / scale) * counted
    mean: Array = similarity.sum(axis=-1) / np.maximum(counted.sum(axis=-1), 1)
    return mean


def _enlarged(boxes: Array) -> tuple[Array, Array]:
    """Return the corners, each (G, 1, 2), of boxes grown by their own size on every side."""
    size = boxes[:, 2:] - boxes[:, :2]
    return (boxes[:, :2] - size)[:, None], (boxes[:, 2:] + size)[:, None]


def sigmas_of(meta: DatasetMeta) -> tuple[float, ...] | None:
    """Return the K OKS constants that the data set gives, else published ones for its joints, else None."""
    return meta.sigmas or published_sigmas(meta.keypoint_names)
