"""What no test leaves to the next, and none takes from the shell: each stands alone, in whatever order they run."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator

import pytest

from engine.registry import Registry
from engine.variables import NAMES

SPACES = "search_spaces."
"""What modules begin with that register how the project's own spaces are shown."""

for name in (*NAMES, "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
    os.environ.pop(name, None)  # tests say themselves where everything is

_make = Registry.__init__
_registries: weakref.WeakSet[Registry] = weakref.WeakSet()


def _make_and_note(self: Registry, kind: str) -> None:
    _make(self, kind)
    _registries.add(self)


Registry.__init__ = _make_and_note  # type: ignore[method-assign]  # before the engine's rooms make theirs


@pytest.fixture(autouse=True)
def _own_entries_forgotten() -> Iterator[None]:
    """Forget, after each test, what it registered beside the engine's own: the next meets the engine's names alone."""
    before = {registry: set(registry) for registry in _registries}
    yield
    for registry in _registries:
        for name in set(registry) - before.get(registry, set()):
            own = registry.source_digest(name) is None or getattr(registry[name], "__module__", "").startswith(SPACES)
            if not own:  # the project's own come with an import, which happens once
                for known in (registry._entries, registry._origins, registry._sources):
                    del known[name]
