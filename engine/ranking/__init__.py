"""Ranking a layer's filters by how much a distortion changes what they respond."""

from engine.ranking import approximate, spatial  # noqa: F401  (they register their distances)
from engine.ranking.agreement import Agreement, compare_rankings
from engine.ranking.comparison import CONTROLS, control_agreements
from engine.ranking.controls import mean_activations, pooled_distances, random_exemplars, random_pair, split_halves
from engine.ranking.disparity import activation_disparity
from engine.ranking.distances import DISTANCES, filter_distances, register_distance
from engine.ranking.elections import ELECTIONS, borda_count, register_election
from engine.ranking.exemplars import find_exemplar
from engine.ranking.filters import FilterUnit, filter_layers, filter_units
from engine.ranking.maps import activation_maps
from engine.ranking.rankings import FilterRanking, make_ranking, rank_filters
from engine.ranking.selection import n_selected, select_filters
from engine.ranking.streaming import (
    check_distance,
    exemplar_distances,
    map_features,
    paired_distances,
    pixel_features,
)

__all__ = [
    "CONTROLS",
    "DISTANCES",
    "ELECTIONS",
    "Agreement",
    "FilterRanking",
    "FilterUnit",
    "activation_disparity",
    "activation_maps",
    "borda_count",
    "check_distance",
    "compare_rankings",
    "control_agreements",
    "exemplar_distances",
    "filter_distances",
    "filter_layers",
    "filter_units",
    "find_exemplar",
    "make_ranking",
    "map_features",
    "mean_activations",
    "n_selected",
    "paired_distances",
    "pixel_features",
    "pooled_distances",
    "random_exemplars",
    "random_pair",
    "rank_filters",
    "register_distance",
    "register_election",
    "select_filters",
    "split_halves",
]
