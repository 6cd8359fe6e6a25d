"""The source of a user's code: the module that registers something, and what that imports from the user's own files.

A stage whose numbers come from a user's code has a hash of it in its key, so that an edit makes a new artifact. Files
are found as the import system would find them, and only read: nothing is run that is not imported already. Comments and
docstrings are no code. What is installed (in site-packages, or with Python) and the engine itself are not followed.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.machinery
import importlib.util
import json
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

_ENGINE = Path(__file__).parent
_PROJECT = ("engine", "pipelines", "search_spaces")
_INSTALLED = ("site-packages", "dist-packages")
_SUFFIXES = (".py", *importlib.machinery.EXTENSION_SUFFIXES)


@dataclass(frozen=True)
class SourceFile:
    """A module's file.

    Attributes:
        name: the module's dotted name.
        path: its file.
    """

    name: str
    path: Path

    @property
    def package(self) -> str:
        """Return the package that relative imports in it start from; empty for a module of its own."""
        return self.name if self.path.stem == "__init__" else self.name.rpartition(".")[0]


def digest_of_sources(roots: Iterable[SourceFile]) -> str:
    """Return a hash of some modules and of all that they import from the user's own files (16 hexadecimal digits).

    The names of the modules that are imported count, as they are what the code calls them by; the roots' and all
    folders' don't, so that a module is the same on another machine, and run as a script.
    """
    roots = tuple(roots)
    own = {root.path: _content(root.path).digest for root in roots}
    imported = {file.name: _content(file.path).digest for file in files_behind(roots) if file.path not in own}
    value = [sorted(own.values()), sorted(imported.items())]
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]


@cache
def digest_of_package(name: str) -> str:
    """Return a hash of a package's Python files and their paths (16 hexadecimal digits); "" if it has none."""
    spec = importlib.util.find_spec(name)
    folders = sorted(spec.submodule_search_locations or ()) if spec is not None else []
    found = hashlib.sha256()
    for folder in map(Path, folders):
        for path in sorted(folder.rglob("*.py")):
            found.update(f"{path.relative_to(folder).as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return found.hexdigest()[:16] if folders else ""


def files_behind(roots: Iterable[SourceFile]) -> list[SourceFile]:
    """Return some modules and all that they import from the user's own files, directly or not."""
    waiting = list(roots)
    tops = {root.name.partition(".")[0] for root in waiting}
    found: dict[Path, SourceFile] = {}
    while waiting:
        file = waiting.pop()
        if file.path in found:
            continue
        found[file.path] = file
        waiting += [
            other
            for name in _wanted_names(file)
            for other in _files_of(name)
            if other.path not in found and (other.name.partition(".")[0] in tops or is_users_own(other.path))
        ]
    return list(found.values())


def is_users_own(path: Path) -> bool:
    """Return whether a file is neither the engine's, nor Python's, nor an installed package's."""
    if any(path.is_relative_to(_ENGINE.parent / room) for room in _PROJECT):
        return False
    return not set(_INSTALLED) & set(path.parts) and not any(map(path.is_relative_to, _libraries()))


@cache
def _libraries() -> tuple[Path, ...]:
    places = sysconfig.get_paths()
    return tuple({Path(places[name]).resolve() for name in ("stdlib", "platstdlib", "purelib", "platlib")})


def canonical(node: object) -> object:
    """Return a syntax tree without docstrings and positions, the same in every version of Python."""
    if isinstance(node, list):
        return [canonical(item) for item in node if not _is_docstring(item)]
    if isinstance(node, ast.AST):
        fields = ((name, value) for name, value in ast.iter_fields(node) if value is not None and value != [])
        return [type(node).__name__, *([name, canonical(value)] for name, value in fields)]
    return repr(node)


def _is_docstring(node: object) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


@dataclass(frozen=True)
class _Content:
    """What is read of a file once.

    Attributes:
        digest: hash of its code.
        imports: (level, name) of what it imports, as written: (1, "layers") for ``from .layers import …``.
        by_variable: whether it imports modules whose names it does not spell out.
    """

    digest: str
    imports: tuple[tuple[int, str], ...] = ()
    by_variable: bool = False


def _content(path: Path) -> _Content:
    return _read(path.read_bytes(), path.suffix)


@lru_cache(maxsize=4096)
def _read(content: bytes, suffix: str) -> _Content:
    try:
        tree = ast.parse(content) if suffix == ".py" else None
    except (SyntaxError, ValueError):  # whatever it is, it is not imported
        tree = None
    if tree is None:
        return _Content(hashlib.sha256(content).hexdigest())
    digest = hashlib.sha256(json.dumps(canonical(tree)).encode()).hexdigest()
    imports, by_variable = [], False
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imports += [(0, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            imports += [(node.level, module), *((node.level, f"{module}.{alias.name}") for alias in node.names)]
        elif isinstance(node, ast.Call) and _called(node) in ("import_module", "__import__") and node.args:
            name = node.args[0]
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                plain = name.value.lstrip(".")
                imports.append((len(name.value) - len(plain), plain))
            else:
                by_variable = True
    return _Content(digest, tuple(dict.fromkeys(imports)), by_variable)


def _called(node: ast.Call) -> str:
    function = node.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _wanted_names(file: SourceFile) -> Iterator[str]:
    """Yield the names of the modules that a file may import, and of the packages that it lies in."""
    content = _content(file.path)
    if file.package:
        yield file.package
    for level, name in content.imports:
        parts = file.package.split(".") if file.package else []
        if level <= len(parts):
            base = parts[: len(parts) - level + 1] if level else []
            yield ".".join([*base, *(part for part in name.split(".") if part)])
    if content.by_variable and file.package:  # as in packages that import all that lies in them
        for path in sorted(file.path.parent.rglob("*.py")):
            inner = path.relative_to(file.path.parent).with_suffix("").parts
            yield ".".join([file.package, *(part for part in inner if part != "__init__")])


def _files_of(name: str) -> Iterator[SourceFile]:
    """Yield the files of a module and of the packages that it lies in, as far as there are any."""
    top, *rest = name.split(".")
    origin, folders = _top_level(top)
    if origin is not None:
        yield SourceFile(top, origin)
    so_far = top
    for part in rest:
        so_far = f"{so_far}.{part}"
        path = next((path for folder in folders for path in _candidates(folder / part) if path.is_file()), None)
        if path is not None:
            yield SourceFile(so_far, path)
        folders = tuple(folder / part for folder in folders)


def _candidates(path: Path) -> Iterator[Path]:
    for suffix in _SUFFIXES:
        yield path / f"__init__{suffix}"
        yield path.with_name(path.name + suffix)


def _top_level(name: str) -> tuple[Path | None, tuple[Path, ...]]:
    """Return a top-level module's file and, for a package, its folders; nothing is imported to find them."""
    try:
        found = sys.modules[name].__spec__ if name in sys.modules else importlib.util.find_spec(name)
    except (AttributeError, ImportError, ValueError):  # no module any more, or one that no finder made
        found = None
    if found is None:
        return None, ()
    origin = Path(found.origin).resolve() if found.origin and found.has_location else None
    folders = tuple(Path(folder).resolve() for folder in found.submodule_search_locations or ())
    return origin, folders
