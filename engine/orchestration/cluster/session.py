"""Connecting to Ray: the cluster that is asked for, or a private one on this machine."""

from __future__ import annotations

import logging
import os
import warnings
from dataclasses import dataclass

from engine.errors import InputError
from engine.orchestration.cluster.names import BROKER_NAMESPACE, TRIAL_SLOT


@dataclass(frozen=True)
class Cluster:
    """What a sweep runs on.

    Attributes:
        description: one line for the person: address, nodes, cores, GPUs.
        n_cpus: cores of all nodes.
        n_gpus: GPUs of all nodes.
        trial_resources: what a light trial asks for.
        n_trials_in_flight: how many trials may run at once.
    """

    description: str
    n_cpus: float
    n_gpus: float
    trial_resources: dict[str, float]
    n_trials_in_flight: int


def connect(address: str | None, *, n_in_flight: int | None, n_cpus: int | None = None) -> Cluster:
    """Connect to Ray.

    Args:
        address: of a running cluster; None for the environment's ``RAY_ADDRESS``, else a private Ray on this machine.
        n_in_flight: trials in flight; None for a number that keeps the slots busy.
        n_cpus: cores of a private Ray; None for the machine's.

    Raises:
        InputError: nothing answers at the address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    warnings.filterwarnings("ignore", module="ray")
    address = address or os.environ.get("RAY_ADDRESS") or None
    common = {"namespace": BROKER_NAMESPACE, "log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        n_in_flight = n_in_flight or 2 * (n_cpus or os.cpu_count() or 1) + 2
        ray.init(
            address="local",
            num_cpus=n_cpus,
            resources={TRIAL_SLOT: n_in_flight},
            include_dashboard=False,
            **common,
        )
    else:
        try:
            ray.init(address=address, **common)
        except Exception as error:  # Ray raises ConnectionError, ValueError, RuntimeError and more
            raise InputError(f"no Ray cluster answers at {address!r} ({str(error).splitlines()[0]})") from error
    resources = ray.cluster_resources()
    n_nodes = sum(node["Alive"] for node in ray.nodes())
    cpus, gpus = resources.get("CPU", 0.0), resources.get("GPU", 0.0)
    where = "private Ray on this machine" if address is None else f"Ray cluster at {address}"
    description = f"{where}: {n_nodes} node{'s' * (n_nodes != 1)}, {cpus:g} cores, {gpus:g} GPUs"
    trial_resources = {TRIAL_SLOT: 1.0}
    if TRIAL_SLOT not in resources:
        trial_resources = {"cpu": 0.001}
        description += f"; no node offers the resource {TRIAL_SLOT!r}, so that trials start more slowly"
    in_flight = n_in_flight or int(resources.get(TRIAL_SLOT, 2 * cpus + 2))
    return Cluster(description, cpus, gpus, trial_resources, in_flight)


def disconnect() -> None:
    """Leave the cluster; a private Ray ends."""
    import ray

    ray.shutdown()
