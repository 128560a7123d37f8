"""Image files as arrays."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from densezoo.errors import DataError
from densezoo.types import Array

PIL_ERRORS = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)  # what broken or huge files raise
_PNG_START = b"\x89PNG\r\n\x1a\n"
_JPEG_START, _JPEG_END, _JPEG_SCAN = b"\xff\xd8\xff", b"\xff\xd9", 0xDA


def read_image(path: Path, size: tuple[int, int] | None = None, size_from: str = "") -> Array:
    """Read an image file as the pixels that lie in it.

    An EXIF orientation is not applied: annotations of COCO and its kin belong to the stored array. Grey images get
    three equal channels, an alpha channel is dropped, 16 bits become 8.

    Args:
        path: the file, in any format that OpenCV reads.
        size: (height, width) that annotations say the file has; None to take any.
        size_from: who says so, for the error message.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        DataError: the file is missing, does not decode, ends early, or has another size.
    """
    try:
        data = np.fromfile(path, np.uint8)  # not cv2.imread: it returns None for every kind of trouble
    except OSError as error:
        raise DataError(f"{path}: the image cannot be read: {error.strerror}") from error
    # OpenCV before 5 fills the missing part of a JPEG with grey and says nothing that a program could notice.
    stored = data.tobytes()
    if stored.startswith(_JPEG_START) and _ends_early(stored):
        raise DataError(f"{path}: the image ends early; the file is cut short: fetch it again")
    image = _decode(data)
    if image is None:
        raise DataError(f"{path}: the image does not decode; the file is damaged or no image: fetch it again")
    if size is not None and image.shape[:2] != size:
        raise DataError(
            f"{path}: the image has {image.shape[1]}x{image.shape[0]} pixels, but {size_from or 'its annotation'} says "
            f"{size[1]}x{size[0]}; annotations and images do not belong together"
        )
    rgb: Array = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    return rgb


def _ends_early(jpeg: bytes) -> bool:
    """Whether no end marker follows where the image itself begins.

    The segments before its first scan are stepped over by their lengths, since an EXIF thumbnail in one of them is a
    JPEG with an end marker of its own. What a camera appends after the end may hold any bytes, and is not looked at.
    """
    at = 2
    while jpeg[at : at + 1] == b"\xff" and len(jpeg) > at + 3:
        marker = jpeg[at + 1]
        if marker == _JPEG_SCAN:
            break
        # a second 0xFF fills space before a marker; any other segment says how long it is
        at += 1 if marker == 0xFF else 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
    return jpeg.rfind(_JPEG_END, at) < 0


def _decode(data: Array) -> Array | None:
    if not len(data):
        return None
    try:
        image: Array | None = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        return None
    return image


def read_size(path: Path) -> tuple[int, int]:
    """Return (height, width) of the stored pixels from an image's header; OpenCV would decode all of it for that.

    Raises:
        DataError: the file is missing, no image, or too large for PIL, which stops at 179 million pixels.
    """
    try:
        with Image.open(path) as stored:
            return stored.height, stored.width
    except PIL_ERRORS as error:
        raise DataError(f"{path}: the size of the image cannot be read: {error}") from error


def read_labels(path: Path, size: tuple[int, int], ignore: int | None = None) -> Array:
    """Read a semantic map: an 8-bit image of one channel, or with a palette, whose values are the labels.

    Args:
        path: the file, without loss (PNG).
        size: (height, width) of the image that the map belongs to.
        ignore: value that means unlabelled.

    Returns:
        (H, W) uint8; `ignore` has become 255.

    Raises:
        DataError: the file is missing, does not decode, is no map of labels, has another size, or is too large for
            PIL, which stops at 179 million pixels.
    """
    try:
        require_values_as_stored(path)
        with Image.open(path) as stored:
            if stored.mode not in ("L", "P"):
                raise DataError(f"{path}: a semantic map has one 8-bit channel or a palette; this is {stored.mode}")
            labels = np.array(stored, np.uint8)  # indices of a palette image, where OpenCV would give its colours
    except PIL_ERRORS as error:
        raise DataError(f"{path}: the semantic map cannot be read: {error}") from error
    if labels.shape != size:
        raise DataError(
            f"{path}: the semantic map has {labels.shape[1]}x{labels.shape[0]} pixels, its image {size[1]}x{size[0]}"
        )
    if ignore is not None:
        labels[labels == ignore] = 255
    return labels


def require_values_as_stored(path: Path) -> None:
    """Refuse a PNG whose values PIL changes: it halves 16 bits of colour, and spreads grey of 2 or 4 bits to 0 to 255.

    Raises:
        OSError: the file cannot be read.
        DataError: it is such a PNG.
    """
    with path.open("rb") as file:
        start = file.read(26)
    if start.startswith(_PNG_START) and len(start) == 26:
        bits, is_grey = start[24], start[25] == 0
        if bits == 16 or (is_grey and bits in (2, 4)):
            raise DataError(f"{path}: a label map has 8 bits a channel, or a palette; this PNG has {bits}")
