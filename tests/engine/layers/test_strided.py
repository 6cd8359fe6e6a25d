import copy
import json
import os
import pickle
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from engine.data import Split
from engine.layers.strided import RightGradients, convolve, is_overrun, make_gradients_right
from engine.models import build_model
from engine.settings import TrainingSettings
from engine.training import Trainer
from tests.engine.layers.narrow_gradients import CASES

STRIDES = ((2, 2), (2, 1), (1, 3))


@pytest.mark.parametrize("instructions", ["AVX2", "DEFAULT"])
def test_narrow_networks_have_the_gradients_of_float64(instructions):
    """A process of its own, so that a gradient that overruns memory is one failed test (oneDNN's issue 6035)."""
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": instructions}
    command = [sys.executable, "-W", "error", "-m", "tests.engine.layers.narrow_gradients"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"died after {found[-1:]}: {done.stderr[-2000:]}"
    assert len(found) == 2 * len(CASES)
    assert [case for case, error in found if not error < 2e-3] == []


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize(
    "settings",
    [{}, {"bias": False}, {"padding": 1}, {"dilation": 2}, {"groups": 3}, {"padding": 2, "padding_mode": "reflect"}],
    ids=str,
)
def test_it_is_the_same_mathematics(stride, settings):
    torch.manual_seed(0)
    plain = nn.Conv2d(3, 6, 1, stride, **settings).double()
    guarded = make_gradients_right(copy.deepcopy(plain))
    images = torch.rand(4, 3, 7, 10, dtype=torch.float64)
    expected, found = (layer(images) for layer in (plain, guarded))
    torch.testing.assert_close(found, expected)
    for layer, maps in ((plain, expected), (guarded, found)):
        maps.square().sum().backward()
        assert layer.weight.grad is not None
    torch.testing.assert_close(guarded.weight.grad, plain.weight.grad)
    assert guarded(images[0]).shape == plain(images[0]).shape


def kernel(*shape: int) -> torch.Tensor:
    return torch.ones(shape, requires_grad=True)


@pytest.mark.parametrize(
    ("weight", "stride", "padding", "groups", "expected"),
    [
        (kernel(8, 15, 1, 1), 2, 0, 1, True),
        (kernel(8, 4, 1, 1), (1, 2), "valid", 1, True),
        (kernel(8, 4, 1, 1), [2], (0, 0), 1, True),
        (kernel(8, 16, 1, 1), 2, 0, 1, False),
        (kernel(8, 4, 1, 1), 1, 0, 1, False),
        (kernel(8, 4, 1, 3), 2, 0, 1, False),
        (kernel(8, 4, 1, 1), 2, 1, 1, False),
        (kernel(8, 1, 1, 1), 2, 0, 4, False),
        (kernel(8, 4, 1, 1).detach(), 2, 0, 1, False),
    ],
)
def test_only_what_is_overrun_takes_the_other_path(weight, stride, padding, groups, expected):
    assert is_overrun(weight, stride, padding, groups) is expected
    with torch.no_grad():
        assert not is_overrun(weight, stride, padding, groups)


def test_wide_networks_and_those_without_gradients_are_the_same_to_the_bit():
    torch.manual_seed(0)
    images, kernels = torch.rand(4, 16, 8, 8), torch.rand(32, 16, 1, 1, requires_grad=True)
    assert torch.equal(convolve(images, kernels, stride=2), F.conv2d(images, kernels, stride=2))
    assert not any("_conv_forward" in vars(module) for module in build_model("resnet-8", num_classes=4).modules())


def test_a_guarded_network_is_copied_and_pickled_like_any_other():
    torch.manual_seed(0)
    network = build_model("resnet-8", num_classes=4, width=4)
    assert "_conv_forward" in vars(network.layer2[0].downsample[0])
    assert list(network.state_dict()) == list(build_model("resnet-8", num_classes=4, width=16).state_dict())
    assert type(network.layer2[0].downsample[0]) is nn.Conv2d
    images = torch.rand(2, 3, 32, 32)
    copied, brought_back = copy.deepcopy(network), pickle.loads(pickle.dumps(network))
    with torch.no_grad():
        copied.layer2[0].downsample[0].weight.zero_()
    assert torch.equal(brought_back(images), network(images))
    assert not torch.equal(copied(images), network(images))


def test_every_call_within_is_watched():
    images, kernels = torch.rand(2, 4, 8, 8), kernel(8, 4, 1, 1)
    with RightGradients() as watch:
        F.conv2d(images, kernels, None, 2)
        torch.conv2d(input=images, weight=kernels, stride=(2, 2))
        nn.Conv2d(4, 4, 1, stride=2)(images)
        nn.Conv2d(4, 4, 3, stride=2)(images)
        F.conv2d(images, torch.ones(8, 4, 1, 1), stride=2)
    assert watch.n_found == 3


class Strided(nn.Module):
    """Calls a function where others have a layer."""

    def __init__(self, n_in: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, n_in, 1)
        self.kernels = nn.Parameter(torch.rand(4, n_in, 1, 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return F.conv2d(self.first(images), self.kernels, stride=2).mean((2, 3))


@pytest.mark.parametrize(("n_in", "watched"), [(4, True), (16, False)])
def test_a_training_goes_on_watching_only_where_there_is_something_to_find(n_in, watched, monkeypatch):
    calls = []
    original = RightGradients.__torch_function__
    monkeypatch.setattr(
        RightGradients, "__torch_function__", lambda *given, **more: calls.append(1) or original(*given, **more)
    )
    split = Split(torch.zeros(8, 1, 4, 4, dtype=torch.uint8), torch.arange(8) % 4, torch.arange(8))
    settings = TrainingSettings(epochs=2, batch_size=8)
    trainer = Trainer(Strided(n_in), split, settings, seed=0, judge=lambda module: {"validation_error": 0.5})
    trainer.train_epoch()
    n_first = len(calls)
    trainer.train_epoch()
    assert n_first > 0
    assert (len(calls) > n_first) is watched
