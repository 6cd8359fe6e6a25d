"""What a sweep says first of where everything is."""

import os
import socket
import sys
from pathlib import Path

from engine.orchestration.examination.whereabouts import cluster_source, described_places, watched_from_elsewhere
from engine.orchestration.options import SweepOptions


def test_what_is_in_home_is_one_line(tmp_path) -> None:
    assert described_places(SweepOptions(home=tmp_path)) == [f"study, store and tracking in {tmp_path}"]


def test_what_is_elsewhere_says_where_and_by_which_variable(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("ROBUSTUNE_HOME", str(tmp_path))
    monkeypatch.setenv("ROBUSTUNE_STORAGE", "postgresql://me:hunter2@10.0.0.1/optuna")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    monkeypatch.setenv("ROBUSTUNE_SLOTS", "4")
    monkeypatch.setenv("ROBUSTUNE_GPUS_PER_SLOT", "0.5")
    options = SweepOptions(store=tmp_path / "store")
    assert described_places(options) == [
        "study: postgresql://***@10.0.0.1/optuna (ROBUSTUNE_STORAGE)",
        f"store: {tmp_path}/store",
        "tracking: http://127.0.0.1:5000 (MLFLOW_TRACKING_URI)",
        "slots 4 (ROBUSTUNE_SLOTS), gpus per slot 0.5 (ROBUSTUNE_GPUS_PER_SLOT)",
    ]
    assert cluster_source(options) == " (RAY_ADDRESS)"
    assert cluster_source(SweepOptions(ray_address="other:1")) == ""


def test_a_private_sweep_s_tracking_by_the_variable_is_said(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host:5000")
    assert described_places(SweepOptions(home=tmp_path)) == [
        f"study and store in {tmp_path}",
        "tracking: http://host:5000 (MLFLOW_TRACKING_URI)",
    ]
    assert described_places(SweepOptions(home=tmp_path, tracker="csv"))[-1] == "tracking: csv"


def test_dashboards_of_a_cluster_are_opened_through_ssh(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    host = socket.gethostname()
    options = SweepOptions(storage="postgresql://h/x", tracking_uri="http://127.0.0.1:5001", ray_address="auto")
    assert watched_from_elsewhere(options) == [
        "to watch it, on this machine, unless they run already:",
        "  optuna-dashboard postgresql://h/x --artifact-dir runs/dashboard --port 8080",
        "and on your own: ray exec CLUSTER.yaml --port-forward 5001 --port-forward 8080 'sleep infinity'",
        f"  or: ssh -N -L 5001:127.0.0.1:5001 -L 8080:127.0.0.1:8080 USER@{host}; then MLflow at "
        "http://127.0.0.1:5001, optuna-dashboard at http://127.0.0.1:8080",
    ]
    lines = watched_from_elsewhere(SweepOptions(home=tmp_path, ray_address="auto"))
    assert f"  mlflow ui --backend-store-uri sqlite:///{tmp_path}/mlflow.db --port 5000" in lines
    assert "-L 5000:127.0.0.1:5000" in lines[-1]
    lines = watched_from_elsewhere(SweepOptions(tracking_uri="https://me:hunter2@mlflow.example", ray_address="auto"))
    assert "MLflow at https://***@mlflow.example, optuna-dashboard at" in lines[-1]
    assert "5000" not in lines[-1]
