"""Content-addressed artifacts in a folder: leases on what is under way, checkpoints, and clean-up."""

from engine._lazy import lazy_names

_MODULES = {
    "Artifact": "engine.store.artifact",
    "Attempt": "engine.store.attempts",
    "CorruptArtifactError": "engine.store.artifact",
    "Store": "engine.store.store",
    "StoreFaultError": "engine.store.attempts",
    "open_store": "engine.store.opening",
}

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
__all__ = sorted(_MODULES)
