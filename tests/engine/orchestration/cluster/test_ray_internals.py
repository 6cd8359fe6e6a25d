"""The contract with Ray's inner parts: each test fails where a new version of Ray has changed what is used of it."""

import contextlib
import inspect
import logging
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import ray

from engine.orchestration.cluster import ray_internals
from engine.orchestration.cluster.ray_internals import (
    ask_head_node,
    in_their_own_group,
    keeping_signals,
    machine_kinds,
    many_pending_trials,
    messages_in,
    on_loopback,
    searcher_state,
    silence_experiment_notes,
    trials_managed_by,
)
from engine.orchestration.cluster.slots import Machine
from engine.orchestration.cluster.trials_here import TrialsHere

ENGINE = Path(ray_internals.__file__).parents[2]


def changed(what: str) -> str:
    """Return what to say of a part that is not as it was."""
    return f"Ray {ray.__version__} has changed {what}: mend {ray_internals.__name__}, which is written for 2.60"


def test_who_starts_on_the_loopback_is_decided_by_one_variable() -> None:
    from ray._private import ray_constants, services

    assert getattr(ray_constants, "ENABLE_RAY_CLUSTER", None) is True, changed("ray_constants.ENABLE_RAY_CLUSTER")
    with on_loopback():
        assert services.get_node_ip_address() == "127.0.0.1", changed("how a node's address is found")
    assert ray_constants.ENABLE_RAY_CLUSTER


def test_what_ray_starts_can_be_put_into_a_group_of_its_own() -> None:
    from ray._private import services

    process = getattr(services, "ConsolePopen", None)
    assert process is not None, changed("services.ConsolePopen")
    assert "ConsolePopen(" in inspect.getsource(services.start_ray_process), changed("services.start_ray_process")
    found, groups = [], []
    for context in (in_their_own_group(groups), contextlib.nullcontext()):
        with context, process(["sleep", "9"]) as started:
            found.append((os.getpgid(started.pid), started.pid))
            started.kill()
    assert found[0][0] == found[0][1]
    assert groups == [found[0][1]]
    assert found[1][0] == os.getpgid(0)


def test_ray_s_handler_of_sigterm_can_be_left_out() -> None:
    from ray._private import node, utils, worker

    before = signal.getsignal(signal.SIGTERM)
    with keeping_signals():
        utils.set_sigterm_handler(lambda *_: None)
    assert signal.getsignal(signal.SIGTERM) is before
    for module in (node, worker):
        assert "ray._private.utils.set_sigterm_handler(" in inspect.getsource(module), changed("who handles SIGTERM")
        assert "signal.signal(signal.SIGTERM" not in inspect.getsource(module), changed("who handles SIGTERM")


def test_a_head_node_is_asked_by_its_address() -> None:
    """Without a port there is nobody to wait for."""
    with pytest.raises(ConnectionError, match=r"ValueError: .*127\.0\.0\.1"):
        ask_head_node("127.0.0.1", 60.0)


def test_what_is_no_head_node_is_an_error(capfd) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        pytest.raises(ConnectionError, match="does not answer as Ray"),
    ):
        ask_head_node(f"127.0.0.1:{server.getsockname()[1]}", 3.0)
    assert capfd.readouterr().err == ""


def test_the_token_at_ray_s_usual_place_is_used_without_a_word(tmp_path) -> None:
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("0123456789abcdef0123456789abcdef")
    code = (
        f"import os; from {ray_internals.__name__} import use_token as u; u(); print(os.environ.get('RAY_AUTH_MODE'))"
    )
    for mode, found in (("", "token"), ("disabled", "disabled")):
        environment = {**os.environ, "HOME": str(tmp_path), **({"RAY_AUTH_MODE": mode} if mode else {})}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert (done.stdout.strip(), done.stderr) == (found, ""), changed("authentication_token_setup")


def test_a_searcher_s_state_is_all_that_its_constructor_sets() -> None:
    from ray.tune.search import Searcher

    searcher = Searcher("error", "min")
    assert searcher_state(searcher) == vars(searcher) == {"_metric": "error", "_mode": "min"}, changed("Searcher")


def test_tune_reads_how_many_trials_may_be_pending_while_it_runs(monkeypatch) -> None:
    from ray.tune.execution import tune_controller

    monkeypatch.delenv(ray_internals._MAX_PENDING, raising=False)
    read = f'os.getenv("{ray_internals._MAX_PENDING}"'
    assert read in inspect.getsource(tune_controller), changed("the variable for pending trials")
    with many_pending_trials(12):
        assert os.environ[ray_internals._MAX_PENDING] == "12"
    assert ray_internals._MAX_PENDING not in os.environ


def test_the_notes_of_an_experiment_complain_by_the_logger_that_is_silenced() -> None:
    from ray.tune.execution import experiment_state

    assert experiment_state.logger.name == ray_internals._EXPERIMENT_NOTES, changed("the logger of experiment_state")
    silence_experiment_notes()
    assert not experiment_state.logger.isEnabledFor(logging.ERROR)


def test_no_other_file_uses_what_is_private_of_ray() -> None:
    private = re.compile(r"\bray\._|\bfrom ray import _|_raylet|ray_constants|self\._metric\b|TUNE_MAX_PENDING")
    found = [
        f"{file.relative_to(ENGINE)}: {line.strip()}"
        for file in ENGINE.rglob("*.py")
        if file.name != "ray_internals.py"
        for line in file.read_text().splitlines()
        if private.search(line)
    ]
    assert found == []


BOOTSTRAP = """
head_node_type: head
available_node_types:
  head: {resources: {CPU: 0}, max_workers: 0}
  gpu-worker: {resources: {CPU: 8, GPU: 1}, max_workers: 4}
  never: {resources: {CPU: 64}, max_workers: 0}
"""


def test_the_kinds_of_machines_are_those_that_an_autoscaler_has_told(monkeypatch) -> None:
    from ray._private.state import state
    from ray.core.generated import autoscaler_pb2

    assert callable(getattr(state, "get_cluster_config", None)), changed("how its autoscaler's configuration is asked")
    group = autoscaler_pb2.NodeGroupConfig(name="gpu-worker", resources={"CPU": 8, "GPU": 1}, max_count=4)
    empty = autoscaler_pb2.NodeGroupConfig(name="never", resources={"CPU": 64}, max_count=0)
    config = autoscaler_pb2.ClusterConfig(node_group_configs=[group, empty])
    monkeypatch.setattr(state, "get_cluster_config", lambda: config)
    assert machine_kinds() == [Machine(8, 1, "gpu-worker")]


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        (BOOTSTRAP, [Machine(8, 1, "gpu-worker")]),
        (BOOTSTRAP.replace("CPU: 8, ", ""), []),  # it does not say what a kind of machine has
        ("provider: {type: local}", []),
    ],
)
def test_the_kinds_of_machines_are_those_of_the_file_that_is_left_on_the_head(
    ray_session, tmp_path, monkeypatch, text, kinds
):
    (tmp_path / "ray_bootstrap_config.yaml").write_text(text)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert machine_kinds() == kinds
    monkeypatch.setattr(ray.util, "get_node_ip_address", lambda: "10.9.9.9")
    assert machine_kinds() == [], "the file of another cluster says nothing"


def test_what_ray_tells_a_driver_goes_to_a_file(tmp_path: Path, capfd) -> None:
    from ray._private import worker

    assert "print_to_stdstream(" in inspect.getsource(worker.listen_error_messages), changed("how errors are printed")
    file = tmp_path / "logs" / "ray.log"
    before = list(logging.getLogger("ray").handlers)
    with messages_in(file):
        pushed = {"lines": ["The node 1f has been marked dead"], "pid": "raylet", "is_err": False}
        worker.print_to_stdstream(pushed, ignore_prefix=False)
        logging.getLogger("ray.tune.execution").error("a trial's process died")
    text = file.read_text()
    assert "marked dead" in text
    assert "a trial's process died" in text
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger("ray").handlers == before


def test_tune_s_controller_asks_its_manager_for_nothing_that_trials_in_the_driver_have_not() -> None:
    from ray.tune.execution import tune_controller

    source = inspect.getsource(tune_controller)
    assert "RayActorManager(resource_manager=resource_manager)" in source, changed("how Tune makes its manager")
    asked = set(re.findall(r"_actor_manager\.(\w+)", source)) - {
        "_actor_task_events"
    }  # of checkpoints, of which none is
    assert "schedule_actor_task" in asked, changed("what Tune's controller asks of its manager")
    assert sorted(asked - set(dir(TrialsHere))) == [], changed("what Tune's controller asks of its manager")


def test_a_manager_of_trials_is_tune_s_for_as_long_as_is_said() -> None:
    from ray.tune.execution import tune_controller

    before = tune_controller.RayActorManager
    trials = TrialsHere(lambda config: iter(()))
    try:
        with trials_managed_by(trials):
            assert tune_controller.RayActorManager(resource_manager=None) is trials
    finally:
        trials.close()
    assert tune_controller.RayActorManager is before
