"""Training of whole networks, of selected filters, and of what these are compared with."""

from engine._lazy import lazy_names

_MODULES = {
    "CorrectedFilters": "engine.training.correction",
    "CutNetwork": "engine.training.frozen",
    "RECIPES": "engine.training.recipes",
    "Recipe": "engine.training.recipes",
    "SelectiveFilters": "engine.training.selective",
    "Trainer": "engine.training.loop",
    "TrainingDivergedError": "engine.training.loop",
    "TrainingState": "engine.training.loop",
    "WholeNetwork": "engine.training.whole",
    "apply_changes": "engine.training.changes",
    "cut_network": "engine.training.frozen",
    "recipe_settings": "engine.training.recipes",
    "register_recipe": "engine.training.recipes",
    "learning_rate": "engine.training.schedules",
}

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
__all__ = sorted(_MODULES)
