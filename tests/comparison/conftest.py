"""A made-up study: five arms, the base's repetition, five seeds, forty images of fourteen joints; nothing is trained.

What is true of its arms is planted: `concat` is better than the base by 0.03, `weighted` is the same, `gated` better by
0.008, `none` worse by 0.05, where 0.02 is the smallest difference of interest.
"""

import json
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from densezoo.comparison.prepared import Prepared
from densezoo.comparison.study import AGAIN, Arm, Match, Study
from densezoo.comparison.study_results import ArmResults, Cost, SeedResult
from densezoo.engine.build import build_dataset
from densezoo.engine.config import check_config

METRIC = "pose/PCK@0.2"
EFFECTS = {"sum": 0.0, "concat": 0.03, "weighted": 0.0, "gated": 0.008, "none": -0.05, AGAIN: 0.0}
COSTS = {"sum": 1.0, "concat": 1.012, "weighted": 1.004, "gated": 0.985, "none": 0.62}
IMAGES, DRAWS, EPOCHS, SIZE = 40, 200, 12, (96, 120)
SIDES = ["ankle", "knee", "hip"]
JOINTS = [
    *(f"right_{name}" for name in SIDES),
    *(f"left_{name}" for name in reversed(SIDES)),
    *(f"right_{name}" for name in ("wrist", "elbow", "shoulder")),
    *(f"left_{name}" for name in ("shoulder", "elbow", "wrist")),
    "neck",
    "head_top",
]
LIMBS = [(0, 1), (1, 2), (3, 4), (4, 5), (6, 7), (7, 8), (9, 10), (10, 11), (8, 12), (9, 12), (12, 13), (2, 3)]
# of a figure that stands, as parts of the image's width and height
FIGURE = np.array(
    [
        *((40, 95), (42, 75), (44, 55), (56, 55), (58, 75), (60, 95)),
        *((25, 50), (30, 38), (40, 26), (60, 26), (70, 38), (75, 50)),
        *((50, 22), (50, 6)),
    ]
)


@dataclass(frozen=True)
class MadeUp:
    """A study with its results, and the folder that its runs' answers are in."""

    study: Study
    prepared: Prepared
    arms: list[ArmResults]
    folder: Path


class Page(HTMLParser):
    """What a page holds: its tables as lists of rows, its texts and attributes; unclosed or misplaced tags fail."""

    VOID = ("meta", "link", "img", "br")

    def __init__(self, text):
        super().__init__()
        self.open, self.tables, self.captions, self.attributes, self.scripts = [], [], [], [], []
        self.ids = set()
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.attributes += values.items()
        if "id" in values:
            assert values["id"] not in self.ids, values["id"]
            self.ids.add(values["id"])
        if tag not in self.VOID:
            self.open.append(tag)
        match tag:
            case "table":
                self.tables.append([])
            case "caption":
                self.captions.append("")
            case "tr":
                self.tables[-1].append([])
            case "th" | "td":
                assert tag == "td" or values["scope"] in ("col", "row")
                self.tables[-1][-1].append("")
            case "img":
                assert values["alt"]
                assert values["src"].startswith("data:image/jpeg;base64,")
            case "script":
                self.scripts.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "script" in self.open:
            self.scripts[-1] += data
        elif "td" in self.open or "th" in self.open:
            self.tables[-1][-1][-1] += data
        elif "caption" in self.open:
            self.captions[-1] += data

    def rows_of(self, caption):
        """Rows of the table with a caption that begins so, as name of the row to cells."""
        number = next(number for number, text in enumerate(self.captions) if text.startswith(caption))
        head, *rows = self.tables[number]
        assert all(len(row) == len(head) for row in rows)
        return {row[0]: dict(zip(head[1:], (cell.strip() for cell in row[1:]), strict=True)) for row in rows}


def poses(rng):
    """(IMAGES, 14, 2) points in pixels."""
    place = FIGURE / 100 * (SIZE[1], SIZE[0])
    return np.clip(place + rng.normal(0, 4, (IMAGES, 1, 2)) + rng.normal(0, 2.5, (IMAGES, 14, 2)), 2, (118, 94))


def write_images(root, points, rng):
    """Write images with a figure on each, and their annotations."""
    (root / "images").mkdir(parents=True)
    images, annotations = [], []
    for number, figure in enumerate(points, start=1):
        picture = cv2.resize(rng.integers(60, 200, (6, 8, 3), np.uint8), SIZE[::-1], interpolation=cv2.INTER_CUBIC)
        for a, b in LIMBS:
            cv2.line(picture, *(tuple(int(value) for value in figure[k]) for k in (a, b)), (70, 90, 160), 6)
        cv2.imwrite(str(root / f"images/{number}.png"), picture)
        low, high = figure.min(0), figure.max(0)
        images.append({"id": number, "file_name": f"{number}.png", "width": SIZE[1], "height": SIZE[0]})
        annotations.append(
            {
                "id": number,
                "image_id": number,
                "category_id": 1,
                "iscrowd": 0,
                "bbox": [*low.tolist(), *(high - low).tolist()],
                "area": float(np.prod(high - low)),
                "num_keypoints": 14,
                "keypoints": np.c_[figure, np.full(14, 2)].ravel().tolist(),
            }
        )
    skeleton = [(a + 1, b + 1) for a, b in LIMBS]
    category = {"id": 1, "name": "person", "keypoints": JOINTS, "skeleton": skeleton}
    content = {"images": images, "annotations": annotations, "categories": [category]}
    (root / "people.json").write_text(json.dumps(content))


def make_study(root, seeds):
    """Return the study of the made-up results."""
    data = {"type": "CocoPose", "images": "images", "annotations": "people.json"}
    base = check_config(
        {
            "encoder": {"type": "NewellStem", "channels": 64},
            "neck": {"type": "StackedHourglass", "num_stages": 2, "channels": 64},
            "tasks": {"pose": {"type": "Pose", "num_keypoints": 14, "metrics": [{"type": "PCK", "threshold": 0.2}]}},
            "warp": {"size": (128, 128)},
            "train_data": data,
            "val_data": data | {"subset": {"folds": 2, "keep": [0]}},
            "test_data": data,
            "data_root": str(root),
            "epochs": EPOCHS,
        }
    )
    match = Match("macs")
    others = [Arm(name, {"neck.fusion": name}, base, match) for name in ("concat", "weighted", "gated")]
    raw = Arm("none", {"neck.fusion": "none"}, base, None)
    arms = [Arm("sum", {}, base, None), *others, raw, Arm(AGAIN, {}, base, None)]
    return Study(
        "fusion", "configs/compare/fusion.py", arms, list(range(seeds)), METRIC, 0.02, [0.002, 0.004], draws=DRAWS
    )


def make_log(rng, score):
    """Return the log of a run that ends near a score."""
    log = []
    for epoch in range(1, EPOCHS + 1):
        left = np.exp(-epoch / 4)
        log.append({"kind": "train", "epoch": epoch, "step": 10 * epoch, "loss": 2 + 6 * left + rng.normal(0, 0.05)})
        if epoch % 3 == 0:
            scores = {METRIC: score - 0.5 * left + rng.normal(0, 0.01), "pose/PCK_skipped": 0.0}
            log.append({"kind": "eval", "epoch": epoch, "step": 10 * epoch, "scores": scores})
    return log


@pytest.fixture(scope="session")
def make_up(tmp_path_factory):
    """Return a function that makes a study up of so many seeds, in a folder of its own."""

    def make(seeds=5):
        rng = np.random.default_rng(3)
        root, folder = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("study")
        points = poses(rng)
        write_images(root, points, rng)
        study = make_study(root, seeds)
        meta = build_dataset(study.base.config.test_data, str(root)).meta
        weights = np.random.default_rng(0).multinomial(IMAGES, np.full(IMAGES, 1 / IMAGES), DRAWS) / IMAGES
        difficulty = 0.6 + rng.normal(0, 0.1, (IMAGES, 1)) + rng.normal(0, 0.08, 14)
        arms = []
        for name, effect in EFFECTS.items():
            # what an arm has of its own in an image is the same in every seed
            own = rng.normal(0, 0.03, (IMAGES, 1)) + rng.normal(0, 0.02, 14)
            own *= name not in ("sum", AGAIN)
            runs = {}
            for seed in study.seeds:
                noise = rng.normal(0, 0.003) + rng.normal(0, 0.015, (IMAGES, 14))
                values = np.clip(difficulty + effect + own - own.mean() + noise, 0, 1)
                per_image = values.mean(1)
                scores = {METRIC: float(per_image.mean()), "pose/PCK_skipped": 0.0}
                scores |= {
                    f"{METRIC}/{joint}": float(value) for joint, value in zip(JOINTS, values.mean(0), strict=True)
                }
                run = folder / "units" / name / f"seed-{seed}"
                write_answers(run, points + rng.normal(0, 1, points.shape) * 12 * (1 - values[..., None]))
                runs[seed] = SeedResult(
                    seed=seed,
                    folder=run,
                    scores=scores,
                    draws=weights @ per_image,
                    clusters=IMAGES,
                    per_image={
                        number: {METRIC: float(value), "pose/PCK_AUC": float(value) / 2}
                        for number, value in enumerate(per_image, start=1)
                    },
                    log=make_log(rng, scores[METRIC]),
                    seconds=180 + 10 * seed,
                    command=f"densezoo compare {study.path} --work-dir runs/fusion --unit {name}/seed-{seed}",
                )
            cost = COSTS.get(name, 1.0)
            matched = study.arm(name).match is not None
            tries = {0.002: 0.51 + effect, 0.004: 0.5 + effect}
            arms.append(
                ArmResults(
                    name,
                    study.arm(name).options,
                    Cost(
                        parameters=round(422_000 * cost**1.5),
                        macs=round(310e6 * cost),
                        milliseconds=8.2 * cost**0.5,
                        activation_bytes=round(21e6 * cost),
                        width=round(64 * cost) if matched else None,
                        ratio=cost if matched else None,
                    ),
                    0.002,
                    tries,
                    runs,
                )
            )
        configs = {arm.name: arm.config for arm in study.arms}
        prepared = Prepared(configs, {arm.name: arm.cost for arm in arms}, True, meta)
        return MadeUp(study, prepared, arms, folder)

    return make


@pytest.fixture(scope="session")
def made_up(make_up):
    """The study with all of its five seeds."""
    return make_up()


@pytest.fixture(scope="session")
def read_page():
    """The class that takes a report's page apart."""
    return Page


def write_answers(run, points):
    """Write what a run answered, in COCO results format."""
    (run / "test").mkdir(parents=True)
    answers = [
        {
            "image_id": number,
            "category_id": 1,
            "score": 0.5,
            "keypoints": np.c_[each, np.full(14, 0.5)].ravel().tolist(),
        }
        for number, each in enumerate(points.round(2), start=1)
    ]
    (run / "test/predictions.json").write_text(json.dumps(answers))
