"""The commands and addresses that a person goes on with."""

import os
import sys
from pathlib import Path

import pytest

from engine.report.commands import sync_command, typed, view_commands, watching_commands
from engine.report.results import Results
from engine.result_names import View
from tests.engine.orchestration.spaces import SPACE

RESULTS = Results("a study", SPACE, (), "7")


@pytest.mark.parametrize("address", ["databricks", "databricks://profile", "http://host:5000/", "https://host/mlflow"])
def test_nobody_is_told_to_open_a_server_as_a_database(address: str) -> None:
    viewed = view_commands(RESULTS, storage="sqlite:///o.db", tracking=address, home=Path("runs"))
    watched = watching_commands(storage="sqlite:///o.db", tracking=address, home=Path("runs"))
    assert not any("mlflow ui" in line for line in [*viewed, *watched])
    assert any(address.removesuffix("/") in line for line in viewed)
    assert any(address in line for line in watched)


def test_a_database_is_opened_and_its_tables_have_addresses_of_their_own(monkeypatch) -> None:
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    lines = view_commands(RESULTS, storage="sqlite:///o.db", tracking="sqlite:///m.db", home=Path("runs"))
    page = "http://127.0.0.1:5000/#/experiments/7/runs?workflowType=machine_learning&viewStateShareKey="
    assert lines == [
        "mlflow ui --backend-store-uri sqlite:///m.db --port 5000",
        f"  arms side by side: {page}{View.key('a study', View.ANSWER)}",
        f"  trials side by side: {page}{View.key('a study', View.TRIALS)}",
        "optuna-dashboard sqlite:///o.db --artifact-dir runs/dashboard --port 8080",
    ]


@pytest.fixture
def environment(tmp_path: Path, monkeypatch) -> Path:
    """The folder of an environment's programs, in the current folder and not on the path of this shell."""
    programs = tmp_path / "my project" / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name in ("python", "mlflow", "optuna-dashboard"):
        (programs / name).write_text("")
        (programs / name).chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(programs / "python"))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.chdir(programs.parents[1])
    return programs


def test_who_has_not_activated_the_environment_is_told_where_its_programs_are(environment: Path, monkeypatch) -> None:
    def said() -> list[str]:
        viewed = view_commands(RESULTS, storage="sqlite:///o.db", tracking="sqlite:///m.db", home=Path("runs"))
        watched = watching_commands(storage="sqlite:///o.db", tracking="sqlite:///m.db", home=Path("runs"))
        synced = sync_command(Path("runs"), None, "mlflow", ())
        return [line.split()[0] for line in (viewed[0], viewed[-1], watched[1], watched[2], synced)]

    assert said() == [f".venv/bin/{name}" for name in ("mlflow", "optuna-dashboard") * 2 + ("python",)]
    monkeypatch.setenv("PATH", f"{environment}{os.pathsep}/usr/bin:/bin")
    assert said() == ["mlflow", "optuna-dashboard"] * 2 + ["python"]


def test_another_environments_program_of_the_same_name_is_not_taken(environment: Path, monkeypatch, tmp_path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "python").symlink_to(environment / "python")
    monkeypatch.setenv("PATH", str(other))
    assert typed("python") == ".venv/bin/python"
    monkeypatch.chdir(tmp_path)
    assert typed("python") == "my project/.venv/bin/python"
    monkeypatch.chdir(other)
    assert sync_command(Path("runs"), None, "mlflow", ()).startswith(f"'{environment}/python' -m pipelines.sync")


def test_a_program_that_the_environment_lacks_is_called_by_its_name(environment: Path) -> None:
    (environment / "mlflow").unlink()
    assert typed("mlflow") == "mlflow"
