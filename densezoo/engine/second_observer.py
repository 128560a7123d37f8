"""What a second human observer scores against the first, with the task's own metrics: the ceiling of every table."""

from collections.abc import Iterable, Iterator, Mapping
from typing import cast

import numpy as np

from densezoo.contracts import ScoredTask
from densezoo.engine.evaluate import add_scores
from densezoo.types import Batch, Prediction, Sample, identity_affine


class SecondObserver:
    """Takes the label maps of a second observer for predictions, in the files' own pixels.

    Only tasks that answer with semantic maps are scored. A person has no probabilities, so scores that need them are
    NaN.
    """

    def __init__(self, tasks: Mapping[str, ScoredTask]) -> None:
        """Make the tasks' metrics."""
        self._metrics = {name: task.metrics() for name, task in tasks.items() if "semantic_classes" in task.meta_fields}
        self._found = False

    def watch(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Pass batches on, and take note of what their samples' `truth` says of the second observer."""
        for batch in batches:
            for sample in batch["samples"]:
                self._add(sample)
            yield batch

    def _add(self, sample: Sample) -> None:
        if "truth" not in sample or "second_semantic" not in sample["truth"]:
            return
        self._found = True
        answer = Prediction(semantic=sample["truth"]["second_semantic"], scores=np.zeros(0, np.float32))
        file = cast(Sample, {**sample, "to_original": identity_affine()})
        for metrics in self._metrics.values():
            for metric in metrics:
                metric.update([answer], [file])

    def scores(self) -> dict[str, float]:
        """`task/score` to value over the images that a second observer labelled; empty where there is none."""
        scores: dict[str, float] = {}
        if self._found:
            for name, metrics in self._metrics.items():
                for metric in metrics:
                    add_scores(scores, name, metric, metric.compute())
        return scores
