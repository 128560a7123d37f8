"""Clothed figures of the synthetic data set: from a 3D skeleton to flat parts, painted from far to near.

A face, the neckline and the toes are drawn only where the camera sees them, so that left and right can be told apart.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from densezoo.datasets.synthetic_pose import SIDES, Skeleton, sample_skeleton
from densezoo.datasets.synthetic_shapes import Part, capsules, discs, ellipse
from densezoo.datasets.synthetic_texture import HAIR, SKIN, near_colour, random_colour
from densezoo.types import Array

KEYPOINT_NAMES = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
)  # fmt: skip
SKELETON = (
    (15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8), (7, 9), (8, 10),
    (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6),
)  # fmt: skip

_CAMERA_DISTANCE = 3.5  # body heights; near limbs look a little larger
# Limb, from joint, to joint, radius there and here, and what covers it.
_LIMBS = (
    ("upper_arm", "shoulder", "elbow", 0.041, 0.034, "sleeve"),
    ("forearm", "elbow", "wrist", 0.034, 0.025, "cuff"),
    ("hand", "wrist", "hand", 0.027, 0.024, "skin"),
    ("thigh", "hip", "knee", 0.064, 0.046, "trousers"),
    ("shin", "knee", "ankle", 0.044, 0.031, "leg"),
    ("foot", "ankle", "toe", 0.034, 0.026, "shoe"),
)
# The parts that a joint lies in; any other part in front of it hides it.
_PARTS_OF_JOINT = {
    "shoulder": ("upper_arm",), "elbow": ("upper_arm", "forearm"), "wrist": ("forearm", "hand"),
    "hip": ("thigh",), "knee": ("thigh", "shin"), "ankle": ("shin", "foot"),
}  # fmt: skip
# Features on the skull, in units of its half axes (left, down, forward).
_FEATURES = {
    "nose": (0.0, 0.18, 1.02), "left_eye": (0.38, -0.12, 0.9), "right_eye": (-0.38, -0.12, 0.9),
    "left_ear": (1.1, 0.02, -0.05), "right_ear": (-1.1, 0.02, -0.05), "mouth": (0.0, 0.55, 0.82),
}  # fmt: skip
_SIDEWAYS = 0.9  # sine of the turn beyond which the far shoulder or hip lies behind the trunk

Cloth = tuple[Array, Array, int]
"""Colour, second colour and texture of one garment."""


@dataclass(frozen=True)
class Figure:
    """One painted body in body heights, pelvis at (0, 0), y down.

    Attributes:
        parts: painted in this order.
        keypoints: (17, 2) in COCO order.
        owners: per keypoint, the names of the parts that belong to it and do not hide it.
    """

    parts: list[Part]
    keypoints: Array
    owners: list[frozenset[str]]


def sample_figure(rng: np.random.Generator, difficulty: float = 1.0) -> Figure:
    """Draw a pose, a build and clothes, and cut them into parts; see `sample_skeleton` for `difficulty`."""
    body = sample_skeleton(rng, difficulty)
    wardrobe = _sample_clothes(rng, difficulty)
    shading = 1.0 if rng.random() < 0.2 * difficulty else rng.uniform(0.5, 0.85)
    build = rng.uniform(0.85, 1.25)
    layers = _limbs(body, wardrobe, build) + _trunk(body, wardrobe, build)
    layers += _head(rng, body, wardrobe)
    layers.sort(key=lambda layer: layer[0])
    parts = []
    for _, part in layers:
        if shading < 1 and part.name not in _FEATURES and len(part.outline) > 4:
            # A darker rim keeps limbs of one colour apart.
            centre = part.outline.mean(axis=0)
            inner = part.outline + 0.009 * _towards(part.outline, centre)
            parts.append(Part(part.outline, part.name, part.colour * shading, part.second * shading, part.texture))
            parts.append(Part(inner, part.name, part.colour, part.second, part.texture))
        else:
            parts.append(part)
    return Figure(parts, _keypoints(body), _owners(body))


def _towards(points: Array, centre: Array) -> Array:
    """Unit vectors (n, 2) from `points` to `centre`."""
    step = centre - points
    unit: Array = step / np.maximum(np.linalg.norm(step, axis=1, keepdims=True), 1e-6)
    return unit


def _project(points: Array) -> tuple[Array, Array]:
    """Camera positions (..., 3) to the image (..., 2) and the magnification (...) there."""
    scale = _CAMERA_DISTANCE / (_CAMERA_DISTANCE - points[..., 2])
    return points[..., :2] * scale[..., None], scale


def _sample_clothes(rng: np.random.Generator, difficulty: float) -> dict[str, Cloth]:
    """Garment name to cloth. Sleeves and trouser legs may be short; then skin covers the limb.

    Patterns, and trousers in the shirt's colour, become rarer with less `difficulty`.
    """
    base = near_colour(rng, SKIN[rng.integers(len(SKIN))], 6)
    skin = (base, base, 0)
    shirt, trousers = _cloth(rng, 0.5 * difficulty), _cloth(rng, 0.5 * difficulty)
    if rng.random() < 0.15 * difficulty:
        trousers = shirt
    plain = near_colour(rng, random_colour(rng) * 0.6, 5)
    hair = near_colour(rng, HAIR[rng.integers(len(HAIR))], 8)
    length = rng.random()
    return {
        "skin": skin,
        "shirt": shirt,
        "sleeve": shirt if length < 0.85 else skin,
        "cuff": shirt if length < 0.45 else skin,
        "trousers": trousers,
        "leg": trousers if rng.random() < 0.6 else skin,
        "shoe": (plain, plain, 0),
        "hair": (hair, hair, 0),
    }


def _cloth(rng: np.random.Generator, patterned: float) -> Cloth:
    colour = random_colour(rng)
    second = random_colour(rng) if rng.random() < patterned else near_colour(rng, colour, 12)
    return colour, second, int(rng.integers(3))


Layer = tuple[float, Part]
"""Depth (towards the viewer) and the part there."""


def _limbs(body: Skeleton, wardrobe: dict[str, Cloth], build: float) -> list[Layer]:
    limbs = [(side, *limb) for side, _ in SIDES for limb in _LIMBS]
    joints = body.joints
    starts = np.stack([joints[f"{side}_{start}"] for side, _, start, *_ in limbs])
    ends = np.stack([joints[f"{side}_{end}"] for side, _, _, end, *_ in limbs])
    radii = build * np.array([limb[4:6] for limb in limbs])
    flat_starts, start_scale = _project(starts)
    flat_ends, end_scale = _project(ends)
    outlines = capsules(flat_starts, flat_ends, radii[:, 0] * start_scale, radii[:, 1] * end_scale)
    depths = 0.5 * (starts[:, 2] + ends[:, 2])
    layers = []
    for (side, name, *_, garment), outline, depth in zip(limbs, outlines, depths, strict=True):
        # Arms that touch the trunk lie on it; a thigh's upper end is inside the pelvis.
        lift = 0.03 if name in ("upper_arm", "forearm", "hand") else 0.015
        layers.append((float(depth) + lift, Part(outline, f"{side}_{name}", *wardrobe[garment])))
    return layers


def _trunk(body: Skeleton, wardrobe: dict[str, Cloth], build: float) -> list[Layer]:
    """Chest, pelvis, neck, and a neckline where the chest faces the camera."""
    joints = body.joints
    shoulders = [0.86 * joints[f"{side}_shoulder"] + 0.14 * joints["neck"] for side, _ in SIDES]
    hips = [joints[f"{side}_hip"] for side, _ in SIDES]
    waist = [0.3 * joints["neck"] + sign * 0.045 * body.chest[:, 0] for _, sign in SIDES]
    depth = float((0.5 * (joints["neck"] + joints["pelvis"]))[2])
    layers = [
        (depth, _wrap("chest", shoulders + waist + hips, (0.048, 0.055, 0.05), build, wardrobe["shirt"])),
        (float(joints["pelvis"][2]), _wrap("pelvis", [*hips, 0.15 * joints["neck"]], (0.064, 0.05), build,
                                           wardrobe["trousers"])),
        (depth + 0.001, _wrap("neck", [joints["neck"], joints["head"]], (0.034,), 1.0, wardrobe["skin"])),
    ]  # fmt: skip
    if body.chest[2, 2] > 0.25:
        front = 0.05 * build * body.chest[:, 2]
        corners = [joints["neck"] + sign * 0.038 * body.chest[:, 0] + front for _, sign in SIDES]
        corners.append(joints["neck"] + 0.075 * body.chest[:, 1] + front)
        flat, _ = _project(np.stack(corners))
        layers.append((depth + 0.002, Part(flat, "chest", *wardrobe["skin"])))
    return layers


def _wrap(name: str, centres: list[Array], radii: tuple[float, ...], build: float, cloth: Cloth) -> Part:
    """The convex hull of balls at `centres`; the last radius goes on for the remaining balls, two by two."""
    sizes = np.array([radii[min(i // 2, len(radii) - 1)] for i in range(len(centres))])
    flat, scale = _project(np.stack(centres))
    hull = cv2.convexHull(discs(flat, build * sizes * scale).astype(np.float32))
    return Part(hull[:, 0].astype(np.float64), name, *cloth)


def _head(rng: np.random.Generator, body: Skeleton, wardrobe: dict[str, Cloth]) -> list[Layer]:
    width, height = body.head_size
    centre, skull = body.joints["head"], body.skull
    flat, scale = _project(centre)
    up = -skull[:2, 1] / max(float(np.linalg.norm(skull[:2, 1])), 1e-6)
    skin, hair = wardrobe["skin"], wardrobe["hair"]
    size = float(scale) * width
    layers = [(float(centre[2]), Part(ellipse(flat, (size, float(scale) * height), up), "head", *skin))]

    cap = centre + skull @ np.array([0.0, -0.22 * height, -0.3 * width])
    layers.append(_disc(cap, 0.99 * width, 0.9 * height, up, "hair", hair, 1.2 * width * float(-skull[2, 2])))
    if rng.random() < 0.35:  # long hair hangs behind the neck
        tail = centre + skull @ np.array([0.0, 0.75 * height, -0.55 * width])
        layers.append(_disc(tail, 0.8 * width, 0.95 * height, up, "hair", hair, 1.0 * width * float(-skull[2, 2])))
    ear = skin[0] * np.float32(0.88)
    white, iris = np.full(3, 240, np.float32), np.full(3, 25, np.float32)
    for name, position in _FEATURES.items():
        offset = skull @ (np.array(position) * (width, height, width))
        place = centre + offset
        # Features beyond the silhouette are painted before the head, which then covers them.
        lift = 2 * width * float(np.sign(offset[2]))
        if name.endswith("_ear"):
            layers.append(_disc(place, 0.22 * width, 0.3 * height, up, name, (ear, ear, 0), lift))
        elif name.endswith("_eye"):
            layers.append(_disc(place, 0.25 * width, 0.2 * height, up, name, (white, white, 0), lift))
            layers.append(_disc(place, 0.13 * width, 0.14 * height, up, name, (iris, iris, 0), lift + 0.001))
        elif name == "nose":
            tip = skin[0] * np.float32(0.72)
            layers.append(_disc(place, 0.15 * width, 0.19 * height, up, name, (tip, tip, 0), lift + 0.002))
        else:
            lips = skin[0] * np.array([0.75, 0.35, 0.35], np.float32)
            layers.append(_disc(place, 0.36 * width, 0.08 * height, up, name, (lips, lips, 0), lift))
    return layers


def _disc(
    centre: Array, half_width: float, half_height: float, up: Array, name: str, cloth: Cloth, lift: float
) -> Layer:
    flat, scale = _project(centre)
    outline = ellipse(flat, (half_width * float(scale), half_height * float(scale)), up, 12)
    return float(centre[2]) + lift, Part(outline, name, *cloth)


def _keypoints(body: Skeleton) -> Array:
    width, height = body.head_size
    features = np.array([_FEATURES[name] for name in KEYPOINT_NAMES[:5]]) * (width, height, width)
    places = [*(body.joints["head"] + features @ body.skull.T), *(body.joints[name] for name in KEYPOINT_NAMES[5:])]
    return _project(np.stack(places))[0]


def _owners(body: Skeleton) -> list[frozenset[str]]:
    owners = [frozenset({name}) for name in KEYPOINT_NAMES[:5]]
    for name in KEYPOINT_NAMES[5:]:
        side, joint = name.split("_")
        names = {f"{side}_{part}" for part in _PARTS_OF_JOINT[joint]}
        trunk, frame = ({"chest", "neck"}, body.chest) if joint == "shoulder" else ({"pelvis", "chest"}, body.hips)
        turned_away = dict(SIDES)[side] * frame[2, 0] < -_SIDEWAYS
        if joint in ("shoulder", "hip") and not turned_away:
            names |= trunk
        owners.append(frozenset(names))
    return owners
