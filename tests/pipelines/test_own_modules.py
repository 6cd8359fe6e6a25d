"""A sweep with what the documents show how to bring along: a sampler, a pruner and a tracker of one's own."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import optuna
import pytest

from engine.orchestration import load_results
from tests.documents import ROOT
from tests.engine.orchestration.spaces import SPACE
from tests.registered import write_printed

pytestmark = pytest.mark.slow


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """A folder with the documents' modules and a space."""
    write_printed(tmp_path)
    (tmp_path / "space.json").write_text(json.dumps(SPACE.to_json()))
    return tmp_path


def sweep(folder: Path, *arguments: str) -> str:
    words = ["-m", "pipelines.sweep", "--space", "space.json", "--home", "home", "--study", "own", *arguments]
    environment = {"PYTHONPATH": str(ROOT), "OMP_WAIT_POLICY": "PASSIVE", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_sweep_runs_with_a_sampler_a_pruner_and_a_tracker_of_one_s_own_and_goes_on_with_them(workplace: Path) -> None:
    own = ("--import", "my_search", "my_tracker", "--sampler", "near-the-best", "--pruner", "margin:0.000001")
    own += ("--tracker", "csv")
    assert "proposed by near-the-best" in sweep(workplace, *own, "--n-trials", "9")
    assert "proposed by near-the-best" in sweep(workplace, *own, "--n-trials", "12")
    results = load_results("own", home=workplace / "home")
    assert len(results.proposals()) == 6
    assert len(results.trials) >= 12
    study = optuna.load_study(storage=f"sqlite:///{workplace / 'home' / 'optuna.db'}", study_name="own")
    assert {trial.state.name for trial in study.trials} <= {"COMPLETE", "PRUNED"}
    with (workplace / "home" / "csv" / "own.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    told = {(slot, name) for _, slot, _, name, _ in rows}
    assert {(trial.slot, "objective") for trial in results.trials if trial.state == "COMPLETE"} <= told
    assert ("arm/plain/0", "probe/error") in told
    assert ("sweep", "best_objective") in told
    assert not (workplace / "home" / "mlflow.db").exists()
