import pytest
import torch

from densezoo.functional.corner_losses import focal_loss, focal_weights, offset_loss, pull_and_push


def test_focal_loss_is_the_papers():
    target = torch.tensor([1.0, 0.6, 0.0]).view(1, 1, 1, 3)
    logits = torch.tensor([0.4, -1.0, 2.0]).view(1, 1, 1, 3)
    p = logits.double().sigmoid().flatten()
    expected = -((1 - p[0]) ** 2 * p[0].log() + 0.4**4 * p[1] ** 2 * (1 - p[1]).log() + p[2] ** 2 * (1 - p[2]).log())
    found = focal_loss(logits, target, focal_weights(target))
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)
    assert focal_loss(logits.bfloat16(), target, focal_weights(target)).dtype == torch.float32


def test_beyond_a_limit_focal_loss_learns_nothing():
    target = torch.tensor([1.0, 1.0, 0.0, 0.0]).view(1, 1, 2, 2)
    logits = torch.tensor([-3.0, -1.0, 4.0, 1.0]).view(1, 1, 2, 2).requires_grad_()
    loss = focal_loss(logits, target, focal_weights(target), limit=2.0)
    assert loss.item() == pytest.approx(focal_loss(logits.clamp(-2, 2), target, focal_weights(target)).item())
    loss.backward()
    assert logits.grad.flatten().ne(0).tolist() == [False, True, False, True]


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float16])
def test_focal_loss_is_finite_and_teaches_however_sure_the_answer(kind):
    target = torch.tensor([1.0, 0.0, 1.0, 0.0]).view(1, 1, 2, 2)
    logits = torch.tensor([-60.0, 60.0, 60.0, -60.0]).view(1, 1, 2, 2).to(kind).requires_grad_()
    loss = focal_loss(logits, target, focal_weights(target))
    loss.backward()
    assert loss.item() == pytest.approx(120)
    assert logits.grad.flatten().tolist() == [-1, 1, 0, 0]  # nothing is lost where probabilities round to 0 and 1


def test_pull_and_push_by_hand():
    first = torch.tensor([[1.0, 2.0, 9.0], [4.0, 0.0, 0.0], [5.0, 6.0, 7.0]], requires_grad=True)
    second = torch.tensor([[1.4, 2.2, 9.0], [3.0, 0.0, 0.0], [5.0, 6.0, 7.0]], requires_grad=True)
    present = torch.tensor([[True, True, False], [True, False, False], [False, False, False]])
    pull, push = pull_and_push(first, second, present)
    # first image: two objects with means 1.2 and 2.1; second: one; third: none
    assert pull.item() == pytest.approx((2 * 0.2**2 + 2 * 0.1**2) / 2 + 2 * 0.5**2)
    assert push.item() == pytest.approx(2 * (1 - 0.9) / 2, rel=1e-5)
    (pull + push).backward()
    assert first.grad.isfinite().all()
    assert first.grad[~present].eq(0).all()
    assert second.grad[present].ne(0).all()


def test_slack_is_added_to_divisors_and_pushes_single_objects():
    first = torch.tensor([[1.0, 2.0, 9.0], [4.0, 0.0, 0.0], [5.0, 6.0, 7.0]])
    second = torch.tensor([[1.4, 2.2, 9.0], [3.0, 0.0, 0.0], [5.0, 6.0, 7.0]])
    present = torch.tensor([[True, True, False], [True, False, False], [False, False, False]])
    slack = 0.5
    pull, push = pull_and_push(first, second, present, slack)
    assert pull.item() == pytest.approx((2 * 0.2**2 + 2 * 0.1**2) / (2 + slack) + 2 * 0.5**2 / (1 + slack))
    # all four pairs of the first image less 1 / (n + slack) each, and the single one of the second
    pairs = 2 * 1 + 2 * (1 - 0.9) - 4 / (2 + slack)
    assert push.item() == pytest.approx(pairs / (2 + slack) + (1 - 1 / (1 + slack)) / slack, rel=1e-5)


def test_without_objects_embeddings_have_no_loss_and_a_gradient_of_zero():
    embeddings = torch.randn(2, 0, requires_grad=True)
    pull, push = pull_and_push(embeddings, embeddings, torch.zeros(2, 0, dtype=torch.bool))
    assert pull.item() == push.item() == 0
    (pull + push).backward()
    assert embeddings.grad.shape == (2, 0)


def test_offsets_count_where_the_weight_says():
    offsets, target, weight = torch.zeros(1, 2, 1, 3), torch.zeros(1, 2, 1, 3), torch.zeros(1, 1, 1, 3)
    offsets[0, :, 0, 1] = torch.tensor([0.5, 3.0])
    offsets[0, :, 0, 2] = 100.0
    weight[..., 1] = 2.0
    assert offset_loss(offsets, target, weight).item() == pytest.approx(2 * (0.5 * 0.25 + 2.5))
