"""Image corruptions (CIFAR-10-C's nineteen, and C-bar's) and distortions, batched on the images' own device."""

from engine.corruptions import (
    blur,
    c_bar_caustics,
    c_bar_lines,
    c_bar_noise,
    c_bar_shapes,
    c_bar_warps,
    c_bar_waves,
    digital,
    noise,
    spatter,
    weather,
)
from engine.corruptions.apply import (
    CORRUPTION_REGISTRY,
    check_constants,
    corrupt,
    register_corruption,
    register_severity_table,
    severity_constants,
    table_corruptions,
    why_impossible,
)
from engine.corruptions.distortions import (
    DISTORTION_REGISTRY,
    DISTORTIONS,
    default_levels,
    distort,
    register_distortion,
)
from engine.corruptions.draws import Draws
from engine.corruptions.frost_pictures import FrostSource, frost_source
from engine.corruptions.perturbed_frames import perturbation_frames
from engine.corruptions.sequence_tables import SEQUENCES
from engine.corruptions.tables import CORRUPTIONS, SEVERITY_TABLES

__all__ = [
    "CORRUPTIONS",
    "CORRUPTION_REGISTRY",
    "DISTORTIONS",
    "DISTORTION_REGISTRY",
    "SEQUENCES",
    "SEVERITY_TABLES",
    "Draws",
    "FrostSource",
    "blur",
    "c_bar_caustics",
    "c_bar_lines",
    "c_bar_noise",
    "c_bar_shapes",
    "c_bar_warps",
    "c_bar_waves",
    "check_constants",
    "corrupt",
    "default_levels",
    "digital",
    "distort",
    "frost_source",
    "noise",
    "perturbation_frames",
    "register_corruption",
    "register_distortion",
    "register_severity_table",
    "severity_constants",
    "spatter",
    "table_corruptions",
    "weather",
    "why_impossible",
]
