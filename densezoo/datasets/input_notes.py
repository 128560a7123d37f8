"""What a data set says of annotations that it cannot take as they are: one line for each file."""

from collections.abc import Mapping, Sequence

# Reason to the words for one, for several, and for what becomes of them. {noun} is what the file holds.
_WORDS = {
    "unlisted_category": ("{noun}", "{noun}s", "of categories that the file does not list (left out)"),
    "unknown_image": ("{noun}", "{noun}s", "of images that the annotations do not know (left out)"),
    "other_category": ("{noun}", "{noun}s", "of another category (left out)"),
    "no_box": ("{noun}", "{noun}s", "without an area in the image (not learned)"),
    "few_keypoints": ("{noun}", "{noun}s", "with too few keypoints (no samples)"),
    "crowd": ("crowd", "crowds", "(not learned, ignored in evaluation)"),
    "bad_mask": ("mask", "masks", "that cannot be read (their images are skipped)"),
    "clipped": ("box", "boxes", "reaching out of the image (clipped for learning)"),
    "empty": ("image", "images", "without annotations (left out)"),
    "no_position": ("person", "people", "without a position (left out)"),
    "no_keypoints": ("person", "people", "without labelled keypoints (left out)"),
    "bad_or_unchecked": ("example", "examples", "marked as bad or unchecked (left out)"),
}


def input_note(
    source: object, counts: Mapping[str, int], noun: str = "annotation", unlisted: Sequence[int] = ()
) -> list[str]:
    """Say how many annotations of a file were odd in which way.

    Args:
        source: the file.
        counts: reason to number; those with 0 are not mentioned.
        noun: what the file holds, in the singular.
        unlisted: ids of the categories that the file does not list.

    Returns:
        One line, or none where there is nothing to say.
    """
    parts = []
    for reason, count in counts.items():
        if count:
            one, several, fate = _WORDS[reason]
            parts.append(f"{count} {(one if count == 1 else several).format(noun=noun)} {fate}")
        if count and reason == "unlisted_category":
            shown = ", ".join(map(str, unlisted[:5])) + (", …" if len(unlisted) > 5 else "")
            parts[-1] += f": {shown}"
    return [f"{source}: {'; '.join(parts)}"] if parts else []
