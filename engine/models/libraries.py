"""Networks by name from the libraries where people have them: ``torchvision:resnet18``, ``timm:resnet18``.

They are the library's own modules, under the library's own names, and take images in [0, 1] as every model does: what
their input is normalised by is a layer ``normalise`` of theirs, unless the library's networks normalise it themselves.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import inspect
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from engine.errors import InputError, unknown_name
from engine.layers.normalise import Normalise
from engine.models.published import Published

LIBRARIES = {
    "torchvision": "engine.models.torchvision_networks",
    "timm": "engine.models.timm_networks",
    "robustbench": "engine.models.robustbench_networks",
}
"""{a library: the one file that knows it}: its ``FORM``, ``build``, ``published``, and what else is asked for below."""
_FIRST_BLOCKS = (
    ("conv1", "layer1.0"),
    ("features.conv0", "features.denseblock1"),
    ("conv1", "block1.layer.0"),
    ("conv_1_3x3", "stage_1.0"),
)
"""What "first_block" means for push–pull layers, of residual and of densely connected networks."""
_NORMALISING: dict[type[nn.Module], type[nn.Module]] = {}
"""{a library's class: the one made of it that normalises its input}."""


def is_of_library(name: object) -> bool:
    """Return whether a model's name says that it is a library's."""
    return isinstance(name, str) and ":" in name


def build_library_network(
    name: str, *, num_classes: int, in_channels: int, image_size: int, width: int | None
) -> nn.Module:
    """Return a new network of a library: float images in [0, 1] to logits.

    Raises:
        InputError: an unknown library or network, or one that cannot be as it is asked for.
    """
    library, own_name = _split(name)
    if width is not None:
        raise InputError(f"{name} has the width that it has: `width` must be None, got {width}")
    asked: dict[str, Any] = {"num_classes": num_classes, "in_channels": in_channels, "image_size": image_size}
    network = _built(library, own_name, asked)
    if not getattr(library, "NORMALISES_ITSELF", False):
        network = _with_normalisation(network, in_channels)
    for places in _first_blocks():
        if all(_has(network, place) for place in places):
            network.first_block = places  # type: ignore[assignment]
    return network


def library_forms() -> list[str]:
    """Return how each library's networks are called."""
    return [importlib.import_module(module).FORM for module in LIBRARIES.values()]


def published_weights(name: str, entry: str) -> Published:
    """Return an entry of the weights that a library publishes for a network.

    Raises:
        InputError: there is no such library, network or entry.
    """
    library, own_name = _split(name)
    return library.published(own_name, entry)


def networks_with(weights: Mapping[str, Tensor]) -> list[str]:
    """Return the networks of libraries that weights are of, by names and shapes, whatever the number of classes.

    Of a library that cannot tell, or is not installed, there are none.
    """
    found: list[str] = []
    for module in LIBRARIES.values():
        library = importlib.import_module(module)
        if hasattr(library, "matching"):
            with contextlib.suppress(ImportError):
                found += [f"{library.LIBRARY}:{name}" for name in library.matching(weights)]
    return found


def said_of(weights: Mapping[str, Tensor]) -> str:
    """Return what stands behind an error about weights that are those of a library's network; else ""."""
    found = networks_with(weights)
    return f"; by names and shapes they are those of {' or '.join(found)}" if found else ""


@lru_cache(maxsize=64)
def architecture_digest(name: str) -> str:
    """Return a hash of the library's code that a network consists of (16 hexadecimal digits).

    These are the files that define the classes of its layers: another version of the library that changes none of them
    gives the same.
    """
    library, own_name = _split(name)
    with torch.device("meta"):
        network = _built(library, own_name, {"num_classes": 10, "in_channels": 3, "image_size": 224})
    classes = {type(module) for module in network.modules()}
    packages = getattr(library, "BUILT_OF", (library.LIBRARY,))
    own = {each for each in classes if each.__module__.partition(".")[0] in packages}
    files = {Path(inspect.getsourcefile(each) or ""): each.__module__ for each in own}
    more = library.sources(own_name) if hasattr(library, "sources") else ()
    files |= {path: path.stem for path in more if path not in files}
    content = hashlib.sha256()
    for path, module in sorted(files.items(), key=lambda item: item[1]):
        content.update(f"{module}\0".encode() + path.read_bytes())
    return content.hexdigest()[:16]


def _split(name: str) -> tuple[ModuleType | Any, str]:
    library, _, own_name = name.partition(":")
    if library not in LIBRARIES:
        raise unknown_name("library of networks", library, LIBRARIES)
    return importlib.import_module(LIBRARIES[library]), own_name


def _first_blocks() -> Iterator[tuple[str, ...]]:
    """Yield what may be the first block, of a network and of one that is wrapped with its normalisation."""
    for places in _FIRST_BLOCKS:
        yield places
        yield tuple(f"model.{place}" for place in places)


def _built(library: Any, own_name: str, asked: dict[str, Any]) -> nn.Module:
    """Return the library's network; on the meta device too where its constructor looks at values."""
    if torch.get_default_device().type != "meta":
        return library.build(own_name, **asked)
    try:
        return library.build(own_name, **asked)
    except InputError:
        raise
    except Exception:  # what cannot do without values raises as it likes
        with torch.random.fork_rng(devices=[]), torch.device("cpu"):
            return library.build(own_name, **asked).to("meta")


def _with_normalisation(network: nn.Module, channels: int) -> nn.Module:
    """Have a network normalise its input, in place: it becomes one of a class made of its own, of the same name."""
    network.normalise = Normalise(channels)
    kind = type(network)
    if kind not in _NORMALISING:
        _NORMALISING[kind] = _normalising(kind)
    network.__class__ = _NORMALISING[kind]
    return network


def _normalising(kind: type[nn.Module]) -> type[nn.Module]:
    def forward(self: Any, images: Tensor) -> Tensor:
        return kind.forward(self, self.normalise(images))

    return type(kind.__name__, (kind,), {"forward": forward, "__module__": kind.__module__, "__doc__": kind.__doc__})


def _has(network: nn.Module, place: str) -> bool:
    try:
        network.get_submodule(place)
    except AttributeError:
        return False
    return True
