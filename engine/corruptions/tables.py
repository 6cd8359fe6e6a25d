"""Severity tables: for each corruption its constants at severities 1 to 5.

"cifar-c" has the constants of CIFAR-10-C (Hendrycks & Dietterich, "Benchmarking neural network robustness to common
corruptions and perturbations", ICLR 2019; `make_cifar_c.py`). "digits" is this project's own, for 16×16 one-channel
digits, which are so easy that the benchmark's constants would hardly hurt. "push-pull-mnist" and "push-pull-cifar" have
the levels of the push–pull paper's Figs. 4 and 5 and Table 4. "imagenet-c" has the constants of ImageNet-C, for images
of 224 pixels. The benchmarks' two have C-bar's corruptions as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from engine.corruptions.c_bar_tables import CIFAR_C_BAR, FOR_CIFAR, FOR_IMAGENET, IMAGENET_C_BAR
from engine.corruptions.constants import checked_constants
from engine.corruptions.imagenet_c_tables import IMAGENET_C
from engine.digest import digest
from engine.errors import InputError, unknown_name

N_SEVERITIES = 5

# In CIFAR-10-C's order, which CORRUPTIONS takes from here.
_CIFAR_C: dict[str, tuple] = {
    "gaussian_noise": (0.04, 0.06, 0.08, 0.09, 0.1),  # standard deviation
    "shot_noise": (500, 250, 100, 75, 50),  # photons at full scale
    "impulse_noise": (0.01, 0.02, 0.03, 0.05, 0.07),  # share of replaced bytes
    "defocus_blur": ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),  # disk radius, its blur's sigma
    "glass_blur": ((0.05, 1), (0.25, 1), (0.4, 1), (0.25, 2), (0.4, 2)),  # sigma, passes
    "motion_blur": ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),  # radius, sigma
    "zoom_blur": (7, 12, 16, 21, 26),  # number of zooms 1.00, 1.01, …
    "snow": (  # mean, standard deviation, zoom, threshold, motion radius, motion sigma, share of the image kept
        (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
        (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
        (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
        (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
        (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
    ),
    "frost": ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)),  # weight of the image, of the frost
    "fog": ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),  # weight, decay of the roughness
    "brightness": (0.05, 0.1, 0.15, 0.2, 0.3),  # added to V
    "contrast": (0.75, 0.5, 0.4, 0.3, 0.15),  # factor
    "elastic_transform": (  # strength, sigma, affine jitter, each as a share of the side
        (0, 0, 0.08),
        (0.05, 0.2, 0.07),
        (0.08, 0.06, 0.06),
        (0.1, 0.04, 0.05),
        (0.1, 0.03, 0.03),
    ),
    "pixelate": (0.95, 0.9, 0.85, 0.75, 0.65),  # scale
    "jpeg_compression": (80, 65, 58, 50, 40),  # quality
    "speckle_noise": (0.06, 0.1, 0.12, 0.16, 0.2),  # standard deviation at full scale
    "gaussian_blur": (0.4, 0.6, 0.7, 0.8, 1),  # sigma in pixels
    "spatter": (  # mean, standard deviation, sigma, threshold, strength (water) or sigma (mud), kind
        (0.62, 0.1, 0.7, 0.7, 0.5, "water"),
        (0.65, 0.1, 0.8, 0.7, 0.5, "water"),
        (0.65, 0.3, 1, 0.69, 0.5, "water"),
        (0.65, 0.1, 0.7, 0.69, 0.6, "mud"),
        (0.65, 0.1, 0.5, 0.68, 0.6, "mud"),
    ),
    "saturate": ((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)),  # factor of S, offset of S
}

# Chosen so that small networks with 3 % clean error err on 3–9 % at severity 1 and on 30–75 % at 5.
_DIGITS: dict[str, tuple] = {
    "gaussian_noise": (0.05, 0.1, 0.15, 0.2, 0.3),
    "shot_noise": (60, 25, 12, 6, 3),
    "impulse_noise": (0.02, 0.05, 0.1, 0.17, 0.27),
    "motion_blur": ((4, 1), (4, 2), (6, 3), (8, 4), (8, 6)),
    "brightness": (0.1, 0.2, 0.3, 0.4, 0.5),
    "contrast": (0.75, 0.6, 0.5, 0.4, 0.3),
    "pixelate": (0.9, 0.75, 0.6, 0.4, 0.3),
    "speckle_noise": (0.15, 0.3, 0.45, 0.6, 0.8),
    "gaussian_blur": (0.7, 1, 1.4, 1.8, 2.4),
}

# The push–pull paper's own levels (section 4.1.2, Fig. 4, Table 4): variances of Gaussian noise, whose constants are
# standard deviations. Of its Poisson noise it gives no peaks; those are chosen here.
_VARIANCES_MNIST = (0.01, 0.1, 0.2, 0.3, 0.5)
_VARIANCES_CIFAR = (0.0001, 0.0005, 0.001, 0.005, 0.01)
_PAPER_MNIST: dict[str, tuple] = {
    "gaussian_noise": tuple(variance**0.5 for variance in _VARIANCES_MNIST),
    "shot_noise": (100, 50, 20, 10, 5),
}
_PAPER_CIFAR: dict[str, tuple] = {"gaussian_noise": tuple(variance**0.5 for variance in _VARIANCES_CIFAR)}

SEVERITY_TABLES: dict[str, dict[str, tuple]] = {
    "cifar-c": _CIFAR_C | FOR_CIFAR,
    "imagenet-c": IMAGENET_C | FOR_IMAGENET,
    "digits": _DIGITS,
    "push-pull-mnist": _PAPER_MNIST,
    "push-pull-cifar": _PAPER_CIFAR,
}

OBJECTIVES: dict[str, tuple[str, ...]] = {
    "digits": ("gaussian_noise", "shot_noise"),
    "cifar-c": ("speckle_noise", "gaussian_blur", "spatter", "saturate"),
    "imagenet-c": ("speckle_noise", "gaussian_blur", "spatter", "saturate"),
    "push-pull-mnist": ("gaussian_noise", "shot_noise"),
    "push-pull-cifar": ("gaussian_noise",),
}
"""By severity table, the corruptions that choices are made by. CIFAR-C's four are those that the benchmark's authors
set aside for validation; digits have no colour and little texture, and are compared under noise."""

CORRUPTIONS: tuple[str, ...] = tuple(_CIFAR_C)

REPORTED: dict[str, tuple[str, ...]] = {
    "digits": ("gaussian_noise", "shot_noise", "gaussian_blur", "contrast"),
    "cifar-c": CORRUPTIONS,
    "imagenet-c": CORRUPTIONS,
}
"""By severity table, the corruptions that a trial is tested on unless it names others; else all of it."""

SUITES: dict[str, dict[str, tuple[str, ...]]] = {
    "cifar-c": {"c": CORRUPTIONS, "c-bar": tuple(CIFAR_C_BAR)},
    "imagenet-c": {"c": CORRUPTIONS, "c-bar": tuple(IMAGENET_C_BAR)},
}
"""By severity table, {a word that stands for several of its corruptions: these}."""

_OWN = tuple(SEVERITY_TABLES)
AUTOMATIC = "auto"
"""What names no table, but the one that suits the images."""


def severity_table(table: str) -> dict[str, tuple]:
    """Return the constants by corruption of a named table.

    Raises:
        InputError: there is no such table.
    """
    if table not in SEVERITY_TABLES:
        raise unknown_name("severity table", table, SEVERITY_TABLES)
    return SEVERITY_TABLES[table]


def with_suites(names: Sequence[str], table: str) -> tuple[str, ...]:
    """Return names of corruptions, each once, in which a suite of the table is replaced by what it stands for."""
    suites = SUITES.get(table, {})
    return tuple(dict.fromkeys(name for word in names for name in suites.get(word, (word,))))


def tables_with(word: str) -> list[str]:
    """Return the severity tables that have a corruption, or a suite of some, of a name."""
    return [table for table, constants in SEVERITY_TABLES.items() if word in constants or word in SUITES.get(table, {})]


def not_in_table(word: str, table: str, known: Iterable[str], other: str | None, option: str) -> InputError:
    """Return the error for a corruption, or a suite of some, that a severity table has not.

    Args:
        word: what was asked for.
        table: the table.
        known: the corruptions and suites that it has.
        other: a table that has the word; None for none.
        option: what chooses a table, to be read before its name ("evaluate.table=").
    """
    if other is None:
        return unknown_name("corruption", word, known, of=f"severity table {table!r}")
    what = "corruption" if word in SEVERITY_TABLES[other] else "suite of corruptions"
    return InputError(
        f"severity table {table!r} has no {what} {word!r}, but {other!r} has: {option}{other}; known: "
        + ", ".join(sorted(known))
    )


def add_severity_table(name: str, constants: Mapping[str, Sequence[object]]) -> None:
    """Add a table, unless it is there.

    Raises:
        InputError: another one has the name, or its constants cannot be a corruption's (see ``checked_constants``).
    """
    examples = [SEVERITY_TABLES["cifar-c"], SEVERITY_TABLES["imagenet-c"]]
    table = checked_constants(name, constants, examples, N_SEVERITIES)
    if name == AUTOMATIC or SEVERITY_TABLES.get(name, table) != table:
        raise InputError(f"a severity table called {name!r} is there already")
    SEVERITY_TABLES[name] = table


def table_digest(table: str) -> str | None:
    """Return a hash of a table's constants; None for the engine's own tables, which do not change."""
    return None if table in _OWN else digest(severity_table(table))[:16]


def check_severity(severity: object) -> int:
    """Return the severity as an int.

    Raises:
        InputError: it is no whole number from 1 to 5.
    """
    whole = not isinstance(severity, bool) and hasattr(severity, "__index__")
    if not whole or not 1 <= severity.__index__() <= N_SEVERITIES:  # type: ignore[attr-defined]
        raise InputError(f"`severity` must be a whole number from 1 to {N_SEVERITIES}, got {severity!r}")
    return severity.__index__()  # type: ignore[attr-defined]
