"""A package with the interface of RobustBench's model zoo, for tests: small networks, weights where it keeps them."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import nn

FILES = {
    "__init__.py": "from robustbench.utils import load_model\n",
    "model_zoo/enums.py": """
from enum import Enum

class BenchmarkDataset(Enum):
    cifar_10 = "cifar10"
    imagenet = "imagenet"

class ThreatModel(Enum):
    Linf = "Linf"
    corruptions = "corruptions"
""",
    "model_zoo/networks.py": """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, width=6):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, stride=2, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.fc = nn.Linear(width, 10)

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        x = torch.relu(self.bn2(self.conv2(x)))
        return self.fc(x.mean((2, 3)))

class Normalised(Net):
    def __init__(self):
        super().__init__()
        self.register_buffer("mu", torch.tensor([0.5] * 3).view(1, 3, 1, 1))
        self.register_buffer("sigma", torch.tensor([0.5] * 3).view(1, 3, 1, 1))

    def forward(self, x):
        return super().forward((x - self.mu) / self.sigma)

class Normaliser(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.4, 0.5, 0.6]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.2, 0.3, 0.4]).view(1, 3, 1, 1))

    def forward(self, x):
        return (x - self.mean) / self.std

class Deck(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = Net(), Net()
        self.models = nn.ModuleList([self.first, self.second])

    def forward(self, x):
        return sum(torch.softmax(model(x), 1) for model in self.models) / 2

def wrapped():
    layers = {"normalize": Normaliser(), "model": Net()}
    network = nn.Sequential()
    for name, layer in layers.items():
        network.add_module(name, layer)
    return network
""",
    "model_zoo/__init__.py": """
from robustbench.model_zoo.enums import BenchmarkDataset, ThreatModel
from robustbench.model_zoo.networks import Deck, Net, Normalised, wrapped

def fetches():
    raise AssertionError("weights are fetched by a builder")

model_dicts = {
    BenchmarkDataset.cifar_10: {
        ThreatModel.corruptions: {
            "Own2020Inside": {"model": Normalised, "gdrive_id": "a"},
            "Own2021Wrapped": {"model": wrapped, "gdrive_id": "b"},
            "Own2022Deck": {"model": Deck, "gdrive_id": ["c", "d"]},
        },
        ThreatModel.Linf: {"Own2023Plain": {"model": lambda: Net(width=4), "gdrive_id": "e"}},
    },
    BenchmarkDataset.imagenet: {ThreatModel.corruptions: {"Standard_R50": {"model": fetches, "gdrive_id": ""}}},
}
""",
    "utils.py": """
from pathlib import Path

import torch

from robustbench.model_zoo import model_dicts
from robustbench.model_zoo.enums import BenchmarkDataset, ThreatModel

def fetch(file):
    if not file.is_file():
        raise OSError("no network here")

def load_model(model_name, model_dir="./models", dataset="cifar10", threat_model="Linf"):
    entry = model_dicts[BenchmarkDataset(dataset)][ThreatModel(threat_model)][model_name]
    model, folder = entry["model"](), Path(model_dir) / dataset / threat_model
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(entry["gdrive_id"], list):
        for number, member in enumerate(model.models):
            fetch(folder / f"{model_name}.pt_m{number}.pt")
            member.load_state_dict(torch.load(folder / f"{model_name}.pt_m{number}.pt", weights_only=False))
        return model.eval()
    fetch(folder / f"{model_name}.pt")
    weights = torch.load(folder / f"{model_name}.pt", weights_only=False)["state_dict"]
    model.load_state_dict({name.removeprefix("module."): value for name, value in weights.items()})
    return model.eval()
""",
}


def install(folder: Path, monkeypatch) -> Path:
    """Put the package on the path for a test; return the folder in which its weights are looked for."""
    for name, text in FILES.items():
        file = folder / "robustbench" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    monkeypatch.syspath_prepend(str(folder))
    for name in [name for name in sys.modules if name.partition(".")[0] == "robustbench"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setenv("ROBUSTUNE_ROBUSTBENCH", str(folder / "models"))
    return folder / "models"


def remove() -> None:
    """Forget the package's modules."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "robustbench"]:
        del sys.modules[name]


def save(models: Path, name: str, *, seed: int = 3) -> nn.Module:
    """Save weights of a network where its zoo has them, drawn from a seed; return the network with them."""
    from robustbench.model_zoo import model_dicts

    dataset, threat, own = name.split("/")
    entry = next(
        found[own] for of, threats in model_dicts.items() for kind, found in threats.items()
        if (of.value, kind.value) == (dataset, threat)
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = entry["model"]()
        if hasattr(network, "mu"):
            network.mu.copy_(torch.rand_like(network.mu))
    folder = models / dataset / threat
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(entry["gdrive_id"], list):
        for number, member in enumerate(network.models):
            torch.save(member.state_dict(), folder / f"{own}.pt_m{number}.pt")
    else:
        weights = {f"module.{key}": value for key, value in network.state_dict().items()}
        torch.save({"state_dict": weights, "epoch": 7}, folder / f"{own}.pt")
    return network.eval()
