"""Clean-up of a store: what is broken or left over goes, then what has not been used for longest, down to a size.

Of what was never finished, the checkpoints of stages that nobody wanted any more go before everything else; those that
an interrupted sweep may go on from are as old as their last epoch, and go in line with the artifacts.

What is at work is kept: what live stages compute and read; what live sweeps name, which is all that their trials
under way need; and, while a sweep lives, whatever was used in the last minutes, since a sweep names what a new trial
needs some seconds later. What no stage could compute again (data sets, given weights) stays for a while after its last
use in any case: a sweep that is only starting names it last. An artifact's inputs stay as long as it does. All that is
asked again before each removal.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from engine.store.needs import Needs
from engine.store.store import Store
from engine.store.stored import Stored, Unfinished


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
        leftovers: places, seen from the store, of broken artifacts, quarantine, attempts and leases of the dead,
            and checkpoints.
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
    return sorted((_entry(stored) for stored in store.inventory()), key=lambda entry: (entry.used_at, entry.key))


def clean(
    store: Store,
    max_bytes: int,
    keep: Collection[str] | Callable[[], Collection[str]] = (),
    *,
    own_lease: str | None = None,
    dry_run: bool = False,
) -> Cleaned:
    """Bring a store down to a size.

    Args:
        store: the store.
        max_bytes: how large it may stay; what is at work can keep it larger.
        keep: keys of artifacts that stay, and their inputs with them; or a function that returns those of this moment.
        own_lease: name of the presence of the sweep that cleans up, and whose needs are all in ``keep``.
        dry_run: whether to remove nothing.

    Raises:
        StoreFaultError: an artifact cannot be removed.
    """
    found, not_finished = entries(store), list(store.unfinished())
    needs = Needs(store, keep, own_lease, {entry.key: entry.inputs for entry in found})
    uses = {one.key: (one.written_at, "") for one in not_finished if not one.abandoned}
    kept = needs.keys(uses | {entry.key: (entry.used_at, entry.stage) for entry in found})
    whole = {entry.key for entry in found if entry.whole}
    broken = [entry.key for entry in found if not entry.whole]
    left_over = dict(store.leftovers(whole=whole, broken=broken, kept=kept))
    left = store.n_bytes() - sum(left_over.values())
    if not dry_run:
        for name in left_over:
            store.remove_leftover(name)
    removed: list[Entry] = []
    for candidate in _in_order(found, [one for one in not_finished if one.name not in left_over]):
        if left <= max_bytes:
            break
        if candidate.key in kept or not (dry_run or _may_go(store, needs, candidate)):
            continue
        if isinstance(candidate, Unfinished):
            left_over[candidate.name] = candidate.n_bytes
        else:
            removed.append(candidate)
        if not dry_run:
            _remove(store, candidate)
        left -= candidate.n_bytes
    freed = sum(left_over.values()) + sum(entry.n_bytes for entry in removed)
    n_kept = len(kept & {entry.key for entry in found})
    return Cleaned(tuple(removed), tuple(left_over), freed, left, n_kept, needs.studies())


def _may_go(store: Store, needs: Needs, candidate: Entry | Unfinished) -> bool:
    """Return whether nobody has come to need something since the clean-up began."""
    key = candidate.key
    if isinstance(candidate, Unfinished):
        return key not in needs.keys({} if candidate.abandoned else {key: (candidate.written_at, "")})
    return key not in needs.keys({key: (store.used_at(key), candidate.stage)})


def _remove(store: Store, candidate: Entry | Unfinished) -> None:
    if isinstance(candidate, Unfinished):
        store.remove_unfinished(candidate)
    else:
        store.remove(candidate.key)


def _in_order(found: list[Entry], not_finished: list[Unfinished]) -> list[Entry | Unfinished]:
    """Return what may go, the first to go first: stages that nobody wanted, then all by when it was used last."""
    abandoned = sorted((one for one in not_finished if one.abandoned), key=lambda one: (one.written_at, one.key))
    waiting = sorted((one for one in not_finished if not one.abandoned), key=lambda one: (-one.written_at, one.key))
    ordered: list[Entry | Unfinished] = [*abandoned]
    for used_at, entry in _oldest_first([entry for entry in found if entry.whole]):
        while waiting and waiting[-1].written_at <= used_at:
            ordered.append(waiting.pop())
        ordered.append(entry)
    return ordered + waiting[::-1]


def describe_bytes(n_bytes: float) -> str:
    """Return a size in words."""
    for unit in ("B", "kB", "MB"):
        if n_bytes < 1000:
            return f"{n_bytes:.0f} B" if unit == "B" else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.2f} GB"


def _entry(stored: Stored) -> Entry:
    manifest = stored.artifact.manifest if stored.artifact is not None else {}
    spec = manifest.get("spec") or {}
    return Entry(
        key=stored.key,
        stage=str(spec.get("stage", "")),
        n_bytes=stored.n_bytes,
        used_at=stored.used_at,
        finished_at=float(manifest.get("finished_at", stored.used_at)),
        seconds=float(manifest.get("seconds", 0.0)),
        inputs=tuple((spec.get("inputs") or {}).values()),
        whole=stored.artifact is not None,
    )


def _oldest_first(found: list[Entry]) -> list[tuple[float, Entry]]:
    """Return artifacts by their last use, and that, where using one uses its inputs; each comes before its inputs."""
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
    return [
        (uses[entry.key], entry)
        for entry in sorted(found, key=lambda entry: (uses[entry.key], heights[entry.key], entry.key))
    ]
