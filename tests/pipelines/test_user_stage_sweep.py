"""A sweep with a stage and a severity table that the documents show whole: as a person brings them along."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest

from engine.orchestration import load_results
from engine.orchestration.search.study import WARM_UP_EPOCHS
from engine.orchestration.tracking.mlflow_database import prepare_environment
from engine.orchestration.tracking.mlflow_tracker import EXPERIMENT
from tests.documents import ROOT
from tests.registered import write_printed

pytestmark = pytest.mark.slow

SMALL = (
    "data.n_train=60",
    "data.n_validation=24",
    "data.n_test=24",
    "distortion.n_images=20",
    "model.width=4",
    "pretrain.epochs=2",
    "finetune.training.epochs=1",
    "evaluate.table=gentle",
    "evaluate.severities=[5]",
)
STEPS = {"pretrain": [1, 2], "finetune": [3], "prune": [4, 5]}


def run(folder: Path, *words: str) -> str:
    environment = {"PYTHONPATH": str(ROOT), "OMP_WAIT_POLICY": "PASSIVE", "PATH": "/usr/bin:/bin", "COLUMNS": "120"}
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def sweep(folder: Path, *words: str) -> str:
    own = ("--import", "pruning", "gentle", "--space", "pruned.py", "--study", "pruned", "--home", "home")
    return run(folder, "pipelines.sweep", *own, "--set", *SMALL, *words)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, str]:
    """A finished sweep's folder, and what it printed before it began."""
    folder = tmp_path_factory.mktemp("own")
    write_printed(folder)
    planned = sweep(folder, "--dry-run")
    sweep(folder, "--n-trials", "12", "--pruner", "threshold:0.001")
    return folder, planned


def study_of(folder: Path) -> optuna.Study:
    return optuna.load_study(storage=f"sqlite:///{folder / 'home' / 'optuna.db'}", study_name="pruned")


def mlflow_runs(folder: Path) -> dict[str, Any]:
    """Return the runs of MLflow by what their trials are for."""
    prepare_environment()
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder / 'home' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    return {run.data.tags["robustune.slot"]: run for run in runs}


def test_the_dry_run_has_a_row_of_it_between_those_of_its_neighbours(finished) -> None:
    rows = re.findall(r"^\W*(\w+) +\W+(\d+) +\W+(\d+) +\W+(\d+) ", finished[1], flags=re.MULTILINE)
    assert [name for name, *_ in rows] == ["pretrain", "rank", "finetune", "prune", "evaluate", "all"]
    wanted = {name: int(count) for name, count, *_ in rows}
    assert 0 < wanted["prune"] == wanted["evaluate"] - 3, "the arm that prunes nothing goes without it, on three seeds"


def test_its_epochs_are_reported_after_those_of_other_stages(finished) -> None:
    trials = {trial.user_attrs["slot"]: trial for trial in study_of(finished[0]).trials}
    steps = [step for own in STEPS.values() for step in own]
    assert list(trials["arm/half/0"].intermediate_values) == steps
    assert list(trials["arm/whole/0"].intermediate_values) == steps[:3]


def test_trials_are_pruned_on_its_epochs(finished) -> None:
    pruned = load_results("pruned", home=finished[0] / "home").with_state("PRUNED")
    reasons = [trial.reason for trial in pruned if trial.reason is not None and trial.reason.stage == "prune"]
    assert reasons, "the stages before it are shared by the proposals, and hardly anybody is pruned on those"
    assert all(reason.step == STEPS["prune"][0] - 1 + reason.epoch for reason in reasons)
    assert any(reason.epoch == WARM_UP_EPOCHS for reason in reasons), "the others had epochs of their own before"


def test_it_has_a_key_of_its_own_wherever_its_settings_differ(finished) -> None:
    results = load_results("pruned", home=finished[0] / "home")
    half, whole = ([t for t in results.trials if t.group == name] for name in ("half", "whole"))
    assert all("prune" not in trial.stages for trial in whole)
    assert len({trial.stages["prune"] for trial in half}) == len(half) == 3
    for with_it, without in zip(half, whole, strict=True):
        assert with_it.stages["finetune"] == without.stages["finetune"]
        assert with_it.stages["evaluate"] != without.stages["evaluate"]


def test_what_it_measures_is_in_mlflow_and_in_the_report_which_needs_no_module(finished) -> None:
    runs = mlflow_runs(finished[0])
    assert runs["arm/half/0"].data.metrics["prune/zero_weights"] == pytest.approx(0.5, abs=0.01)
    assert "prune/zero_weights" not in runs["arm/whole/0"].data.metrics
    report = run(finished[0], "pipelines.report", "--study", "pruned", "--home", "home")
    assert re.search(r"Measured by stages, mean ±std over seeds", report)
    assert re.search(r"half\W+3 of 3(, \d dead)?\W+0\.5 ", report)


def test_the_severity_table_is_what_trials_are_tested_by(finished) -> None:
    results = load_results("pruned", home=finished[0] / "home")
    complete = [trial for trial in results.trials if trial.errors is not None]
    assert {name for trial in complete for name, _ in trial.table} == {"gaussian_noise", "shot_noise", "contrast"}
    assert all(
        {row["corruption"] for row in trial.errors["validation"]["corrupted"]} == {"gaussian_noise", "shot_noise"}
        for trial in complete
        if trial.errors is not None
    )
