"""Optuna's room: studies, samplers, pruners."""

from engine.orchestration.search.grid import count_of_few, grid_settings
from engine.orchestration.search.pruner_kinds import PRUNERS, PrunerNumber, PrunerRequest, register_pruner
from engine.orchestration.search.pruners import PrunerChoice, parse_pruner, try_pruner
from engine.orchestration.search.repeats import Identities, check_reproduces
from engine.orchestration.search.sampler_study import try_sampler
from engine.orchestration.search.samplers import SAMPLERS, SamplerRequest, check_search, register_sampler, search_notes
from engine.orchestration.search.sequences import ProposalSequence, make_sequence
from engine.orchestration.search.stored_studies import read_results, results_so_far, study_names
from engine.orchestration.search.study import Proposal, SweepStudy

__all__ = [
    "PRUNERS",
    "SAMPLERS",
    "Identities",
    "Proposal",
    "ProposalSequence",
    "PrunerChoice",
    "PrunerNumber",
    "PrunerRequest",
    "SamplerRequest",
    "SweepStudy",
    "check_reproduces",
    "check_search",
    "count_of_few",
    "grid_settings",
    "make_sequence",
    "parse_pruner",
    "read_results",
    "register_pruner",
    "register_sampler",
    "results_so_far",
    "search_notes",
    "study_names",
    "try_pruner",
    "try_sampler",
]
