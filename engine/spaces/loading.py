"""Finding a space by its name or its file."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import pkgutil
import traceback
from pathlib import Path
from types import ModuleType

from engine.errors import InputError, unknown_name
from engine.spaces.space import Space

_packages = ["search_spaces"]
"""Names of the packages whose modules are spaces. They build on the engine, so nothing here imports one of them before
a space of it is asked for by name."""


def register_spaces(package: str) -> None:
    """Have the modules of a package found as spaces by their names: ``my_space.py``, which defines ``SPACE``, is
    ``my-space``.

    Raises:
        InputError: there is no such package, or a space of it has the name of a known one.
    """
    if package in _packages:
        return
    known = _modules()
    for name in _modules_of(package):
        if name in known:
            raise InputError(f"search space {name!r} of {package} is in {known[name].rpartition('.')[0]} already")
    _packages.append(package)


def space_names() -> tuple[str, ...]:
    """Return the names of the spaces that can be loaded by name, a module each."""
    return tuple(sorted(_modules()))


def load_space(name: str | os.PathLike[str], dataset: str | None = None) -> Space:
    """Return a space.

    A module may define ``ON = {"digits": Space(…)}`` beside ``SPACE``: what it is on another data set, where the same
    question asks for another network or another size.

    Args:
        name: one of ``space_names()``, or a path to a Python file that defines ``SPACE``, or to a JSON file of
            ``Space.to_json``.
        dataset: the data set that it is asked for on ("cifar100:FOLDER"); None for its own.

    Raises:
        InputError: an unknown name, or a file that is missing, fails or defines no space.
    """
    name = os.fspath(name)
    if name.endswith((".py", ".json")) or "/" in name:
        return _load_file(Path(name).expanduser(), dataset)
    modules = _modules()
    if name not in modules:
        raise unknown_name("search space", name, space_names())
    return _space_of(importlib.import_module(modules[name]), dataset)


def datasets_of(name: str) -> tuple[str, ...]:
    """Return the data sets that a space of ``space_names()`` is another one on."""
    return tuple(getattr(importlib.import_module(_modules()[name]), "ON", {}))


def _space_of(module: ModuleType, dataset: str | None) -> Space:
    others = getattr(module, "ON", {})
    return others.get((dataset or "").partition(":")[0], module.SPACE)


def _modules() -> dict[str, str]:
    """Return {name of a space: its module} of all packages of spaces."""
    return {name: module for package in _packages for name, module in _modules_of(package).items()}


def _modules_of(package: str) -> dict[str, str]:
    """Return {name of a space: its module} of a package, of which nothing but itself is imported."""
    try:
        found = importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{package}.".startswith(f"{error.name}."):
            raise  # it exists, and imports something that does not
        raise InputError(f"package of search spaces does not exist: {package!r}") from None
    if not hasattr(found, "__path__"):
        raise InputError(f"search spaces are the modules of a package, and {package!r} is a module")
    names = [module.name for module in pkgutil.iter_modules(found.__path__) if not module.name.startswith("_")]
    return {name.replace("_", "-"): f"{package}.{name}" for name in names}


def _load_file(path: Path, dataset: str | None) -> Space:
    if not path.is_file():
        raise InputError(f"space file does not exist: {path}")
    if path.suffix == ".json":
        try:
            return Space.from_json(json.loads(path.read_text()))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path} is not a space: {error}") from error
    specification = importlib.util.spec_from_file_location(f"space_{path.stem}", path)
    if specification is None or specification.loader is None:
        raise InputError(f"space file must end in .py or .json: {path}")
    module = importlib.util.module_from_spec(specification)
    try:
        specification.loader.exec_module(module)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"space file {path} fails{_line(error, path)}: {type(error).__name__}: {error}") from error
    if not hasattr(module, "SPACE"):
        raise InputError(f"{path} defines no SPACE, and must have SPACE = Space(...)")
    others = getattr(module, "ON", {})
    if not isinstance(others, dict) or not all(isinstance(other, Space) for other in others.values()):
        raise InputError(f"{path} must define ON = {{data set: Space(...)}}, or no ON, got {others!r}")
    space = _space_of(module, dataset)
    if not isinstance(space, Space):
        raise InputError(f"{path} must define SPACE = Space(...), got {type(space).__name__}")
    return space


def _line(error: Exception, path: Path) -> str:
    """Return where in a file an error came up, as far as that is known."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f" in line {lines[-1]}" if lines else ""
