"""What a study has measured, in memory: the numbers and files that its statistics and its report are made of."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from densezoo.types import Array


@dataclass(frozen=True)
class Cost:
    """What one arm costs for one image, as `densezoo profile` has it, and where its width came from.

    Attributes:
        parameters: of the whole model.
        macs: multiply-accumulates.
        milliseconds: median of a forward pass on the machine that began the study, the arms taking turns.
        activation_bytes: held for the backward pass.
        width: at the match's key; None where nothing is matched.
        ratio: the matched cost over the base's; None where nothing is matched.
        image: height and width of the image.
        same_start: part of its random start values that it has in common with the base; None for the base itself.
    """

    parameters: int
    macs: int
    milliseconds: float
    activation_bytes: int
    width: int | list[int] | None = None
    ratio: float | None = None
    image: list[int] | None = None
    same_start: float | None = None


@dataclass(frozen=True)
class SeedResult:
    """One finished run of one arm.

    Attributes:
        seed: number of the pair.
        folder: of the run; `folder/test` has predictions.json, per_image.csv, metrics.json.
        scores: `task/score` to value on the test set, those of classes and joints, `task/score/name`, too.
        draws: (D,) scores of the study's metric with the test images drawn anew, the same images for every run.
        clusters: how many independent groups of images were drawn from.
        per_image: image id to `task/score` to value.
        log: the records of metrics.jsonl, see `densezoo.visualization.curves`.
        seconds: of training.
        command: that ran it.
    """

    seed: int
    folder: Path
    scores: dict[str, float]
    draws: Array
    clusters: int
    per_image: dict[int, dict[str, float]]
    log: list[dict[str, Any]]
    seconds: float
    command: str


@dataclass(frozen=True)
class ArmResults:
    """All that is known of one arm.

    Attributes:
        name: of the arm.
        options: what it changes.
        cost: of its network.
        learning_rate: that was chosen.
        tries: learning rate to the validation score of its try; empty where only one was given.
        runs: number of the pair to the finished run.
        failed: name of a unit that failed to why.
    """

    name: str
    options: dict[str, Any]
    cost: Cost
    learning_rate: float | None
    tries: dict[float, float]
    runs: dict[int, SeedResult] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
