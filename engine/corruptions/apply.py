"""`corrupt` and the registry that it finds corruptions in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache

import torch

from engine.corruption_kinds import RESERVED
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
)
from engine.errors import InputError, unknown_name
from engine.registry import Registry

# images uint8 (n, c, h, w), the constants of one severity, draws → uint8 of the same shape on the same device
CorruptionFunction = Callable[..., torch.Tensor]

CORRUPTION_REGISTRY: Registry[CorruptionFunction] = Registry("corruption")
_own_constants: dict[str, tuple] = {}

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
    objective: Sequence[str] = (),
    reported: Sequence[str] = (),
) -> None:
    """Add a severity table: how strong each severity of some corruptions is; `evaluate.table` chooses it.

    Args:
        name: what `evaluate.table` will call it.
        constants: {corruption: what it gets at severities 1 to 5}, of registered ones.
        objective: those that trials are compared by unless they name others; all of them if not given.
        reported: those that trials are tested on unless they name others; all of them if not given.

    Raises:
        InputError: another table has the name, a corruption is not known, or has not five constants.
    """
    for corruption in constants:
        if corruption not in CORRUPTION_REGISTRY:
            raise unknown_name(f"corruption in severity table {name!r}", corruption, CORRUPTION_REGISTRY)
    for corruption in (*objective, *reported):
        if corruption not in constants:
            raise unknown_name(f"corruption of severity table {name!r}", corruption, constants)
    add_severity_table(name, constants)
    OBJECTIVES[name] = tuple(objective or constants)
    REPORTED[name] = tuple(reported or constants)


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


def chunks(images: torch.Tensor, indices: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield images and their indices in parts small enough to work on."""
    n_elements = _CHUNK_ELEMENTS.get(images.device.type, _CHUNK_ELEMENTS["cpu"])
    size = max(1, n_elements // images[0].numel())
    yield from zip(images.split(size), indices.split(size), strict=True)
