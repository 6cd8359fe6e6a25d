"""Clean-up of a store: what is broken or left over goes, then what has not been used for longest, down to a size.

What is at work is kept: what live stages compute and read; what live sweeps name, which is all that their trials
under way need; and, while a sweep lives, whatever was used in the last minutes, since a sweep names what a new trial
needs some seconds later. What no stage could compute again (data sets, given weights) stays for a while after its last
use in any case: a sweep that is only starting names it last. An artifact's inputs stay as long as it does. All that is
asked again before each removal.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from engine.stages.leases import LiveLease, find_live, live_leases
from engine.stages.store import MANIFEST, USE_NOTED_S, Store

LEFT_S = 86400.0
"""Age at which what a dead process left (attempts, checkpoints) is removed."""
RECENT_S = 2 * USE_NOTED_S
"""How long after its last use an artifact may belong to a trial that its sweep has not named yet."""
GIVEN = ("data", "weights")
"""What is in the store without a stage that made it."""
GIVEN_S = 600.0
"""How long after its last use that may belong to a sweep that has checked its input and not started yet."""


@dataclass(frozen=True)
class Entry:
    """An artifact in the store.

    Attributes:
        key: its key.
        stage: the stage that made it; "" if its manifest cannot be read.
        n_bytes: size of its files.
        used_at: when it was last used, to the minute, in seconds since 1970.
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


def clean(
    store: Store,
    max_bytes: int,
    keep: Collection[str] | Callable[[], Collection[str]] = (),
    *,
    own_lease: Path | None = None,
    dry_run: bool = False,
) -> Cleaned:
    """Bring a store down to a size.

    Args:
        store: the store.
        max_bytes: how large it may stay; what is at work can keep it larger.
        keep: keys of artifacts that stay, and their inputs with them; or a function that returns those of this moment.
        own_lease: lease of the sweep that cleans up, and whose needs are all in ``keep``.
        dry_run: whether to remove nothing.

    Raises:
        StoreFaultError: an artifact cannot be removed.
    """
    needs = _Needs(store, keep, own_lease)
    found = entries(store)
    kept = needs.keys(found)
    leftovers = {folder: tree_bytes(folder) for folder in _leftovers(store, found, kept)}
    left = tree_bytes(store.root) - sum(leftovers.values())
    if not dry_run:
        for folder in leftovers:
            _remove_leftover(store, folder)
    removed: list[Entry] = []
    for entry in _oldest_first(found):
        if left <= max_bytes:
            break
        if entry.whole and entry.key not in kept and (dry_run or entry.key not in needs.keys(found, entry)):
            if not dry_run:
                store.remove(entry.key)
            removed.append(entry)
            left -= entry.n_bytes
    freed = sum(leftovers.values()) + sum(entry.n_bytes for entry in removed)
    names = tuple(str(folder.relative_to(store.root)) for folder in leftovers)
    return Cleaned(tuple(removed), names, freed, left, len(kept & {entry.key for entry in found}), needs.studies())


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


def describe_bytes(n_bytes: float) -> str:
    """Return a size in words."""
    for unit in ("B", "kB", "MB"):
        if n_bytes < 1000:
            return f"{n_bytes:.0f} B" if unit == "B" else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.2f} GB"


def _entry(store: Store, key: str) -> Entry:
    folder = store.root / "artifacts" / key[:2] / key
    artifact = store.look_at(key)
    manifest = artifact.manifest if artifact is not None else {}
    spec = manifest.get("spec") or {}
    used_at = _used_at(store, key)
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


class _Needs:
    """What has to stay in a store, now.

    Args:
        store: the store.
        keep: as ``clean`` has it.
        own_lease: as ``clean`` has it.
    """

    def __init__(
        self, store: Store, keep: Collection[str] | Callable[[], Collection[str]], own_lease: Path | None
    ) -> None:
        self._store = store
        self._keep = keep if callable(keep) else lambda: keep
        self._own_lease = own_lease
        self._inputs: dict[str, tuple[str, ...]] = {}

    def keys(self, found: list[Entry], one: Entry | None = None) -> set[str]:
        """Return the keys that have to stay, with all that their artifacts were made from.

        Args:
            found: all artifacts.
            one: the only one that matters: its last use is looked up again.
        """
        self._inputs = self._inputs or {entry.key: entry.inputs for entry in found}
        needed = set(self._keep())
        for _, lease in live_leases(self._store.root / "leases" / "stages"):
            needed |= _strings([lease.note.get("key")]) | _strings(lease.note.get("inputs"))
        others = [lease for path, lease in self._sweeps() if path != self._own_lease]
        for lease in others:
            needed |= _strings(lease.note.get("keys"))
        for entry in found if one is None else [replace(one, used_at=_used_at(self._store, one.key))]:
            unnamed_s = GIVEN_S if entry.stage in GIVEN else RECENT_S if others else 0.0
            if time.time() - entry.used_at < unnamed_s:
                needed.add(entry.key)
        return self._with_inputs(needed)

    def studies(self) -> tuple[str, ...]:
        """Return the names of the live sweeps' studies."""
        return tuple(sorted(str(lease.note.get("study", "?")) for _, lease in self._sweeps()))

    def _sweeps(self) -> Iterator[tuple[Path, LiveLease]]:
        return live_leases(self._store.root / "leases" / "sweeps")

    def _with_inputs(self, keys: set[str]) -> set[str]:
        kept: set[str] = set()
        waiting = list(keys)
        while waiting:
            key = waiting.pop()
            if key not in kept:
                kept.add(key)
                waiting += self._inputs.get(key, ())
        return kept


def _strings(value: Any) -> set[str]:
    """Return the strings in a list that another process wrote."""
    return {item for item in value if isinstance(item, str)} if isinstance(value, list) else set()


def _used_at(store: Store, key: str) -> float:
    folder = store.root / "artifacts" / key[:2] / key
    return _age_mark(folder / MANIFEST) or _age_mark(folder)


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


def _leftovers(store: Store, found: list[Entry], kept: Collection[str]) -> Iterator[Path]:
    """Yield the folders that nobody can need: quarantine, unreadable artifacts, and what dead processes left."""
    yield from (path for path in (store.root / "quarantine").glob("*") if path.is_dir())
    for entry in found:
        folder = store.root / "artifacts" / entry.key[:2] / entry.key
        if not entry.whole and not folder.is_symlink():
            yield folder
    for kind, pattern in (("attempts", "*"), ("checkpoints", "??/*")):
        for folder in sorted((store.root / kind).glob(pattern)):
            is_old = folder.is_dir() and not folder.is_symlink() and _is_left(store, folder)
            if is_old and folder.name.partition("-")[0] not in kept:
                yield folder


def _remove_leftover(store: Store, folder: Path) -> None:
    """Remove a leftover; in an unreadable artifact's place there may be a whole one by now, which stays."""
    if folder.parent.parent.name == "artifacts":
        aside = store.quarantine(folder.name)
        if aside is None:
            return
        folder = aside
    shutil.rmtree(folder, ignore_errors=True)


def _is_left(store: Store, folder: Path) -> bool:
    key = folder.name.partition("-")[0]
    if find_live(store.root / "leases" / "stages" / f"{key}.json") is not None:
        return False
    try:
        newest = max(_age_mark(path) for path in (folder, *folder.rglob("*")))
    except FileNotFoundError:
        return False  # its process removes it in this moment
    return time.time() - newest > LEFT_S
