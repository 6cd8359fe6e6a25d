"""Search spaces: declarative, typed, and free of any search library."""

from engine.spaces.ablations import Factor, Factorial, LeaveOneOut, OneAtATime, one_each
from engine.spaces.arms import Arm
from engine.spaces.axes import Axis, Choice, Float, Int
from engine.spaces.contrasts import Comparison
from engine.spaces.draw import draw_settings
from engine.spaces.loading import datasets_of, load_space, register_spaces, space_names
from engine.spaces.method_parts import CONTROLS, Part
from engine.spaces.space import Space

__all__ = [
    "CONTROLS",
    "Arm",
    "Axis",
    "Choice",
    "Comparison",
    "Factor",
    "Factorial",
    "Float",
    "Int",
    "LeaveOneOut",
    "OneAtATime",
    "Part",
    "Space",
    "datasets_of",
    "draw_settings",
    "load_space",
    "one_each",
    "register_spaces",
    "space_names",
]
