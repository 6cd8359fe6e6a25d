"""Steps that are recorded on the pretend device and replayed: they come to what eager ones do."""

import warnings
from typing import Any

import pytest
import torch
from torch import nn

from engine.layers import insert_push_pull
from engine.models import build_model
from engine.settings import TrainingSettings
from engine.stages.probe import make_judge
from engine.training import SelectiveFilters, Trainer, WholeNetwork, captured
from engine.training.captured import Capturing, forget_captured
from engine.training.warned_once import warn_once
from tests.engine.pretend_device import counting, on_device, on_host, pretend_device
from tests.engine.pretend_graph import pretend_graphs
from tests.engine.test_host_waits import BATCH, SIDE, make_network, make_split, of_corrections, of_filters

N_IMAGES = 27
"""Three whole batches, and one of three images."""
SGD = {"optimizer": "sgd", "momentum": 0.9, "weight_decay": 1e-2, "augmentation": "crop-flip", "schedule": "one-cycle"}
ADAM = {"optimizer": "adam", "weight_decay": 1e-2, "schedule": "constant"}


@pytest.fixture(autouse=True)
def graphs():
    with pretend_device(), pretend_graphs() as made:
        forget_captured()
        warn_once.cache_clear()
        yield made
        forget_captured()


def make_trainer(
    settings: dict[str, Any],
    capturing: Capturing | None,
    make: Any = lambda network: network,
    name: str = "resnet-8",
    learning_rate: float = 0.01,
) -> Trainer:
    network, split, watched = (on_device(one) for one in (make_network(name), make_split(N_IMAGES), make_split(12)))
    return Trainer(
        make(network),
        split,
        TrainingSettings(epochs=3, batch_size=BATCH, learning_rate=learning_rate, **settings),
        seed=5,
        judge=make_judge(watched, {}),
        capturing=capturing,
    )


def outcome(trainer: Trainer) -> dict[str, Any]:
    """Train to the end; return records and weights."""
    found: dict[str, Any] = {}
    while not trainer.finished:
        record = trainer.train_epoch()
        found |= {f"{trainer.state.epoch}/{name}": value for name, value in record.items() if name != "seconds"}
    return found | {name: on_host(value) for name, value in trainer.module.state_dict().items()}


def assert_close(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(torch.as_tensor(found[name]), torch.as_tensor(value), rtol=1e-4, atol=1e-5)


TRAININGS = {
    "sgd": (SGD, {}),
    "no momentum": ({**SGD, "momentum": 0.0, "weight_decay": 0.0, "label_smoothing": 0.1}, {}),
    "adam": (ADAM, {}),
    "short gradients": ({**SGD, "max_gradient_norm": 0.5}, {}),
    "filters": (SGD, {"make": of_filters}),
    "corrections": (SGD, {"make": of_corrections}),
    "whole": (SGD, {"make": WholeNetwork}),
}


@pytest.mark.parametrize("kind", TRAININGS)
def test_captured_steps_come_to_what_eager_ones_do(kind: str, graphs) -> None:
    settings, others = TRAININGS[kind]
    capturing = Capturing()
    found = outcome(make_trainer(settings, capturing, **others))
    assert capturing.described() == {"captured": True}
    assert [graph.n_replays for graph in graphs] == [9], "the small batch of each epoch is taken eagerly"
    assert_close(found, outcome(make_trainer(settings, None, **others)))


@pytest.mark.parametrize("settings", [SGD, ADAM], ids=["sgd", "adam"])
def test_a_training_goes_on_from_captured_steps_with_eager_ones_and_back(settings: dict[str, Any]) -> None:
    first = make_trainer(settings, Capturing())
    first.train_epoch()
    second = make_trainer(settings, None)
    second.restore(*first.checkpoint())
    second.train_epoch()
    third = make_trainer(settings, Capturing())
    third.restore(*second.checkpoint())
    third.train_epoch()
    eager = make_trainer(settings, None)
    outcome(eager)
    expected = {name: on_host(value) for name, value in eager.checkpoint()[0].items()}
    assert_close({name: on_host(value) for name, value in third.checkpoint()[0].items()}, expected)


def test_the_next_training_of_a_network_is_not_recorded_again_whatever_its_rate_and_decay(graphs) -> None:
    outcome(make_trainer(SGD, Capturing("resnet-8")))
    other = {**SGD, "weight_decay": 3e-2}
    found = outcome(make_trainer(other, Capturing("resnet-8"), learning_rate=0.03))
    assert len(graphs) == 1
    assert_close(found, outcome(make_trainer(other, None, learning_rate=0.03)))
    for settings, architecture in (({**SGD, "momentum": 0.5}, "resnet-8"), (ADAM, "resnet-8"), (SGD, "resnet-14")):
        outcome(make_trainer(settings, Capturing(architecture)))
    assert len(graphs) == 4
    assert len(captured._kept) <= captured._N_KEPT


def test_a_captured_step_does_not_wait() -> None:
    def waits(n_images: int) -> int:
        network, split, watched = (on_device(one) for one in (make_network(), make_split(n_images), make_split(12)))
        settings = TrainingSettings(epochs=2, batch_size=BATCH, learning_rate=0.01, **SGD)
        judge = make_judge(watched, {})
        trainer = Trainer(network, split, settings, seed=5, judge=judge, capturing=Capturing())
        trainer.train_epoch()
        with counting() as counts:
            trainer.train_epoch()
        return counts.n_waits

    assert waits(2 * BATCH) == waits(5 * BATCH)


class AsksForAValue(nn.Module):
    """A network whose forward pass depends on a value."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits = self.network(images)
        return logits if float(logits.detach().sum()) < 1e9 else -logits


def test_what_cannot_be_captured_is_computed_eagerly_said_once_and_noted(graphs) -> None:
    capturing = [Capturing(), Capturing()]
    with pytest.warns(UserWarning, match="steps of a training are taken eagerly.*not permitted when stream is cap"):
        found = outcome(make_trainer(SGD, capturing[0], make=AsksForAValue))
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "the steps of a training")
        outcome(make_trainer(SGD, capturing[1], make=AsksForAValue))
    for one in capturing:
        assert one.described()["captured"] is False
        assert "not permitted when stream is capturing" in one.described()["reason"]
    assert all(graph.n_replays == 0 for graph in graphs)
    expected = outcome(make_trainer(SGD, None, make=AsksForAValue))
    assert all(torch.equal(torch.as_tensor(found[name]), torch.as_tensor(value)) for name, value in expected.items())


def test_on_a_cpu_no_step_is_captured() -> None:
    torch.manual_seed(0)
    network = insert_push_pull(build_model("resnet-8", num_classes=10, image_size=SIDE, width=4), "first", h=2.0)
    split, capturing = make_split(2 * BATCH), Capturing()
    settings = TrainingSettings(epochs=1, batch_size=BATCH, learning_rate=0.01)
    with pytest.warns(UserWarning, match="recorded on GPUs alone"):
        Trainer(network, split, settings, seed=0, judge=make_judge(split, {}), capturing=capturing).train_epoch()
    assert capturing.described()["captured"] is False


def test_selected_filters_have_no_parameters_beside_their_own() -> None:
    module = of_filters(on_device(make_network()))
    assert isinstance(module, SelectiveFilters)
    assert len(list(module.parameters())) == len(captured._tensors(module))
