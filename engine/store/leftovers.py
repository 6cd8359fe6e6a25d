"""What nobody can need in a store's folder, or hardly anybody: broken, left by the dead, or never finished."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from engine.store.attempts import is_of_the_dead
from engine.store.leases import find_live, left_leases, stage_path
from engine.store.stored import ABANDONED, Unfinished, is_key

_ASIDE = re.compile(r"[0-9a-f]{16,64}-[0-9a-f]{8}")
LEFT_S = 86400.0
"""Age at which what may be a dead process's (attempts, checkpoints) is removed."""


def leftovers(root: Path, *, whole: Collection[str], broken: Collection[str], kept: Collection[str]) -> Iterator[Path]:
    """Yield the folders and files that nobody can need.

    Only what a store has named itself is among them: quarantine, broken artifacts, leases and attempts of the dead,
    checkpoints of finished stages, and whatever else was neither finished nor touched for a day.

    Args:
        root: the store's folder.
        whole: keys of the artifacts that are whole.
        broken: keys of those that are not.
        kept: keys of what is needed.
    """
    yield from (path for path in _folders(root / "quarantine", "*") if _ASIDE.fullmatch(path.name))
    yield from (folder for folder in (artifact_folder(root, key) for key in broken) if not folder.is_symlink())
    for folder in _attempts(root):
        if is_of_the_dead(folder.name) or (_is_left(root, folder) and _key(folder) not in kept):
            yield folder
    for folder in _checkpointed(root):
        if _is_left(root, folder, at_once=folder.name in whole) and folder.name not in kept:
            yield folder
    yield from left_leases(root / "leases")


def unfinished(root: Path) -> Iterator[Unfinished]:
    """Yield the checkpoints of stages that nobody is at; they are worth going on from, but no more than that.

    Those of a finished stage are leftovers, of one that was killed before it removed them.
    """
    for folder in _checkpointed(root):
        if not _is_live(root, folder) and not artifact_folder(root, folder.name).is_dir():
            is_abandoned = (folder / ABANDONED).exists()
            place = str(folder.relative_to(root))
            yield Unfinished(folder.name, place, tree_bytes(folder), _written_at(folder), is_abandoned)


def artifact_folder(root: Path, key: str) -> Path:
    """Return where a key's artifact lies, if there is one."""
    return root / "artifacts" / key[:2] / key


def tree_bytes(place: Path) -> int:
    """Return the size of a file, or of all files below a folder; links are not followed."""
    if not place.is_dir() or place.is_symlink():
        return _n_bytes(place)
    return sum(_n_bytes(Path(path, name)) for path, _, names in os.walk(place) for name in names)


def _n_bytes(path: Path) -> int:
    try:
        return path.lstat().st_size
    except FileNotFoundError:
        return 0  # its process has just removed it


def _folders(place: Path, pattern: str) -> Iterator[Path]:
    yield from (path for path in sorted(place.glob(pattern)) if path.is_dir() and not path.is_symlink())


def _attempts(root: Path) -> Iterator[Path]:
    """Yield the folders of attempts: a person's own files may lie beside them, in a folder that was no store before."""
    yield from (path for path in _folders(root / "attempts", "*") if is_key(_key(path)))


def _checkpointed(root: Path) -> Iterator[Path]:
    """Yield the folders of stages' checkpoints."""
    found = _folders(root / "checkpoints", "??/*")
    yield from (path for path in found if is_key(path.name) and path.name.startswith(path.parent.name))


def _key(folder: Path) -> str:
    return folder.name.partition("-")[0]


def _is_live(root: Path, folder: Path) -> bool:
    return find_live(stage_path(root, _key(folder))) is not None


def _is_left(root: Path, folder: Path, *, at_once: bool = False) -> bool:
    return not _is_live(root, folder) and (at_once or time.time() - _written_at(folder) > LEFT_S)


def _written_at(folder: Path) -> float:
    """Return when a folder was written to last; this moment where its process is just removing it."""
    try:
        return max(path.lstat().st_mtime for path in (folder, *folder.rglob("*")))
    except FileNotFoundError:
        return time.time()
