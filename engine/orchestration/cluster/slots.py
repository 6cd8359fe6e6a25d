"""How many stages run at once, and what each may use."""

from __future__ import annotations

import math
from dataclasses import dataclass

from engine.errors import InputError


@dataclass(frozen=True)
class SlotRequest:
    """The slots that somebody asks for.

    Attributes:
        n_slots: how many; None for as many as there is room for.
        cpus: cores of each.
        gpus: GPUs of each; None for one where there are any.
    """

    n_slots: int | None = None
    cpus: int = 1
    gpus: float | None = None


@dataclass(frozen=True)
class SlotPlan:
    """The slots of a sweep: one stage worker each.

    Attributes:
        n_slots: how many.
        cpus: cores of each, which are also its threads.
        gpus: GPUs of each; may be a fraction.
    """

    n_slots: int
    cpus: int
    gpus: float

    @property
    def device(self) -> str:
        """Return the device type that stages run on."""
        return "cuda" if self.gpus > 0 else "cpu"


def plan_slots(asked: SlotRequest, *, n_cpus: float, n_gpus: float, elastic: bool = False) -> SlotPlan:
    """Return the slots that the options ask for, or as many as there is room for.

    Args:
        asked: slots, and cores and GPUs of each.
        n_cpus: cores at hand.
        n_gpus: GPUs at hand.
        elastic: whether there may be more machines later: then as many slots are planned as are asked for.

    Raises:
        InputError: they do not fit.
    """
    cpus = asked.cpus
    gpus = asked.gpus if asked.gpus is not None else min(1.0, n_gpus)
    room = math.floor(n_cpus / cpus)
    if gpus > 0:
        room = min(room, math.floor(n_gpus / gpus + 1e-9))
    if room < (asked.n_slots or 1) and not (elastic and asked.n_slots is not None):
        raise InputError(
            f"{asked.n_slots or 1} slots of {cpus} cores and {gpus:g} GPUs do not fit: there are {n_cpus:g} cores and "
            f"{n_gpus:g} GPUs"
        )
    return SlotPlan(asked.n_slots or room, cpus, gpus)
