import copy
import re

import pytest
import torch
import torch.nn.functional as F

from engine.errors import InputError
from engine.models import build_model
from engine.training import CorrectedFilters, apply_changes
from engine.training.correction import CorrectionUnit, add_correction

IMAGES = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
SELECTED = {
    "conv1": torch.tensor([3, 1]),
    "layer1.0.conv2": torch.tensor([0]),
    "layer2.0.conv1": torch.tensor([]).long(),
}


def make_network():
    torch.manual_seed(1)
    return build_model(
        "resnet-8", num_classes=4, in_channels=1, image_size=8, width=4, push_pull={"where": "first"}
    ).eval()


def make_corrected(network) -> CorrectedFilters:
    return CorrectedFilters(network, SELECTED, generator=torch.Generator().manual_seed(2))


def take_steps(module: CorrectedFilters, n_steps: int = 3) -> None:
    optimizer = torch.optim.SGD(module.parameters(), lr=0.5)
    for _ in range(n_steps):
        optimizer.zero_grad()
        F.cross_entropy(module(IMAGES), torch.tensor([0, 1, 2])).backward()
        optimizer.step()


def test_a_unit_adds_two_convolutions_of_its_own_maps():
    torch.manual_seed(0)
    unit = CorrectionUnit(torch.tensor([2, 0]))
    torch.nn.init.normal_(unit.second.weight)
    maps = torch.randn(2, 4, 5, 5)
    expected = maps.clone()
    for place, chosen in enumerate([2, 0]):
        hidden = F.conv2d(maps[:, [2, 0]], unit.first.weight, unit.first.bias, padding=1).clamp(min=0)
        expected[:, chosen] += F.conv2d(
            hidden, unit.second.weight[place : place + 1], unit.second.bias[[place]], padding=1
        )[:, 0]
    torch.testing.assert_close(unit(maps), expected)


@pytest.mark.parametrize("k", [1, 2, 5])
def test_a_unit_has_the_parameters_that_its_docstring_counts(k):
    assert sum(p.numel() for p in CorrectionUnit(torch.arange(k)).parameters()) == 2 * (9 * k**2 + k)


def test_new_units_change_nothing_and_trained_ones_do():
    network = make_network()
    before = network(IMAGES).detach()
    module = make_corrected(network)
    assert torch.equal(module(IMAGES), before)
    take_steps(module)
    assert not torch.allclose(module(IMAGES), before)


def test_only_the_units_are_trained():
    network = make_network()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    module = make_corrected(network)
    take_steps(module)
    assert {name for name, _ in module.named_parameters()} == {
        f"units.{unit}.{layer}.{kind}"
        for unit in (0, 1)
        for layer in ("first", "second")
        for kind in ("weight", "bias")
    }
    after = network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert set(module.tuned_names) == {name for name, p in network.named_parameters() if p.requires_grad}


def test_changes_put_the_trained_units_into_another_copy_of_the_network():
    network = make_network()
    fresh = copy.deepcopy(network)
    module = make_corrected(network)
    take_steps(module)
    again = apply_changes(fresh, module.changes())
    assert torch.equal(again(IMAGES), module(IMAGES))
    assert torch.equal(copy.deepcopy(again)(IMAGES), module(IMAGES)), "a copy keeps its units"


def test_the_same_generator_draws_the_same_units():
    first, second = (make_corrected(make_network()).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert float(first["units.0.first.weight"].abs().max()) <= (2 * 9) ** -0.5


@pytest.mark.parametrize("filters", [[4], [-1], [1, 1]])
def test_filters_that_the_layer_does_not_have_once_are_refused(filters):
    with pytest.raises(InputError, match=re.escape(f"layer conv1 has 4 filters, got the indices {filters}")):
        add_correction(make_network(), "conv1", torch.tensor(filters))


def test_a_second_unit_and_none_at_all_are_refused():
    network = make_network()
    add_correction(network, "conv1", torch.tensor([0]))
    with pytest.raises(InputError, match="layer conv1 has a correction unit already"):
        add_correction(network, "conv1", torch.tensor([1]))
    with pytest.raises(InputError, match="no filter is selected for correction"):
        CorrectedFilters(make_network(), {"conv1": torch.tensor([]).long()}, generator=torch.Generator())
