"""Clean-up of a store: what is broken or left over goes, then what has not been used for longest, down to a size.

What is at work is kept: what live stages compute and read; what live sweeps name; and, while any sweep lives, whatever
was used since it began. An artifact's inputs stay as long as it does.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.stages.leases import find_live, live_leases
from engine.stages.store import MANIFEST, USE_NOTED_S, Store

LEFT_S = 86400.0
"""Age at which what a dead process left (attempts, checkpoints) is removed."""


@dataclass(frozen=True)
class Entry:
    """An artifact in the store.

    Attributes:
        key: its key.
        stage: the stage that made it; "" if its manifest cannot be read.
        n_bytes: size of its files.
        used_at: when it was last used, to the hour, in seconds since 1970.
        finished_at: when it was made.
        seconds: how long it took to compute.
        inputs: keys of what it was made from.
        whole: whether its manifest can be read.
    """

    key: str
    stage: str
    n_bytes: int
    used_at: float
    finished_at: float
    seconds: float
    inputs: tuple[str, ...]
    whole: bool


@dataclass(frozen=True)
class Cleaned:
    """What a clean-up removed, or would remove.

    Attributes:
        artifacts: the artifacts that were removed, least recently used first.
        leftovers: folders, below the store's, of broken artifacts, dead attempts and checkpoints, and quarantine.
        freed_bytes: size of both.
        left_bytes: size of what is left in the store.
        n_kept: artifacts that had to stay whatever the size.
        sweeps: studies of the live sweeps.
    """

    artifacts: tuple[Entry, ...]
    leftovers: tuple[str, ...]
    freed_bytes: int
    left_bytes: int
    n_kept: int
    sweeps: tuple[str, ...]


def entries(store: Store) -> list[Entry]:
    """Return all artifacts of a store, the least recently used first."""
    return sorted((_entry(store, key) for key in store.keys()), key=lambda entry: (entry.used_at, entry.key))  # noqa: SIM118


def clean(store: Store, max_bytes: int, keep: Collection[str] = (), *, dry_run: bool = False) -> Cleaned:
    """Bring a store down to a size.

    Args:
        store: the store.
        max_bytes: how large it may stay; what is at work can keep it larger.
        keep: keys of artifacts that stay, and their inputs with them.
        dry_run: whether to remove nothing.
    """
    found = entries(store)
    leftovers = {folder: tree_bytes(folder) for folder in _leftovers(store, found)}
    sweeps = [lease for _, lease in live_leases(store.root / "leases" / "sweeps")]
    kept = _with_inputs(found, {*keep, *_at_work(store, found)})
    left = tree_bytes(store.root) - sum(leftovers.values())
    removed = []
    for entry in _oldest_first(found):
        if left <= max_bytes:
            break
        if entry.key not in kept and entry.whole:
            removed.append(entry)
            left -= entry.n_bytes
    if not dry_run:
        for folder in leftovers:
            shutil.rmtree(folder, ignore_errors=True)
        for entry in removed:
            store.remove(entry.key)
    freed = sum(leftovers.values()) + sum(entry.n_bytes for entry in removed)
    names = tuple(str(folder.relative_to(store.root)) for folder in leftovers)
    studies = tuple(sorted(str(lease.note.get("study", "?")) for lease in sweeps))
    return Cleaned(tuple(removed), names, freed, left, len(kept & {entry.key for entry in found}), studies)


def tree_bytes(folder: Path) -> int:
    """Return the size of all files below a folder; links are not followed."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                total += Path(path, name).lstat().st_size
            except FileNotFoundError:
                continue  # its process has just removed it
    return total


def _entry(store: Store, key: str) -> Entry:
    folder = store.root / "artifacts" / key[:2] / key
    artifact = store.look_at(key)
    manifest = artifact.manifest if artifact is not None else {}
    spec = manifest.get("spec") or {}
    used_at = _age_mark(folder / MANIFEST) or _age_mark(folder)
    return Entry(
        key=key,
        stage=str(spec.get("stage", "")),
        n_bytes=tree_bytes(folder),
        used_at=used_at,
        finished_at=float(manifest.get("finished_at", used_at)),
        seconds=float(manifest.get("seconds", 0.0)),
        inputs=tuple((spec.get("inputs") or {}).values()),
        whole=artifact is not None,
    )


def _age_mark(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except OSError:
        return 0.0


def _at_work(store: Store, found: list[Entry]) -> Iterator[str]:
    """Yield the keys that live stages and sweeps need."""
    for _, lease in live_leases(store.root / "leases" / "stages"):
        yield from (lease.note.get("key", ""), *lease.note.get("inputs", ()))
    for _, lease in live_leases(store.root / "leases" / "sweeps"):
        yield from lease.note.get("keys", ())
        since = lease.holder.since if lease.holder is not None else 0.0
        yield from (entry.key for entry in found if entry.used_at >= since - USE_NOTED_S)


def _with_inputs(found: list[Entry], keys: set[str]) -> set[str]:
    """Return keys and the keys of all that their artifacts were made from."""
    inputs = {entry.key: entry.inputs for entry in found}
    kept: set[str] = set()
    waiting = list(keys)
    while waiting:
        key = waiting.pop()
        if key not in kept:
            kept.add(key)
            waiting += inputs.get(key, ())
    return kept


def _oldest_first(found: list[Entry]) -> list[Entry]:
    """Return artifacts by their last use, where using one uses its inputs; each comes before its inputs."""
    uses = {entry.key: entry.used_at for entry in found}
    heights = dict.fromkeys(uses, 0)
    by_key = {entry.key: entry for entry in found}
    waiting = list(found)
    while waiting:  # what an artifact was made from is used whenever it is, and lies one step further up
        entry = waiting.pop()
        for key in entry.inputs:
            if key in uses and (uses[key] < uses[entry.key] or heights[key] <= heights[entry.key] < len(found)):
                uses[key] = max(uses[key], uses[entry.key])
                heights[key] = max(heights[key], heights[entry.key] + 1)
                waiting.append(by_key[key])
    return sorted(found, key=lambda entry: (uses[entry.key], heights[entry.key], entry.key))


def _leftovers(store: Store, found: list[Entry]) -> Iterator[Path]:
    """Yield the folders that nobody can need: quarantine, unreadable artifacts, and what dead processes left."""
    yield from (path for path in (store.root / "quarantine").glob("*") if path.is_dir())
    for entry in found:
        folder = store.root / "artifacts" / entry.key[:2] / entry.key
        if not entry.whole and not folder.is_symlink():
            yield folder
    for kind, pattern in (("attempts", "*"), ("checkpoints", "??/*")):
        for folder in sorted((store.root / kind).glob(pattern)):
            if folder.is_dir() and not folder.is_symlink() and _is_left(store, folder):
                yield folder


def _is_left(store: Store, folder: Path) -> bool:
    key = folder.name.partition("-")[0]
    if find_live(store.root / "leases" / "stages" / f"{key}.json") is not None:
        return False
    newest = max(_age_mark(path) for path in (folder, *folder.rglob("*")))
    return time.time() - newest > LEFT_S
