"""The pretend GPU computes what the CPU does, refuses what a GPU would, and counts."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.engine.pretend_device import (
    DEVICE,
    DeviceRuleError,
    counting,
    forget_tables,
    on_device,
    on_host,
    pretend_device,
)


@pytest.fixture(autouse=True)
def device():
    with pretend_device():
        yield


def numbers(*shape: int) -> torch.Tensor:
    return torch.arange(float(torch.Size(shape).numel())).reshape(shape)


def test_it_computes_what_the_cpu_does_gradients_included():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.LazyLinear(3))
    images, labels = torch.rand(5, 1, 9, 9), torch.tensor([0, 1, 2, 0, 1])
    network(images)  # gives the last layer its size

    def gradients(images: torch.Tensor, labels: torch.Tensor) -> list[torch.Tensor]:
        network.zero_grad()
        F.cross_entropy(network(images), labels).backward()
        return [on_host(parameter.grad) for parameter in network.parameters()]

    expected = gradients(images, labels)
    on_device(network)
    for found, wanted in zip(gradients(on_device(images), on_device(labels)), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=0)


@pytest.mark.parametrize(
    "refused",
    [
        lambda: on_device(numbers(3)) + numbers(3),
        lambda: torch.cat([on_device(numbers(3)), numbers(3)]),
        lambda: torch.rand(3, device=DEVICE, generator=torch.Generator()),
        lambda: on_device(numbers(3)).numpy(),
        lambda: numbers(3)[on_device(torch.tensor([1]))],
    ],
)
def test_it_refuses_what_a_device_would(refused):
    with pytest.raises(DeviceRuleError):
        refused()


def test_what_the_engine_keeps_on_it_is_forgotten_at_its_end():
    from engine.corruptions.pixels import constants

    forget_tables()
    constants((1.0, 2.0), DEVICE)
    with pretend_device():
        assert constants.cache_info().currsize == 0
        constants((1.0, 2.0), DEVICE)
    assert constants.cache_info().currsize == 0


def test_numbers_of_the_host_are_taken():
    found = on_device(numbers(3)) + torch.tensor(2.0)
    assert found.device == DEVICE
    assert on_host(found).tolist() == [2, 3, 4]


@pytest.mark.parametrize(
    ("work", "waits"),
    [
        (lambda x: x * 2 + 1, 0),
        (lambda x: torch.zeros(3, device=x.device).add_(x), 0),
        (lambda x: x[torch.zeros(2, dtype=torch.long, device=x.device)], 0),
        (lambda x: x.sum().item(), 1),
        (lambda x: float(x.sum()), 1),
        (lambda x: bool((x > 0).all()), 1),
        (lambda x: (x > 0).nonzero(), 1),
        (lambda x: x[x > 0], 1),
        (lambda x: x.cpu(), 1),
        (lambda x: x.tolist(), 1),
        (lambda x: x.to("cpu", non_blocking=True), 1),
        (lambda x: numbers(3).to(x.device), 1),
        (lambda x: numbers(3).to(x.device, non_blocking=True), 0),
        (lambda x: torch.tensor([1.0, 2.0], device=x.device), 1),
        (lambda x: x.new_tensor([1.0, 2.0]), 1),
        (lambda x: x[torch.tensor([0, 1])], 1),
        (lambda x: x.repeat_interleave(2), 0),
    ],
)
def test_it_counts_the_host_s_waits(work, waits):
    x = on_device(numbers(3))
    with counting() as counts:
        work(x)
    assert counts.n_waits == waits, counts.waits


def test_it_counts_launches_and_copies_and_says_where_it_waited():
    from engine.ranking import filter_distances

    maps = on_device(torch.rand(2, 3, 4, 4))
    with counting() as counts:
        filter_distances(maps, maps * 2)
    assert counts.n_launches > 3
    assert all(where.split(" at ")[1].startswith("ranking/distances.py:") for where in counts.waits)
    with counting() as counts:
        on_device(numbers(3)).cpu()
        numbers(3).to(DEVICE)
    assert counts.copies == {"to host": 1, "to device": 1}
