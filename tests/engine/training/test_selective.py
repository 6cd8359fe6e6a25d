import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from engine.data import Split
from engine.errors import InputError
from engine.models import build_model
from engine.seeds import generator
from engine.settings import TrainingSettings
from engine.training import SelectiveFilters, Trainer, apply_changes
from engine.training.selective import classifier_name
from engine.training.state import load_optimizer_tensors, optimizer_tensors

EXAMPLE = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
SGD = TrainingSettings(
    epochs=2, batch_size=16, optimizer="sgd", learning_rate=0.05, momentum=0.9, weight_decay=0.01, schedule="constant"
)
SELECTED = {"conv1": torch.tensor([2, 0]), "layer2.0.conv2": torch.tensor([7, 1, 3])}


def make_network(learn_alpha: str | None = None) -> nn.Module:
    torch.manual_seed(3)
    push_pull = {"where": "first", "h": 2.0, "learn_alpha": learn_alpha} if learn_alpha else None
    network = build_model("resnet-8", num_classes=4, in_channels=1, image_size=8, width=4, push_pull=push_pull)
    for module in network.modules():  # statistics and factors of their own, as after a training
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.2)
    return network


def make_split(n: int = 40) -> Split:
    draws = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (n, 1, 8, 8), generator=draws).byte()
    return Split(images, torch.randint(0, 4, (n,), generator=draws), torch.arange(n))


def fine_tuned(network: nn.Module, settings: TrainingSettings = SGD, **options) -> tuple[SelectiveFilters, nn.Module]:
    """Return the module after some epochs, and a network of the same weights with the changes put in."""
    fresh = build_twin(network)
    module = SelectiveFilters(network, **{"selected": SELECTED, "example": EXAMPLE, **options})
    trainer = Trainer(module, make_split(), settings, seed=0, judge=lambda _: {"validation_error": 0.5})
    while not trainer.finished:
        trainer.train_epoch()
    return module, apply_changes(fresh, module.changes())


def build_twin(network: nn.Module) -> nn.Module:
    return copy.deepcopy(network)


def changed_rows(before: dict, after: nn.Module) -> dict[str, list[int]]:
    """Return, by name, the rows in which two state dicts differ by a bit."""
    rows = {}
    for name, value in after.state_dict().items():
        old = before[name]
        if not torch.equal(old, value):
            rows[name] = [row for row in range(len(value)) if not torch.equal(old[row], value[row])]
    return rows


def snapshot(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_everything_but_the_selected_filters_stays_to_the_bit(optimizer):
    network = make_network()
    before = snapshot(network)
    settings = TrainingSettings(
        epochs=3, batch_size=16, optimizer=optimizer, learning_rate=0.05, weight_decay=0.1, augmentation="crop-flip"
    )
    _, tuned = fine_tuned(network, settings)
    assert changed_rows(before, tuned) == {"conv1.weight": [0, 2], "layer2.0.conv2.weight": [1, 3, 7]}
    assert changed_rows(before, network) == {}  # the network that was wrapped has not moved at all


def test_batch_norm_affine_tunes_the_selected_filters_factors_and_offsets():
    network = make_network()
    before = snapshot(network)
    _, tuned = fine_tuned(network, batch_norm="affine")
    assert changed_rows(before, tuned) == {
        "conv1.weight": [0, 2],
        "bn1.weight": [0, 2],
        "bn1.bias": [0, 2],
        "layer2.0.conv2.weight": [1, 3, 7],
        "layer2.0.bn2.weight": [1, 3, 7],
        "layer2.0.bn2.bias": [1, 3, 7],
    }


def test_train_classifier_tunes_the_last_linear_layer_whole():
    network = make_network()
    before = snapshot(network)
    module, tuned = fine_tuned(network, train_classifier=True)
    assert changed_rows(before, tuned) == {
        "conv1.weight": [0, 2],
        "layer2.0.conv2.weight": [1, 3, 7],
        "fc.weight": [0, 1, 2, 3],
        "fc.bias": [0, 1, 2, 3],
    }
    assert module.tuned_names == ["conv1.weight", "layer2.0.conv2.weight", "fc.weight", "fc.bias"]


def test_a_filter_owns_its_learned_strength():
    network = make_network("kernel")
    before = snapshot(network)
    _, tuned = fine_tuned(network)
    assert changed_rows(before, tuned) == {
        "conv1.weight": [0, 2],
        "conv1.raw_alpha": [0, 2],
        "layer2.0.conv2.weight": [1, 3, 7],
    }
    alphas = (network.conv1.alpha - tuned.conv1.alpha).flatten()
    assert (alphas != 0).tolist() == [True, False, True, False]


def test_a_filter_s_learned_strength_does_not_decay():
    module = SelectiveFilters(make_network("kernel"), {"conv1": torch.tensor([0, 2])}, example=EXAMPLE)
    trainer = Trainer(module, make_split(), SGD, seed=0, judge=lambda _: {"validation_error": 0.5})
    decay = {tuple(p.shape): group["weight_decay"] for group in trainer.optimizer.param_groups for p in group["params"]}
    assert decay == {(2, 1, 3, 3): 0.01, (2,): 0.0}


def test_a_strength_that_a_layer_shares_belongs_to_no_filter():
    network = make_network("layer")
    before = snapshot(network)
    _, tuned = fine_tuned(network)
    assert changed_rows(before, tuned) == {"conv1.weight": [0, 2], "layer2.0.conv2.weight": [1, 3, 7]}


def test_a_filter_owns_its_bias():
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 4))
    before = snapshot(network)
    _, tuned = fine_tuned(network, selected={"0": torch.tensor([3])})
    assert changed_rows(before, tuned) == {"0.weight": [3], "0.bias": [3]}


def test_equals_the_whole_gradient_masked():
    """The textbook way: full gradients, those of all else set to zero, and the update rule by hand."""
    network, theirs = make_network(), make_network()
    module, ours = fine_tuned(network, batch_norm="affine")
    theirs.eval()
    masks = {name: torch.zeros_like(p, dtype=torch.bool) for name, p in theirs.named_parameters()}
    for conv, norm in (("conv1", "bn1"), ("layer2.0.conv2", "layer2.0.bn2")):
        for name in (f"{conv}.weight", f"{norm}.weight", f"{norm}.bias"):
            masks[name][SELECTED[conv]] = True
    velocity = {name: torch.zeros_like(p) for name, p in theirs.named_parameters()}
    split = make_split()
    for epoch in range(SGD.epochs):
        order = torch.randperm(len(split), generator=generator(0, "order", epoch))
        for batch in order.split(SGD.batch_size):
            loss = F.cross_entropy(theirs(split.images[batch].float() / 255), split.labels[batch])
            theirs.zero_grad()
            loss.backward()
            with torch.no_grad():
                for name, p in theirs.named_parameters():
                    gradient = (p.grad + SGD.weight_decay * p) * masks[name]
                    velocity[name] = SGD.momentum * velocity[name] + gradient
                    p -= SGD.learning_rate * (gradient + SGD.momentum * velocity[name])
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value, rtol=1e-4, atol=1e-5)
    assert not torch.equal(theirs.conv1.weight, make_network().conv1.weight)
    assert len(list(module.parameters())) == 6


def test_before_any_step_the_module_computes_what_the_network_does():
    network = make_network()
    images = torch.rand(5, 1, 8, 8)
    expected = network.eval()(images)
    module = SelectiveFilters(network, SELECTED, example=EXAMPLE)
    assert torch.equal(module(images), expected)
    assert torch.equal(module.train()(images), expected)  # no batch statistics, even in training mode


def test_changes_put_into_a_network_compute_what_the_module_does():
    module, tuned = fine_tuned(make_network(), batch_norm="affine", train_classifier=True)
    images = torch.rand(5, 1, 8, 8)
    torch.testing.assert_close(tuned.eval()(images), module(images), rtol=1e-6, atol=1e-6)
    again = apply_changes(make_network(), module.changes())
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in tuned.state_dict().items())


def test_changes_hold_the_selected_values_and_their_rows_only():
    module, tuned = fine_tuned(make_network())
    changes = module.changes()
    assert {name: tuple(value.shape) for name, value in changes.items()} == {
        "conv1.weight:values": (2, 1, 3, 3),
        "layer2.0.conv2.weight:values": (3, 8, 3, 3),
        "conv1.weight:rows": (2,),
        "layer2.0.conv2.weight:rows": (3,),
    }
    assert changes["layer2.0.conv2.weight:rows"].tolist() == [1, 3, 7]
    assert torch.equal(tuned.get_parameter("layer2.0.conv2.weight")[[1, 3, 7]], changes["layer2.0.conv2.weight:values"])


def test_the_optimiser_knows_the_selected_values_alone_and_its_state_comes_back():
    module = SelectiveFilters(make_network(), SELECTED, example=EXAMPLE)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    F.cross_entropy(module(EXAMPLE), torch.tensor([1])).backward()
    optimizer.step()
    tensors = optimizer_tensors(optimizer)
    assert {name: tuple(value.shape) for name, value in tensors.items()} == {
        "0/momentum_buffer": (2, 1, 3, 3),
        "1/momentum_buffer": (3, 8, 3, 3),
    }
    other = torch.optim.SGD(module.parameters(), lr=0.3, momentum=0.9)
    load_optimizer_tensors(other, tensors)
    assert all(torch.equal(value, optimizer_tensors(other)[name]) for name, value in tensors.items())
    assert other.param_groups[0]["lr"] == 0.3


def test_nothing_below_the_first_tuned_layer_is_differentiated():
    network = make_network()
    differentiated = {}
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d):
            module.register_forward_hook(
                lambda _, __, output, name=name: differentiated.update({name: output.requires_grad})
            )
    module = SelectiveFilters(network, {"layer2.0.conv2": torch.tensor([1])}, example=EXAMPLE)
    F.cross_entropy(module(EXAMPLE), torch.tensor([1])).backward()
    above = [name for name, needs in differentiated.items() if needs]
    assert [name for name in above if name.startswith(("conv1", "bn1", "layer1"))] == []
    assert not differentiated["layer2.0.conv1"]
    assert differentiated["layer2.0.conv2"]
    assert differentiated["layer3.0.conv1"]
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(parameter.grad is not None for parameter in module.parameters())


@pytest.mark.parametrize("index", [-1, 4, 100])
def test_an_index_outside_the_layer_is_refused(index):
    with pytest.raises(InputError, match=rf"layer conv1 has 4 filters, got the indices \[0, {index}\]"):
        SelectiveFilters(make_network(), {"conv1": torch.tensor([0, index])}, example=EXAMPLE)


def test_an_index_given_twice_is_refused():
    with pytest.raises(InputError, match=r"each filter of layer conv1 can be selected once, got the indices \[1, 1\]"):
        SelectiveFilters(make_network(), {"conv1": torch.tensor([1, 1])}, example=EXAMPLE)


def test_selecting_nothing_is_refused():
    with pytest.raises(InputError, match="no filter is selected"):
        SelectiveFilters(make_network(), {"conv1": torch.tensor([], dtype=torch.int64)}, example=EXAMPLE)
    with pytest.raises(InputError, match="no filter is selected"):
        SelectiveFilters(make_network(), {}, example=EXAMPLE)


def test_a_network_without_a_linear_layer_has_no_classifier():
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(InputError, match="no linear layer that could be trained as its classifier"):
        SelectiveFilters(network, {"0": torch.tensor([1])}, train_classifier=True, example=EXAMPLE)


def test_a_convolution_in_the_place_of_a_linear_layer_is_the_classifier():
    network = build_model("allconv", num_classes=4, in_channels=1, image_size=16)
    assert classifier_name(network) == "conv9"
    assert classifier_name(make_network()) == "fc"
