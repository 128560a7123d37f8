"""What the pictures share: enlargement of small images, colours, text, montages.

Images are (H, W, 3) uint8 RGB. Sizes of lines and letters follow the picture's size, so that a 128² network input and
a photo are equally legible.
"""

import colorsys
import math
from collections.abc import Sequence

import cv2
import numpy as np

from densezoo.types import Array

Colour = tuple[int, int, int]
FONT = cv2.FONT_HERSHEY_SIMPLEX
WHITE: Colour = (255, 255, 255)
BLACK: Colour = (0, 0, 0)
SUBPIXEL_BITS = 4  # cv2 draws at sixteenths of a pixel


def enlarge(image: Array, min_side: int) -> tuple[Array, float]:
    """Enlarge an image until its shorter side has `min_side` pixels; a larger image is copied as it is.

    Returns:
        A new image, and the factor by which its coordinates are larger.
    """
    height, width = image.shape[:2]
    factor = max(min_side / min(height, width), 1.0)
    if factor == 1.0:
        return image.copy(), 1.0
    size = (round(width * factor), round(height * factor))
    return cv2.resize(image, size, interpolation=cv2.INTER_CUBIC), factor


def line_width(image: Array) -> int:
    """Return a line width in pixels that suits the image's size."""
    return max(1, round(math.sqrt(image.shape[0] * image.shape[1]) / 170))


def pick_colour(index: int) -> Colour:
    """Return the RGB colour of a class or an instance; neighbours in number are far apart in hue."""
    hue = (0.58 + index * 0.61803398875) % 1.0  # steps of the golden ratio never come close to repeating
    red, green, blue = colorsys.hsv_to_rgb(hue, (0.85, 0.6)[index // 7 % 2], (1.0, 0.8)[index // 14 % 2])
    return round(255 * red), round(255 * green), round(255 * blue)


def to_fixed(x: float, y: float) -> tuple[int, int]:
    """Return a point in cv2's fixed-point pixel indices (`shift=SUBPIXEL_BITS`); index 0 is the point 0.5."""
    one = 1 << SUBPIXEL_BITS
    return round((x - 0.5) * one), round((y - 0.5) * one)


def put_label(image: Array, text: str, x: float, y: float, colour: Colour) -> None:
    """Write text on a coloured plate into `image`, moved so that it stays inside.

    Args:
        image: (H, W, 3), changed.
        text: one line.
        x: left end of the plate.
        y: bottom of the plate.
        colour: of the plate; the text is black or white, whichever reads better.
    """
    height, width = image.shape[:2]
    scale = text_scale(image)
    (text_width, text_height), below = cv2.getTextSize(text, FONT, scale, 1)
    plate_width, plate_height = text_width + 6, text_height + below + 4
    left = int(np.clip(x, 0, max(width - plate_width, 0)))
    top = int(np.clip(y - plate_height, 0, max(height - plate_height, 0)))
    cv2.rectangle(image, (left, top), (left + plate_width, top + plate_height), colour, cv2.FILLED)
    luminance = float(np.dot(colour, (0.299, 0.587, 0.114)))
    ink = BLACK if luminance > 140 else WHITE
    cv2.putText(image, text, (left + 3, top + text_height + 2), FONT, scale, ink, 1, cv2.LINE_AA)


def text_scale(image: Array) -> float:
    """Return the font scale that suits the image's size."""
    return min(max(math.sqrt(image.shape[0] * image.shape[1]) / 900, 0.4), 1.2)


def montage(images: Sequence[Array], columns: int, captions: Sequence[str] | None = None, gap: int = 4) -> Array:
    """Lay images out in rows, each centred in a cell of the largest size, captions above.

    Args:
        images: (H, W, 3) uint8 of any sizes; at least one.
        columns: images per row.
        captions: a line for each image, shortened to its width.
        gap: white pixels between cells.

    Returns:
        (H, W, 3) uint8.

    Raises:
        ValueError: no image, no column, or a number of captions that is not that of the images.
    """
    if not images or columns < 1:
        raise ValueError(f"a montage needs at least one image and one column, not {len(images)} and {columns}")
    if captions is not None and len(captions) != len(images):
        raise ValueError(f"{len(captions)} captions for {len(images)} images")
    columns = min(columns, len(images))
    height = max(image.shape[0] for image in images)
    width = max(image.shape[1] for image in images)
    scale = min(max(width / 500, 0.4), 0.8)
    strip = 0 if captions is None else round(34 * scale) + 4
    rows = math.ceil(len(images) / columns)
    sheet = np.full((rows * (height + strip + gap) + gap, columns * (width + gap) + gap, 3), 255, np.uint8)
    for index, image in enumerate(images):
        top = gap + (index // columns) * (height + strip + gap)
        left = gap + (index % columns) * (width + gap)
        if captions is not None:
            text = _shorten(captions[index], width, scale)
            cv2.putText(sheet, text, (left + 2, top + strip - 8), FONT, scale, (30, 30, 30), 1, cv2.LINE_AA)
        y = top + strip + (height - image.shape[0]) // 2
        x = left + (width - image.shape[1]) // 2
        sheet[y : y + image.shape[0], x : x + image.shape[1]] = image
    return sheet


def _shorten(text: str, width: int, scale: float) -> str:
    """Cut a text that is wider than `width` pixels and end it with dots."""
    if cv2.getTextSize(text, FONT, scale, 1)[0][0] <= width:
        return text
    while text and cv2.getTextSize(text + "..", FONT, scale, 1)[0][0] > width:
        text = text[:-1]
    return text + ".."
