"""A training that diverges is one failed trial, and the sweep goes on."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from engine.orchestration import load_results
from tests.engine.orchestration.spaces import SPACE

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_a_loss_of_nan_fails_its_trial_with_epoch_and_learning_rate_and_the_others_run(tmp_path: Path) -> None:
    value = SPACE.to_json()
    value["arms"][0]["settings"] |= {
        "pretrain.learning_rate": 1e30,
        "pretrain.optimizer": "sgd",
        "pretrain.schedule": "constant",
    }
    (tmp_path / "space.json").write_text(json.dumps(value))
    words = ["--space", str(tmp_path / "space.json"), "--home", str(tmp_path), "--study", "tiny", "--n-trials", "4"]
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.sweep", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    trials = load_results("tiny", home=tmp_path).trials
    states = {(trial.group, trial.state) for trial in trials}
    assert states == {("plain", "FAIL"), ("push-pull", "COMPLETE")}
    reasons = [trial.reason.text for trial in trials if trial.state == "FAIL"]
    assert all("in epoch 1 at learning rate 1e+30" in reason for reason in reasons), reasons
