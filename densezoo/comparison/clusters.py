"""Which test images belong together, told by their paths: those of one video are no news of each other."""

import re
from pathlib import Path

from densezoo.engine.evaluate import Evaluation
from densezoo.errors import DataError


def clusters_of(found: Evaluation, pattern: str, data_root: str | Path) -> dict[int, str]:
    """Return image id to the cluster of the image.

    Args:
        found: an evaluation with its files.
        pattern: regular expression; a cluster is what its first group finds in a file's path.
        data_root: paths begin below it, so that they are the same on all machines.

    Raises:
        DataError: it is not found in a path, or an image has no file.
    """
    clusters = {}
    for image_id in found.per_image():
        if image_id not in found.files:
            raise DataError(f"image {image_id} has no sample, so that cluster r'{pattern}' has no path to look into")
        path = Path(found.files[image_id].path)
        if path.is_relative_to(data_root):
            path = path.relative_to(data_root)
        match = re.search(pattern, path.as_posix())
        if match is None or match[1] is None:
            raise DataError(f"{path}: cluster r'{pattern}' finds nothing there; write one that all images' paths have")
        clusters[image_id] = match[1]
    return clusters
