"""How many stages run at once, and what each may use."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from engine.errors import InputError

_SHARES = 10_000
"""The parts of a GPU that Ray counts in."""


def check_gpus(gpus: float, called: str) -> None:
    """Check that Ray can give so many GPUs to one slot: whole ones, or a share of one.

    Raises:
        InputError: it cannot.
    """
    if not math.isfinite(gpus) or gpus < 0 or 0 < gpus < 1 / _SHARES or (gpus > 1 and gpus != int(gpus)):
        raise InputError(
            f"{called} must be 0, a share of one GPU from {1 / _SHARES:g} on, or a whole number of GPUs, got {gpus:g}"
        )


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


@dataclass(frozen=True)
class Machine:
    """A machine of a cluster, or a kind of machine that it may get.

    Attributes:
        cpus: cores that it offers.
        gpus: GPUs that it offers.
        name: of its kind; "" for a machine that is up.
    """

    cpus: float
    gpus: float
    name: str = ""

    def room(self, cpus: float, gpus: float) -> int:
        """Return how many slots fit as Ray places them: a share of a GPU lies on one GPU, it is not put together."""
        room = math.floor(self.cpus / cpus)
        if gpus <= 0:
            return room
        if gpus >= 1:
            return min(room, math.floor(self.gpus / gpus + 1e-9))
        return min(room, math.floor(self.gpus) * (_SHARES // round(gpus * _SHARES)))

    def __str__(self) -> str:
        what = f"{counted(self.cpus, 'core')} and {counted(self.gpus, 'GPU')}"
        return f"{self.name} ({what})" if self.name else what


def plan_slots(asked: SlotRequest, *, n_cpus: float, n_gpus: float) -> SlotPlan:
    """Return the slots of a machine that the options ask for, or as many as there is room for.

    Args:
        asked: slots, and cores and GPUs of each.
        n_cpus: cores at hand.
        n_gpus: GPUs at hand.

    Raises:
        InputError: they do not fit.
    """
    cpus = asked.cpus
    gpus = asked.gpus if asked.gpus is not None else min(1.0, n_gpus)
    room = Machine(n_cpus, n_gpus).room(cpus, gpus)
    if room < (asked.n_slots or 1):
        raise InputError(
            f"{counted(asked.n_slots or 1, 'slot')} of {counted(cpus, 'core')} and {counted(gpus, 'GPU')} do not fit: "
            f"there are {counted(n_cpus, 'core')} and {counted(n_gpus, 'GPU')}"
        )
    return SlotPlan(asked.n_slots or room, cpus, gpus)


def plan_cluster_slots(asked: SlotRequest, machines: Sequence[Machine], kinds: Sequence[Machine] = ()) -> SlotPlan:
    """Return the slots of a cluster whose machines come and go: those that are asked for, whether or not there is room
    for them now, or as many as the machines that are up have room for.

    Args:
        asked: slots, and cores and GPUs of each.
        machines: that are up.
        kinds: of machines that the cluster may get; empty where that is not known.

    Raises:
        InputError: no machine has room for one and none is to come, they could never fit, or it is not said whether
            they are to have GPUs.
    """
    has_gpus = any(machine.gpus > 0 for machine in machines)
    to_come = [kind for kind in kinds if kind.gpus > 0]
    if asked.gpus is None and not has_gpus and to_come:
        raise InputError(
            f"no machine of the cluster with a GPU is up, but it may get some ({', '.join(map(str, to_come))}): add "
            "--gpus-per-slot 1 and --slots N to wait for them, or --gpus-per-slot 0 for cores alone"
        )
    if asked.gpus is None and asked.n_slots is not None and not has_gpus:
        raise InputError(
            f"no machine of the cluster with a GPU is up, so that --slots {asked.n_slots} does not say what stages run "
            "on: add --gpus-per-slot 1 to wait for machines with GPUs, or --gpus-per-slot 0 for cores alone"
        )
    gpus = asked.gpus if asked.gpus is not None else min(1.0, max((machine.gpus for machine in machines), default=0.0))
    slot = f"a slot of {counted(asked.cpus, 'core')} and {counted(gpus, 'GPU')}"
    possible = [*machines, *kinds]
    if kinds and not any(machine.room(asked.cpus, gpus) for machine in possible):
        raise InputError(
            f"{slot} fits no machine that the cluster has or may get: {', '.join(dict.fromkeys(map(str, possible)))}; "
            "lower --cpus-per-slot or --gpus-per-slot"
        )
    room = sum(machine.room(asked.cpus, gpus) for machine in machines)
    if asked.n_slots is None and not room:
        there = ", ".join(dict.fromkeys(map(str, machines))) or "there is none"
        raise InputError(
            f"no machine of the cluster has room for {slot} now ({there}); where machines come once they are wanted, "
            "say how many slots there may be, and what each gets: --slots N --gpus-per-slot 1 (0 for cores alone)"
        )
    return SlotPlan(asked.n_slots or room, asked.cpus, gpus)


def note_of_cores_alone(asked: SlotRequest, slots: SlotPlan) -> str:
    """Return a note for a person where a cluster's stages get no GPU though nobody said so; "" where there is none."""
    if asked.gpus is not None or slots.gpus > 0:
        return ""
    return (
        "no machine of the cluster that is up has a GPU: stages run on cores alone, and their keys say so; "
        "--gpus-per-slot 1 with --slots N waits for machines with GPUs"
    )


def counted(count: float, what: str) -> str:
    """Return a number with its noun, in the singular for 1."""
    return f"{count:g} {what}{'s' * (count != 1)}"
