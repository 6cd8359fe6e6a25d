"""The network of a trial that has ended: what of it is in a store."""

from __future__ import annotations

from collections.abc import Mapping

from engine.errors import InputError
from engine.stages.catalogue import STAGES, network_stages
from engine.store.artifact import Artifact, CorruptArtifactError
from engine.store.store import Store


def made_network(stages: Mapping[str, str], store: Store, *, of: str) -> list[Artifact]:
    """Return the artifacts of the stages that have made a trial's network, in order, every checksum verified.

    Nothing is changed in the store.

    Args:
        stages: {stage: key} of the trial.
        store: where they are.
        of: what the trial is called, for the errors.

    Raises:
        InputError: a stage that no module has registered here, none that makes a network, or one whose artifact was
            cleaned up, or is damaged.
    """
    for name in stages:
        if name not in STAGES:
            raise InputError(f"{of} has a stage {name!r} that is not known here; give its module with --import")
    makers = [name for name in network_stages() if name in stages]
    if not makers:
        raise InputError(f"{of} has no stage that makes a network; it has {', '.join(stages) or 'none'}")
    return [_whole(store, stages[name], f"{of}: its {name}") for name in makers]


def _whole(store: Store, key: str, of: str) -> Artifact:
    artifact = store.look_at(key)
    if artifact is None:
        raise InputError(
            f"{of} ({key}) is not in the store {store.address}: it was cleaned up, or the trial ran on another --store"
        )
    try:
        artifact.verify()
    except CorruptArtifactError as error:
        raise InputError(f"{of} cannot be used: {error}") from error
    return artifact
