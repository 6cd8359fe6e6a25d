"""Batch normalisation adapted to images without labels."""

import pytest
import torch
from torch import nn

from engine.seeds import generator
from engine.settings import TrainingSettings
from engine.training import Trainer, apply_changes
from engine.training.adapted import AdaptedNetwork, entropy
from tests.engine.training.test_selective import build_twin, changed_rows, make_network, make_split, snapshot


def test_statistics_of_one_batch_are_torch_s_own():
    network, split = make_network(), make_split(24)
    twin = build_twin(network).train()
    for module in twin.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    twin(split.images.float() / 255)
    adapted = AdaptedNetwork(network, affine=False)
    adapted.take_statistics(split.images, 24)
    expected = twin.state_dict()
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=1e-5, atol=1e-6)
    assert adapted.tuned_names == []


def test_the_first_layer_s_statistics_are_those_of_all_images_whatever_the_batches():
    network, split = make_network(), make_split(25)
    with torch.no_grad():
        maps = network.conv1(network.normalise(split.images.float() / 255)).transpose(0, 1).flatten(1)
    adapted = AdaptedNetwork(network, affine=False)
    adapted.take_statistics(split.images, 8)  # 8, 8, and 9: a single image has no variance
    torch.testing.assert_close(network.bn1.running_mean, maps.mean(1), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(network.bn1.running_var, maps.var(1), rtol=1e-5, atol=1e-6)


def test_tent_lessens_the_entropy_moves_normalisations_alone_and_reads_no_label():
    split = make_split(40)
    settings = TrainingSettings(epochs=4, batch_size=20, optimizer="adam", learning_rate=0.01, schedule="constant")
    tuned = []
    for labels in (split.labels, split.labels.flip(0)):
        network = make_network()
        fresh, before = build_twin(network), snapshot(network)
        module = AdaptedNetwork(network, affine=True)
        module.take_statistics(split.images, 20)
        with torch.no_grad():
            at_first = float(entropy(module(split.images.float() / 255), labels))
        other = type(split)(split.images, labels, split.indices)
        trainer = Trainer(module, other, settings, seed=0, judge=lambda _: {"validation_error": 0.5}, loss=entropy)
        while not trainer.finished:
            trainer.train_epoch()
        module.take_statistics(split.images, 20)
        with torch.no_grad():
            assert float(entropy(module(split.images.float() / 255), labels)) < at_first
        tuned.append(apply_changes(fresh, module.changes()))
        moved = changed_rows(before, tuned[-1])
        assert {name.rpartition(".")[2] for name in moved} == {"weight", "bias", "running_mean", "running_var"}
        norms = tuple(name for name, each in network.named_modules() if isinstance(each, nn.BatchNorm2d))
        assert all(name.rpartition(".")[0] in norms for name in moved)
    one, other = (network.state_dict() for network in tuned)
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_the_entropy_is_that_of_the_answers():
    logits = torch.randn(6, 4, generator=generator(0, "logits"))
    shares = logits.softmax(1)
    expected = -(shares * shares.log()).sum() / 6
    assert float(entropy(logits, torch.zeros(6))) == pytest.approx(float(expected), rel=1e-6)
    assert float(entropy(torch.zeros(1, 4), torch.zeros(1))) == pytest.approx(torch.tensor(4.0).log().item())
