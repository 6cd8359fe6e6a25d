"""`corrupt` and the registry that it finds corruptions in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache

import numpy as np
import torch

from engine.corruption_kinds import RESERVED
from engine.corruptions.constant_limits import cannot_be, check_limits
from engine.corruptions.constants import checked_names
from engine.corruptions.draws import Draws
from engine.corruptions.frost_pictures import FrostPicturesError
from engine.corruptions.pixels import ImageIndices, check_images, check_indices
from engine.corruptions.tables import (
    N_SEVERITIES,
    OBJECTIVES,
    REPORTED,
    add_severity_table,
    check_severity,
    severity_table,
    table_digest,
)
from engine.errors import InputError, unknown_name
from engine.registry import Registry

# images uint8 (n, c, h, w), the constants of one severity, draws → uint8 of the same shape on the same device
CorruptionFunction = Callable[..., torch.Tensor]

CORRUPTION_REGISTRY: Registry[CorruptionFunction] = Registry("corruption")
_own_constants: dict[str, tuple] = {}
_failures: dict[tuple, Exception | None] = {}
"""What came of trying a user's own: it is asked for each trial that is planned."""

# Elements at a time: on the CPU intermediate results stay in the cache, on a GPU they stay below 2 GB.
_CHUNK_ELEMENTS = {"cpu": 1 << 18, "cuda": 1 << 24}


def register_corruption(
    name: str, *, constants: Sequence[object] | None = None
) -> Callable[[CorruptionFunction], CorruptionFunction]:
    """Return a decorator that adds a corruption.

    The function gets uint8 images (n, c, h, w), the constants of one severity and a `Draws`, and returns uint8 images
    of the same shape on the same device. It must treat each image on its own and take all randomness from the draws.

    Args:
        name: what `corrupt` will call it.
        constants: what it gets at severities 1 to 5, whatever the table; without it, the tables must have the name.

    Raises:
        InputError: not five constants, or the name is taken, or means something else in results.
    """
    if name in RESERVED:
        raise InputError(
            f"a corruption cannot be called {name!r}: results call something else so ({', '.join(RESERVED)})"
        )
    if constants is not None and not isinstance(constants, list | tuple):
        raise InputError(
            f"`constants` of corruption {name!r} must be {N_SEVERITIES}, one a severity, got {constants!r}"
        )
    if constants is not None and len(constants) != N_SEVERITIES:
        raise InputError(f"`constants` of corruption {name!r} must be {N_SEVERITIES}, got {len(constants)}")

    def add(function: CorruptionFunction) -> CorruptionFunction:
        CORRUPTION_REGISTRY.register(name)(function)
        if constants is not None:
            _own_constants[name] = tuple(constants)
        return function

    return add


def register_severity_table(
    name: str,
    constants: Mapping[str, Sequence[object]],
    *,
    objective: Sequence[str] | None = None,
    reported: Sequence[str] | None = None,
) -> None:
    """Add a severity table: how strong each severity of some corruptions is; `evaluate.table` chooses it.

    Args:
        name: what `evaluate.table` will call it.
        constants: {corruption: what it gets at severities 1 to 5}, of registered ones.
        objective: those that trials are compared by unless they name others; all of them if not given.
        reported: those that trials are tested on unless they name others; all of them if not given.

    Raises:
        InputError: another table has the name, a corruption is not known, has not five constants, or one of them is no
            finite number or is built otherwise than the engine's own; or no names are given to choose by.
    """
    if not isinstance(name, str) or not name.isprintable() or not name.strip():
        raise InputError(f"a severity table's name is a word, got {name!r}")
    for corruption in constants if isinstance(constants, Mapping) else ():
        if corruption not in CORRUPTION_REGISTRY:
            raise unknown_name("corruption", corruption, CORRUPTION_REGISTRY, of=f"severity table {name!r}")
    chosen = [
        checked_names(name, what, names, constants)
        for what, names in (("objective", objective), ("reported", reported))
    ]
    for corruption in (*chosen[0], *chosen[1]):
        if corruption not in constants:
            raise unknown_name("corruption", corruption, constants, of=f"severity table {name!r}")
    add_severity_table(name, constants)
    OBJECTIVES[name], REPORTED[name] = chosen


def table_corruptions(table: str = "cifar-c") -> tuple[str, ...]:
    """Return the corruptions that a severity table covers, in its order, then those that bring their own constants.

    Raises:
        InputError: there is no such table.
    """
    covered = [name for name in severity_table(table) if name in CORRUPTION_REGISTRY]
    return (*covered, *(name for name in _own_constants if name not in covered))


def severity_constants(name: str, severity: int, table: str = "cifar-c") -> object:
    """Return what a corruption's function gets at a severity: a number or a tuple.

    Raises:
        InputError: unknown name or table, a name that the table does not cover, or a severity outside 1…5.
    """
    severity = check_severity(severity)
    if name not in CORRUPTION_REGISTRY:
        raise unknown_name("corruption", name, CORRUPTION_REGISTRY)
    if name in _own_constants:
        return _own_constants[name][severity - 1]
    constants = severity_table(table)
    if name not in constants:
        covered = ", ".join(table_corruptions(table))
        raise InputError(f"severity table {table!r} has no corruption {name!r}; it has: {covered}")
    return constants[name][severity - 1]


def corrupt(
    images: torch.Tensor,
    name: str,
    severity: int,
    *,
    seed: int,
    indices: ImageIndices | None = None,
    table: str = "cifar-c",
) -> torch.Tensor:
    """Return corrupted images. Image i depends on (seed, name, severity, its index in the data set) only.

    Args:
        images: uint8 (n, c, h, w).
        name: one of `CORRUPTIONS` or a registered one.
        severity: 1 to 5; severities draw anew, they are not nested.
        seed: what the random draws come from.
        indices: the images' indices in their data set, (n,); None means 0, 1, ….
        table: the severity table, "cifar-c", "digits" or a registered one.

    Returns:
        uint8 (n, c, h, w) on the images' device.

    Raises:
        InputError: unknown name or table, severity outside 1…5, or images or indices of the wrong type or shape.
    """
    constants = severity_constants(name, severity, table)
    images = check_images(images)
    indices = check_indices(indices, images)
    function = CORRUPTION_REGISTRY[name]
    purpose = ("corruption", name, check_severity(severity))
    # Written part by part: a second set of the images' size never exists.
    corrupted, done = torch.empty_like(images, memory_format=torch.contiguous_format), 0
    for part, part_indices in chunks(images, indices):
        corrupted[done : done + len(part)] = function(part, constants, Draws(seed, purpose, part_indices))
        done += len(part)
    return corrupted


@cache
def why_impossible(name: str, table: str, channels: int, side: int) -> str | None:
    """Return why a corruption has no meaning for images of a shape (saturation of grey ones, say), or None.

    Raises:
        FrostPicturesError: it could be had, but for the pictures that it needs.
    """
    grey = torch.full((1, channels, side, side), 128, dtype=torch.uint8)
    try:
        corrupt(grey, name, 1, seed=0, table=table)
    except FrostPicturesError:
        raise
    except InputError as error:
        return str(error)
    return None


def check_constants(name: str, table: str, severities: Iterable[int], channels: int, side: int) -> None:
    """Try a corruption at some severities on small images, where it or the table is a user's own.

    That it has no meaning for images of the shape is ``why_impossible``'s to say.

    Args:
        name: a corruption that the table covers.
        table: the severity table.
        severities: 1 to 5.
        channels: of the images.
        side: of the images, in pixels.

    Raises:
        InputError: a constant has no meaning, or it fails with one, or gives something else than images.
        FrostPicturesError: see ``why_impossible``.
    """
    own_corruption = CORRUPTION_REGISTRY.source_digest(name) is not None
    from_table = name not in _own_constants and table_digest(table) is not None
    if not (own_corruption or from_table):
        return
    if not own_corruption and why_impossible(name, "cifar-c", channels, side) is not None:
        return
    for severity in severities:
        constants = severity_constants(name, severity, table)
        if not own_corruption:
            check_limits(table, name, severity, constants)
        tried = (CORRUPTION_REGISTRY[name], severity, repr(constants), channels, side)
        if tried not in _failures:
            _failures[tried] = _failure(name, severity, table, (channels, side))
        error = _failures[tried]
        if error is None:
            continue
        if own_corruption and severity == 1 and isinstance(error, InputError):
            return  # what a corruption says of images that it has no meaning for
        if not own_corruption and not isinstance(error, InputError):  # what torch says of it helps nobody
            raise cannot_be(table, name, severity, constants) from error
        of_table = f" of severity table {table!r}" if from_table else ""
        raise InputError(
            f"corruption {name!r} fails with the constant {constants!r}{of_table} at severity {severity}: "
            + (str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}")
        ) from error


def _failure(name: str, severity: int, table: str, shape: tuple[int, int]) -> Exception | None:
    """Return what a corruption raises for a grey and a noisy image of (channels, side), or None."""
    channels, side = shape
    images = torch.full((2, channels, side, side), 128, dtype=torch.uint8)
    images[1].random_(generator=torch.Generator().manual_seed(0))
    constants = severity_constants(name, severity, table)
    draws = Draws(0, ("corruption", name, severity), torch.arange(len(images)))
    try:
        with np.errstate(divide="raise", invalid="raise"):
            made = CORRUPTION_REGISTRY[name](images.clone(), constants, draws)
    except FrostPicturesError:
        raise
    except Exception as error:  # a user's own raises as it likes, and so does arithmetic
        return error
    if not isinstance(made, torch.Tensor) or made.dtype != images.dtype or made.shape != images.shape:
        what = f"{made.dtype} {tuple(made.shape)}" if isinstance(made, torch.Tensor) else type(made).__name__
        return TypeError(f"it must return uint8 images of the shape {tuple(images.shape)}, got {what}")
    return None


def chunks(images: torch.Tensor, indices: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield images and their indices in parts small enough to work on."""
    n_elements = _CHUNK_ELEMENTS.get(images.device.type, _CHUNK_ELEMENTS["cpu"])
    size = max(1, n_elements // images[0].numel())
    yield from zip(images.split(size), indices.split(size), strict=True)
