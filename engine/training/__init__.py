"""Training of whole networks and of selected filters."""

from engine.training.loop import Trainer, TrainingDivergedError, TrainingState
from engine.training.schedules import learning_rate
from engine.training.selective import SelectiveFilters, apply_changes

__all__ = [
    "SelectiveFilters",
    "Trainer",
    "TrainingDivergedError",
    "TrainingState",
    "apply_changes",
    "learning_rate",
]
