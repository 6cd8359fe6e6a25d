import json
import math
import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.ops import StochasticDepth

from engine.data import Split
from engine.models import build_model
from engine.seeds import generator
from engine.settings import TrainingSettings
from engine.training import Trainer, TrainingDivergedError, learning_rate


@pytest.fixture(autouse=True)
def _same_draws_in_every_run() -> None:
    torch.manual_seed(0)


def make_split(n: int = 50, channels: int = 1, side: int = 8) -> Split:
    draws = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (n, channels, side, side), generator=draws).byte()
    return Split(images, torch.randint(0, 4, (n,), generator=draws), torch.arange(n))


def make_network(channels_last: bool = True) -> nn.Module:
    torch.manual_seed(3)
    network = build_model("resnet-8", num_classes=4, in_channels=1, image_size=8, width=4)
    return network.to(memory_format=torch.channels_last) if channels_last else network


def by_loss(split: Split):
    def judge(module: nn.Module) -> dict[str, float]:
        with torch.no_grad():
            logits = module(split.images.float() / 255)
        error = (logits.argmax(1) != split.labels).float().mean()
        return {"validation_error": float(error), "validation_loss": float(F.cross_entropy(logits, split.labels))}

    return judge


def scripted(*errors: float):
    """Return a judge that finds these errors, epoch by epoch."""
    remaining = list(errors)
    return lambda module: {"validation_error": remaining.pop(0)}


def run(trainer: Trainer) -> list[dict]:
    history = []
    while not trainer.finished:
        history.append(trainer.train_epoch())
    return history


def without_seconds(history: list[dict]) -> list[dict]:
    return [{name: value for name, value in record.items() if name != "seconds"} for record in history]


def train_by_hand(network: nn.Module, split: Split, settings: TrainingSettings, seed: int) -> list[float]:
    """Train with SGD or Adam written out for every parameter; return the epochs' losses."""
    parameters = list(network.parameters())
    first = [torch.zeros_like(p) for p in parameters]
    second = [torch.zeros_like(p) for p in parameters]
    losses, step = [], 0
    for epoch in range(settings.epochs):
        network.train()
        order = torch.randperm(len(split), generator=generator(seed, "order", epoch))
        batches = order.split(settings.batch_size)
        total = 0.0
        for number, batch in enumerate(batches):
            rate = learning_rate(settings, (epoch + number / len(batches)) / settings.epochs)
            images = (split.images[batch].float() / 255).contiguous(memory_format=torch.channels_last)
            loss = F.cross_entropy(network(images), split.labels[batch], label_smoothing=settings.label_smoothing)
            gradients = torch.autograd.grad(loss, parameters)
            norm = math.sqrt(sum(float(gradient.square().sum()) for gradient in gradients))
            if settings.max_gradient_norm is not None and norm > settings.max_gradient_norm:
                gradients = [gradient * settings.max_gradient_norm / norm for gradient in gradients]
            step += 1
            total += float(loss.detach()) * len(batch)
            with torch.no_grad():
                for place, (p, gradient) in enumerate(zip(parameters, gradients, strict=True)):
                    g = gradient + settings.weight_decay * p
                    if settings.optimizer == "sgd":
                        first[place] = settings.momentum * first[place] + g
                        p -= rate * (g + settings.momentum * first[place])
                    else:
                        first[place] = 0.9 * first[place] + 0.1 * g
                        second[place] = 0.999 * second[place] + 0.001 * g * g
                        root = (second[place] / (1 - 0.999**step)).sqrt() + 1e-8
                        p -= rate * (first[place] / (1 - 0.9**step)) / root
        losses.append(total / len(split))
    return losses


@pytest.mark.parametrize(
    "settings",
    [
        TrainingSettings(epochs=2, batch_size=16, optimizer="sgd", learning_rate=0.05, weight_decay=1e-2),
        TrainingSettings(epochs=2, batch_size=16, optimizer="adam", learning_rate=1e-3, label_smoothing=0.1),
        TrainingSettings(
            epochs=2, batch_size=16, optimizer="sgd", learning_rate=0.05, weight_decay=1e-2, max_gradient_norm=0.5
        ),
    ],
    ids=["sgd", "adam", "short gradients"],
)
def test_training_equals_the_update_rules_written_out(settings):
    split = make_split()
    ours, theirs = make_network().double(), make_network().double()
    trainer = Trainer(InDouble(ours), split, settings, seed=5, judge=scripted(0.5, 0.5))
    losses = [record["loss"] for record in run(trainer)]
    expected = train_by_hand(InDouble(theirs), split, settings, seed=5)
    assert losses == pytest.approx(expected, rel=1e-6)  # the mean is summed in single precision
    for name, value in ours.state_dict().items():
        torch.testing.assert_close(value, theirs.state_dict()[name], rtol=1e-6, atol=1e-9)


class InDouble(nn.Module):
    """A network that computes in double precision, so that two orders of summation agree closely."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.inner = network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.inner(images.double())


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize(
    "settings",
    [
        TrainingSettings(epochs=4, batch_size=16, optimizer="adam", weight_decay=1e-3),
        TrainingSettings(epochs=4, batch_size=16, optimizer="sgd", learning_rate=0.1, augmentation="crop-flip"),
        TrainingSettings(epochs=4, batch_size=16, label_smoothing=0.1, augmentation="crop-alternate"),
    ],
    ids=["adam", "sgd-augmented", "alternate"],
)
def test_going_on_from_a_checkpoint_is_bit_identical(settings, k):
    split, judge = make_split(), by_loss(make_split(31))
    whole = Trainer(make_network(), split, settings, seed=5, judge=judge)
    history = run(whole)
    whole.load_best()

    before = Trainer(make_network(), split, settings, seed=5, judge=judge)
    first = [before.train_epoch() for _ in range(k)]
    tensors, state = before.checkpoint()
    tensors = {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}
    torch.manual_seed(99)
    after = Trainer(
        build_model("resnet-8", num_classes=4, in_channels=1, image_size=8, width=4),
        split,
        settings,
        seed=5,
        judge=judge,
    )
    after.module.to(memory_format=torch.channels_last)
    after.restore(tensors, state)
    second = run(after)
    assert without_seconds(first + second) == without_seconds(history)
    assert (after.state.best_epoch, after.state.best_score) == (whole.state.best_epoch, whole.state.best_score)
    last = {name: value.clone() for name, value in after.module.state_dict().items()}
    after.load_best()
    for name, value in whole.module.state_dict().items():
        assert torch.equal(value, after.module.state_dict()[name]), name
        assert torch.equal(whole.checkpoint()[0][f"best/{name}"], after.checkpoint()[0][f"best/{name}"]), name
    if whole.state.best_epoch < 4:
        assert any(not torch.equal(last[name], value) for name, value in after.module.state_dict().items())


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_what_the_optimiser_remembers_comes_back_laid_out_as_the_parameters_are(optimizer):
    split, judge, settings = make_split(), scripted(0.5, 0.5), TrainingSettings(epochs=2, optimizer=optimizer)
    before = Trainer(make_network(), split, settings, seed=5, judge=judge)
    before.train_epoch()
    tensors, state = before.checkpoint()
    after = Trainer(make_network(), split, settings, seed=5, judge=judge)
    after.restore(
        {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}, state
    )
    assert any(not parameter.is_contiguous() for parameter in after.module.parameters())
    for parameter, remembered in after.optimizer.state.items():
        assert remembered
        for name, tensor in remembered.items():
            if name != "step":
                assert tensor.stride() == parameter.stride(), name


class OwnDraws(nn.Module):
    """A user's network that draws in every way there is, in training and in evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.features, self.fc = nn.Conv2d(1, 8, 3, padding=1), nn.Linear(8, 4)
        self.depth = StochasticDepth(0.5, "row")

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = F.relu(self.features(images))
        maps = maps + self.depth(maps)
        found = self.fc(F.dropout(maps.mean((2, 3)), 0.3, self.training))
        noise = np.random.normal(size=4) + random.random()  # noqa: NPY002
        return found + 0.1 * torch.randn_like(found) + torch.from_numpy(noise).float()


def with_dropout(name: str) -> nn.Module:
    torch.manual_seed(3)
    return OwnDraws() if name == "own" else build_model(name, num_classes=4, in_channels=1, image_size=8, width=4)


def disturb() -> None:
    """Draw from every global generator, as another stage in this process may."""
    torch.rand(7), np.random.rand(3), random.random()  # noqa: NPY002


@pytest.mark.parametrize("name", ["cnn-2-thesis", "own"])
def test_what_a_module_draws_depends_on_seed_and_epoch_alone(name):
    split, judge, settings = make_split(), by_loss(make_split(31)), TrainingSettings(epochs=4, batch_size=16)
    whole = Trainer(with_dropout(name), split, settings, seed=5, judge=judge)
    history = run(whole)
    other = run(Trainer(with_dropout(name), split, settings, seed=6, judge=judge))
    assert [record["loss"] for record in other] != [record["loss"] for record in history]

    before = Trainer(with_dropout(name), split, settings, seed=5, judge=judge)
    disturb()
    first = [before.train_epoch()]
    disturb()
    first.append(before.train_epoch())
    after = Trainer(with_dropout(name), split, settings, seed=5, judge=judge)
    after.restore(*before.checkpoint())
    disturb()
    assert without_seconds(first + run(after)) == without_seconds(history)
    assert all(torch.equal(value, after.checkpoint()[0][key]) for key, value in whole.checkpoint()[0].items())


def test_dropout_drops_others_in_each_step_and_epoch():
    masks = []

    class Watched(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(64, 4)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            kept = F.dropout(torch.ones(64), 0.5, self.training)
            if self.training:
                masks.append(tuple(kept.tolist()))
            return self.fc(images.flatten(1) * kept)

    run(Trainer(Watched(), make_split(32), TrainingSettings(epochs=3, batch_size=16), seed=0, judge=scripted(0, 0, 0)))
    assert len(set(masks)) == 6


def test_training_leaves_the_global_generators_alone():
    network = with_dropout("own")
    disturb()
    torch_state, states = torch.get_rng_state(), (str(np.random.get_state()), random.getstate())  # noqa: NPY002
    run(Trainer(network, make_split(), TrainingSettings(epochs=2), seed=0, judge=by_loss(make_split(31))))
    assert torch.equal(torch_state, torch.get_rng_state())
    assert states == (str(np.random.get_state()), random.getstate())  # noqa: NPY002


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_what_a_module_draws_on_a_gpu_depends_on_seed_and_epoch_alone():
    split, settings = make_split().to(torch.device("cuda")), TrainingSettings(epochs=3, batch_size=16)
    masks: list[list[float]] = []

    class Watched(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(64, 4)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            kept = F.dropout(torch.ones(64, device=images.device), 0.5, self.training)
            masks.append(kept.tolist())
            return self.fc(images.flatten(1) * kept)

    def trained(disturbed: bool) -> list[list[float]]:
        masks.clear()
        trainer = Trainer(Watched().cuda(), split, settings, seed=1, judge=scripted(0, 0, 0))
        while not trainer.finished:
            if disturbed:
                torch.rand(5, device="cuda")
            trainer.train_epoch()
        return list(masks)

    state = torch.cuda.get_rng_state()
    one = trained(disturbed=False)
    assert torch.equal(torch.cuda.get_rng_state(), state)
    assert one == trained(disturbed=True)
    assert len({tuple(mask) for mask in one}) == 12


def test_a_checkpoint_is_tensors_and_json():
    trainer = Trainer(make_network(), make_split(), TrainingSettings(epochs=2), seed=0, judge=scripted(0.5, 0.4))
    trainer.train_epoch()
    tensors, state = trainer.checkpoint()
    assert all(isinstance(tensor, torch.Tensor) for tensor in tensors.values())
    assert json.loads(json.dumps(state)) == {"epoch": 1, "best_epoch": 1, "best_score": [0.5, 0.0]}


def test_training_depends_on_its_seed_alone():
    def weights(seed: int) -> torch.Tensor:
        settings = TrainingSettings(epochs=1, batch_size=16)
        trainer = Trainer(make_network(), make_split(), settings, seed=seed, judge=scripted(0.5))
        torch.manual_seed(seed * 7 + 1)
        run(trainer)
        return trainer.module.fc.weight.detach().clone()

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_training_augments_only_if_asked():
    def weights(augmentation: str) -> torch.Tensor:
        settings = TrainingSettings(epochs=1, augmentation=augmentation)
        trainer = Trainer(make_network(), make_split(), settings, seed=0, judge=scripted(0.5))
        run(trainer)
        return trainer.module.fc.weight.detach()

    assert not torch.equal(weights("none"), weights("crop-flip"))
    assert not torch.equal(weights("crop-alternate"), weights("crop-flip"))


def test_alternate_flips_show_every_image_both_ways_round_in_two_epochs():
    ramp = torch.arange(8, dtype=torch.uint8).expand(60, 1, 8, 8).contiguous()
    ramp[:, :, 0, 0] = torch.arange(60).byte()[:, None]  # the label below finds an image again
    split = Split(ramp, torch.arange(60), torch.arange(60))
    seen: list[torch.Tensor] = []

    class Watch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(64, 60)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            seen.append(images[:, 0, 4, 5] < images[:, 0, 4, 4])  # a ramp that falls is a mirrored one
            return self.fc(images.flatten(1))

    settings = TrainingSettings(epochs=2, batch_size=16, augmentation="crop-alternate")
    run(Trainer(Watch(), split, settings, seed=4, judge=scripted(0.5, 0.5)))
    orders = [torch.randperm(60, generator=generator(4, "order", epoch)) for epoch in (0, 1)]
    first, second = (torch.cat(part)[order.argsort()] for part, order in zip((seen[:4], seen[4:]), orders, strict=True))
    assert torch.equal(second, ~first)
    assert 15 < int(first.sum()) < 45


def test_a_learned_strength_does_not_decay_and_everything_else_does():
    torch.manual_seed(0)
    network = build_model("cnn-2", num_classes=4, in_channels=1, image_size=8, push_pull={"learn_alpha": "kernel"})
    for optimizer in ("sgd", "adam"):
        settings = TrainingSettings(optimizer=optimizer, weight_decay=0.01)
        groups = Trainer(network, make_split(), settings, seed=0, judge=scripted(0.5)).optimizer.param_groups
        decay = {id(parameter): group["weight_decay"] for group in groups for parameter in group["params"]}
        assert {name: decay[id(parameter)] for name, parameter in network.named_parameters()} == {
            name: 0.0 if name == "conv1.raw_alpha" else 0.01 for name, _ in network.named_parameters()
        }


def test_the_best_epoch_is_the_first_with_the_smallest_validation_error():
    trainer = Trainer(
        make_network(), make_split(), TrainingSettings(epochs=4), seed=0, judge=scripted(0.5, 0.3, 0.3, 0.4)
    )
    states = []
    while not trainer.finished:
        trainer.train_epoch()
        states.append({name: value.clone() for name, value in trainer.module.state_dict().items()})
    assert trainer.state.best_epoch == 2
    assert trainer.state.epoch == 4
    trainer.load_best()
    assert not trainer.module.training
    assert all(torch.equal(value, states[1][name]) for name, value in trainer.module.state_dict().items())
    assert any(not torch.equal(value, states[3][name]) for name, value in trainer.module.state_dict().items())


def test_equal_errors_are_told_apart_by_their_loss():
    results = [(0.5, 2.0), (0.3, 1.5), (0.3, 1.2), (0.3, 1.4)]
    remaining = list(results)

    def judge(module):
        error, loss = remaining.pop(0)
        return {"validation_error": error, "validation_loss": loss}

    trainer = Trainer(make_network(), make_split(), TrainingSettings(epochs=4), seed=0, judge=judge)
    run(trainer)
    assert trainer.state.best_epoch == 3


@pytest.mark.parametrize(
    ("patience", "errors", "n_epochs"),
    [
        (1, (0.5, 0.5), 2),
        (2, (0.5, 0.4, 0.4, 0.45), 4),
        (2, (0.5, 0.6, 0.4, 0.6, 0.39, 0.4), 6),
        (None, (0.1, 0.2, 0.3, 0.4, 0.5, 0.6), 6),
    ],
)
def test_patience_counts_the_epochs_without_a_better_one(patience, errors, n_epochs):
    settings = TrainingSettings(epochs=6, patience=patience)
    trainer = Trainer(make_network(), make_split(), settings, seed=0, judge=scripted(*errors))
    assert len(run(trainer)) == n_epochs


def test_a_loss_of_nan_is_an_error_with_epoch_and_learning_rate():
    trainer = Trainer(
        make_network(),
        make_split(),
        TrainingSettings(epochs=3, schedule="constant", learning_rate=0.25, batch_size=16),
        seed=0,
        judge=scripted(0.5),
    )
    trainer.train_epoch()
    with torch.no_grad():
        trainer.module.fc.weight.fill_(math.nan)
    with pytest.raises(TrainingDivergedError, match=r"loss became nan in epoch 2 at learning rate 0\.25"):
        trainer.train_epoch()


def test_divergence_in_an_epoch_s_last_step_is_an_error_too():
    settings = TrainingSettings(epochs=3, schedule="constant", learning_rate=1e30, batch_size=64, optimizer="sgd")
    split = make_split()
    trainer = Trainer(make_network(), split, settings, seed=0, judge=by_loss(split))
    with pytest.raises(
        TrainingDivergedError, match=r"validation_loss became (nan|inf) in epoch 1 at learning rate 1e\+30"
    ):
        trainer.train_epoch()


@pytest.mark.parametrize(("n", "sizes"), [(33, [16, 17]), (34, [16, 16, 2]), (32, [16, 16]), (17, [17]), (5, [5])])
def test_a_last_batch_of_one_joins_the_one_before_it(n, sizes):
    seen = []

    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(64)  # which refuses a batch of one
            self.linear = nn.Linear(64, 4)

        def forward(self, images):
            seen.append(len(images))
            return self.linear(self.norm(images.flatten(1)))

    settings = TrainingSettings(epochs=1, batch_size=16)
    trainer = Trainer(Counting(), make_split(n), settings, seed=0, judge=scripted(0.5))
    trainer.train_epoch()
    assert seen == sizes


def test_an_epoch_s_record_says_what_happened():
    settings = TrainingSettings(epochs=2, schedule="step", milestones=(0.5,), learning_rate=0.1)
    trainer = Trainer(make_network(), make_split(), settings, seed=0, judge=scripted(0.5, 0.25))
    first, second = run(trainer)
    assert (first["epoch"], second["epoch"]) == (1, 2)
    assert (first["learning_rate"], second["learning_rate"]) == (0.1, pytest.approx(0.01))
    assert second["validation_error"] == 0.25
    assert first["seconds"] > 0
    assert list(first) == ["epoch", "loss", "learning_rate", "validation_error", "seconds"]
