"""A sweep whose study and whose tracking lie in PostgreSQL, with a real server that restarts and drops connections."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest

from engine.orchestration.tracking.mlflow_database import prepare_environment
from engine.orchestration.tracking.mlflow_tracker import EXPERIMENT
from engine.orchestration.tracking.tracker_kinds import is_group
from pipelines.doctor import command_line as doctor
from pipelines.report import command_line as report
from tests.chaos import recording
from tests.pipelines.test_sweep import N_TRIALS, ROOT, command
from tests.pipelines.test_sweep_faults import started, wait_for
from tests.pipelines.test_sweep_refusals import impatient
from tests.postgres import PostgresServer, postgres_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as running:
        yield running


def runs_of(uri: str) -> list[Any]:
    prepare_environment()
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id], max_results=1000))


def n_complete(server: PostgresServer, database: str) -> int:
    """Return how many trials are complete by now; none while the tables are being made."""
    if not server.ask("SELECT 1 FROM information_schema.tables WHERE table_name = 'trials'", database):
        return 0
    [(count,)] = server.ask("SELECT count(*) FROM trials WHERE state = 'COMPLETE'", database)
    return count


def test_a_server_that_restarts_and_a_connection_that_is_ended_cost_nothing(
    server: PostgresServer, tmp_path: Path, monkeypatch, capsys
) -> None:
    home, output, elsewhere = tmp_path / "home", tmp_path / "output.txt", tmp_path / "elsewhere"
    elsewhere.mkdir()
    study, runs = server.create("study"), server.create("runs", driver="+psycopg2")
    recorded = tmp_path / "recorded"
    recorded.mkdir()
    monkeypatch.setenv(recording.FOLDER, str(recorded))
    recording.set_pause(recorded, 0.4)

    words = ["--storage", study, "--tracking-uri", runs, "--import", recording.__name__, "--sampler", "random"]
    words = command(home, *words, "--pruner", "none")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with (
        output.open("w") as file,
        subprocess.Popen(words, cwd=elsewhere, env=environment, stdout=file, stderr=subprocess.STDOUT) as driver,
    ):
        try:
            wait_for(lambda: n_complete(server, "study") >= 1, "a trial")
            assert server.end_connections("study") >= 1
            server.end_connections("runs")
            wait_for(lambda: n_complete(server, "study") >= 2, "a trial after the connections were ended")
            server.stop()
            time.sleep(20)
            assert driver.poll() is None, output.read_text()
            server.start()
            assert driver.wait(150) == 0, output.read_text()
        finally:
            driver.kill()
    text = output.read_text()
    assert "Traceback" not in text, text
    trials = optuna.load_study(storage=study, study_name="tiny").trials
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * N_TRIALS
    assert len({trial.user_attrs["slot"] for trial in trials}) == N_TRIALS
    found = runs_of(runs)
    slots = [run.data.tags["robustune.slot"] for run in found]
    assert len(set(slots)) == len(slots)
    assert len([slot for slot in slots if not is_group(slot)]) == N_TRIALS + 1
    assert {run.info.status for run in found} == {"FINISHED"}
    assert all(run.info.artifact_uri.startswith((home / "mlartifacts").as_uri()) for run in found)
    assert len(list((home / "mlartifacts").rglob("errors.csv"))) == N_TRIALS
    assert list(elsewhere.iterdir()) == [], "nothing goes into the folder that the command is given in"
    assert "secret" not in text
    assert report(["--home", str(home), "--storage", study, "--study", "tiny"]) == 0
    assert "push-pull − plain" in capsys.readouterr().out


def test_a_server_that_stays_away_ends_the_sweep_with_a_sentence(server: PostgresServer, tmp_path: Path) -> None:
    home, output = tmp_path / "home", tmp_path / "output.txt"
    study = server.create("away")
    words = ["--storage", study, "--sampler", "random", "--pruner", "none", "--store", str(tmp_path / "store")]
    with started(impatient(home, *words), output) as driver:
        wait_for(lambda: n_complete(server, "away") >= 1, "a trial")
        server.stop()
        try:
            assert driver.wait(120) == 1, output.read_text()
        finally:
            server.start()
    text = output.read_text()
    assert "Traceback" not in text
    assert "error: the study's database says: " in text
    assert "secret" not in text
    assert len(text.splitlines()) < 40, text
    assert n_complete(server, "away") >= 1, "what was written stays"


def test_the_doctor_asks_both_databases(server: PostgresServer, tmp_path: Path, capsys) -> None:
    study, runs = server.create("asked"), server.create("asked_too", driver="+psycopg2")
    words = ["--home", str(tmp_path), "--storage", study, "--tracking-uri", runs]
    assert doctor(words) == 0
    assert capsys.readouterr().out.count("answers in") == 2
    server.ask("CREATE USER guest PASSWORD 'secret'")
    assert doctor([*words[:2], "--storage", study.replace("robustune:", "guest:")]) == 1
    said = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "give its user the right to make tables" in said
    assert doctor([*words[:2], "--storage", study.replace("secret", "wrong")]) == 1
    said = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "password authentication failed" in said
    assert "wrong" not in said
