"""Passes through a network that torch compiles, with a stand-in for its compiler."""

import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from engine.errors import InputError
from engine.settings import TrainingSettings
from engine.stages.numerics import Numerics
from engine.stages.probe import make_judge
from engine.training import Trainer, compiled
from engine.training.captured import Capturing, forget_captured
from engine.training.compiled import Compiling
from engine.training.warned_once import warn_once
from tests.engine.pretend_device import on_device, pretend_device
from tests.engine.pretend_graph import pretend_graphs
from tests.engine.test_host_waits import BATCH, make_network, make_split, of_filters

N_IMAGES = 19
"""Two whole batches, and one of three images."""


class Compiler:
    """What ``torch.compile`` is; notes the size of what goes through its passes."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.n_resets = 0

    def __call__(self, module: nn.Module, **options: Any) -> Any:
        assert options == {"fullgraph": True, "dynamic": False}

        def passes(images: torch.Tensor) -> torch.Tensor:
            self.sizes.append(len(images))
            return module(images)

        return passes

    def reset(self) -> None:
        self.n_resets += 1


@pytest.fixture(autouse=True)
def compiler(monkeypatch) -> Iterator[Compiler]:
    made = Compiler()
    monkeypatch.setattr(torch, "compile", made)
    monkeypatch.setattr(torch.compiler, "reset", made.reset)
    monkeypatch.setattr(compiled, "_kept", set())
    warn_once.cache_clear()
    return made


def trained(compiling: Compiling | None, make: Any = lambda network: network, name: str = "resnet-8") -> dict[str, Any]:
    """Train two epochs; return the weights and the last record."""
    split = make_split(N_IMAGES)
    settings = TrainingSettings(epochs=2, batch_size=BATCH, learning_rate=0.01, augmentation="crop-flip")
    judge = make_judge(split, {})
    trainer = Trainer(make(make_network(name)), split, settings, seed=5, judge=judge, compiling=compiling)
    records = [trainer.train_epoch() for _ in range(2)]
    return {**trainer.module.state_dict(), "loss": torch.tensor(records[-1]["loss"])}


def assert_equal(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())


@pytest.mark.parametrize("make", [lambda network: network, of_filters], ids=["whole", "filters"])
def test_whole_batches_alone_go_through_what_is_compiled(make, compiler) -> None:
    compiling = Compiling("resnet-8")
    found = trained(compiling, make)
    assert compiler.sizes == [BATCH] * 5, "a copy's first, and two in each epoch"
    assert compiling.described() == {"compiled": True, "cold_s": compiling.cold_s}
    assert compiling.cold_s > 0
    assert_equal(found, trained(None, make))


def test_what_cannot_be_compiled_is_computed_as_without_said_once_and_noted(monkeypatch) -> None:
    def broken(module: nn.Module, **options: Any) -> Any:
        def passes(images: torch.Tensor) -> torch.Tensor:
            module(images + torch.rand(()))  # what it has changed and drawn by then is of no consequence
            raise RuntimeError("no C++ compiler\nlong story")

        return passes

    monkeypatch.setattr(torch, "compile", broken)
    compiling = Compiling(), Compiling()
    with pytest.warns(UserWarning, match="the passes of a training are not compiled.*RuntimeError: no C"):
        found = trained(compiling[0], name="cnn-2-thesis")  # it has dropout
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "the passes of a training")
        trained(compiling[1], name="cnn-2-thesis")
    for one in compiling:
        assert one.described() == {"compiled": False, "reason": "RuntimeError: no C++ compiler"}
    assert_equal(found, trained(None, name="cnn-2-thesis"))


class OwnConvolution(nn.Module):
    """A user's network, whose convolution oneDNN would not get right."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.kernel = nn.Parameter(torch.ones(3, 3, 1, 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.network(images) + F.conv2d(images, self.kernel, stride=4).mean()


def test_convolutions_with_a_path_of_their_own_are_not_compiled(compiler) -> None:
    compiling = Compiling()
    with pytest.warns(UserWarning, match="1 of its convolutions are computed by a path of their own"):
        found = trained(compiling, OwnConvolution)
    assert compiler.sizes == []
    assert_equal(found, trained(None, OwnConvolution))


def test_a_training_without_whole_batches_says_so() -> None:
    assert Compiling().described() == {"compiled": False, "reason": "no batch had as many images as a whole one"}


def test_too_many_kinds_of_networks_are_forgotten_before_torch_refuses_them(compiler) -> None:
    module, images = make_network(), make_split(BATCH).images
    for name in (*map(str, range(6)), "0", "5"):
        Compiling(name).passes(module, images, BATCH)
    assert compiler.n_resets == 0
    Compiling("6").passes(module, images, BATCH)
    Compiling().passes(module, images, BATCH)
    assert compiler.n_resets == 1


def test_what_is_compiled_is_captured(compiler) -> None:
    with pretend_device(), pretend_graphs() as graphs:
        forget_captured()
        split = on_device(make_split(N_IMAGES))
        settings = TrainingSettings(epochs=1, batch_size=BATCH, learning_rate=0.01)
        capturing, compiling = Capturing(), Compiling()
        network, judge = on_device(make_network()), make_judge(split, {})
        trainer = Trainer(network, split, settings, seed=5, judge=judge, capturing=capturing, compiling=compiling)
        trainer.train_epoch()
        forget_captured()
    assert (capturing.reason, compiling.reason) == ("", "")
    assert [graph.n_replays for graph in graphs] == [2]
    assert compiler.sizes == [BATCH] * 5, "a copy's first, three warm ones, and the one that is recorded"


def test_keys_say_that_passes_are_compiled_and_strict_computing_refuses_them() -> None:
    assert Numerics("cpu", 2, compiled=True).to_key() == {"device": "cpu", "threads": 2, "compiled": True}
    assert Numerics("cuda", compiled=True).to_key() == {"device": "cuda", "precision": "fp32", "compiled": True}
    Numerics("cpu", compiled=True).check()
    with pytest.raises(InputError, match="--strict and --compile-steps exclude each other"):
        Numerics("cuda", strict=True, compiled=True).check()
