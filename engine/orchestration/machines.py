"""What a sweep runs on: slots of this machine and a Ray of its own, or a cluster's, made ready beside other work."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from engine import variables
from engine.errors import InputError
from engine.orchestration.cluster.mps import check_mps, mps
from engine.orchestration.cluster.slots import SlotPlan, plan_cluster_slots, plan_slots
from engine.orchestration.options import SweepOptions
from engine.priority import import_beside
from engine.signs_of_life import doing

if TYPE_CHECKING:
    from engine.orchestration.cluster.connection import Cluster, PrivateRay

_FOR_THE_TRIALS = ("ray", "engine.orchestration.cluster.tune_run", "engine.orchestration.cluster.stage_pool")
"""What Ray's part of a sweep imports."""


def is_private(options: SweepOptions) -> bool:
    """Return whether the sweep has a Ray of its own on this machine."""
    return options.cluster_address is None


def check_slots(options: SweepOptions) -> None:
    """Check what is asked for of this machine's cores and GPUs; a cluster is not asked before the sweep starts.

    Raises:
        InputError: it cannot be had.
    """
    asked = options.slot_request
    if is_private(options):
        slots = slots_of_this_machine(options)
    else:
        slots = SlotPlan(asked.n_slots or 1, asked.cpus, 1.0 if asked.gpus is None else asked.gpus)
    if is_private(options) or asked.gpus is not None:
        options.numerics(slots.device).check()
    if options.mps:
        check_mps(slots, is_private=is_private(options))


def slots_of_this_machine(options: SweepOptions) -> SlotPlan:
    """Return the slots of a private Ray.

    Raises:
        InputError: they do not fit.
    """
    try:
        return plan_slots(options.slot_request, n_cpus=os.cpu_count() or 1, n_gpus=torch.cuda.device_count())
    except InputError as error:
        asked = [variables.source_of(options, name) for name in ("slots", "cpus_per_slot", "gpus_per_slot")]
        said = " and ".join(name for name in asked if name)
        raise InputError(f"{error} (as {said} of the environment asks)" if said else str(error)) from None


def begin_private_ray(options: SweepOptions) -> PrivateRay | None:
    """Begin to start the Ray that a sweep's command is going to need, on CPUs, if its input is right.

    That takes as long as the checks do. Nothing of it is seen or left where they refuse the input: Ray's processes end
    with the command's.

    A study that is there may have nothing left to run, or be another driver's, so that Ray is begun for the first one
    in a folder alone.
    """
    begins_here = options.storage is None and not (options.home / "optuna.db").exists()
    if options.dry_run or options.list is not None or not is_private(options) or not begins_here:
        return None
    try:
        options.check_values()
        n_workers = n_ahead(options)
    except InputError:  # said by the checks
        return None
    if not n_workers:
        return None
    from engine.orchestration.cluster.connection import PrivateRay

    return PrivateRay(private_trial_seats(options), n_workers)


def private_trial_seats(options: SweepOptions) -> int:
    """Return how many trials a private Ray has room for."""
    return options.trials_in_flight or 2 * slots_of_this_machine(options).n_slots


def n_ahead(options: SweepOptions) -> int:
    """Return how many stage workers are known before Ray is asked: those of a private one, on CPUs."""
    if not is_private(options):
        return 0
    slots = slots_of_this_machine(options)
    return slots.n_slots if slots.device == "cpu" else 0


class SweepRay:
    """Ray for one sweep.

    Args:
        options: of the sweep.
        log: the file that gets what Ray has to say.
        begun: the private Ray, where its start was begun before.
    """

    def __init__(self, options: SweepOptions, log: Path, begun: PrivateRay | None = None) -> None:
        self._options = options
        self._log = log
        self._begun = begun

    @contextmanager
    def begun_beside(self) -> Iterator[None]:
        """Begin the start of the private Ray of a new study, beside what is to be done before it is needed."""
        if self._begun is not None:  # it ends with the process
            yield
            return
        from engine.orchestration.cluster.connection import variables_of_ray

        with variables_of_ray():
            begun = self._begun = begin_private_ray(self._options)
            try:
                yield
            finally:
                if begun is not None and self._begun is not None:  # something was in the way
                    begun.give_up()
                    self._begun = None

    @contextmanager
    def imported_beside(self) -> Iterator[None]:
        """Import Ray and Tune beside what comes before they are needed: the claim's waiting, and Ray's own start."""
        from engine.orchestration.cluster.connection import variables_of_ray

        with variables_of_ray():
            import_beside(_FOR_THE_TRIALS)
            yield

    @contextmanager
    def connected(self) -> Iterator[tuple[Cluster, SlotPlan]]:
        """Give what there is to run on, until the sweep has run.

        Raises:
            InputError: Ray cannot be had, or the slots cannot.
        """
        from engine.orchestration.cluster.connection import connect, disconnect

        options = self._options
        with ExitStack() as ending:
            if options.mps:
                ending.enter_context(mps())
            begun, self._begun = self._begun, None
            with doing("Ray is being started" if is_private(options) else "the cluster is being joined"):
                cluster = connect(
                    options.cluster_address,
                    n_trial_seats=private_trial_seats(options) if is_private(options) else options.trials_in_flight,
                    log=self._log,
                    n_ahead=n_ahead(options),
                    begun=begun,
                )
            ending.callback(disconnect)
            slots = (
                plan_cluster_slots(options.slot_request, cluster.machines, cluster.kinds)
                if cluster.elastic
                else slots_of_this_machine(options)
            )
            options.numerics(slots.device).check()
            yield cluster, slots
