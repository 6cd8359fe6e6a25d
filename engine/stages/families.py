"""Which stored trainings a longer one can start from: an index in the store, by family."""

from __future__ import annotations

from engine.stages.prefix import family_of, is_prefix, training_settings, would_have_stopped
from engine.stages.spec import StageSpec
from engine.stages.store import Artifact, Store


def remember(store: Store, spec: StageSpec) -> None:
    """Note a finished training under its family; stages that have no family leave no note."""
    family = family_of(spec)
    if family is not None:
        folder = store.root / "families" / family[:2] / family
        folder.mkdir(parents=True, exist_ok=True)
        (folder / spec.key).touch()


def longest_prefix(store: Store, spec: StageSpec) -> Artifact | None:
    """Return the longest stored training that is what ``spec`` does first, or None."""
    family = family_of(spec)
    if family is None:
        return None
    folder = store.root / "families" / family[:2] / family
    found: list[Artifact] = []
    for note in folder.glob("*"):
        artifact = store.find(note.name)
        if artifact is None:
            note.unlink(missing_ok=True)  # cleaned up since
        elif _can_start_from(artifact, spec):
            found.append(artifact)
    return max(found, key=lambda artifact: len(artifact.history), default=None)


def _can_start_from(artifact: Artifact, spec: StageSpec) -> bool:
    shorter = StageSpec.from_json(artifact.manifest["spec"])
    patience = training_settings(spec).patience
    return is_prefix(shorter, spec) and not would_have_stopped(artifact.history, patience)
