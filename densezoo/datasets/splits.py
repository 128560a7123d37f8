"""The parts that the authors of a data set have split it into."""

from collections.abc import Mapping

from densezoo.errors import ConfigError, near_names


def split_folder(dataset: str, split: str, folders: Mapping[str, str]) -> str:
    """Return what a split is called in the data set's folder.

    Args:
        dataset: name of the class, for the message.
        split: what the config says.
        folders: split to folder.

    Raises:
        ConfigError: there is no such split.
    """
    if split not in folders:
        raise ConfigError(
            f"{dataset} has no split {split!r}; {near_names(split, folders)}; for a validation part use `subset`"
        )
    return folders[split]
