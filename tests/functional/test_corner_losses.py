import pytest
import torch

from densezoo.functional.corner_losses import focal_loss, focal_weights, offset_loss


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


def test_offsets_count_where_the_weight_says():
    offsets, target, weight = torch.zeros(1, 2, 1, 3), torch.zeros(1, 2, 1, 3), torch.zeros(1, 1, 1, 3)
    offsets[0, :, 0, 1] = torch.tensor([0.5, 3.0])
    offsets[0, :, 0, 2] = 100.0
    weight[..., 1] = 2.0
    assert offset_loss(offsets, target, weight).item() == pytest.approx(2 * (0.5 * 0.25 + 2.5))
