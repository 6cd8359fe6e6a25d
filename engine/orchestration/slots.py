"""How many stages run at once, and what each may use."""

from __future__ import annotations

import math
from dataclasses import dataclass

from engine.errors import InputError
from engine.orchestration.options import SweepOptions


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


def plan_slots(options: SweepOptions, *, n_cpus: float, n_gpus: float, elastic: bool = False) -> SlotPlan:
    """Return the slots that the options ask for, or as many as there is room for.

    Args:
        options: slots, and cores and GPUs of each.
        n_cpus: cores at hand.
        n_gpus: GPUs at hand.
        elastic: whether there may be more machines later: then as many slots are planned as are asked for.

    Raises:
        InputError: they do not fit.
    """
    cpus = options.cpus_per_slot
    gpus = options.gpus_per_slot if options.gpus_per_slot is not None else min(1.0, n_gpus)
    room = math.floor(n_cpus / cpus)
    if gpus > 0:
        room = min(room, math.floor(n_gpus / gpus + 1e-9))
    if room < (options.slots or 1) and not (elastic and options.slots is not None):
        raise InputError(
            f"{options.slots or 1} slots of {cpus} cores and {gpus:g} GPUs do not fit: there are {n_cpus:g} cores and "
            f"{n_gpus:g} GPUs"
        )
    return SlotPlan(options.slots or room, cpus, gpus)
