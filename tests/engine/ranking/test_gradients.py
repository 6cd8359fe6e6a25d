"""Rankings by gradients: against the stored cases of Auto-RGN's rule, and against loops of a few lines."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from engine.data import Split
from engine.layers import insert_push_pull
from engine.models import build_model
from engine.ranking.gradients import filter_groups, measure_parts, rate_multipliers, relative_gradient_norms

_BESIDE = Path(__file__).resolve().parents[3].parent / "shared" / "reference"
CASES = Path(os.environ.get("ROBUSTUNE_REFERENCE", _BESIDE)) / "successors" / "surgical_rgn_cases.json"


@pytest.mark.skipif(not CASES.is_file(), reason="the stored cases are not here (ROBUSTUNE_REFERENCE)")
@pytest.mark.parametrize("place", [0, 1])
def test_ratios_and_multipliers_are_those_of_the_stored_cases(place):
    case = json.loads(CASES.read_text())["cases"][place]
    with np.load(CASES.with_suffix(".npz")) as arrays:
        values, gradients = (
            {
                key.rpartition("/")[2]: torch.from_numpy(arrays[key])
                for key in arrays
                if key.startswith(f"{case['name']}/{kind}/")
            }
            for kind in ("parameter", "gradients")
        )
    norms = relative_gradient_norms(values, gradients)
    assert {name: float(norm) for name, norm in norms.items()} == pytest.approx(
        case["relative_gradient_norm"], abs=1e-9
    )
    multipliers = rate_multipliers(norms)
    assert {name: float(value) for name, value in multipliers.items()} == pytest.approx(case["multiplier"], abs=1e-9)


def test_the_ratio_of_a_tensor_of_zeros_is_zero_and_so_are_the_multipliers_of_no_gradient():
    values = {"bias": torch.zeros(2), "weight": torch.tensor([3.0, 4.0])}
    norms = relative_gradient_norms(values, {"bias": torch.ones(1, 2), "weight": torch.tensor([[6.0, 8.0]])})
    assert {name: float(norm) for name, norm in norms.items()} == {"bias": 0.0, "weight": 2.0}
    assert {name: float(value) for name, value in rate_multipliers(norms).items()} == {"bias": 0.0, "weight": 1.0}
    still = relative_gradient_norms(values, {name: torch.zeros(1, 2) for name in values})
    assert [float(value) for value in rate_multipliers(still).values()] == [0.0, 0.0]


def make_network():
    torch.manual_seed(3)
    network = build_model("resnet-8", num_classes=4, in_channels=1, image_size=8, width=4)
    insert_push_pull(network, "first", h=2.0, learn_alpha="kernel")
    return network.eval()


def make_split(n: int) -> Split:
    draws = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (n, 1, 8, 8), generator=draws).byte()
    return Split(images, torch.randint(0, 4, (n,), generator=draws), torch.arange(n))


def gradient_of(network, images, labels, name):
    loss = F.cross_entropy(network(images.float() / 255), labels)
    return torch.autograd.grad(loss, network.get_parameter(name))[0].double()


def test_filters_are_measured_by_their_own_kernels_and_strengths():
    split, layers = make_split(10), ("conv1", "layer2.0.conv1")
    network = make_network()
    assert filter_groups(network, layers)["conv1"] == ["conv1.weight", "conv1.raw_alpha"]
    expected = []
    for i in range(4):
        ratios = []
        for first in (0, 4, 8):
            batch = split.images[first : first + 4], split.labels[first : first + 4]
            own = [gradient_of(network, *batch, f"conv1.{name}")[i].flatten() for name in ("weight", "raw_alpha")]
            values = [
                network.get_parameter(f"conv1.{name}")[i].detach().double().flatten()
                for name in ("weight", "raw_alpha")
            ]
            ratios.append(float(torch.cat(own).norm() / torch.cat(values).norm()))
        expected.append(sum(ratios) / 3)
    groups = filter_groups(network, layers)
    found = measure_parts(make_network(), split, groups, by="gradient", by_row=True, batch_size=4)
    assert found["conv1"].tolist() == pytest.approx(expected, rel=1e-5)
    assert found["layer2.0.conv1"].shape == (8,)


def test_fisher_information_is_the_mean_over_images_and_values_of_the_squared_gradient():
    split, network = make_split(5), make_network()
    groups = {"block": ["layer1.0.conv1.weight", "layer1.0.conv2.weight"]}
    squares = [
        torch.cat([gradient_of(network, image[None], label[None], name).flatten() for name in groups["block"]]).square()
        for image, label in zip(split.images, split.labels, strict=True)
    ]
    found = measure_parts(make_network(), split, groups, by="fisher", by_row=False)
    assert float(found["block"]) == pytest.approx(float(torch.stack(squares).mean()), rel=1e-5)
    rows = measure_parts(make_network(), split, groups, by="fisher", by_row=True)["block"]
    assert float(rows.mean()) == pytest.approx(float(found["block"]), rel=1e-9)


def test_nan_stays_nan_and_becomes_no_ratio_of_0():
    values = {"weights": torch.tensor([torch.nan, 1.0]), "gradient": torch.ones(2), "neither": torch.ones(2)}
    gradients = {name: torch.ones(1, 2) for name in values}
    gradients["gradient"][0, 1] = torch.nan
    norms = relative_gradient_norms(values, gradients)
    assert [bool(norm.isnan()) for norm in norms.values()] == [True, True, False]
    assert all(bool(multiplier.isnan()) for multiplier in rate_multipliers(norms).values())
