"""Search, scheduling and tracking: the only rooms that import Optuna, Ray and MLflow."""

from engine._lazy import lazy_names

_MODULES = {
    "Results": "engine.report.results",
    "SweepOptions": "engine.orchestration.options",
    "TrialResult": "engine.report.trial_results",
    "load_results": "engine.orchestration.sweep",
    "run_sweep": "engine.orchestration.sweep",
}

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
__all__ = sorted(_MODULES)
