"""What no test leaves to the next, and none takes from the shell: each stands alone, in whatever order they run."""

from __future__ import annotations

import os
import sys
import tempfile
import weakref
from collections import defaultdict
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest

from engine.registry import Registry
from engine.variables import NAMES

ROOT = Path(__file__).parents[1]
TEMPORARY = Path(tempfile.gettempdir()).resolve()
SPACES = "search_spaces."
"""What modules begin with that register how the project's own spaces are shown."""

for name in (*NAMES, "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
    os.environ.pop(name, None)  # tests say themselves where everything is
os.environ["ROBUSTUNE_SETS_GB"] = "0"  # and keep sets for each other where they say so
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
"""As where the environment is active: commands that are printed are told by their programs' names there."""

_make = Registry.__init__
_registries: weakref.WeakSet[Registry] = weakref.WeakSet()


def _make_and_note(self: Registry, kind: str) -> None:
    _make(self, kind)
    _registries.add(self)


Registry.__init__ = _make_and_note  # type: ignore[method-assign]  # before the engine's rooms make theirs


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files whose tests may take longest, by what they say: no process is left with one at the end."""
    longest: defaultdict[Path, float] = defaultdict(float)
    for item in items:
        mark = item.get_closest_marker("timeout")
        longest[item.path] = max(longest[item.path], mark.args[0] if mark and mark.args else 0.0)
    items.sort(key=lambda item: -longest[item.path])


@pytest.fixture(autouse=True)
def _own_entries_forgotten() -> Iterator[None]:
    with forgotten():
        yield


@contextmanager
def forgotten() -> Iterator[None]:
    """Forget, at the end, what was registered beside the engine's own: who comes next meets the engine's names alone.

    Modules that lie in temporary folders are forgotten with it, so that who imports them again registers again.
    """
    before = {registry: set(registry) for registry in _registries}
    modules = set(sys.modules)
    try:
        yield
    finally:
        _forget_entries(before)
        for name in sys.modules.keys() - modules:
            if _is_temporary(sys.modules[name]):
                del sys.modules[name]


def _is_temporary(module: ModuleType) -> bool:
    file = getattr(module, "__file__", None)
    path = Path(file or "/").resolve()
    lasting = (ROOT, Path(sys.prefix).resolve())  # a checkout, or an environment, that lies among the temporary files
    return path.is_relative_to(TEMPORARY) and not any(path.is_relative_to(folder) for folder in lasting)


def _forget_entries(before: Mapping[Registry, Set[str]]) -> None:
    for registry in _registries:
        for name in set(registry) - before.get(registry, set()):
            own = registry.source_digest(name) is None or getattr(registry[name], "__module__", "").startswith(SPACES)
            if not own:  # the project's own come with an import, which happens once
                for known in (registry._entries, registry._origins, registry._sources):
                    del known[name]
