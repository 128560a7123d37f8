"""Half-body frames: show the network only the upper or the lower body of a person.

The idea is HRNet's (https://arxiv.org/abs/1902.09212, in its code) and common since: it teaches the network what a
truncated person looks like. Deliberate deviations: a person qualifies with half of its keypoints labelled, whatever
their number (HRNet and mmpose fix 8 or 9); the frame is centred on the joints' extent and not on their mean; and it
never gets smaller than a quarter of the person's frame, so that three joints close together are not blown up to noise.
"""

from collections.abc import Sequence

import numpy as np

from densezoo.errors import ConfigError
from densezoo.functional.affine import enlarge_box
from densezoo.types import Array

LOWER_WORDS = ("hip", "pelvis", "knee", "ankle", "foot", "toe", "heel")
UPPER_PREFERENCE = 0.7  # HRNet takes the upper half where a standard normal draw is below 0.5, which is 69 %
ENLARGEMENT = 1.5  # of the joints' extent, as HRNet and mmpose have it; takes the place of the warp's padding
MIN_JOINTS = 3  # in a half, as HRNet has it
MIN_SIDE = 0.25  # of the person's longer side


def split_body(keypoint_names: Sequence[str]) -> tuple[list[int], list[int]]:
    """Return the indices of the upper and of the lower body's keypoints, by the words in their names.

    Raises:
        ConfigError: one of the halves has no keypoint.
    """
    is_lower = [any(word in name.lower() for word in LOWER_WORDS) for name in keypoint_names]
    lower = [k for k, low in enumerate(is_lower) if low]
    upper = [k for k, low in enumerate(is_lower) if not low]
    if not lower or not upper:
        raise ConfigError(
            f"warp.half_body needs keypoints of an upper and a lower body (names with {', '.join(LOWER_WORDS)}), but "
            f"this data set has {', '.join(keypoint_names) or 'no keypoints'}; set warp.half_body to 0"
        )
    return upper, lower


def half_body_frame(
    keypoints: Array, halves: tuple[list[int], list[int]], prefer_upper: bool, frame: Array
) -> Array | None:
    """Return the frame of one half of a person, already padded.

    Args:
        keypoints: (K, 3) x, y, visibility of the person.
        halves: indices of the upper and of the lower keypoints.
        prefer_upper: which half to take where both have enough labelled joints.
        frame: (4,) xyxy of the whole person in the same coordinates; bounds the half from below.

    Returns:
        (4,) xyxy float64, or None where fewer than half of the keypoints or too few in each half are labelled.
    """
    labelled = keypoints[:, 2] > 0
    if 2 * int(labelled.sum()) < len(keypoints):
        return None
    upper, lower = ([k for k in half if labelled[k]] for half in halves)
    for half in (upper, lower) if prefer_upper else (lower, upper):
        if len(half) >= MIN_JOINTS:
            points = keypoints[half, :2].astype(np.float64)
            extent = enlarge_box(np.concatenate([points.min(axis=0), points.max(axis=0)]), ENLARGEMENT)
            least = MIN_SIDE * float(max(frame[2] - frame[0], frame[3] - frame[1]))
            missing = np.maximum(least - (extent[2:] - extent[:2]), 0.0) / 2
            return np.concatenate([extent[:2] - missing, extent[2:] + missing])
    return None
