"""Poses of the synthetic figures: a 3D skeleton whose joint angles stay within what a body can do.

Axes of every frame: x towards the figure's left, y down, z forwards. The camera's frame is the same for a figure that
faces it (x right in the image, y down, z towards the viewer), so turning a figure never exchanges its left and right.
Lengths are in standing body heights.
"""

from dataclasses import dataclass
from math import cos, radians, sin

import numpy as np

from densezoo.types import Array

SIDES = (("left", 1.0), ("right", -1.0))
"""Name of a side and the sign of its x axis."""

Range = tuple[float, float]
Rates = tuple[tuple[str, float], ...]

# Degrees: hip flexion, hip abduction, knee flexion. A gait swings the two legs in opposite phase.
_LEGS: dict[str, tuple[Range, Range, Range]] = {
    "stand": ((-8, 12), (0, 12), (0, 12)),
    "gait": ((-35, 45), (0, 8), (5, 55)),
    "sit": ((60, 100), (2, 30), (50, 100)),
    "crouch": ((75, 115), (5, 35), (90, 135)),
    "astride": ((-20, 35), (18, 48), (0, 60)),
    "kick": ((-20, 95), (0, 35), (0, 80)),
}
_LEG_RATES: Rates = (("stand", 0.3), ("gait", 0.3), ("sit", 0.1), ("crouch", 0.06), ("astride", 0.14), ("kick", 0.1))
# Degrees: shoulder flexion, shoulder abduction, rotation of the upper arm about itself, elbow flexion.
_ARMS: dict[str, tuple[Range, Range, Range, Range]] = {
    "hang": ((-20, 25), (4, 30), (-30, 40), (0, 45)),
    "bent": ((-35, 20), (20, 60), (-70, 20), (70, 130)),
    "forward": ((45, 110), (0, 45), (-60, 30), (0, 110)),
    "side": ((-15, 25), (60, 115), (-90, 90), (0, 110)),
    "up": ((-10, 30), (115, 170), (-60, 60), (0, 90)),
}
_ARM_RATES: Rates = (("hang", 0.32), ("bent", 0.18), ("forward", 0.16), ("side", 0.17), ("up", 0.17))


@dataclass(frozen=True)
class Skeleton:
    """A posed body in the camera's frame, centred on the pelvis.

    Attributes:
        joints: joint name to (3,) position; sides are written as in COCO, e.g. `left_elbow`. Beyond the twelve COCO
            joints of the body: `pelvis`, `neck`, `head` (centre), and `left_`/`right_` `hand` and `toe` ends.
        chest: (3, 3) axes of the chest as columns.
        hips: (3, 3) axes of the pelvis.
        skull: (3, 3) axes of the head.
        head_size: half width, half height of the head.
    """

    joints: dict[str, Array]
    chest: Array
    hips: Array
    skull: Array
    head_size: tuple[float, float]


def rotation(axis: str, degrees: float) -> Array:
    """Return the (3, 3) rotation about `'x'`, `'y'` or `'z'`.

    About x, down turns forwards; about y, forwards turns left; about z, down turns right.
    """
    c, s = cos(radians(degrees)), sin(radians(degrees))
    if axis == "x":
        return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    if axis == "y":
        return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def choose(rng: np.random.Generator, rates: Rates) -> str:
    """Draw one name with the given probabilities, which sum to 1."""
    left = rng.random()
    for name, rate in rates:
        left -= rate
        if left < 0:
            return name
    return rates[-1][0]


def sample_skeleton(rng: np.random.Generator, difficulty: float = 1.0) -> Skeleton:
    """Draw a body's proportions, pose and orientation.

    Args:
        rng: the generator.
        difficulty: 0 to 1; at 0 every body stands upright and faces the camera more or less, in any pose of its limbs.
    """
    hips = _orientation(rng, difficulty)
    legs = choose(rng, _LEG_RATES)
    lean = rng.uniform(5, 40) if legs == "crouch" else rng.normal(4, 9)
    chest = hips @ rotation("y", rng.normal(0, 10)) @ rotation("z", rng.normal(0, 7)) @ rotation("x", -lean)
    skull = chest @ rotation("y", rng.normal(0, 24)) @ rotation("x", rng.normal(-2, 11))
    skull = skull @ rotation("z", rng.normal(0, 7))
    half_width = rng.uniform(0.062, 0.082)
    half_height = half_width * rng.uniform(1.12, 1.3)

    torso = rng.uniform(0.27, 0.32)
    neck = -torso * (0.4 * hips[:, 1] + 0.6 * chest[:, 1])
    joints: dict[str, Array] = {"pelvis": np.zeros(3), "neck": neck}
    joints["head"] = neck - 0.05 * chest[:, 1] - half_height * skull[:, 1]
    _add_legs(rng, joints, hips, legs)
    _add_arms(rng, joints, chest)
    return Skeleton(joints, chest, hips, skull, (half_width, half_height))


def _orientation(rng: np.random.Generator, difficulty: float) -> Array:
    """Draw the pelvis' axes: facing, camera height and tilt; rarely lying or upside down."""
    turned = 0.2 * difficulty
    yaw = choose(rng, (("back", turned), ("any", turned), ("front", 1 - 2 * turned)))
    spread = 16 + 16 * difficulty
    facing = {"front": rng.normal(0, spread), "back": rng.normal(180, spread), "any": rng.uniform(-180, 180)}[yaw]
    roll = rng.uniform(-180, 180) if rng.random() < 0.07 * difficulty else rng.normal(0, 2 + 8 * difficulty)
    return rotation("z", roll) @ rotation("x", rng.normal(-5, 9)) @ rotation("y", facing)


def _add_legs(rng: np.random.Generator, joints: dict[str, Array], hips: Array, style: str) -> None:
    flexion, abduction, bend = _LEGS[style]
    half_width, thigh, shin = rng.uniform(0.062, 0.08), rng.uniform(0.22, 0.26), rng.uniform(0.21, 0.25)
    stride = rng.uniform(*flexion)
    for side, sign in SIDES:
        if style == "gait":  # the other leg is where this one is not
            flex = stride if sign > 0 else sum(flexion) - stride
            # The leg behind the body is the bent one.
            knee = rng.uniform(*bend) * (1.0 if flex < sum(flexion) / 2 else 0.35)
        else:
            flex, knee = rng.uniform(*flexion), rng.uniform(*bend)
        upper = hips @ rotation("z", -sign * rng.uniform(*abduction)) @ rotation("x", flex)
        upper = upper @ rotation("y", sign * rng.uniform(-5, 25))
        lower = upper @ rotation("x", -knee)
        foot = lower @ rotation("x", rng.uniform(-30, 10))
        joints[f"{side}_hip"] = sign * half_width * hips[:, 0]
        joints[f"{side}_knee"] = joints[f"{side}_hip"] + thigh * upper[:, 1]
        joints[f"{side}_ankle"] = joints[f"{side}_knee"] + shin * lower[:, 1]
        joints[f"{side}_toe"] = joints[f"{side}_ankle"] + 0.02 * lower[:, 1] + 0.085 * foot[:, 2]


def _add_arms(rng: np.random.Generator, joints: dict[str, Array], chest: Array) -> None:
    half_width, upper_length, lower_length = rng.uniform(0.105, 0.13), rng.uniform(0.15, 0.18), rng.uniform(0.14, 0.165)
    style = choose(rng, _ARM_RATES)
    for side, sign in SIDES:
        if sign < 0 and rng.random() < 0.6:
            style = choose(rng, _ARM_RATES)
        flexion, abduction, turn, bend = _ARMS[style]
        upper = chest @ rotation("z", -sign * rng.uniform(*abduction)) @ rotation("x", rng.uniform(*flexion))
        lower = upper @ rotation("y", sign * rng.uniform(*turn)) @ rotation("x", rng.uniform(*bend))
        joints[f"{side}_shoulder"] = joints["neck"] + sign * half_width * chest[:, 0] + 0.025 * chest[:, 1]
        joints[f"{side}_elbow"] = joints[f"{side}_shoulder"] + upper_length * upper[:, 1]
        joints[f"{side}_wrist"] = joints[f"{side}_elbow"] + lower_length * lower[:, 1]
        joints[f"{side}_hand"] = joints[f"{side}_wrist"] + 0.035 * lower[:, 1]
