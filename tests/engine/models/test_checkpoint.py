import argparse
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.optim.swa_utils import AveragedModel

from engine.errors import InputError
from engine.models import build_model, load_reference_checkpoint
from engine.models.checkpoint import read_checkpoint
from engine.models.weights import check_fit, load_weights


def make_network(seed: int = 0, **settings) -> nn.Module:
    torch.manual_seed(seed)
    return build_model("resnet-8", **{"num_classes": 4, "width": 4, **settings})


def state_of(network: nn.Module) -> dict[str, torch.Tensor]:
    """Return a state as others save it, who have no normalisation in the network."""
    return {name: value for name, value in network.state_dict().items() if not name.startswith("normalise")}


def renamed(state, old: str, new: str) -> dict[str, torch.Tensor]:
    return {name.replace(old, new): value for name, value in state.items()}


def prefixed(state, prefix: str) -> dict[str, torch.Tensor]:
    return {f"{prefix}{name}": value for name, value in state.items()}


def without(state, part: str) -> dict[str, torch.Tensor]:
    return {name: value for name, value in state.items() if part not in name}


STATE, LAST = state_of(make_network(0)), state_of(make_network(1))
OPTIMIZER = {"state": {0: {"momentum_buffer": torch.ones(3)}}, "param_groups": [{"lr": 0.1}]}
LAYOUTS = {
    "an entry state_dict": {"epoch": 3, "state_dict": STATE, "best_prec1": torch.tensor(90.0)},
    "an entry model beside an optimiser": {"model": STATE, "optimizer": OPTIMIZER, "epoch": 3},
    "module. under net": {"net": prefixed(STATE, "module."), "acc": 90.0},
    "plain": STATE,
    "plain, with an epoch": {**STATE, "epoch": 3},
    "an entry within an entry": {"model": {"state_dict": STATE}},
    "an entry of another name": {"resnet": STATE, "optimizer": OPTIMIZER},
    "Lightning's": {"state_dict": prefixed(STATE, "model."), "pytorch-lightning_version": "2.4"},
    "compiled and parallel": {"state_dict": prefixed(STATE, "module._orig_mod.")},
    "no counters": {"state_dict": without(STATE, "num_batches")},
    "another name of the classifier": {"state_dict": renamed(STATE, "fc.", "linear.")},
    "another name of the shortcuts": {"net": renamed(STATE, "downsample", "shortcut")},
    "options of the script": {"model": STATE, "args": argparse.Namespace(lr=0.1), "best": np.float64(0.9)},
    "half precision": {"state_dict": {n: v.half() if v.is_floating_point() else v for n, v in STATE.items()}},
}
AVERAGED = {
    "timm's": {"state_dict": LAST, "state_dict_ema": STATE},
    "torchvision's": {"model": LAST, "model_ema": {"n_averaged": torch.tensor(5), **prefixed(STATE, "module.")}},
    "an entry ema": {"net": LAST, "ema": {"module": STATE, "decay": 0.99}},
    "in the same state": {"state_dict": {**prefixed(LAST, "model."), **prefixed(STATE, "ema_model.")}},
}


def saved(folder: Path, content: object) -> Path:
    torch.save(content, folder / "foreign.pth")
    return folder / "foreign.pth"


def assert_is_the_network(found: nn.Module, *, atol: float = 0.0) -> None:
    for name, value in STATE.items():
        if "num_batches" not in name:
            torch.testing.assert_close(found.state_dict()[name], value, rtol=0, atol=atol)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_weights_are_found_wherever_they_are(tmp_path, layout):
    network, info = load_reference_checkpoint(saved(tmp_path, LAYOUTS[layout]))
    assert_is_the_network(network, atol=1e-3 if layout == "half precision" else 0.0)
    assert (info["name"], info["width"], info["num_classes"], info["push_pull"]) == ("resnet-8", 4, 4, None)


@pytest.mark.parametrize("layout", AVERAGED)
def test_averaged_weights_are_taken_before_the_last_ones(tmp_path, layout):
    path = saved(tmp_path, AVERAGED[layout])
    assert read_checkpoint(path).average is not None
    assert_is_the_network(load_reference_checkpoint(path)[0])


def test_the_state_of_an_averaged_model_is_read(tmp_path):
    path = saved(tmp_path, AveragedModel(make_network(0)).state_dict())
    assert_is_the_network(load_reference_checkpoint(path)[0])


def test_safetensors_are_known_by_their_content(tmp_path):
    save_file(STATE, tmp_path / "weights.bin")
    assert_is_the_network(load_reference_checkpoint(tmp_path / "weights.bin")[0])


def test_a_networks_own_statistics_stay(tmp_path):
    network = make_network()
    network.normalise.set_statistics(0.25, 0.5)
    loaded, _ = load_reference_checkpoint(saved(tmp_path, network.state_dict()))
    assert loaded.normalise.mean.tolist() == [0.25] * 3


def broken(value: float) -> dict[str, torch.Tensor]:
    state = {name: tensor.clone() for name, tensor in STATE.items()}
    state["layer2.0.conv1.weight"][0, 0] = value
    return state


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (
            {"state_dict": broken(float("nan"))},
            "foreign.pth holds weights that are NaN or infinite: layer2.0.conv1.wei",
        ),
        (broken(float("inf")), "NaN or infinite: layer2.0.conv1.weight$"),
        (
            {"state_dict": without(without(STATE, "num_batches"), "downsample")},
            "do not fit: layer2.0.downsample.0.weight is missing.*its shortcuts have no weights",
        ),
        (
            {"state_dict": {**without(STATE, "num_batches"), "layer3.0.conv2.weight": torch.ones(16, 16, 5, 5)}},
            r"do not fit: layer3.0.conv2.weight has shape \(16, 16, 5, 5\) instead of \(16, 16, 3, 3\)$",
        ),
        ({"state_dict": {**STATE, "extra.weight": torch.ones(3)}}, "do not fit: extra.weight is not expected$"),
        ({"epoch": 3, "best": 0.5}, "foreign.pth holds neither a state dict nor .*; its entries: epoch, best"),
        ({"a": STATE, "b": LAST}, "holds neither a state dict nor .*; its entries: a, b"),
        (torch.ones(3), "foreign.pth holds neither .*; it is a Tensor"),
        ({"state_dict": {"conv1.weight": "none"}}, "foreign.pth holds neither"),
        ({"state_dict": {**STATE, "fc.bias": 3.0}}, "the `state_dict` of .*foreign.pth must map names to tensors"),
    ],
)
def test_what_is_wrong_is_said_of_the_file(tmp_path, content, match):
    with pytest.raises(InputError, match=match):
        load_reference_checkpoint(saved(tmp_path, content))


def test_what_else_a_file_holds_is_named(tmp_path):
    with pytest.raises(InputError, match=r"is refused: it holds more than weights \(.*make_network\)"):
        read_checkpoint(saved(tmp_path, {"state_dict": STATE, "make": make_network}))


def test_who_has_saved_a_whole_network_is_told_how_to_save_its_weights(tmp_path):
    with pytest.raises(InputError, match=r"\(torch\.nn.*Linear\); torch\.save\(network\.state_dict\(\), FILE\) writes"):
        read_checkpoint(saved(tmp_path, nn.Linear(2, 2)))


class Wrapped(nn.Module):
    """A user's network, whose parts have names that elsewhere are wrappers'."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        self.head = nn.Linear(4, 2)


def test_wrappers_may_be_on_either_side():
    torch.manual_seed(0)
    network, other = Wrapped(), Wrapped()
    for state in (network.state_dict(), prefixed(network.state_dict(), "module.")):
        check_fit(other, state, source="a test")
        load_weights(other, state, source="a test")
        assert all(torch.equal(value, network.state_dict()[name]) for name, value in other.state_dict().items())
    wrong = {**without(network.state_dict(), "head"), "last.weight": torch.ones(3, 4), "last.bias": torch.ones(3)}
    with pytest.raises(InputError, match=r"head.weight \(last.weight\) has shape \(3, 4\) instead of \(2, 4\)"):
        check_fit(other, wrong, source="a test")
