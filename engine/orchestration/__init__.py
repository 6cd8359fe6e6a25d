"""Search, scheduling and tracking: the only rooms that import Optuna, Ray and MLflow."""

import warnings

from engine._lazy import lazy_names

# Optuna's progress bar, which nobody here shows, misses widgets in notebooks as soon as it is imported.
warnings.filterwarnings("ignore", message="IProgress not found")

_MODULES = {
    "PrunerNumber": "engine.orchestration.search.pruner_kinds",
    "PrunerRequest": "engine.orchestration.search.pruner_kinds",
    "Results": "engine.report.results",
    "SamplerRequest": "engine.orchestration.search.samplers",
    "SweepOptions": "engine.orchestration.options",
    "TrackerRequest": "engine.orchestration.tracking.tracker_kinds",
    "TrialResult": "engine.report.trial_results",
    "draw_figure": "engine.orchestration.tracking.tracker_kinds",
    "export": "engine.orchestration.calls",
    "load_results": "engine.orchestration.calls",
    "register_pruner": "engine.orchestration.search.pruner_kinds",
    "register_sampler": "engine.orchestration.search.samplers",
    "register_tracker": "engine.orchestration.tracking.tracker_kinds",
    "run_sweep": "engine.orchestration.calls",
}

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
__all__ = sorted(_MODULES)
