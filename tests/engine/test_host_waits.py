"""How often the host waits for a GPU, counted on the pretend one, and that it computes what the CPU does."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from engine.corruption_kinds import KINDS
from engine.corruptions import CORRUPTIONS, DISTORTIONS, apply, corrupt, default_levels, distort
from engine.corruptions.perturbed_frames import perturbation_frames
from engine.data import Split
from engine.layers import insert_push_pull
from engine.layers.folding import fold_batch_norm
from engine.metrics import as_input, by_cell, corrupted_splits, measure
from engine.models import build_model
from engine.ranking import DISTANCES, filter_layers, find_exemplar, map_features, paired_distances
from engine.settings import TrainingSettings, TrialConfig
from engine.stages import data_getter, plan_trial, prepare_data, run_chain
from engine.stages.probe import make_judge
from engine.store import Store
from engine.training import CorrectedFilters, SelectiveFilters, Trainer, WholeNetwork
from engine.training.adapted import AdaptedNetwork, entropy
from engine.training.perturbation import make_perturbation
from tests.engine.pretend_device import DEVICE, HOST, MEMORY, Counts, counting, on_device, on_host, pretend_device
from tests.engine.stages.conftest import TINY

N_CLASSES, SIDE, BATCH = 10, 16, 8


@pytest.fixture(autouse=True)
def device():
    with pretend_device():
        yield


def make_split(n: int, side: int = SIDE) -> Split:
    draws = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (n, 3, side, side), generator=draws).byte()
    return Split(images, torch.randint(0, N_CLASSES, (n,), generator=draws), torch.arange(n))


def make_network(name: str = "resnet-8") -> torch.nn.Module:
    torch.manual_seed(3)
    network = build_model(name, num_classes=N_CLASSES, in_channels=3, image_size=SIDE, width=4)
    if name.startswith("resnet"):
        insert_push_pull(network, "first", h=2.0, alpha=1.0, learn_alpha="kernel")
    return network.to(memory_format=torch.channels_last)


def selected(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {layer: torch.tensor([2, 0]) for layer in filter_layers(network)}


def of_filters(network: torch.nn.Module) -> torch.nn.Module:
    example = torch.zeros(1, 3, SIDE, SIDE, device=next(network.parameters()).device)
    return SelectiveFilters(network, selected(network), batch_norm="affine", train_classifier=True, example=example)


def of_parts(network: torch.nn.Module) -> torch.nn.Module:
    example = torch.zeros(1, 3, SIDE, SIDE, device=next(network.parameters()).device)
    names = ["layer1.0.conv1.weight", "layer3.0.conv2.weight", "fc.weight", "fc.bias"]
    return SelectiveFilters(network, {"conv1": torch.tensor([2, 0])}, whole=names, example=example)


def of_corrections(network: torch.nn.Module) -> torch.nn.Module:
    return CorrectedFilters(network, selected(network), generator=torch.Generator().manual_seed(0))


def train(
    make: Callable[[torch.nn.Module], torch.nn.Module],
    settings: dict[str, Any],
    *,
    name: str = "resnet-8",
    more: Callable[[Any], dict[str, Any]] = lambda module: {},
    n_images: int,
    on_gpu: bool,
) -> tuple[dict[str, Any], Counts]:
    """Train two epochs; return the second one's record with the weights, and what it asked of the device.

    ``more`` gives further arguments of the trainer for a module.
    """
    network, split, watched = make_network(name), make_split(n_images), make_split(12)
    if on_gpu:
        network, split, watched = on_device(network), on_device(split), on_device(watched)
    module = make(network)
    trainer = Trainer(
        module,
        split,
        TrainingSettings(epochs=2, batch_size=BATCH, learning_rate=0.01, **settings),
        seed=5,
        judge=make_judge(watched, {"probe_error": watched}),
        **more(module),
    )
    trainer.train_epoch()
    with counting() as counts:
        record = trainer.train_epoch()
    record.pop("seconds")
    weights = {path: on_host(value) for path, value in trainer.module.state_dict().items()}
    return record | weights, counts


def perturbed(**settings: Any) -> dict[str, Any]:
    return {"more": lambda module: {"perturbation": make_perturbation(settings, seed=3)}}


TRAININGS = {
    "none": (lambda network: network, {}, {}),
    "crop-flip": (lambda network: network, {"augmentation": "crop-flip"}, {}),
    "crop-alternate": (
        lambda network: network,
        {"augmentation": "crop-alternate", "optimizer": "sgd", "max_gradient_norm": 0.1},
        {},
    ),
    "dropout": (lambda network: network, {"augmentation": "crop-flip"}, {"name": "cnn-2-thesis"}),
    "filters": (of_filters, {}, {}),
    "corrections": (of_corrections, {}, {}),
    "whole": (WholeNetwork, {"label_smoothing": 0.1}, {}),
    "auto-rgn": (of_parts, {"optimizer": "sgd"}, {"more": lambda module: {"rates": module.own_rates()}}),
    "tent": (lambda network: AdaptedNetwork(network, affine=True), {}, {"more": lambda module: {"loss": entropy}}),
    "noise": (
        lambda network: network,
        {"augmentation": "crop-flip"},
        perturbed(kind="noise", sigmas=[0.1, 0.3], share=0.5),
    ),
    "augmix": (lambda network: network, {}, perturbed(kind="augmix", severity=3.0, consistency=12.0)),
    "prime": (lambda network: network, {}, perturbed(kind="prime", strengths="cifar", consistency=0.0)),
}
AN_EPOCH = 5
"""The order and the crops go to the device; the training's loss, the validation's error with its loss, and the probe's
error come back."""


@pytest.mark.parametrize("kind", TRAININGS)
def test_no_training_step_waits_and_an_epoch_seldom(kind):
    make, settings, network = TRAININGS[kind]
    few, many = (train(make, settings, **network, n_images=n_steps * BATCH, on_gpu=True)[1] for n_steps in (2, 5))
    assert few.n_launches < many.n_launches
    assert few.waits == many.waits
    assert few.n_waits <= AN_EPOCH, few.waits


@pytest.mark.parametrize("kind", TRAININGS)
def test_a_training_on_the_device_equals_that_on_the_cpu(kind):
    make, settings, network = TRAININGS[kind]
    (here, _), (there, _) = (train(make, settings, **network, n_images=27, on_gpu=gpu) for gpu in (False, True))
    assert here.keys() == there.keys()
    for name, value in here.items():
        torch.testing.assert_close(torch.as_tensor(there[name]), torch.as_tensor(value), rtol=1e-4, atol=1e-5)


AT_MOST_95_SETS = 100
AT_MOST_95_SETS_AGAIN = 20


def test_the_95_corrupted_sets_seldom_wait(monkeypatch):
    """Of 10,000 images of 32×32 in two parts, as on a GPU; the number of images plays no part in it."""
    split = on_device(make_split(4, 32))
    monkeypatch.setitem(apply._CHUNK_ELEMENTS, "cuda", 2 * 3 * 32 * 32)
    for at_most in (AT_MOST_95_SETS, AT_MOST_95_SETS_AGAIN):
        with counting() as counts:
            for _ in corrupted_splits(split, CORRUPTIONS, (1, 2, 3, 4, 5), seed=0, table="cifar-c"):
                pass
        assert counts.n_waits <= at_most, counts.waits
    assert len(CORRUPTIONS) == 19


C_BAR = KINDS["c-bar"]


def test_the_sets_of_c_bar_wait_for_no_image():
    split = on_device(make_split(4, 32))
    for _ in range(2):  # a table is made once
        with counting() as counts:
            for _ in corrupted_splits(split, C_BAR, (1, 5), seed=0, table="cifar-c"):
                pass
    assert counts.n_waits == 0, counts.waits


@pytest.mark.parametrize("name", [*CORRUPTIONS, *C_BAR])
def test_a_corruption_on_the_device_equals_that_on_the_cpu(name):
    split = make_split(3, 32)
    for severity in (1, 3, 5):
        here = corrupt(split.images, name, severity, seed=7)
        assert torch.equal(on_host(corrupt(on_device(split.images), name, severity, seed=7)), here)


def test_sequences_wait_for_no_image_and_are_those_of_the_cpu():
    split = make_split(3, 16)
    for name in ("gaussian_noise", "zoom_blur", "translate", "tilt"):  # the others are made in the same ways
        here = list(perturbation_frames(split.images, name, seed=7))
        for _ in range(2):  # a table is made once
            with counting() as counts:
                there = list(perturbation_frames(on_device(split.images), name, seed=7))
        assert all(torch.equal(on_host(one), other) for one, other in zip(there, here, strict=True)), name
        assert counts.n_waits == 0, (name, counts.waits)


@pytest.mark.parametrize("name", DISTORTIONS)
def test_a_distortion_on_the_device_equals_that_on_the_cpu(name):
    split = make_split(3, 32)
    for level in default_levels(name):
        here = distort(split.images, name, level, seed=7)
        assert torch.equal(on_host(distort(on_device(split.images), name, level, seed=7)), here)


A_SET = 1


def test_waits_of_an_evaluation():
    split, network = on_device(make_split(6, SIDE)), on_device(make_network())
    cells = list(itertools.product(("gaussian_noise", "contrast"), (1, 5)))
    sets = [(cell, split) for cell in cells]
    with counting() as counts:
        found = by_cell(network, sets, measure)
    assert list(found) == cells
    assert counts.n_waits <= A_SET * len(cells), counts.waits


ASKING_ONCE = ("emd_1d", "l1", "l2", "cosine", "sliced_emd")
A_RANKING_BATCH = 1


def test_passes_of_a_folded_network_wait_for_nothing_and_are_those_of_the_cpu():
    images = as_input(make_split(BATCH).images)
    here, there = (fold_batch_norm(network.eval())[0] for network in (make_network(), on_device(make_network())))
    moved = on_device(images)
    with torch.no_grad():
        expected = here(images)
        with counting() as counts:
            found = there(moved)
    assert counts.n_waits == 0
    torch.testing.assert_close(on_host(found), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("distance", ASKING_ONCE)
def test_a_batch_of_a_ranking_waits_once_to_hear_that_its_maps_are_finite(distance):
    network, clean, noisy = on_device(make_network()), on_device(make_split(8)), on_device(make_split(8))
    waits = []
    for batch_size in (4, 4, 2):  # the first fills what is kept
        with counting() as counts:
            paired_distances(network, clean.images, noisy.images, distance=distance, batch_size=batch_size)
        waits.append(counts.n_waits)
    assert waits[1] - 2 * A_RANKING_BATCH <= 1, "and then what was found comes back"
    assert waits[2] - waits[1] <= 2 * A_RANKING_BATCH, counts.waits


@pytest.mark.parametrize("free", [MEMORY, 0])
def test_features_of_unpaired_images_stay_on_the_device_while_its_memory_takes_them(monkeypatch, free):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device=None: (free, MEMORY))
    network, images = on_device(make_network()), on_device(make_split(8)).images
    with counting() as counts:
        features = map_features(network, images, "conv1", batch_size=4)
    assert counts.n_waits == (0 if free else 2), counts.waits
    found = [find_exemplar(features, "euclidean"), find_exemplar(features, "hamming", 2)]
    here = map_features(make_network(), make_split(8).images, "conv1", batch_size=8)
    expected = [find_exemplar(here, "euclidean"), find_exemplar(here, "hamming", 2)]
    assert [positions.tolist() for positions in found] == [positions.tolist() for positions in expected]


def test_the_sinkhorn_distance_waits_once_in_some_rounds():
    clean, noisy = (on_device(torch.rand(2, 6, 6, 6, generator=torch.Generator().manual_seed(seed))) for seed in (0, 1))
    DISTANCES["sinkhorn"](clean, noisy)
    with counting() as counts:
        DISTANCES["sinkhorn"](clean, noisy)
    assert counts.n_waits <= 20, counts.waits


@pytest.mark.parametrize("distance", [*ASKING_ONCE, "sinkhorn"])
def test_a_ranking_on_the_device_equals_that_on_the_cpu(distance):
    network, clean, noisy = make_network(), make_split(8), make_split(8)
    noisy = Split(noisy.images.flip(0), noisy.labels, noisy.indices)
    here = paired_distances(network, clean.images, noisy.images, distance=distance)
    on_device(network)
    there = paired_distances(network, on_device(clean).images, on_device(noisy).images, distance=distance)
    for layer, found in here.items():
        torch.testing.assert_close(there[layer], found, rtol=1e-5, atol=1e-6)


def test_a_checkpoint_s_tensors_come_to_the_host_by_one_copy_for_each_type(tmp_path):
    store, network = Store(tmp_path), make_network()
    expected = {name: value.clone() for name, value in network.state_dict().items()}
    on_device(network)
    with store.attempt("ab" * 16) as attempt, counting() as counts:
        attempt.write_tensors("model", network.state_dict())
        attempt.write_tensors("nothing", {})
        artifact = store.publish(attempt, {"history": []})
    assert counts.copies == {"to host": 2}, "floating-point numbers, and the normalisations' counters"
    assert artifact.tensors("nothing") == {}
    assert artifact.tensors("model").keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in artifact.tensors("model").items())


def errors_in(value: Any) -> Iterator[float]:
    """Yield the numbers in a JSON value, in its order."""
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from errors_in(part)
    elif isinstance(value, int | float):
        yield value


@pytest.mark.parametrize(
    "settings",
    [
        {"pretrain.augmentation": "crop-alternate", "finetune.training.augmentation": "crop-flip"},
        {"rank.pairing": "unpaired", "rank.n_exemplars": 2, "rank.features": "maps", "finetune.across_layers": True},
        {"finetune.method": "correction", "rank.distance": "emd_spatial"},
        {"finetune.method": "network", "finetune.which": "all", "model.name": "cnn-2-thesis", "model.width": None},
    ],
)
def test_a_trial_on_the_device_comes_to_what_it_comes_to_on_the_cpu(tmp_path, settings):
    config = TrialConfig().with_settings({**TINY, **settings})
    found = {}
    for place in (HOST, DEVICE):
        store = Store(tmp_path / place.type)
        info, _ = prepare_data(config.data, store)
        plan = plan_trial(config, info, device=place.type)
        *_, last = run_chain(plan, store, data_getter(info, store, place), device=place)
        found[place] = list(errors_in(last.artifact.json("errors")))
    a_few_images = 3 / TINY["data.n_test"]  # sums are rounded in another order
    assert found[DEVICE] == pytest.approx(found[HOST], abs=a_few_images)
