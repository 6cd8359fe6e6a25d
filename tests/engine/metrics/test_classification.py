import pytest
import torch
import torch.nn.functional as F
from torch import nn

from engine.data import Split
from engine.metrics import as_input, classification_error, error_and_loss, predict
from engine.metrics.classification import answered, share_wrong


class Brightness(nn.Module):
    """A classifier of the mean: class 0 below a half, class 1 above."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        mean = images.mean((1, 2, 3))
        return torch.stack([0.5 - mean, mean - 0.5], 1)


def make_split(*greys: int, labels: tuple[int, ...]) -> Split:
    images = torch.tensor(greys, dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 2, 2).contiguous()
    return Split(images, torch.tensor(labels), torch.arange(len(greys)))


def test_as_input_is_a_float_in_0_to_1():
    found = as_input(torch.tensor([[[[0, 51]], [[102, 255]]]], dtype=torch.uint8))
    assert found.flatten().tolist() == pytest.approx([0, 0.2, 0.4, 1])
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_error_and_loss_by_hand():
    split = make_split(0, 255, 102, 204, labels=(0, 1, 1, 1))  # means 0, 1, 0.4 and 0.8: the third is wrong
    error, loss = error_and_loss(Brightness(), split)
    assert error == 0.25
    margins = torch.tensor([1.0, 1.0, -0.2, 0.6])  # the right class's logit over the other's
    assert loss == pytest.approx(float(torch.log1p(torch.exp(-margins)).mean()), rel=1e-6)
    assert classification_error(Brightness(), split) == 0.25


def test_an_answer_that_is_no_number_is_wrong_whatever_the_label():
    nan, inf = float("nan"), float("inf")
    logits = torch.tensor([[nan, nan], [nan, 1.0], [1.0, nan], [inf, 1.0], [0.0, -inf], [0.0, 1.0]])
    assert answered(logits).tolist() == [-1, -1, -1, 0, 0, 1]
    assert answered(logits[None]).tolist() == [[-1, -1, -1, 0, 0, 1]]
    assert [float(share_wrong(logits[:3], torch.full((3,), label))) for label in (0, 1)] == [1, 1]
    assert float(share_wrong(logits, torch.tensor([0, 0, 1, 0, 0, 1]))) == 0.5


@pytest.mark.parametrize("batch_size", [1, 3, 7, None])
def test_predict_does_not_depend_on_the_batches(batch_size):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(12), nn.Linear(12, 5))
    images = torch.randint(0, 256, (7, 3, 2, 2)).byte()
    model.train()
    found = predict(model, images, batch_size=batch_size)
    assert found.shape == (7, 5)
    assert not model.training
    assert not found.requires_grad
    expected = F.linear((images.float() / 255).flatten(1) / (1 + 1e-5) ** 0.5, model[2].weight, model[2].bias)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
