"""Which stored trainings a longer one can start from: an index in the store, by family."""

from __future__ import annotations

from collections.abc import Iterable

from engine.stages.prefix import family_of, is_prefix, training_settings, would_have_stopped
from engine.stages.spec import StageSpec
from engine.store.artifact import Artifact
from engine.store.store import Store


def remember(store: Store, spec: StageSpec) -> None:
    """Note a finished training under its family; stages that have no family leave no note."""
    family = family_of(spec)
    if family is not None:
        store.join_family(family, spec.key)


def longest_prefix(store: Store, spec: StageSpec) -> Artifact | None:
    """Return the longest stored training that is what ``spec`` does first, or None."""
    family = family_of(spec)
    if family is None:
        return None
    found: list[Artifact] = []
    for key in store.family(family):
        artifact = store.find(key)
        if artifact is None:
            store.leave_family(family, key)  # cleaned up since
        elif _can_start_from(artifact, spec):
            found.append(artifact)
    return max(found, key=lambda artifact: len(artifact.history), default=None)


def needed_keys(store: Store, specs: Iterable[StageSpec]) -> set[str]:
    """Return the keys of what stages need of a store: themselves, their inputs, and what they could start from."""
    keys: set[str] = set()
    for spec in specs:
        keys |= {spec.key, *spec.inputs.values()}
        if spec.stage == "pretrain" and store.look_at(spec.key) is None:
            shorter = longest_prefix(store, spec)
            keys |= {shorter.manifest["key"]} if shorter is not None else set()
    return keys


def _can_start_from(artifact: Artifact, spec: StageSpec) -> bool:
    try:
        shorter = StageSpec.from_json(artifact.manifest["spec"])
    except TypeError:
        return False  # its manifest is damaged
    patience = training_settings(spec).patience
    return is_prefix(shorter, spec) and not would_have_stopped(artifact.history, patience)
