"""Networks of RobustBench's model zoo, which need not be installed: pixels in [0, 1] go in, they normalise themselves.

A network is called ``NAME``, ``DATASET/NAME`` or ``DATASET/THREAT/NAME``, as its weights lie in RobustBench's folders:
without a data set it is of CIFAR-10, without a threat model of those against corruptions.
"""

from __future__ import annotations

import difflib
import importlib.util
import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from engine.errors import InputError, unknown_name
from engine.models.checkpoint import weights_only
from engine.models.published import Published

LIBRARY = "robustbench"
FORM = "robustbench:DATASET/THREAT/NAME"
NORMALISES_ITSELF = True
BUILT_OF = (LIBRARY, "timm", "torchvision")
"""Packages whose layers its networks have."""
ENTRY = "model zoo"
MODELS_FOLDER = "ROBUSTUNE_ROBUSTBENCH"
"""Environment variable that names the folder with the weights' files; else ``models``, as RobustBench itself has it."""
CHANNELS = 3
CLASSES = {"cifar10": 10, "cifar100": 100, "imagenet": 1000}
SIDES = {"cifar10": 32, "cifar100": 32, "imagenet": 224}
_PROVIDED_BY = {"autoattack": "git+https://github.com/fra31/auto-attack", "pkg_resources": "'setuptools<81'"}
"""{package that it imports: what has it}, where pip knows it by another name, or not at all."""
_USUAL = "cifar10", "corruptions"
_N_NEAREST = 3
_SUM_ROUNDING = 1e-3
"""Of probabilities, which are sums of 32 bits."""


@dataclass(frozen=True)
class _Place:
    """Where a network is in the zoo."""

    dataset: str
    threat: str
    name: str

    def __str__(self) -> str:
        return f"{self.dataset}/{self.threat}/{self.name}"


def build(name: str, *, num_classes: int, in_channels: int, image_size: int) -> nn.Module:
    """Return a network as its zoo builds it, without its weights; a classifier of other classes is a new one.

    Raises:
        InputError: an unknown name, no RobustBench, images without colours, or a classifier that cannot be found.
    """
    place, model = _find(name)
    if in_channels != CHANNELS:
        raise InputError(f"{LIBRARY}:{name} takes images of 3 channels, got {in_channels} (`data.channels`=3 makes 3)")
    network = _builder(place, model)()
    if num_classes != CLASSES[place.dataset]:
        _swap_classifier(network, f"{LIBRARY}:{name}", CLASSES[place.dataset], num_classes)
    return network


def published(name: str, entry: str) -> Published:
    """Return the weights that a network has in the zoo, which are one: "default".

    Raises:
        InputError: an unknown network or entry, or no RobustBench.
    """
    place, model = _find(name)
    if entry.lower() not in ("default", ENTRY):
        raise unknown_name(f"weights of {LIBRARY}:{name}", entry, ["default"])
    files = _files(place, model)
    return Published(
        network=f"{LIBRARY}:{place}",
        entry=ENTRY,
        mean=None,
        std=None,
        places=files,
        said=f"it normalises its input itself; trained on {place.dataset}",
        load=lambda: _load(place, files),
    )


def sources(name: str) -> set[Path]:
    """Return the file that says how a network is put together, beside those of its layers."""
    place, model = _find(name)
    file = inspect.getsourcefile(model["model"])
    return {Path(file)} if file and _timm_name(place) is None else set()


def _find(name: str) -> tuple[_Place, Mapping[str, Any]]:
    """Return a network's place in the zoo, and what the zoo has of it."""
    zoo = _zoo()
    given = name.split("/")
    dataset, threat, own = (*_USUAL[: 3 - len(given)], *given) if len(given) != 2 else (given[0], _USUAL[1], given[1])
    if dataset not in zoo:
        raise unknown_name(f"data set of {LIBRARY}", dataset, zoo)
    if threat not in zoo[dataset]:
        raise unknown_name(f"threat model of {LIBRARY}:{dataset}", threat, zoo[dataset])
    models = zoo[dataset][threat]
    if own not in models:
        known = [str(_Place(*of, each)) for of in _groups(zoo) for each in zoo[of[0]][of[1]]]
        same = [each for each in known if each.rpartition("/")[2] == own]
        near = same or difflib.get_close_matches(f"{dataset}/{threat}/{own}", known, n=_N_NEAREST, cutoff=0.5)
        hint = f" (did you mean {' or '.join(map(repr, near[:_N_NEAREST]))}?)" if near else ""
        raise InputError(
            f"unknown network of {LIBRARY} {own!r} of {dataset}/{threat}{hint}; it has {len(models)} there: "
            "robustbench.model_zoo.model_dicts"
        )
    return _Place(dataset, threat, own), models[own]


def _groups(zoo: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    return [(dataset, threat) for dataset in zoo for threat in zoo[dataset]]


def _zoo() -> dict[str, dict[str, Mapping[str, Any]]]:
    """Return {data set: {threat model: {name: what the zoo has}}}."""
    try:
        from robustbench.model_zoo import model_dicts
    except ImportError as error:
        package = (error.name or LIBRARY).partition(".")[0]
        if not isinstance(error, ModuleNotFoundError) or error.name != package:  # what is there is of another version
            raise InputError(f"the installed package {LIBRARY} cannot be imported: {error}") from error
        needed = "" if package == LIBRARY else f", which needs {package}"
        raise InputError(
            f"networks of {LIBRARY} need the package {LIBRARY}{needed}, which is not installed: pip install "
            + _PROVIDED_BY.get(package, package)
        ) from None
    return {
        _word(dataset): {_word(threat): models for threat, models in threats.items()}
        for dataset, threats in model_dicts.items()
        if _word(dataset) in CLASSES
    }


def _word(member: Any) -> str:
    """Return the text of a member of an enumeration."""
    return str(getattr(member, "value", member))


def _builder(place: _Place, model: Mapping[str, Any]) -> Callable[[], nn.Module]:
    """Return what builds a network and fetches nothing.

    Raises:
        InputError: the zoo's builder fetches weights itself.
    """
    registered = _timm_name(place)
    if registered is not None:
        import timm

        return lambda: timm.create_model(registered, pretrained=False, num_classes=CLASSES[place.dataset])
    if not model.get("gdrive_id"):
        raise InputError(
            f"{LIBRARY}:{place} is another library's network, which RobustBench fetches wherever it is built: give it "
            "by that library's name, torchvision:NAME or timm:NAME"
        )
    return model["model"]


def _timm_name(place: _Place) -> str | None:
    """Return what a network is called among timm's, where RobustBench registers it there; else None."""
    if importlib.util.find_spec("timm") is None:
        return None
    import timm

    registered = "_".join((place.name.lower().replace("-", "_"), place.dataset, place.threat.lower()))
    return registered if timm.is_model(registered) else None


def _swap_classifier(network: nn.Module, name: str, own: int, wanted: int) -> None:
    """Put a new classifier of so many classes into the place of a network's own.

    Raises:
        InputError: there is none, or several, as in an ensemble.
    """
    found = [
        place for place, layer in network.named_modules() if isinstance(layer, nn.Linear) and layer.out_features == own
    ]
    if len(found) != 1:
        places = ", ".join(found) or "none"
        raise InputError(
            f"{name} has {own} classes, the images have {wanted}, and its classifier cannot be told: linear layers of "
            f"{own} outputs are {places}"
        )
    parent, _, leaf = found[0].rpartition(".")
    old = network.get_submodule(found[0])
    assert isinstance(old, nn.Linear)
    setattr(network.get_submodule(parent), leaf, nn.Linear(old.in_features, wanted, bias=old.bias is not None))


def _files(place: _Place, model: Mapping[str, Any]) -> tuple[Path, ...]:
    """Return the files in which RobustBench keeps a network's weights; one of its members each, of an ensemble."""
    folder = Path(os.environ.get(MODELS_FOLDER, "").strip() or "models").expanduser() / place.dataset / place.threat
    members = model.get("gdrive_id")
    if isinstance(members, list):
        return tuple(folder / f"{place.name}.pt_m{number}.pt" for number in range(len(members)))
    return (folder / f"{place.name}.pt",)


def _load(place: _Place, files: tuple[Path, ...]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Return a network's weights as RobustBench loads them, and what is to be said of them; fetched if need be.

    Raises:
        InputError: they are neither here nor can they be had, or RobustBench cannot read them.
    """
    from robustbench.utils import load_model

    _builder(place, _find(str(place))[1])  # refuses what cannot be built without its weights
    missing = [file for file in files if not file.is_file()]
    root = files[0].parents[2]
    try:
        with weights_only(), torch.random.fork_rng(devices=[]), torch.device("cpu"):
            network = load_model(
                model_name=place.name, model_dir=str(root), dataset=place.dataset, threat_model=place.threat
            )
    except Exception as error:  # what its tools raise, without a network or with a damaged file, is theirs
        reason = " ".join(str(error).split()) or type(error).__name__
        here = f"there is no {missing[0]}, and RobustBench cannot fetch it" if missing else f"{files[0]} cannot be read"
        raise InputError(
            f"the weights of {LIBRARY}:{place} cannot be had: {here} ({reason}); put the file there ({MODELS_FOLDER} "
            "names the folder of all), or give another by --init FILE"
        ) from error
    # shared ones become several: a member of an ensemble may have two names
    weights = {name: value.detach().clone() for name, value in network.cpu().state_dict().items()}
    return weights, _notes(network.eval(), place)


@torch.no_grad()
def _notes(network: nn.Module, place: _Place) -> tuple[str, ...]:
    """Return what is to be said of a network's answers: ensembles of the zoo give means of probabilities."""
    side = SIDES[place.dataset]
    images = torch.rand(2, CHANNELS, side, side, generator=torch.Generator().manual_seed(0))
    try:
        answers = network(images)
    except RuntimeError:  # made for images of another size: whether it takes the data set's own is asked elsewhere
        return ()
    sums = answers.sum(1)
    if bool((answers >= 0).all()) and torch.allclose(sums, torch.ones_like(sums), atol=_SUM_ROUNDING):
        return (
            f"{LIBRARY}:{place} answers with probabilities instead of logits: its errors are right, its calibration is "
            "not what it would be of logits",
        )
    return ()
