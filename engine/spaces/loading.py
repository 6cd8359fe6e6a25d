"""Finding a space by its name or its file."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import pkgutil
import traceback
from pathlib import Path

from engine.errors import InputError, unknown_name
from engine.spaces.space import Space


def space_names() -> tuple[str, ...]:
    """Return the names of the spaces in the package ``search_spaces``, a file each."""
    import search_spaces

    modules = pkgutil.iter_modules(search_spaces.__path__)
    return tuple(sorted(module.name.replace("_", "-") for module in modules if not module.name.startswith("_")))


def load_space(name: str | os.PathLike[str]) -> Space:
    """Return a space.

    Args:
        name: one of ``space_names()``, or a path to a Python file that defines ``SPACE``, or to a JSON file of
            ``Space.to_json``.

    Raises:
        InputError: an unknown name, or a file that is missing, fails or defines no space.
    """
    name = os.fspath(name)
    if name.endswith((".py", ".json")) or "/" in name:
        return _load_file(Path(name).expanduser())
    if name not in space_names():
        raise unknown_name("search space", name, space_names())
    return importlib.import_module(f"search_spaces.{name.replace('-', '_')}").SPACE


def _load_file(path: Path) -> Space:
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
    space = getattr(module, "SPACE", None)
    if not isinstance(space, Space):
        raise InputError(f"{path} must define SPACE = Space(...), got {type(space).__name__}")
    return space


def _line(error: Exception, path: Path) -> str:
    """Return where in a file an error came up, as far as that is known."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f" in line {lines[-1]}" if lines else ""
