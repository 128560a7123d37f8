import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from densezoo.functional import segmentation_losses as losses

ALL = ("cross_entropy", "focal", "dice", "lovasz")


def made(num_classes, size=(2, 5, 7)):
    """Logits and labels without a random generator; the first row of labels is ignored."""
    count = size[0] * num_classes * size[1] * size[2]
    logits = (torch.arange(count) * 12.9898).sin().reshape(size[0], num_classes, *size[1:]) * 2
    labels = ((torch.arange(size[0] * size[1] * size[2]) * 7.31).sin() * 100).long().abs().reshape(size)
    labels = labels % max(num_classes, 2)
    labels[:, 0] = 255
    return logits, labels


def lovasz_by_hand(errors, truth):
    """The Lovász extension by its definition: pixels join the set of errors one after the other, the worst first."""
    order = np.argsort(-errors, kind="stable")

    def loss_of(wrong):
        missed = (truth & wrong).sum()
        union = (truth | wrong).sum()
        return 0.0 if union == 0 else 1 - (truth.sum() - missed) / union

    sets = [np.isin(np.arange(len(errors)), order[:count]) for count in range(len(errors) + 1)]
    gains = [loss_of(later) - loss_of(earlier) for earlier, later in itertools.pairwise(sets)]
    return float((np.maximum(errors[order], 0) * gains).sum())


def test_binary_is_the_logit_of_label_one():
    logits, labels = made(1)
    known = labels != 255
    target = (labels == 1).float()
    plain = F.binary_cross_entropy_with_logits(logits[:, 0], target, reduction="none")
    torch.testing.assert_close(losses.cross_entropy(logits, labels), plain[known].sum())
    weighted = losses.cross_entropy(logits, labels, [0.5, 3.0])
    torch.testing.assert_close(weighted, (plain * (0.5 + 2.5 * target))[known].sum())
    smooth = F.binary_cross_entropy_with_logits(logits[:, 0], target * 0.8 + 0.1, reduction="none")
    torch.testing.assert_close(losses.cross_entropy(logits, labels, label_smoothing=0.2), smooth[known].sum())


@pytest.mark.parametrize("num_classes", [1, 3])
def test_focal_lowers_what_is_certain(num_classes):
    logits, labels = made(num_classes)
    known = labels != 255
    scores = torch.cat([torch.zeros_like(logits), logits], 1) if num_classes == 1 else logits
    p = scores.softmax(1).gather(1, labels.where(known, 0)[:, None])[:, 0]
    torch.testing.assert_close(losses.focal(logits, labels), (-((1 - p) ** 2) * p.log())[known].sum())
    torch.testing.assert_close(losses.focal(logits, labels, gamma=0.0), losses.cross_entropy(logits, labels))
    weights = [0.5, 3.0, 1.0][: max(num_classes, 2)]
    each = torch.tensor(weights)[labels.where(known, 0)]
    weighted = (each * -((1 - p) ** 3) * p.log())[known].sum()
    torch.testing.assert_close(losses.focal(logits, labels, weights, 3.0), weighted)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_focal_has_gradients_where_nothing_is_left_to_learn(gamma):
    logits = torch.tensor([[200.0, -200.0], [0.0, 0.0]]).reshape(1, 2, 1, 2).requires_grad_()
    losses.focal(logits, torch.tensor([[[0, 255]]]), gamma=gamma).backward()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("name", ["cross_entropy", "focal"])
def test_class_weights_are_brought_to_the_device_once(name, monkeypatch):
    loss, weights = getattr(losses, name), [0.25, 2.5, 1.5]
    logits, labels = made(3)
    losses._by_label.cache_clear()
    with torch.inference_mode():
        loss(logits, labels, weights)
    monkeypatch.setattr(torch, "tensor", None)
    leaf = logits.clone().requires_grad_()
    loss(leaf, labels, weights).backward()
    assert leaf.grad.abs().sum() > 0


def test_dice_by_hand():
    logits, labels = made(3)
    labels[1][labels[1] == 2] = 0  # the second image lacks a class
    p = logits.softmax(1)
    total = 0.0
    for image in range(2):
        known = labels[image] != 255
        scores = []
        for label in labels[image][known].unique().tolist():
            truth = labels[image] == label
            overlap = p[image, label][truth].sum()
            scores.append(1 - 2 * overlap / (p[image, label][known].sum() + truth.sum()))
        total += torch.stack(scores).mean()
    torch.testing.assert_close(losses.dice(logits, labels), total)


@pytest.mark.parametrize("num_classes", [1, 3])
def test_lovasz_by_its_definition(num_classes):
    logits, labels = made(num_classes, (2, 3, 4))
    total = 0.0
    for image in range(2):
        known = (labels[image] != 255).numpy()
        flat = labels[image].numpy()[known]
        if num_classes == 1:
            errors = 1 - logits[image, 0].numpy()[known] * (2.0 * (flat == 1) - 1)
            total += lovasz_by_hand(errors, flat == 1)
            continue
        p = logits[image].softmax(0).numpy()[:, known]
        present = np.unique(flat)
        total += np.mean([lovasz_by_hand(np.abs((flat == c) - p[c]), flat == c) for c in present])
    assert losses.lovasz(logits, labels).item() == pytest.approx(total, rel=1e-5)


def test_values_of_other_peoples_code():
    """Numbers of segmentation_models_pytorch 0.6.0, image by image, with ignore_index=255."""
    logits, labels = made(3)
    found = {name: [getattr(losses, name)(*pair).item() for pair in singles(logits, labels)] for name in IN_SMP}
    for name, values in IN_SMP.items():
        assert found[name] == pytest.approx(values, rel=1e-5), name
    logits, labels = made(1)
    for name, values in IN_SMP_BINARY.items():
        found = [getattr(losses, name)(*pair).item() for pair in singles(logits, labels)]
        assert found == pytest.approx(values, rel=1e-5), name


def singles(logits, labels):
    return [(logits[index : index + 1], labels[index : index + 1]) for index in range(len(labels))]


IN_SMP = {
    "dice": [0.676988, 0.652717],
    "lovasz": [0.763148, 0.733726],
    "cross_entropy": [53.206276, 45.744457],
}
IN_SMP_BINARY = {
    "dice": [0.509564, 0.449239],
    "lovasz": [1.70805, 1.569615],
    "focal": [14.225414, 16.13319],
    "cross_entropy": [25.589504, 28.124746],
}


@pytest.mark.parametrize(
    ("num_classes", "name", "arguments", "values"),
    [
        (3, "cross_entropy", {"label_smoothing": 0.1}, [53.239128, 46.510826]),  # smooth_factor=0.1
        (1, "cross_entropy", {"label_smoothing": 0.2}, [25.612783, 27.570904]),  # smooth_factor=0.1, of one class
        (1, "cross_entropy", {"class_weights": [1.0, 3.0]}, [52.390327, 63.492874]),  # pos_weight=3
        (1, "focal", {"class_weights": [0.75, 0.25], "gamma": 1.5}, [7.784565, 8.085895]),  # alpha=0.25
    ],
)
def test_arguments_have_the_meaning_of_other_peoples_code(num_classes, name, arguments, values):
    """Numbers of segmentation_models_pytorch 0.6.0 again."""
    loss = getattr(losses, name)
    found = [loss(*pair, **arguments).item() for pair in singles(*made(num_classes))]
    assert found == pytest.approx(values, rel=1e-5)


def test_smoothed_targets_have_the_weights_of_the_classes_they_are_spread_over():
    logits, labels = made(3)
    known = labels != 255
    target = F.one_hot(labels.where(known, 0), 3).movedim(-1, 1) * 0.7 + 0.1
    weights = torch.tensor([0.5, 3.0, 1.0])
    each = -(weights[:, None, None] * target * logits.log_softmax(1)).sum(1)
    found = losses.cross_entropy(logits, labels, weights.tolist(), label_smoothing=0.3)
    torch.testing.assert_close(found, each[known].sum())


@pytest.mark.parametrize("num_classes", [1, 3])
@pytest.mark.parametrize("name", ALL)
def test_ignored_pixels_change_nothing_and_alone_give_zero(name, num_classes):
    loss = getattr(losses, name)
    logits, labels = made(num_classes)
    changed = logits.clone()
    changed[:, :, 0] = 50.0
    torch.testing.assert_close(loss(changed, labels), loss(logits, labels))
    leaf = logits.clone().requires_grad_()
    nothing = loss(leaf, torch.full_like(labels, 255))
    nothing.backward()
    assert nothing.item() == 0
    assert leaf.grad.eq(0).all()


@pytest.mark.parametrize("num_classes", [1, 3])
@pytest.mark.parametrize("name", ALL)
def test_a_certain_and_right_answer_costs_nothing(name, num_classes):
    _, labels = made(num_classes)
    values = torch.arange(max(num_classes, 2))[:, None, None] == labels[:, None]
    logits = (values.float() * 2 - 1)[:, -num_classes:] * 40
    loss = getattr(losses, name)
    assert loss(logits, labels).item() == pytest.approx(0, abs=1e-5)
    assert loss(-logits, labels).item() > 1
