"""The best answer that never looks at the image: what every score is to be compared with."""

import copy
from collections.abc import Iterator, Mapping

from densezoo.contracts import ScoredTask
from densezoo.engine.loading import WarpedDataset
from densezoo.errors import DataError
from densezoo.types import ONE_VIEW, Batch, InferenceViews, Prediction, Sample

_MOST_SAMPLES = 5000  # a mean over more changes nothing and reads for minutes


class ConstantPredictor:
    """Predicts the same for every sample, such as the mean pose of the training set."""

    def __init__(self, tasks: Mapping[str, ScoredTask], training_set: WarpedDataset) -> None:
        """Ask each task for its constant answer on the unaugmented training samples.

        Args:
            tasks: of the model.
            training_set: warped deterministically (`training=False`), so that samples are in network pixels.

        Raises:
            DataError: no training sample could be read.
        """
        self.answers: dict[str, Prediction] = {
            name: task.constant_prediction(_readable(training_set)) for name, task in tasks.items()
        }

    def predict(self, batch: Batch, views: InferenceViews = ONE_VIEW) -> dict[str, list[Prediction]]:
        """Return the constant answer N times; `views` change nothing."""
        count = len(batch["images"])
        return {name: [copy.deepcopy(answer) for _ in range(count)] for name, answer in self.answers.items()}


def _readable(training_set: WarpedDataset) -> Iterator[Sample]:
    step = -(-len(training_set) // _MOST_SAMPLES)
    found = False
    for index in range(0, len(training_set), step):
        sample = training_set[(0, index)]
        if "error" not in sample:
            found = True
            yield sample
    if not found:
        raise DataError("the baseline found no readable training image")
