"""The environment's variables that stand for options."""

from pathlib import Path

import pytest

from engine import variables
from engine.errors import InputError
from engine.orchestration import load_results, run_sweep
from engine.orchestration.options import SweepOptions
from pipelines.report import ReportOptions
from pipelines.report import command_line as report
from pipelines.store import command_line as store
from pipelines.sweep import command_line as sweep
from pipelines.sync import command_line as sync
from pipelines.trial import TrialOptions


def test_every_option_that_names_a_place_has_its_variable(monkeypatch) -> None:
    said = {
        "ROBUSTUNE_HOME": "~/here",
        "ROBUSTUNE_STORE": "/srv/store",
        "ROBUSTUNE_STORAGE": "postgresql://host/optuna",
        "MLFLOW_TRACKING_URI": "http://host:5000",
        "RAY_ADDRESS": "10.0.0.1:6379",
        "ROBUSTUNE_SLOTS": "4",
        "ROBUSTUNE_CPUS_PER_SLOT": "2",
        "ROBUSTUNE_GPUS_PER_SLOT": "0.5",
    }
    assert set(said) == set(variables.NAMES)
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    options = SweepOptions()
    assert (options.home, str(options.store)) == (Path.home() / "here", "/srv/store")
    assert options.storage_url == "postgresql://host/optuna"
    assert options.tracking_url == "http://host:5000"
    assert options.cluster_address == "10.0.0.1:6379"
    assert (options.slots, options.cpus_per_slot, options.gpus_per_slot) == (4, 2, 0.5)
    assert {variables.source_of(options, name) for name in ("home", "slots", "ray_address")} < set(said)


def test_what_is_given_wins(monkeypatch, tmp_path) -> None:
    for name in ("ROBUSTUNE_HOME", "ROBUSTUNE_STORAGE", "RAY_ADDRESS", "ROBUSTUNE_SLOTS"):
        monkeypatch.setenv(name, "3")
    options = SweepOptions(home=tmp_path, storage="sqlite:///mine.db", ray_address="local", slots=1)
    assert (options.home, options.storage_url, options.slots) == (tmp_path, "sqlite:///mine.db", 1)
    assert options.cluster_address is None
    assert [variables.source_of(options, name) for name in ("home", "storage", "slots")] == ["", "", ""]


def test_an_empty_variable_is_none(monkeypatch) -> None:
    for name in variables.NAMES:
        monkeypatch.setenv(name, " ")
    options = SweepOptions()
    assert (options.home, options.storage, options.ray_address, options.slots) == (Path("runs"), None, None, None)


def test_every_command_that_has_the_option_has_the_variable(monkeypatch, tmp_path, capsys) -> None:
    home = tmp_path / "from-the-environment"
    monkeypatch.setenv("ROBUSTUNE_HOME", str(home))
    assert ReportOptions().home == TrialOptions().home == home
    assert report([]) == 2
    assert f"{home}/optuna.db does not exist" in capsys.readouterr().err
    assert sync([]) == 2
    assert f"no sweep has left tracking events in {home}" in capsys.readouterr().err
    assert store(["list"]) == 2
    assert f"{home}/store" in capsys.readouterr().err
    monkeypatch.setenv("ROBUSTUNE_STORE", str(tmp_path / "store"))
    assert store(["list"]) == 2
    assert f"{tmp_path}/store" in capsys.readouterr().err


def test_python_has_the_variables_too(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("ROBUSTUNE_HOME", str(tmp_path / "none"))
    with pytest.raises(InputError, match=f"{tmp_path}/none/optuna.db does not exist"):
        load_results("tiny")
    monkeypatch.setenv("ROBUSTUNE_STORAGE", f"sqlite:///{tmp_path}/missing/optuna.db")
    with pytest.raises(InputError, match=f"no folder for the database {tmp_path}/missing/optuna.db"):
        run_sweep("push-pull", storage=None)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("ROBUSTUNE_SLOTS", "many", "error: ROBUSTUNE_SLOTS of the environment must be a whole number, got 'many'\n"),
        ("ROBUSTUNE_SLOTS", "0", "error: ROBUSTUNE_SLOTS must be ≥ 1, got 0\n"),
        ("ROBUSTUNE_SLOTS", "9999", " (as ROBUSTUNE_SLOTS of the environment asks)\n"),
        ("ROBUSTUNE_GPUS_PER_SLOT", "-1", "or a whole number of GPUs, got -1\n"),
        (
            "ROBUSTUNE_STORAGE",
            "postgres://me:hunter2@host/x",
            "unknown kind of database 'postgres' (did you mean 'postgresql'?); known: mariadb, mssql, mysql, oracle, "
            "postgresql, sqlite (which ROBUSTUNE_STORAGE of the environment says)\n",
        ),
        (
            "MLFLOW_TRACKING_URI",
            "file:./mlruns",
            "error: tracking URI must be sqlite:///FILE, a database or http(s)://HOST, got 'file:./mlruns' (no file "
            "store) (which MLFLOW_TRACKING_URI of the environment says)\n",
        ),
        ("ROBUSTUNE_STORE", "s4://bucket/x", "(which ROBUSTUNE_STORE of the environment says)\n"),
        ("ROBUSTUNE_HOME", "/dev/null/x", "(which ROBUSTUNE_HOME of the environment says)\n"),
    ],
)
def test_a_bad_value_is_a_sentence_that_names_the_variable(
    tmp_path, capsys, monkeypatch, name, value, sentence
) -> None:
    monkeypatch.setenv("ROBUSTUNE_HOME", str(tmp_path))
    monkeypatch.setenv(name, value)
    assert sweep(["--dry-run"]) == 2
    error = capsys.readouterr().err
    assert error.endswith(sentence)
    assert error.count("\n") == 1
    assert "hunter2" not in error


def test_a_value_of_the_command_line_is_not_put_on_a_variable(capsys, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "ftp://host")
    assert sweep(["--home", str(tmp_path), "--tracking-uri", "ftp://host", "--dry-run"]) == 2
    assert "MLFLOW_TRACKING_URI" not in capsys.readouterr().err


def test_another_tracker_does_not_get_mlflow_s_address(monkeypatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host:5000")
    assert SweepOptions(tracker="csv").tracking_uri is None
    assert SweepOptions(tracker="csv", tracking_uri="elsewhere").tracking_uri == "elsewhere"
