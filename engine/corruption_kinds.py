"""The kinds of corruption that objectives, tables and figures go by; it imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable

KINDS: dict[str, tuple[str, ...]] = {
    "noise": ("gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise"),
    "blur": ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "gaussian_blur"),
    "weather": ("snow", "frost", "fog", "spatter", "brightness"),
    "digital": ("contrast", "elastic_transform", "pixelate", "jpeg_compression", "saturate"),
}
"""The benchmark's four kinds of corruption (push–pull paper, section 4.2.1)."""

CLEAN = "clean"
ALL = "all"
TUNED_ON = "tuned on"

RESERVED = (*KINDS, CLEAN, ALL, TUNED_ON, "mean_corrupted", "tuned_distortion")
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
