"""The kinds of corruption that objectives, tables and figures go by; it imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable

C_BAR = "c-bar"
KINDS: dict[str, tuple[str, ...]] = {
    "noise": ("gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise"),
    "blur": ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "gaussian_blur"),
    "weather": ("snow", "frost", "fog", "spatter", "brightness"),
    "digital": ("contrast", "elastic_transform", "pixelate", "jpeg_compression", "saturate"),
    C_BAR: (
        "blue_noise_sample",
        "brownish_noise",
        "perlin_noise",
        "plasma_noise",
        "single_frequency_greyscale",
        "cocentric_sine_waves",
        "checkerboard_cutout",
        "inverse_sparkles",
        "sparkles",
        "lines",
        "pinch_and_twirl",
        "ripple",
        "circular_motion_blur",
        "transverse_chromatic_abberation",
        "caustic_refraction",
    ),
}
"""The benchmark's four kinds of corruption (push–pull paper, section 4.2.1), and C-bar's, chosen to be unlike."""

CLEAN = "clean"
ALL = "all"
TUNED_ON = "tuned on"

RESERVED = (*KINDS, "c", CLEAN, ALL, TUNED_ON, "mean_corrupted", "tuned_distortion")
"""What results call something else: no corruption can have such a name."""

_KIND_OF = {name: kind for kind, names in KINDS.items() for name in names}


def kind_of(corruption: str) -> str:
    """Return the kind of a corruption; one that is not the benchmark's is a kind of its own, called by its name."""
    return _KIND_OF.get(corruption, corruption)


def by_kind(corruptions: Iterable[str]) -> dict[str, list[str]]:
    """Return {kind: its corruptions}, the benchmark's kinds first, the corruptions in the order given."""
    given = list(dict.fromkeys(corruptions))
    found: dict[str, list[str]] = {kind: [] for kind in (*KINDS, *(name for name in given if name not in _KIND_OF))}
    for name in given:
        found[kind_of(name)].append(name)
    return {kind: names for kind, names in found.items() if names}
