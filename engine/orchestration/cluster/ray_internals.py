"""What is used of Ray beyond its documented interface; a test holds each against the installed version."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.environment import put_back
from engine.orchestration.cluster.slots import Machine

if TYPE_CHECKING:
    from ray.tune.search import Searcher

    from engine.orchestration.cluster.trials_here import TrialsHere

_MAX_PENDING = "TUNE_MAX_PENDING_TRIALS_PG"
"""The variable by which Tune learns how many trials may wait for their processes at once."""
_ASK = """
import os, sys, threading
from ray import _raylet
timer = threading.Timer(float(sys.argv[2]), os._exit, [1])
timer.start()
try:
    _raylet.GcsClient(address=sys.argv[1])
    timer.cancel()
except Exception as error:  # of whatever kind: whoever started this program reads it and says it in a sentence
    print(f"{type(error).__name__}: {error}", flush=True)
    os._exit(1)
"""
"""The program that asks a head node at an address, for some seconds."""
_START_S = 60.0
"""How long that program may take to start."""
_BOOTSTRAP_FILE = "~/ray_bootstrap_config.yaml"
"""Where ``ray up`` leaves the cluster's file on the head."""
_EXPERIMENT_NOTES = "ray.tune.execution.experiment_state"
"""The logger that complains about the notes which Tune keeps of an experiment."""


@contextmanager
def on_loopback() -> Iterator[None]:
    """Have the Ray that is started listen on this machine's loopback alone.

    Ray does so by itself where it takes clusters for impossible (macOS, Windows), and by no option of ``ray.init``:
    elsewhere all its processes listen on every address of the machine. The variable that decides is read when Ray is
    imported, which may have been long ago.
    """
    from ray._private import ray_constants

    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


@contextmanager
def in_their_own_group(groups: list[int]) -> Iterator[None]:
    """Have the processes of the Ray that is started hear no signal that is sent to this process's group.

    The groups that they are put into, with what they start themselves, are added to a list as soon as they are there.

    Whoever tells a group to end (``timeout``, a batch system, a closing shell) would otherwise end Ray below the
    driver, which needs it to end in order; the processes end with the driver in any case.
    """
    from ray._private import services

    process = services.ConsolePopen
    before = process.__init__

    def start(self: Any, *arguments: Any, **named: Any) -> None:
        before(self, *arguments, process_group=0, **named)
        groups.append(self.pid)

    process.__init__ = start  # type: ignore[method-assign]
    try:
        yield
    finally:
        process.__init__ = before  # type: ignore[method-assign]


@contextmanager
def without_observers() -> Iterator[None]:
    """Have the Ray that is started go without what only watches it: autoscaler, log monitor, the dashboard's server.

    Nobody asks a sweep's own Ray for these. Each is a process of Python's, and ``ray.init`` waits for the last one for
    a second. Of what every node has in any case, the agent, the port is any that is free: at the usual one, which
    another Ray of this machine may have, it would try for four seconds to listen, and Ray wait for it.
    """
    from ray._private.node import Node

    names = ("start_monitor", "start_log_monitor", "start_api_server", "start_raylet")
    before: dict[str, Any] = {name: getattr(Node, name) for name in names}

    def start_raylet(node: Any, *arguments: Any, **named: Any) -> None:
        node._ray_params.dashboard_agent_listen_port = 0
        before["start_raylet"](node, *arguments, **named)

    for name in names:
        setattr(Node, name, start_raylet if name == "start_raylet" else lambda node, **named: None)
    try:
        yield
    finally:
        for name, method in before.items():
            setattr(Node, name, method)


class NotAdmittedError(Exception):
    """A cluster's head node answers, and asks for another token than it is given; the message says which."""


@contextmanager
def keeping_signals() -> Iterator[None]:
    """Have Ray leave SIGTERM to who handles it already: its own handlers end the process with Ray's exit codes."""
    from ray._private import utils

    before = utils.set_sigterm_handler
    utils.set_sigterm_handler = lambda _: None
    try:
        yield
    finally:
        utils.set_sigterm_handler = before


def head_address(address: str) -> str:
    """Return "HOST:PORT" of the head node of the cluster that "auto" stands for; another address as it is.

    Raises:
        ConnectionError: there is no cluster that this machine is a node of.
    """
    from ray._private import services

    return services.canonicalize_bootstrap_address_or_die(address) if address == "auto" else address


def use_token() -> None:
    """Give clusters the token that lies at Ray's usual place, or that its variables name, unless RAY_AUTH_MODE is set.

    Ray itself does so for its own commands, and for no driver that joins a cluster.
    """
    from ray._private.authentication import authentication_token_setup

    logger = logging.getLogger(authentication_token_setup.__name__)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        authentication_token_setup.maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
    finally:
        logger.setLevel(level)


def ask_head_node(address: str, timeout_s: float) -> None:
    """Return once a cluster's head node has answered.

    It is asked by a process of its own: ``ray.init`` would take minutes to give up, and write its attempts to the
    standard error.

    Args:
        address: "HOST:PORT".
        timeout_s: how long the answer may take.

    Raises:
        NotAdmittedError: it asks for a token that this process has not.
        ConnectionError: it does not answer as Ray does.
    """
    command = [sys.executable, "-c", _ASK, address, str(timeout_s)]
    silent = f"what listens there does not answer as Ray does within {timeout_s:g} s"
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=_START_S + timeout_s, check=False)
    except subprocess.TimeoutExpired:
        raise ConnectionError(silent) from None
    if asked.returncode:
        said = asked.stdout.strip().partition("\n")[0] or silent
        # Where RAY_AUTH_MODE asks for a token that is not there, Ray ends that process with a trace.
        wants_token = re.search("AuthToken|Authentication", said) or "authentication token" in asked.stderr
        raise NotAdmittedError(said) if wants_token else ConnectionError(said)


def searcher_state(searcher: Searcher) -> dict[str, Any]:
    """Return what Tune needs of a searcher that it pickles: what its constructor has set."""
    return {"_metric": searcher._metric, "_mode": searcher._mode}


@contextmanager
def many_pending_trials(n_trials: int) -> Iterator[None]:
    """Have Tune start up to so many trials at once: whoever gives them out says how many there may be."""
    with put_back(_MAX_PENDING):
        os.environ[_MAX_PENDING] = str(n_trials)
        yield


@contextmanager
def trials_managed_by(manager: TrialsHere) -> Iterator[None]:
    """Have Tune, while the block lasts, leave its trials to something else than a manager of Ray's actors.

    Tune has no option for it: each trial would be an actor, and so a process.
    """
    from ray.tune.execution import tune_controller

    module: Any = tune_controller
    before = module.RayActorManager
    module.RayActorManager = lambda resource_manager: manager
    try:
        yield
    finally:
        module.RayActorManager = before


@contextmanager
def messages_in(file: Path | None) -> Iterator[None]:
    """Have what Ray tells the driver (lost nodes, dead workers, its log) go to a file, and not through the terminal.

    Without a file nothing is kept.

    Ray prints what its cluster pushes to a driver, whatever is said of logs, by a function of its own.
    """
    from ray._private import worker

    handler: logging.Handler = logging.NullHandler()
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(file, delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    log = logging.getLogger("ray")
    before = worker.print_to_stdstream, log.handlers, log.propagate

    def keep(data: Mapping[str, Any], ignore_prefix: bool = False) -> None:
        for line in data["lines"]:
            handler.handle(logging.LogRecord("ray", logging.WARNING, "", 0, str(line), None, None))

    worker.print_to_stdstream, log.handlers, log.propagate = keep, [handler], False
    try:
        yield
    finally:
        worker.print_to_stdstream, log.handlers, log.propagate = before
        handler.close()


def silence_experiment_notes() -> None:
    """Have Tune not complain about its own notes of an experiment, which nobody reads."""
    logging.getLogger(_EXPERIMENT_NOTES).setLevel(logging.CRITICAL)


def machine_kinds() -> list[Machine]:
    """Return the kinds of machines that the cluster's autoscaler may start; empty where there is none, or it does not
    say what they have.
    """
    return _reported_kinds() or _kinds_of_file()


def _reported_kinds() -> list[Machine]:
    """Return what an autoscaler has told Ray itself."""
    from ray._private.state import state

    config = state.get_cluster_config()
    groups = config.node_group_configs if config is not None else ()
    return _kinds({group.name: (dict(group.resources), group.max_count) for group in groups})


def _kinds_of_file() -> list[Machine]:
    """Return what ``ray up`` has left on the head for the autoscaler, where this is the head."""
    import ray
    import yaml

    path = Path(_BOOTSTRAP_FILE).expanduser()
    head = ray.get_runtime_context().gcs_address.rpartition(":")[0]
    if head != ray.util.get_node_ip_address() or not path.is_file():
        return []
    config = yaml.safe_load(path.read_text()) or {}
    kinds = dict(config.get("available_node_types") or {})
    kinds.pop(config.get("head_node_type"), None)  # it is up
    return _kinds({name: (kind.get("resources") or {}, kind.get("max_workers", 1)) for name, kind in kinds.items()})


def _kinds(found: Mapping[str, tuple[Mapping[str, float], int]]) -> list[Machine]:
    """Return kinds of {name: (resources, most machines)}; none where it is not said of each how many cores it has."""
    may_come = {name: resources for name, (resources, most) in found.items() if most != 0}
    if not all("CPU" in resources for resources in may_come.values()):
        return []
    return [Machine(one["CPU"], one.get("GPU", 0), name) for name, one in may_come.items()]
