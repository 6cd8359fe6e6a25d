"""Copying artifacts from one store to another: what one machine has computed, others find."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from engine.store.artifact import CorruptArtifactError, checksum
from engine.store.attempts import faults_named
from engine.store.cleaning import Entry, entries
from engine.store.store import Store

_OF_THE_PLACE = ("files", "upload")
"""What a manifest says of where an artifact lies; the rest goes with it."""


@dataclass(frozen=True)
class Copied:
    """What a copy came to.

    Attributes:
        n_copied: how many artifacts are new.
        n_bytes: size of their files.
        n_there: how many were there before, or are put there by others meanwhile.
        faults: why each of the others was not copied: it is corrupt, or was removed meanwhile.
    """

    n_copied: int
    n_bytes: int
    n_there: int
    faults: tuple[str, ...]


def copy_artifacts(
    source: Store,
    target: Store,
    *,
    arrived: Callable[[Mapping[str, Any]], None] = lambda manifest: None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Copied:
    """Copy all artifacts of a store to another one: each whole, its files checked where they are read.

    Inputs go before what was made from them. What is there is passed over, so that a copy that was interrupted goes on.

    Args:
        source: where they are.
        target: where they go.
        arrived: is told the manifest of each artifact that is there now.
        progress: is told how many of how many are done.

    Raises:
        StoreFaultError: a store refuses.
    """
    n_copied = n_bytes = n_there = 0
    faults: list[str] = []
    found = _inputs_first(entries(source))
    for number, entry in enumerate(found):
        progress(number, len(found))
        there = target.look_at(entry.key)
        if there is not None:
            n_there += 1
            arrived(there.manifest)
            continue
        try:
            manifest = _copy(source, target, entry.key)
        except CorruptArtifactError as error:
            faults.append(str(error))
            continue
        n_copied, n_bytes = n_copied + 1, n_bytes + entry.n_bytes
        arrived(manifest)
    progress(len(found), len(found))
    return Copied(n_copied, n_bytes, n_there, tuple(faults))


def _copy(source: Store, target: Store, key: str) -> Mapping[str, Any]:
    """Copy an artifact; return its manifest.

    Raises:
        CorruptArtifactError: it is corrupt, or not there any more.
    """
    artifact = source.look_at(key)
    if artifact is None:
        raise CorruptArtifactError(f"artifact {key} has no manifest that can be read")
    with target.attempt(key) as attempt:
        for name, expected in artifact.manifest["files"].items():
            with faults_named(f"copying {name} of {key}", attempt.folder):
                shutil.copyfile(artifact.path_of(name), attempt.folder / name)
                if checksum(attempt.folder / name) != expected:  # it has changed since it was checked
                    raise CorruptArtifactError(f"artifact {key}: checksum of {name} differs from its manifest")
        kept = {name: value for name, value in artifact.manifest.items() if name not in _OF_THE_PLACE}
        return target.publish(attempt, kept).manifest


def _inputs_first(found: list[Entry]) -> list[Entry]:
    """Return artifacts in an order in which each comes after those that it was made from."""
    by_key = {entry.key: entry for entry in found}
    order = TopologicalSorter({entry.key: [key for key in entry.inputs if key in by_key] for entry in found})
    try:
        return [by_key[key] for key in order.static_order()]
    except CycleError:  # no stage makes that; then no order is right
        return found
