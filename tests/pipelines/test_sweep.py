"""The main job as a person runs it: processes, files, servers."""

import contextlib
import dataclasses
import http.client
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path
from typing import Any

import optuna
import pytest

from engine.corruptions import CORRUPTIONS
from engine.orchestration import load_results
from engine.orchestration.tracking.mlflow_database import prepare_environment
from engine.orchestration.tracking.mlflow_tracker import EXPERIMENT
from engine.orchestration.tracking.tracker_kinds import group_of, is_group
from pipelines.sweep import command_line
from tests.engine.orchestration.spaces import SPACE

ROOT = Path(__file__).parents[2]
ALONG = dataclasses.replace(SPACE, base=SPACE.base.with_settings({"evaluate.sequences": ["translate"]}))
N_TRIALS = 8
N_GROUPS = 4
"""Two arms, the proposals, the winner."""


def command(home: Path, *arguments: str) -> list[str]:
    space = home / "space.json"
    space.parent.mkdir(exist_ok=True)
    space.write_text(json.dumps(ALONG.to_json()))
    always = ["--space", str(space), "--home", str(home), "--study", "tiny", "--n-trials", str(N_TRIALS)]
    return [sys.executable, "-m", "pipelines.sweep", *always, *arguments]


def run(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command(home, *arguments), cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, str]:
    """A finished sweep's folder, and what it printed."""
    home = tmp_path_factory.mktemp("sweep")
    baseline = home / "baseline.json"
    baseline.write_text(json.dumps({"clean": 0.1, "errors": dict.fromkeys(CORRUPTIONS, 0.5)}))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("ROBUSTUNE_CACHE", str(home / "cache"))
        environment.setenv("ROBUSTUNE_SETS_GB", "1")
        return home, run(home, "--baseline", str(baseline)).stdout


def mlflow_runs(home: Path) -> list[Any]:
    prepare_environment()
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{home / 'mlflow.db'}")
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id], max_results=1000))


def states(home: Path) -> list[str]:
    study = optuna.load_study(storage=f"sqlite:///{home / 'optuna.db'}", study_name="tiny")
    return [trial.state.name for trial in study.trials if not trial.user_attrs.get("interrupted")]


def finish_times(home: Path) -> dict[str, float]:
    manifests = [json.loads(path.read_text()) for path in (home / "store" / "artifacts").glob("??/*/manifest.json")]
    return {manifest["key"]: manifest["finished_at"] for manifest in manifests}


def test_a_sweep_prints_the_question_its_answer_and_where_to_look(finished) -> None:
    home, output = finished
    assert re.match(r"private Ray on this machine: 1 node, \d+ cores?, \d+ GPUs?\n", output)
    assert "study tiny: 8 trials (4 of the arms, 2 proposed by tpe, 2 to compute the best again)" in output
    for text in ("push-pull − plain", "winner − plain", "best proposal: trial", "of the work)"):
        assert text in output
    for text in ("and along 1 perturbation sequence (translate)", "Flip probability in %", "no mFR: "):
        assert text in output
    assert f"mlflow ui --backend-store-uri sqlite:///{home}/mlflow.db" in output
    assert f"optuna-dashboard sqlite:///{home}/optuna.db" in output


def test_a_sweep_leaves_its_page_where_it_says_and_in_mlflow(finished) -> None:
    home, output = finished
    place = home / "reports" / "tiny.html"
    assert f"the report's page: {place}\n" in output
    assert [path.name for path in place.parent.iterdir()] == ["tiny.html"]
    text = unescape(place.read_text())
    for words in ("Which trials share which stages", " s of computing instead of ", "What stages were made with"):
        assert words in text
    results = load_results("tiny", home=home)
    assert results.command in text
    assert results.command.startswith("python -m pipelines.sweep --space ")
    assert all(trial.ended_at > trial.started_at for trial in results.trials)
    (parent,) = [run for run in mlflow_runs(home) if run.data.tags["robustune.slot"] == "sweep"]
    (kept,) = (home / "mlartifacts").rglob("report.html")
    assert parent.info.run_id in kept.parts
    assert kept.read_text() == place.read_text()


def test_the_study_has_every_trial_with_what_it_came_to(finished) -> None:
    home, _ = finished
    assert len(states(home)) == N_TRIALS
    assert set(states(home)) <= {"COMPLETE", "PRUNED"}
    results = load_results("tiny", home=home)
    assert [group.name for group in results.groups()][:2] == ["plain", "push-pull"]
    arm = results.trials[0]
    assert arm.slot == "arm/plain/0"
    assert arm.errors is not None
    assert arm.objective == pytest.approx(arm.errors["objective"])


def test_mlflow_has_one_finished_run_a_trial_below_its_group_below_the_sweep(finished) -> None:
    home, _ = finished
    every = mlflow_runs(home)
    groups = {run.data.tags["robustune.slot"]: run for run in every if is_group(run.data.tags["robustune.slot"])}
    runs = [run for run in every if run not in groups.values()]
    assert len(runs) == N_TRIALS + 1
    assert {run.info.status for run in every} == {"FINISHED"}
    assert {run.info.experiment_id for run in runs} == {load_results("tiny", home=home).experiment}
    (parent,) = [run for run in runs if run.data.tags["robustune.slot"] == "sweep"]
    children = [run for run in runs if run.info.run_id != parent.info.run_id]
    assert {run.data.tags["mlflow.parentRunId"] for run in groups.values()} == {parent.info.run_id}
    assert all(
        run.data.tags["mlflow.parentRunId"] == groups[group_of(run.data.tags["robustune.slot"])].info.run_id
        for run in children
    )
    assert all(run.inputs.dataset_inputs and run.data.tags["mlflow.source.name"] for run in every)
    assert all({"stage.pretrain", "git_commit"} <= set(run.data.tags) for run in children)
    complete = [run for run in children if run.data.tags["state"] == "COMPLETE"]
    assert all(
        run.data.metrics["score/mCE"] == pytest.approx(2 * run.data.metrics["test/mean_corrupted"]) for run in complete
    )
    known = {"objective", "severity/contrast/5", "score/FP", "score/T5D", "score/FP/translate"}
    assert all(known <= set(run.data.metrics) for run in complete)
    assert {"score/FP", "std/score/FP"} <= set(groups["group/arm/plain"].data.metrics)


def test_a_trial_of_the_sweep_computed_again_alone_gives_the_same_errors(finished, tmp_path: Path) -> None:
    import torch

    from engine.stages import data_getter, plan_trial, prepare_data, run_chain
    from engine.store import Store

    home, _ = finished
    trial = next(t for t in load_results("tiny", home=home).trials if t.slot == "arm/push-pull/1")
    store, device = Store(tmp_path), torch.device("cpu")
    config = ALONG.config(trial.settings, seed=trial.seed)
    info, _ = prepare_data(config.data, store)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        *_, last = run_chain(plan_trial(config, info), store, data_getter(info, store, device), device=device)
    finally:
        torch.set_num_threads(threads)
    assert last.artifact.json("errors") == trial.errors
    kept, making = (list((home / "cache" / "sets" / place).iterdir()) for place in ("kept", "making"))
    n_cells = sum(len(trial.errors[part]["corrupted"]) for part in ("validation", "test"))
    assert len(kept) > 3 + n_cells, "the sweep's workers had made the sets once, this process for itself"
    assert making == []


def test_the_report_repeats_the_answer_and_lists_the_studies(finished, capsys) -> None:
    from pipelines.report import command_line as report_of

    home, output = finished
    assert report_of(["--home", str(home)]) == 0
    assert capsys.readouterr().out == "tiny\n"
    assert report_of(["--home", str(home), "--study", "tiny"]) == 0
    report = capsys.readouterr().out
    said = set(output.splitlines())
    assert {line for line in report.splitlines() if "±" in line or "−" in line} <= said, "its tables"
    assert "push-pull − plain" in report
    assert report_of(["--home", str(home), "--study", "tiny", "--baseline", str(home / "baseline.json")]) == 0
    with_scores = capsys.readouterr().out
    assert with_scores.startswith(report)
    assert set(with_scores.removeprefix(report).splitlines()) <= said, "the sweep was given the same baseline"
    assert "mCE" in with_scores.removeprefix(report)
    assert report_of(["--home", str(home), "--study", "tiny", "--baseline", "arm:plain"]) == 0
    assert any(re.search(r"plain .*100\.0 ±", line) for line in capsys.readouterr().out.splitlines())
    assert report_of(["--home", str(home), "--study", "tiny", "--baseline", "arm:plane"]) == 2
    assert "unknown arm" in capsys.readouterr().err
    assert report_of(["--home", str(home), "--study", "tinny"]) == 2
    assert "unknown study 'tinny' (did you mean 'tiny'?)" in capsys.readouterr().err


def test_run_again_it_does_nothing_and_says_so(finished, capsys) -> None:
    home, _ = finished
    before = finish_times(home)
    assert command_line(command(home)[3:]) == 0
    output = capsys.readouterr().out
    assert "study tiny: all 8 trials are done, nothing to run" in output
    assert "private Ray" not in output
    assert finish_times(home) == before
    assert len(mlflow_runs(home)) == N_TRIALS + N_GROUPS + 1


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """Start a server on this machine; return its address, at which it will answer before long."""
    processes = []

    def start(*arguments: str) -> str:
        port = free_port()
        program = str(Path(sys.executable).parent / arguments[0])
        process = subprocess.Popen(
            [program, *arguments[1:], "--port", str(port)],
            env={**os.environ, "MLFLOW_WORKERS": "1"},  # of four, each imports MLflow
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        processes.append(process)
        return f"http://127.0.0.1:{port}"

    yield start
    for process in processes:
        os.killpg(process.pid, signal.SIGTERM)
    for process in processes:
        process.wait(20)


def ask(url: str, body: dict[str, Any] | None = None) -> Any:
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, data=data, headers={"Content-Type": "application/json"})
    end = time.monotonic() + 90
    while True:
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError:
            raise
        except (http.client.RemoteDisconnected, OSError):  # it, or one of its workers, is starting still
            if time.monotonic() > end:
                raise
            time.sleep(0.5)


def test_both_servers_show_the_sweep(finished, serve) -> None:
    home, output = finished
    mlflow_command, dashboard_command = (line.split() for line in output.splitlines() if "sqlite:///" in line)
    dashboard, mlflow = serve(*dashboard_command[:-2]), serve(*mlflow_command[:-2])
    (study,) = ask(f"{dashboard}/api/studies")["study_summaries"]
    assert study["study_name"] == "tiny"
    trials = ask(f"{dashboard}/api/studies/{study['study_id']}?after=0")["trials"]
    assert sorted(trial["state"].upper() for trial in trials) == sorted(states(home))
    runs = ask(f"{mlflow}/api/2.0/mlflow/runs/search", {"experiment_ids": ["1"], "max_results": 100})["runs"]
    assert len(runs) == N_TRIALS + N_GROUPS + 1


def test_a_sweep_that_ctrl_c_stops_and_that_is_killed_next_is_resumed_to_the_exact_count(
    tmp_path: Path,
) -> None:
    home = tmp_path / "home"
    words = command(home, "--sampler", "random", "--pruner", "none")
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as driver:
        wait_for_trials(driver, home, 1)
        driver.send_signal(signal.SIGINT)
        output, _ = driver.communicate(timeout=120)
    assert driver.returncode == 130, output
    assert re.search(r"stopped early: \d of 8 trials are done; the same command goes on from here", output)
    assert "mlflow ui --backend-store-uri" in output
    assert not {"RUNNING", "WAITING"} & set(states(home))
    n_complete = states(home).count("COMPLETE")
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL) as driver:
        wait_for_trials(driver, home, n_complete + 1)
        driver.send_signal(signal.SIGKILL)
    before = finish_times(home)
    output = run(home, "--sampler", "random", "--pruner", "none").stdout
    assert "are done" in output
    assert sorted(states(home)) == ["COMPLETE"] * N_TRIALS
    after = finish_times(home)
    assert {key: after[key] for key in before} == before, "a finished stage was computed again"
    runs = mlflow_runs(home)
    slots = [run.data.tags["robustune.slot"] for run in runs]
    assert len(slots) == len(set(slots))
    assert len([slot for slot in slots if not is_group(slot)]) == N_TRIALS + 1
    assert {run.info.status for run in runs} == {"FINISHED"}


def states_or_none(home: Path) -> list[str]:
    """Return the trials' states as far as they are written; the sweep may be making its tables: nothing is written."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{home / 'optuna.db'}?mode=ro", uri=True)) as connection:
            return [state for (state,) in connection.execute("SELECT state FROM trials")]
    except sqlite3.OperationalError:
        return []


def wait_for_trials(driver: subprocess.Popen, home: Path, n: int) -> None:
    """Wait until a sweep has that many complete trials."""
    end = time.monotonic() + 150
    while states_or_none(home).count("COMPLETE") < n:
        assert driver.poll() is None, f"the sweep ended with {driver.returncode}"
        assert time.monotonic() < end, "no trial completed in time"
        time.sleep(0.1)
