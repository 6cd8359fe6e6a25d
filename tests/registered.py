"""What tests register, taken back afterwards: other tests of the process meet the engine's own names alone."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.corruptions import tables
from engine.data.dataset import READERS
from engine.extensions import import_modules
from engine.models.model_names import _EXAMPLES, MODELS
from engine.relevance import MATTERS_IF
from engine.sections import SECTIONS
from engine.stages import STAGES
from tests.documents import blocks, module_name

_REGISTRIES = (STAGES, MODELS, READERS)
_TABLES = (
    *(known for registry in _REGISTRIES for known in (registry._entries, registry._origins, registry._sources)),
    *(_EXAMPLES, SECTIONS, MATTERS_IF, tables.SEVERITY_TABLES),
)
_CHOICES = (tables.OBJECTIVES, tables.REPORTED)


@contextmanager
def taken_back() -> Iterator[None]:
    """Forget, at the end, what was registered meanwhile: stages, settings, models, data sets, severity tables."""
    registered = (*_TABLES, *_CHOICES)
    before = [dict(known) for known in registered]
    try:
        yield
    finally:
        for known, then in zip(registered, before, strict=True):
            known.clear()  # type: ignore[attr-defined]
            known.update(then)  # type: ignore[attr-defined]


@contextmanager
def imported(folder: Path, *names: str) -> Iterator[None]:
    """Import modules that lie in a folder, anew if need be, and forget them at the end."""
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    for name in names:
        sys.modules.pop(name, None)
    try:
        with taken_back():
            import_modules(names)
            yield
    finally:
        sys.path.remove(str(folder))
        for name in names:
            sys.modules.pop(name, None)


def write_printed(folder: Path) -> None:
    """Write the modules and spaces that the documents print."""
    for block in blocks("python"):
        name = module_name(block)
        if name:
            (folder / name).write_text(block.text)
