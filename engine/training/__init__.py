"""Training of whole networks and of selected filters."""

from engine._lazy import lazy_names

_MODULES = {
    "RECIPES": "engine.training.recipes",
    "Recipe": "engine.training.recipes",
    "SelectiveFilters": "engine.training.selective",
    "Trainer": "engine.training.loop",
    "TrainingDivergedError": "engine.training.loop",
    "TrainingState": "engine.training.loop",
    "apply_changes": "engine.training.selective",
    "recipe_settings": "engine.training.recipes",
    "register_recipe": "engine.training.recipes",
    "learning_rate": "engine.training.schedules",
}

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
__all__ = sorted(_MODULES)
