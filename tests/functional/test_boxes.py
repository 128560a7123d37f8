import numpy as np
import pytest
import torch
from torchvision.ops import box_iou as torchvisions_iou

from densezoo.errors import DataError
from densezoo.functional.boxes import box_iou, clip_boxes, commonest_box, soft_nms


def random_boxes(*shape):
    torch.manual_seed(0)
    return torch.rand(*shape, 2, 2).sort(-2).values.flatten(-2) * 50


def test_iou_is_torchvisions_and_can_count_pixels():
    boxes, others = random_boxes(6), random_boxes(9)[2:]
    torch.testing.assert_close(box_iou(boxes[:, None], others[None]), torchvisions_iou(boxes, others))
    first, second = torch.tensor([0.0, 0, 9, 9]), torch.tensor([5.0, 0, 14, 9])  # 10 × 10 pixels, half shared
    assert box_iou(first, second, border=1).item() == pytest.approx(50 / 150)


def test_clipped_boxes_say_whether_an_area_is_left():
    boxes = torch.tensor([[-5.0, 2, 8, 30], [21, 1, 25, 9], [4, 4, 4, 9], [9, 4, 3, 9], [float("nan")] * 4])
    clipped, has_area = clip_boxes(boxes, (10, 20))
    assert clipped[0].tolist() == [0, 2, 8, 10]
    assert has_area.tolist() == [True, False, False, False, False]


def suppress_one_by_one(boxes, scores, sigma, threshold):
    """Soft-NMS of one image and class, by its definition."""
    left, taken = dict(enumerate(scores.tolist())), []
    while left:
        best = max(left, key=left.get)
        taken.append((best, left.pop(best)))
        overlaps = torchvisions_iou(boxes[best : best + 1], boxes)[0]
        left = {index: score * float(torch.exp(-(overlaps[index] ** 2) / sigma)) for index, score in left.items()}
        left = {index: score for index, score in left.items() if score >= threshold}
    return taken


def test_soft_nms_of_a_batch_is_that_of_every_image_and_class():
    boxes, scores = random_boxes(2, 40), torch.rand(2, 40)
    labels = torch.arange(40).expand(2, -1) % 3
    index, score = soft_nms(boxes, scores, labels, 25, threshold=0.05)
    for image in range(2):
        expected = []
        for label in range(3):
            own = (labels[image] == label).nonzero().flatten()
            found = suppress_one_by_one(boxes[image, own], scores[image, own], 0.5, 0.05)
            expected += [(own[place].item(), value) for place, value in found]
        expected.sort(key=lambda pair: -pair[1])
        assert len(expected) > 25
        assert index[image].tolist() == [place for place, _ in expected[:25]]
        np.testing.assert_allclose(score[image], [value for _, value in expected[:25]], rtol=1e-5)


def test_soft_nms_of_few_or_no_boxes():
    boxes = torch.tensor([[[0.0, 0, 4, 4], [0, 0, 0, 0]], [[0, 0, 0, 0], [0, 0, 0, 0]]])
    scores = torch.tensor([[0.5, 0.0], [0.0, 0.0]])
    labels = torch.zeros(2, 2, dtype=torch.int64)
    index, score = soft_nms(boxes, scores, labels, 100)
    assert index[0].tolist() == [0]
    assert score.tolist() == [[0.5], [0.0]]
    assert soft_nms(boxes[:, :0], scores[:, :0], labels[:, :0], 100)[1].shape == (2, 0)


def test_boxes_without_an_area_take_nothing_from_others():
    nan = float("nan")
    boxes = torch.tensor([[[0.0, 0, 4, 4], [10, 10, 14, 14], [4, 0, 0, 4], [nan] * 4]])
    scores = torch.tensor([[0.9, 0.8, 0.0, 0.0]])
    index, score = soft_nms(boxes, scores, torch.zeros(1, 4, dtype=torch.long), 4)
    assert index.tolist() == [[0, 1]]
    torch.testing.assert_close(score, torch.tensor([[0.9, 0.8]]))


def test_soft_nms_pads_images_with_fewer_boxes_by_zeros():
    boxes = torch.tensor([[[0.0, 0, 4, 4], [9, 9, 12, 12]], [[0, 0, 0, 0], [0, 0, 0, 0]]])
    scores = torch.tensor([[0.9, 0.8], [0.0, 0.0]])
    _, found = soft_nms(boxes, scores, torch.zeros(2, 2, dtype=torch.int64), 2)
    assert torch.equal(found, scores)


def test_the_commonest_box():
    def sample(boxes, labels, crowd=None):
        boxes = np.array(boxes, np.float32).reshape(-1, 4)
        crowd = np.zeros(len(boxes), bool) if crowd is None else np.array(crowd)
        return {"boxes": boxes, "labels": np.array(labels, np.int64), "crowd": crowd}

    samples = [
        sample([[0, 0, 4, 4], [0, 0, 9, 9], [5, 5, 5, 9]], [2, 1, 1]),
        sample([[2, 2, 8, 6], [0, 0, 99, 99]], [2, 1], [False, True]),
        sample([], []),
        {},
    ]
    prediction = commonest_box(samples)
    assert prediction["boxes"].tolist() == [[1, 1, 6, 5]]
    assert (prediction["labels"].tolist(), prediction["scores"].tolist()) == ([2], [1.0])
    agnostic = commonest_box(samples, class_agnostic=True)
    assert agnostic["labels"].tolist() == [0]
    np.testing.assert_allclose(agnostic["boxes"], [[2 / 3, 2 / 3, 7, 19 / 3]])
    with pytest.raises(DataError, match="boxes"):
        commonest_box(samples[2:])
