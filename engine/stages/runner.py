"""Running a stage: from a spec to an artifact in the store."""

from __future__ import annotations

import contextlib
import os
import platform
import signal
import socket
import subprocess
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import torch

from engine.data import DataSet
from engine.errors import InputError
from engine.seeds import global_draws
from engine.sources import digest_of_package
from engine.stages.catalogue import STAGES, network_stages
from engine.stages.context import Progress, Report, StageCancelledError, StageContext, unwatched
from engine.stages.families import remember
from engine.stages.numerics import Numerics
from engine.stages.spec import StageSpec
from engine.store.artifact import Artifact
from engine.store.holders import node_name
from engine.store.store import Lease, Store
from engine.training import TrainingDivergedError

MAX_WAIT_S = 3600.0
"""How long another process may be at a stage without an epoch before it is computed here too."""
_POLL_S = (0.1, 2.0)
Elsewhere = Literal["wait", "leave", "compute"]
"""What to do about a stage that another process is computing: wait for it, leave it, or compute it here too."""
Origin = Literal["computed", "store", "elsewhere"]
"""Whence an artifact is: from here and now, from the store, or from another process that was waited for."""


class MissingInputError(Exception):
    """An input's artifact is not in the store (any more), or is corrupt; ``key`` says which."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(key, reason)
        self.key = key
        self.reason = reason

    def __str__(self) -> str:
        return f"input {self.key}: {self.reason}"


class StageExitError(Exception):
    """A stage's function wanted to end the process; only the stage fails."""


class StageElsewhereError(Exception):
    """Another process is computing the stage."""


def find_whole(store: Store, key: str) -> Artifact | None:
    """Return a key's artifact with every checksum verified; a corrupt one is put aside and counts as absent."""
    return store.find_whole(key)


def run_stage(
    spec: StageSpec,
    store: Store,
    get_data: Callable[[str], DataSet],
    *,
    device: torch.device,
    report: Report | None = None,
    progress: Progress = unwatched,
) -> Artifact:
    """Return the artifact of a stage, as ``obtain_stage`` does, but not whence it is."""
    return obtain_stage(spec, store, get_data, device=device, report=report, progress=progress)[0]


def obtain_stage(
    spec: StageSpec,
    store: Store,
    get_data: Callable[[str], DataSet],
    *,
    device: torch.device,
    report: Report | None = None,
    progress: Progress = unwatched,
    elsewhere: Elsewhere = "wait",
    recent: Mapping[str, float] = MappingProxyType({}),
) -> tuple[Artifact, Origin]:
    """Return the artifact of a stage, and whether it was computed now, found in the store, or waited for.

    A stage under way leaves a checkpoint after each epoch and goes on from the last one. That another process is
    computing it is shown by a lease in the store (see ``engine.store.leases``).

    Args:
        spec: what to compute.
        store: where inputs are and where the artifact goes.
        get_data: gives the data set of a data key, on ``device``.
        device: where to compute.
        report: called with each epoch's record; returning False stops the stage.
        progress: told how far the stage is, while it is computed here.
        elsewhere: what to do where another process is computing the stage. Who waits hears its epochs.
        recent: {key of an input: seconds for which it may not be seen yet on this machine, though it is done}.

    Raises:
        MissingInputError: an input is not in the store.
        StageElsewhereError: another process is computing the stage, which is to be left.
        StageCancelledError: ``report`` returned False.
        StoreFaultError: the store's disk is full, read-only or away.
        StageExitError: the stage raised SystemExit.
    """
    report = report or (lambda record: True)
    found = find_whole(store, spec.key)
    if found is not None:
        return found, "store"
    lease = store.stage_lease(spec.key, spec.inputs)
    try:
        found = _take_turn(lease, spec, store, report, elsewhere)
        if found is not None:
            return found, "elsewhere"
        with _checkpoints_noted(spec.key, store):
            inputs = {role: _input(store, key, recent.get(key, 0.0)) for role, key in spec.inputs.items()}
            return _compute(spec, inputs, store, get_data, device, report, progress), "computed"
    finally:
        lease.release()


def _take_turn(lease: Lease, spec: StageSpec, store: Store, report: Report, elsewhere: Elsewhere) -> Artifact | None:
    """Take a stage's lease; while another process has it, pass its epochs on, and return what it makes.

    Returns:
        The artifact, or None where the stage is to be computed here.
    """
    heard, pause_s, n_heard = time.monotonic(), _POLL_S[0], 0
    while not lease.acquire() and elsewhere != "compute" and time.monotonic() - heard < MAX_WAIT_S:
        if elsewhere == "leave":
            raise StageElsewhereError(f"{spec.stage} is being computed by another process")
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, _POLL_S[1])
        found = find_whole(store, spec.key)
        if found is not None:
            return found
        for record in store.checkpointed_history(spec.key)[n_heard:]:
            n_heard, heard = n_heard + 1, time.monotonic()
            if not report(record):
                raise StageCancelledError(f"{spec.stage} stopped while another process computed it")
    return find_anew(store, spec.key)  # it may have been finished just before the lease was free


@contextlib.contextmanager
def _checkpoints_noted(key: str, store: Store) -> Iterator[None]:
    """Leave a note of what the checkpoints of a stage that did not come to its end are worth."""
    store.take_up_checkpoints(key)
    try:
        yield
    except StageCancelledError:
        store.abandon_checkpoints(key)
        raise
    except TrainingDivergedError:
        store.drop_checkpoints(key)  # whoever went on from them would come to the same end
        raise


def _compute(
    spec: StageSpec,
    inputs: Mapping[str, Artifact],
    store: Store,
    get_data: Callable[[str], DataSet],
    device: torch.device,
    report: Report,
    progress: Progress,
) -> Artifact:
    started, clock, of_cores = time.time(), time.perf_counter(), time.process_time()
    with store.attempt(spec.key) as attempt:
        context = StageContext(
            spec=spec,
            data=get_data(spec.data),
            device=device,
            inputs=inputs,
            attempt=attempt,
            store=store,
            report=report,
            progress=progress,
            networks=[inputs[name] for name in network_stages() if name in inputs],
            gives_network=STAGES[spec.stage].gives_network,
        )
        numerics = Numerics.of_key(spec.numerics)
        with numerics.applied(), global_draws(spec.seed or 0, "stage", spec.stage, device=device):
            _run(context)
        _check_network(context)
        manifest = {
            "spec": spec.to_json(),
            "history": context.history,
            "started_at": started,
            "seconds": round(time.perf_counter() - clock, 4),
            "cpu_seconds": round(time.process_time() - of_cores, 4),
            "precision": numerics.precision,
            "environment": environment(),
        }
        artifact = store.publish(attempt, manifest)
    remember(store, spec)
    store.drop_checkpoints(spec.key)
    return artifact


def _run(context: StageContext) -> None:
    """Run a stage's function.

    Raises:
        StageExitError: it raised SystemExit itself; one that a signal's handler has raised goes on its way.
    """
    stage = context.spec.stage
    try:
        STAGES[stage].run(context)
    except SystemExit as error:
        if _is_by_signal(error):
            raise
        raise StageExitError(f"stage {stage!r} raised SystemExit({error.code!r})") from error


def _is_by_signal(error: BaseException) -> bool:
    """Return whether a signal's handler raised an error: the process is to end, whatever it was doing."""
    handlers = {getattr(signal.getsignal(one), "__code__", None) for one in signal.valid_signals()} - {None}
    return any(frame.f_code in handlers for frame, _ in traceback.walk_tb(error.__traceback__))


def _check_network(context: StageContext) -> None:
    """Refuse a stage that gives a network and has written none, neither changes of one nor a whole one."""
    written = {path.name for path in context.attempt.folder.iterdir()}
    if context.gives_network and not written & {"changes.safetensors", "model.safetensors"}:
        stage = context.spec.stage
        raise InputError(f"stage {stage!r} says `gives_network`, but wrote none (`context.write_network`)")


def _input(store: Store, key: str, patience_s: float) -> Artifact:
    """Return an input's artifact.

    One that is known to be done, and that this machine neither sees nor knows to be gone, is waited for.

    Raises:
        MissingInputError: it was cleaned up, or is corrupt.
    """
    end = time.monotonic() + patience_s
    while True:
        artifact = store.find_whole(key)
        may_be_there = artifact is None and store.look_anew(key)
        artifact = store.find_whole(key) if may_be_there else artifact
        if artifact is not None:
            return artifact
        if not may_be_there or time.monotonic() >= end:
            raise MissingInputError(key, "not in the store, or its files are corrupt")
        time.sleep(1.0)


def find_anew(store: Store, key: str) -> Artifact | None:
    """Return what ``find_whole`` does, but ask where the store is, not what this machine remembers of it."""
    artifact = find_whole(store, key)
    if artifact is None and store.look_anew(key):
        artifact = find_whole(store, key)
    return artifact


@cache
def environment() -> Mapping[str, Any]:
    """Return what a record should say of where it was made: versions, machine, commit, digest of the engine."""
    return {
        "git_commit": git_commit(),
        "code": digest_of_package("engine"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "machine": platform.machine(),
        "host": socket.gethostname(),
        "node": node_name(),
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "process": os.getpid(),
    }


@cache
def git_commit() -> str | None:
    """Return the commit of the checkout that the engine runs from ("+" for uncommitted changes), or None."""
    folder = Path(__file__).parent
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        tracked = _git(folder, "ls-files", Path(__file__).name)
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return commit + ("+" if changed else "") if tracked else None


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", folder, *arguments], capture_output=True, text=True, timeout=10, check=True)
    return done.stdout.strip()
