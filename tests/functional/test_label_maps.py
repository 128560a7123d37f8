import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco_mask

from densezoo.functional.affine import scaling, translation
from densezoo.functional.label_maps import decode_labels, encode_labels, warp_labels

label_maps = arrays(
    np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.sampled_from([0, 1, 7, 255])
)


@settings(deadline=None)
@given(label_maps)
def test_masks_are_what_pycocotools_makes_of_each_label(labels):
    masks = encode_labels(labels)
    assert list(masks) == sorted(set(labels.ravel().tolist()) - {255})
    for label, rle in masks.items():
        expected = coco_mask.encode(np.asfortranarray(labels == label, dtype=np.uint8))
        assert (rle["size"], rle["counts"]) == (list(labels.shape), expected["counts"].decode())
    np.testing.assert_array_equal(decode_labels(masks.items(), labels.shape), labels)


def test_of_overlapping_masks_the_last_wins_and_no_mask_is_255():
    left, top = np.zeros((2, 2), np.uint8), np.zeros((2, 2), np.uint8)
    left[:, 0], top[0] = 1, 1
    masks = [(4, encode_labels(left)[1]), (9, encode_labels(top)[1])]
    np.testing.assert_array_equal(decode_labels(masks, (2, 2)), [[9, 9], [4, 255]])


@pytest.mark.parametrize("factor", [2, 3])
def test_enlarged_labels_are_repeated_and_255_outside(factor):
    labels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    enlarged = labels.repeat(factor, 0).repeat(factor, 1)
    np.testing.assert_array_equal(warp_labels(labels, scaling(factor, factor), enlarged.shape, 255), enlarged)
    moved = warp_labels(labels, translation(1, 2), (3, 4), 255)
    np.testing.assert_array_equal(moved[2, 1:], labels[0, :3])
    assert (moved[:2] == 255).all()
    assert (moved[:, 0] == 255).all()
