"""Search spaces: declarative, typed, and free of any search library."""

from engine.spaces.axes import Axis, Choice, Float, Int
from engine.spaces.draw import draw_settings
from engine.spaces.loading import load_space, register_spaces, space_names
from engine.spaces.space import Arm, Space

__all__ = [
    "Arm",
    "Axis",
    "Choice",
    "Float",
    "Int",
    "Space",
    "draw_settings",
    "load_space",
    "register_spaces",
    "space_names",
]
