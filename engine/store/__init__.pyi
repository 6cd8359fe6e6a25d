"""The names of engine.store, for editors and type checkers: `python -m tests.test_stubs`."""

from engine.store.artifact import Artifact, CorruptArtifactError
from engine.store.attempts import Attempt, StoreFaultError
from engine.store.opening import open_store
from engine.store.store import Store

__all__ = ["Artifact", "Attempt", "CorruptArtifactError", "Store", "StoreFaultError", "open_store"]
