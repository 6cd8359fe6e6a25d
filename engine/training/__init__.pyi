"""The names of engine.training, for editors and type checkers: `python -m tests.test_stubs`."""

from engine.training.changes import apply_changes
from engine.training.correction import CorrectedFilters
from engine.training.frozen import CutNetwork, cut_network
from engine.training.loop import Trainer, TrainingDivergedError, TrainingState
from engine.training.recipes import RECIPES, Recipe, recipe_settings, register_recipe
from engine.training.schedules import learning_rate
from engine.training.selective import SelectiveFilters
from engine.training.whole import WholeNetwork

__all__ = [
    "RECIPES",
    "CorrectedFilters",
    "CutNetwork",
    "Recipe",
    "SelectiveFilters",
    "Trainer",
    "TrainingDivergedError",
    "TrainingState",
    "WholeNetwork",
    "apply_changes",
    "cut_network",
    "learning_rate",
    "recipe_settings",
    "register_recipe",
]
