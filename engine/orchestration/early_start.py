"""What a sweep's command begins before its input is checked: a private Ray, which takes as long as the checks do.

Nothing of it is seen or left where the input turns out to be wrong: Ray's processes end with the command's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.errors import InputError
from engine.orchestration.options import SweepOptions
from engine.orchestration.preparation import is_private, slots_of_this_machine

if TYPE_CHECKING:
    from engine.orchestration.cluster.connection import PrivateRay


def begin_private_ray(options: SweepOptions) -> PrivateRay | None:
    """Begin to start the Ray that a sweep is going to need for certain, on CPUs, if its options are right.

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
