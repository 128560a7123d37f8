"""What to tell the user of a data set before it is used."""

from collections.abc import Mapping

from densezoo.contracts import CountsObjects, Dataset, LimitsObjects, NotesInput, ScoredTask


def input_notes(dataset: Dataset, tasks: Mapping[str, ScoredTask], what: str) -> list[str]:
    """Say what was odd in a data set's files, and where it has more objects than can be found.

    Args:
        dataset: of the config.
        tasks: of the model.
        what: the data set's key in the config.

    Returns:
        Lines, a few at most.
    """
    lines = dataset.input_notes() if isinstance(dataset, NotesInput) else []
    if not isinstance(dataset, CountsObjects):
        return lines
    counts = dataset.object_counts()
    for name, task in tasks.items():
        if isinstance(task, LimitsObjects) and (counts > task.max_objects).any():
            crowded = f"{int((counts > task.max_objects).sum())} of {len(counts)} images have more than the"
            lines.append(
                f"{what}: {crowded} {task.max_objects} objects that task '{name}' finds in one (up to "
                f"{int(counts.max())}); raise {task.limited_by}"
            )
    return lines
