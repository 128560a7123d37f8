import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco_mask

from densezoo.datasets.annotations import AnnotationStore
from densezoo.datasets.coco_masks import decode_masks, mask_rle, run_lengths
from densezoo.errors import DataError

SIZE = (9, 13)


def uncompressed(mask):
    bits = mask.T.ravel()
    runs = np.diff(np.concatenate([[0], np.flatnonzero(np.diff(bits)) + 1, [bits.size]])).tolist()
    return {"size": list(mask.shape), "counts": [0, *runs] if bits[0] else runs}


def compressed(mask):
    rle = coco_mask.encode(np.asfortranarray(mask))
    return {"size": rle["size"], "counts": rle["counts"].decode()}


@pytest.fixture
def store_of(write_coco):
    def make(segmentations):
        annotations = [
            {"id": 70 + index, "image_id": 1, "category_id": 1, "bbox": [0, 0, 5, 5], "segmentation": segmentation}
            for index, segmentation in enumerate(segmentations)
        ]
        image = {"id": 1, "file_name": "1.png", "height": SIZE[0], "width": SIZE[1]}
        where = write_coco([image], annotations, [{"id": 1, "name": "thing"}])
        return AnnotationStore(where["data_root"] / where["annotations"])

    return make


@given(arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40)), elements=st.integers(0, 1)))
@example(np.repeat(np.repeat(np.eye(3, dtype=np.uint8), 90, 0), 90, 1))
def test_run_lengths_are_what_pycocotools_wrote(mask):
    assert run_lengths(coco_mask.encode(np.asfortranarray(mask))["counts"]).tolist() == uncompressed(mask)["counts"]


@given(st.binary(max_size=40))
@example(b"")
@example(b"o" * 40)
@example(b"\x00\xff")
def test_no_string_of_bytes_can_crash_the_decoder(stored):
    counts = run_lengths(stored)
    assert counts is None or counts.dtype == np.int64


def test_every_kind_decodes_as_pycocotools_does(store_of):
    rng = np.random.default_rng(0)
    mask = rng.integers(0, 2, SIZE, np.uint8)
    # Corners in tenths: 5 · 2.1 + 0.5 is a whole number in decimals, so a coordinate that lost digits shows.
    polygons = [[1.1, 2.1, 11.3, 1.7, 6.9, 8.3], [0.0, 0.0, 4.1, 0.3, 3.9, 3.7, 0.1, 2.9]]
    store = store_of([uncompressed(mask), compressed(mask), polygons, None, [], [[1, 2, 3, 4]], [polygons[0]]])
    drawn = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(polygons, *SIZE)))
    alone = coco_mask.decode(coco_mask.frPyObjects(polygons[:1], *SIZE))[..., 0]
    empty = np.zeros(SIZE, np.uint8)
    expected = [mask, mask, drawn, empty, empty, empty, alone]
    np.testing.assert_array_equal(decode_masks(store, np.arange(7), SIZE), expected)
    for row, want in enumerate(expected):
        rle = mask_rle(store, row, SIZE)
        if row in (3, 4):
            assert rle is None
        else:
            np.testing.assert_array_equal(coco_mask.decode(rle), want)
    assert decode_masks(store, np.arange(0), SIZE).shape == (0, *SIZE)


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ({"size": list(SIZE), "counts": [100]}, "do not fill the image's 13x9 pixels"),
        ({"size": list(SIZE), "counts": [100, 18]}, "do not fill"),
        ({"size": list(SIZE), "counts": [4294967295, 4294967295]}, "do not fill"),
        ({"size": list(SIZE), "counts": []}, "do not fill"),
        ({"size": list(SIZE), "counts": "00000"}, "do not fill"),
        ({"size": list(SIZE), "counts": "O0"}, "do not fill"),
        ({"size": list(SIZE), "counts": "oooooooo0"}, "string is damaged"),
        ({"size": list(SIZE), "counts": "oo"}, "string is damaged"),
        ({"size": list(SIZE), "counts": "a b"}, "string is damaged"),
        ({"size": [13, 9], "counts": [117]}, "for 9x13 pixels, the image has 13x9"),
        ([[0, 0, 1e9, 0, 1e9, 1e9]], "far outside"),
        ([[0, 0, float("nan"), 0, 1, 1]], "no number"),
        ([[-9e5, 0, 9e5, 1] * 500], "longer than 1000000 pixels"),
        ([1, 2, 3], r"a polygon must be numbers x, y, …, not \[1.0, 2.0, 3.0\]"),
        ([[1, 2, 3]], "a polygon must be"),
        ([["a"]], "a polygon must be"),
        ([[1, 2, 3, 4, 5, 6], [[7, 8]]], "a polygon must be"),
        (3, "must be a list of polygons or an RLE, not 3"),
        ({"counts": [1]}, "'size' of its RLE must be .* not None"),
        ({"size": list(SIZE)}, "'counts' of its RLE must be .* not None"),
        ({"size": list(SIZE), "counts": [130, -13]}, r"'counts' of its RLE must be .* not \[130, -13\]"),
        ({"size": list(SIZE), "counts": "ß\ud800"}, "'counts' of its RLE must be"),
    ],
)
def test_a_malformed_segmentation_is_named_and_never_decoded(store_of, segmentation, message):
    store = store_of([None, segmentation])
    with pytest.raises(DataError, match=rf"file\.json: annotation 71: 'segmentation' is malformed: .*{message}"):
        decode_masks(store, np.array([1]), SIZE)
    with pytest.raises(DataError, match="annotation 71"):
        mask_rle(store, 1, SIZE)
    assert decode_masks(store, np.array([0]), SIZE).sum() == 0


def test_a_malformed_segmentation_leaves_those_around_it_as_they_are(store_of):
    mask = np.random.default_rng(0).integers(0, 2, SIZE, np.uint8)
    square = [[1, 1, 6, 1, 6, 6, 1, 6]]
    store = store_of([uncompressed(mask), "?", square, [[1, 2, 3]], compressed(mask), {"size": [0, 0]}, square])
    drawn = coco_mask.decode(coco_mask.frPyObjects(square, *SIZE))[..., 0]
    np.testing.assert_array_equal(decode_masks(store, np.array([0, 2, 4, 6]), SIZE), [mask, drawn, mask, drawn])


def test_a_flat_list_of_numbers_is_one_polygon(store_of):
    corners = [1.1, 2.1, 11.3, 1.7, 6.9, 8.3]
    flat, nested = decode_masks(store_of([corners, [corners]]), np.arange(2), SIZE)
    assert flat.sum() > 20
    np.testing.assert_array_equal(flat, nested)
