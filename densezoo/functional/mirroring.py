"""Images that go on as their own mirror image beyond their edges.

The mirror stands on the edge, so that x and -x look alike: the outermost pixel comes twice, as with OpenCV's
`BORDER_REFLECT`.
"""

import numpy as np

from densezoo.types import Array


def mirrored_indices(begin: int, end: int, length: int) -> Array:
    """Return which pixel stands at each place of a row that is continued by mirror images, as often as it takes.

    Args:
        begin: first place; below 0 it lies before the row.
        end: behind the last place.
        length: pixels of the row.

    Returns:
        (end - begin,) int64 indices from 0 to `length` - 1.
    """
    places = np.arange(begin, end) % (2 * length)
    return np.minimum(places, 2 * length - 1 - places)
