"""Image corruptions (CIFAR-10-C's nineteen) and distortions, batched on the images' own device."""

from engine.corruptions import blur, digital, noise, spatter, weather
from engine.corruptions.apply import corrupt, register_corruption, severity_constants, table_corruptions
from engine.corruptions.distortions import DISTORTIONS, default_levels, distort, register_distortion
from engine.corruptions.draws import Draws
from engine.corruptions.tables import CORRUPTIONS, SEVERITY_TABLES

__all__ = [
    "CORRUPTIONS",
    "DISTORTIONS",
    "SEVERITY_TABLES",
    "Draws",
    "blur",
    "corrupt",
    "default_levels",
    "digital",
    "distort",
    "noise",
    "register_corruption",
    "register_distortion",
    "severity_constants",
    "spatter",
    "table_corruptions",
    "weather",
]
