"""The networks of the papers, by name."""

from engine.models import alexnet, allconv, cnn2, densenet, lenet, resnet  # noqa: F401  (each registers its family)
from engine.models.build import build_model
from engine.models.model_names import MODELS, find_model, model_names, model_source_digest, register_model
from engine.models.reference import load_reference_checkpoint

__all__ = [
    "MODELS",
    "build_model",
    "find_model",
    "load_reference_checkpoint",
    "model_names",
    "model_source_digest",
    "register_model",
]
