"""A sweep that loses a node, its disk, or its tracking server for a minute, as processes."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest

from engine.orchestration.tracking.tracker_kinds import is_group
from engine.store import Store
from tests.chaos import recording
from tests.chaos.processes import descendants
from tests.engine.orchestration.disks import mounted
from tests.engine.orchestration.spaces import TINY
from tests.pipelines.test_sweep import N_TRIALS, ROOT, command, free_port, mlflow_runs, states, states_or_none

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def wait_for(condition: Callable[[], Any], what: str, timeout_s: float = 150) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {timeout_s} s"
        time.sleep(0.3)


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch) -> Path:
    """A folder with a line for each start of a stage, in all processes that are started from here on."""
    folder = tmp_path / "recorded"
    folder.mkdir()
    monkeypatch.setenv(recording.FOLDER, str(folder))
    recording.set_pause(folder, 0.0)
    return folder


@contextlib.contextmanager
def started(words: list[str], output: Path, **options: Any) -> Iterator[subprocess.Popen]:
    """Run a sweep meanwhile; it is gone in the end, whatever happens."""
    with (
        output.open("w") as file,
        subprocess.Popen(words, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT, **options) as driver,
    ):
        try:
            yield driver
        finally:
            driver.kill()


def ended_well(driver: subprocess.Popen, output: Path, timeout_s: float = 200) -> None:
    assert driver.wait(timeout_s) == 0, output.read_text()


@pytest.fixture
def nodes(recorded: Path) -> Iterator[Any]:
    """A Ray of a head without cores and two nodes with two cores each."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for _ in range(2):
        cluster.add_node(num_cpus=2)
    yield cluster
    cluster.shutdown()


def raylet(node: Any) -> int:
    """Return the process of a node of ``Cluster``."""
    return node.all_processes["raylet"][0].process.pid


@pytest.mark.cluster
def test_a_node_that_is_lost_takes_no_trial_with_it(nodes, recorded: Path, tmp_path: Path) -> None:
    home, output = tmp_path / "home", tmp_path / "output.txt"
    recording.set_pause(recorded, 1.0)
    words = ["--ray-address", nodes.address, "--slots", "2", "--gpus-per-slot", "0", "--import", recording.__name__]
    words += ["--sampler", "random", "--pruner", "none"]

    def at_work() -> dict[Any, list[recording.Attempt]]:
        """Return the attempts that are under way, by node."""
        under_way = [attempt for attempt in recording.read_attempts(recorded) if attempt.ended is None]
        found = {}
        for node in nodes.list_all_nodes():
            own = {process.number for process in descendants(raylet(node))}
            found[node] = [attempt for attempt in under_way if attempt.process in own]
        return found

    with started(command(home, *words), output) as driver:
        wait_for(lambda: any(one.how == "done" for one in recording.read_attempts(recorded)), "a stage")
        recording.set_pause(recorded, 25.0)  # no stage is to end, or to begin, between the look and the loss
        time.sleep(3)
        wait_for(lambda: any(at_work().values()), "stages at work")
        node, lost = max(at_work().items(), key=lambda pair: len(pair[1]))
        assert lost
        nodes.remove_node(node, allow_graceful=False)
        recording.set_pause(recorded, 2.0)
        time.sleep(20)  # it takes Ray up to 15 s to notice, and the sweep must not be over by then
        recording.set_pause(recorded, 0.0)
        ended_well(driver, output)
    attempts = recording.read_attempts(recorded)
    broken = [attempt for attempt in attempts if attempt.ended is None]
    assert {attempt.key for attempt in broken} <= {attempt.key for attempt in lost}
    assert broken, "the node was lost in the middle of a stage"
    starts = Counter(attempt.key for attempt in attempts)
    assert all(starts[attempt.key] == 2 for attempt in broken), "they were started once more, elsewhere"
    assert all(n_starts == 1 for key, n_starts in starts.items() if key not in {one.key for one in broken})
    assert states(home) == ["COMPLETE"] * N_TRIALS
    (sweep,) = [run for run in mlflow_runs(home) if run.data.tags["robustune.slot"] == "sweep"]
    assert sweep.data.metrics["stages/preempted"] >= 1
    assert sweep.data.metrics["stages/lost_workers"] == 0, "a lost node is not the stage's failure"


def reasons(home: Path) -> list[str]:
    study = optuna.load_study(storage=f"sqlite:///{home / 'optuna.db'}", study_name="tiny")
    return [trial.user_attrs["reason"]["text"] for trial in study.trials if trial.state.name == "FAIL"]


def test_a_store_that_fills_up_fails_trials_with_the_reason_and_the_same_command_runs_them_again(
    recorded: Path, tmp_path: Path
) -> None:
    home, output = tmp_path / "home", tmp_path / "output.txt"
    recording.set_pause(recorded, 0.5)
    with mounted(tmp_path / "disk") as disk:
        words = ["--store", str(disk / "store"), "--import", recording.__name__]
        words += ["--sampler", "random", "--pruner", "none"]
        with started(command(home, *words), output) as driver:
            wait_for(lambda: states_or_none(home).count("COMPLETE") >= 1, "a trial")
            with contextlib.suppress(OSError), (disk / "ballast").open("wb", buffering=0) as file:
                while True:
                    file.write(b"x" * 4096)
            assert driver.wait(200) == 1, output.read_text()
        assert set(states(home)) == {"COMPLETE", "FAIL"}
        assert all("StoreFaultError: the store failed while " in reason for reason in reasons(home)), reasons(home)
        assert all("No space left on device" in reason for reason in reasons(home)), reasons(home)
        store = Store(disk / "store", read_only=True)
        kept = list(store.keys())
        for key in kept:
            store.look_at(key).verify()
        done = {attempt.key for attempt in recording.read_attempts(recorded) if attempt.how == "done"}
        assert done <= set(kept)
        n_failed = states(home).count("FAIL")
        assert f"not counted as done: {n_failed} trial" in output.read_text()
        (disk / "ballast").unlink()
        with started(command(home, *words), output) as driver:
            ended_well(driver, output)
        assert states(home).count("COMPLETE") == N_TRIALS


class Server:
    """An MLflow server on a port of its own, which can be ended and started again."""

    def __init__(self, folder: Path) -> None:
        self.database = f"sqlite:///{folder / 'server.db'}"
        self._folder = folder
        self._port = free_port()
        self.address = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen | None = None

    def start(self) -> None:
        words = ["server", "--host", "127.0.0.1", "--port", str(self._port), "--workers", "1"]
        words += ["--backend-store-uri", self.database, "--artifacts-destination", str(self._folder / "artifacts")]
        self._process = subprocess.Popen(
            [str(Path(sys.executable).parent / "mlflow"), *words],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        wait_for(self.answers, "the MLflow server", 120)

    def answers(self) -> bool:
        try:
            return urllib.request.urlopen(f"{self.address}/health", timeout=5).status == 200
        except (urllib.error.URLError, OSError):
            return False

    def kill(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(20)
            self._process = None


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path)
    made.start()
    yield made
    made.kill()


def completed_at(home: Path) -> list[float]:
    study = optuna.load_study(storage=f"sqlite:///{home / 'optuna.db'}", study_name="tiny")
    return sorted(trial.datetime_complete.timestamp() for trial in study.trials if trial.datetime_complete)


def test_a_tracking_server_away_for_a_minute_neither_slows_nor_loses_anything(
    server: Server, recorded: Path, tmp_path: Path
) -> None:
    home, output, n_trials, pause_s, away_s = tmp_path / "home", tmp_path / "output.txt", 32, 2.2, 60.0
    recording.set_pause(recorded, pause_s)
    words = ["--tracking-uri", server.address, "--import", recording.__name__, "--slots", "2"]
    words += ["--sampler", "random", "--pruner", "none", "--n-trials", str(n_trials)]
    with started(command(home, *words), output) as driver:
        wait_for(lambda: states_or_none(home).count("COMPLETE") >= 2, "two trials")
        server.kill()
        gone = time.time()
        time.sleep(away_s)
        assert driver.poll() is None, output.read_text()
        meanwhile = [attempt for attempt in recording.read_attempts(recorded) if gone < attempt.started < gone + away_s]
        assert not server.answers()
        server.start()
        recording.set_pause(recorded, 0.0)
        ended_well(driver, output)
    assert len(meanwhile) > 0.4 * 2 * away_s / (3 * pause_s), "two slots, and at most three pauses a stage"
    assert len([time for time in completed_at(home) if gone < time < gone + away_s]) >= 5
    assert states(home) == ["COMPLETE"] * n_trials
    assert "tracking is behind" not in output.read_text()
    server.kill()
    runs = mlflow_runs_of(server.database)
    slots = Counter(run.data.tags["robustune.slot"] for run in runs)
    assert len([slot for slot in slots if not is_group(slot)]) == n_trials + 1
    assert set(slots.values()) == {1}
    assert {run.info.status for run in runs} == {"FINISHED"}
    steps = list(range(1, TINY.pretrain.epochs + 1))
    for run in runs:
        slot = run.data.tags["robustune.slot"]
        if slot != "sweep" and not is_group(slot):
            assert run.data.tags["state"] == "COMPLETE"
            assert {"objective", "severity/contrast/5", "probe/error", "train/loss"} <= set(run.data.metrics)
            assert history_of(server.database, run.info.run_id)[: len(steps)] == steps


def mlflow_runs_of(database: str) -> list[Any]:
    from mlflow import MlflowClient

    return list(MlflowClient(database).search_runs(["1"], max_results=1000))


def history_of(database: str, run: str) -> list[int]:
    from mlflow import MlflowClient

    return [metric.step for metric in MlflowClient(database).get_metric_history(run, "probe/error")]
