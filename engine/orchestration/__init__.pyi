"""The names of engine.orchestration, for editors and type checkers: `python -m tests.test_stubs`."""

from engine.orchestration.calls import export, load_results, run_sweep
from engine.orchestration.options import SweepOptions
from engine.orchestration.search.pruner_kinds import PrunerNumber, PrunerRequest, register_pruner
from engine.orchestration.search.samplers import SamplerRequest, register_sampler
from engine.orchestration.tracking.tracker_kinds import TrackerRequest, draw_figure, register_tracker
from engine.report.results import Results
from engine.report.trial_results import TrialResult

__all__ = [
    "PrunerNumber",
    "PrunerRequest",
    "Results",
    "SamplerRequest",
    "SweepOptions",
    "TrackerRequest",
    "TrialResult",
    "draw_figure",
    "export",
    "load_results",
    "register_pruner",
    "register_sampler",
    "register_tracker",
    "run_sweep",
]
