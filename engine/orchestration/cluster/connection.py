"""Connecting to Ray: the cluster that is asked for, or a private one on this machine."""

from __future__ import annotations

import atexit
import logging
import os
import signal
import socket
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import InputError
from engine.orchestration.cluster.ahead import processes_ahead
from engine.orchestration.cluster.failed_start import why_not_started
from engine.orchestration.cluster.interruption import catch_signals, children_without_terminal
from engine.orchestration.cluster.node_watch import nodes_of_ray
from engine.orchestration.cluster.ray_internals import machine_kinds, messages_in
from engine.orchestration.cluster.shared_names import BROKER_NAMESPACE, TRIAL_SEAT
from engine.orchestration.cluster.slots import Machine, counted
from engine.redaction import hide_credentials

MANY_SLOTS = 16
"""From so many slots on there are less than two trials a slot."""
_ACCEPT_S = 4.0
"""How long a cluster's port may take to accept a connection."""
_ANSWER_S = 10.0
"""How long what listens there may then take to answer as Ray does; a head node whose cores are busy takes seconds."""
_END_S = 1.0
"""How long a private Ray that nobody wants any more may go on being started."""
_TOKENS = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
"""The variables by which Ray finds a token, before it looks at its usual place."""
_VARIABLES = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_AIR_NEW_OUTPUT": "0",  # Tune's own report, which empties a notebook's cell: ours says more
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "60",
}
"""What Ray and Tune are to read, unless a person says otherwise."""
_COMMON: dict[str, Any] = {"namespace": BROKER_NAMESPACE, "log_to_driver": False, "logging_level": logging.ERROR}
"""How this project's drivers connect."""
_PREFIXES = ("RAY_", "TUNE_")
"""Beginnings of the names of their variables."""
_LONGEST = 300
"""Letters that are told of an error of Ray's."""


_connected = ExitStack()
"""What is to be undone when the cluster is left."""
_leaving: list[threading.Thread] = []
"""What leaves it just now."""


@dataclass(frozen=True)
class Cluster:
    """What a sweep runs on.

    Attributes:
        description: one line for the person: address, nodes, cores, GPUs.
        machines: those that are up.
        kinds: of machines that it may get; empty where that is not known.
        n_trial_seats: how many trials may run at once.
        elastic: whether machines may come and go.
    """

    description: str
    machines: tuple[Machine, ...]
    kinds: tuple[Machine, ...]
    n_trial_seats: int
    elastic: bool

    def n_trials_in_flight(self, n_slots: int) -> int:
        """Return how many trials to keep open, so that a stage waits whenever a slot is free.

        That is two a slot; with many slots fewer will do, and what is proposed later knows more results.
        """
        return max(1, min(self.n_trial_seats, n_slots + min(n_slots, max(MANY_SLOTS, n_slots // 2))))


def connect(
    address: str | None,
    *,
    n_trial_seats: int | None = None,
    log: Path | None = None,
    n_ahead: int = 0,
    begun: PrivateRay | None = None,
) -> Cluster:
    """Connect to Ray.

    Args:
        address: of a running cluster; None for a private Ray on this machine.
        n_trial_seats: trials that a private Ray has room for, two a core if None.
        log: the file that gets what Ray has to say, until ``disconnect``; None for the terminal.
        n_ahead: processes of a private Ray that import ahead what stage workers do.
        begun: the private Ray, where its start was begun before.

    Raises:
        InputError: nothing answers at the address, or a private Ray cannot be started.
    """
    with ExitStack() as opened:
        opened.enter_context(variables_of_ray())
        import ray

        warnings.filterwarnings("ignore", module="ray")
        if begun is not None:
            begun.wait()  # before: until then its own thread has what Ray says
        if log is not None:
            opened.enter_context(messages_in(log))
        if address is not None:
            _join(address)
        elif begun is None:
            _start_private(n_trial_seats or 2 * (os.cpu_count() or 1), n_ahead, groups=[])
        _connected.push(opened.pop_all())
    catch_signals()
    resources = ray.cluster_resources()
    machines = tuple(Machine(node.cpus, node.gpus) for node in nodes_of_ray())
    kinds = () if address is None else tuple(machine_kinds())
    n_nodes = len(machines)
    cpus, gpus = resources.get("CPU", 0.0), resources.get("GPU", 0.0)
    where = "private Ray on this machine" if address is None else f"Ray cluster at {hide_credentials(address)}"
    description = f"{where}: {counted(n_nodes, 'node')}, {counted(cpus, 'core')}, {counted(gpus, 'GPU')}"
    n_trial_seats = int(resources.get(TRIAL_SEAT, 2 * cpus))
    return Cluster(description, machines, kinds, n_trial_seats, elastic=address is not None)


@contextmanager
def variables_of_ray() -> Iterator[None]:
    """Set what Ray and Tune read of the environment; afterwards it is as before, whatever they have put there."""
    before = {name: value for name, value in os.environ.items() if name.startswith(_PREFIXES)}
    for name, value in _VARIABLES.items():
        os.environ.setdefault(name, value)
    try:
        yield
    finally:
        for name in [name for name in os.environ if name.startswith(_PREFIXES) and name not in before]:
            del os.environ[name]
        os.environ.update(before)


class PrivateRay:
    """A Ray of our own whose start is begun beside what comes before it is needed: checks take as long as it does.

    It ends with the process that has begun it, at once if nobody has waited for it, or by ``give_up``.

    Args:
        n_trial_seats: trials that it has room for.
        n_ahead: its processes that import ahead what stage workers do.
    """

    def __init__(self, n_trial_seats: int, n_ahead: int) -> None:
        self._arguments = n_trial_seats, n_ahead
        self._error: BaseException | None = None
        self._groups: list[int] = []
        self._is_done, self._is_wanted, self._is_handed_over, self._is_over = (threading.Event() for _ in range(4))
        atexit.register(self._end)
        _connected.callback(self._is_over.set)
        _connected.enter_context(variables_of_ray())
        # Linux ends Ray's processes with the thread that has started them, so that it must stay.
        threading.Thread(target=self._run, name="private-ray", daemon=True).start()

    def wait(self) -> None:
        """Return once it is up.

        Raises:
            InputError: it cannot be started.
        """
        self._is_done.wait()
        atexit.unregister(self._end)
        self._is_wanted.set()
        self._is_handed_over.wait()
        if self._error is not None:
            raise self._error

    def give_up(self) -> None:
        """End it once it is up: nobody is going to wait for it, and this process goes on."""
        with suppress(InputError):
            self.wait()
        disconnect()

    def _run(self) -> None:
        from engine.orchestration.cluster.ray_internals import messages_in

        with messages_in(None):  # until somebody has a file for them
            try:
                _start_private(*self._arguments, groups=self._groups)
            except BaseException as error:  # it is told to who waits, if anybody does
                self._error = error
            self._is_done.set()
            self._is_wanted.wait()
        self._is_handed_over.set()
        self._is_over.wait()

    def _end(self) -> None:
        """End what was started so far, and what is being started: some of it would notice late that it is alone."""
        end = time.monotonic() + _END_S
        while True:
            is_done = self._is_done.is_set()
            for group in self._groups:
                with suppress(OSError):
                    os.killpg(group, signal.SIGKILL)
            if is_done or time.monotonic() > end:
                return
            self._is_done.wait(0.02)


def _start_private(n_trial_seats: int, n_ahead: int, groups: list[int]) -> None:
    """Start a Ray of our own, on the loopback alone.

    Args:
        n_trial_seats: trials that it has room for.
        n_ahead: its processes that import ahead what stage workers do.
        groups: the groups of its processes are added to it.

    Raises:
        InputError: the machine does not let it start: its temporary folder is full, say, or it has too much to do.
    """
    import ray

    from engine.orchestration.cluster.ray_internals import (
        in_their_own_group,
        keeping_signals,
        on_loopback,
        without_observers,
    )

    offered: dict[str, float] = {TRIAL_SEAT: n_trial_seats}
    try:
        with (
            on_loopback(),
            in_their_own_group(groups),
            without_observers(),
            keeping_signals(),
            children_without_terminal(),
            processes_ahead(n_ahead),
        ):
            ray.init(address="local", resources=offered, include_dashboard=False, **_COMMON)
    except Exception as error:  # OSError and ValueError of the folder, RuntimeError and more of its processes
        with suppress(Exception):
            ray.shutdown()  # what had been started
        folder = Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir(), "ray")
        raise InputError(f"Ray cannot be started on this machine: {why_not_started(error, folder)}") from error


def _join(address: str) -> None:
    """Join a running cluster.

    Raises:
        InputError: nothing answers at its address, within 15 s, or it wants another token.
    """
    import ray

    from engine.orchestration.cluster import ray_internals

    try:
        if address.startswith(("http://", "https://")):
            raise ValueError("that is how its dashboard is addressed: give HOST:PORT of the head node, or auto")
        if "://" not in address:
            head = ray_internals.head_address(address)
            _wait_for_port(head)
            _ask_head_node(head)
        else:
            ray_internals.use_token()
        with ray_internals.keeping_signals():
            ray.init(address=address, **_COMMON)
    except ray_internals.NotAdmittedError:
        raise InputError(f"the Ray cluster at {hide_credentials(address)!r} {_wanted_token()}") from None
    except Exception as error:  # Ray raises ConnectionError, ValueError, RuntimeError and more
        raise InputError(hide_credentials(f"no Ray cluster answers at {address!r} ({_in_a_line(error)})")) from None


def _ask_head_node(address: str) -> None:
    """Return once a cluster's head node has answered; the token at Ray's usual place is used where it asks for one.

    Where it does not, a process with a token would refuse the calls that the cluster makes without.
    """
    from engine.orchestration.cluster import ray_internals

    try:
        ray_internals.ask_head_node(address, _ANSWER_S)
    except ray_internals.NotAdmittedError:
        ray_internals.use_token()
        ray_internals.ask_head_node(address, _ANSWER_S)


def _wanted_token() -> str:
    """Return what a cluster wants that asks for a token, and where a person puts it."""
    mode = os.environ.get("RAY_AUTH_MODE", "")
    if mode and mode.lower() != "token":
        return f"asks for a token, and RAY_AUTH_MODE={mode} gives none: leave that variable out, or set it to token"
    named = next((name for name in _TOKENS if os.environ.get(name)), "")
    place = named or "~/.ray/auth_token"
    where = "`ray get-auth-token` on its head node shows the one that it wants"
    if named or Path("~/.ray/auth_token").expanduser().exists():
        return f"does not take the token of {place}: {where}"
    return f"asks for a token: put it into {place}, or name its file in RAY_AUTH_TOKEN_PATH; {where}"


def _wait_for_port(address: str) -> None:
    """Return once something listens at "HOST:PORT".

    Raises:
        OSError: nothing does, or there is no such host.
        ValueError: it is no such address.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise ValueError("an address is HOST:PORT, or auto for the cluster that this machine is a node of")
    socket.create_connection((host.strip("[]"), int(port)), timeout=_ACCEPT_S).close()


def _in_a_line(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def begin_to_disconnect() -> None:
    """Leave the cluster in a thread, unless that was begun: until a private Ray's processes are gone takes seconds."""
    import ray

    if not _leaving:
        _leaving.append(threading.Thread(target=ray.shutdown, name="disconnect"))
        _leaving[0].start()


def disconnect() -> None:
    """Leave the cluster; a private Ray ends."""
    begin_to_disconnect()
    _leaving.pop().join()
    _connected.close()
