"""The sweeps that the chaos is let loose on: their space, their command, and what came of them."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import optuna
import torch

from engine.orchestration import load_results
from engine.orchestration.tracking.mlflow_database import prepare_environment
from engine.orchestration.tracking.mlflow_tracker import EXPERIMENT
from engine.report.trial_results import TrialResult
from engine.spaces import Arm, Choice, Float, Space
from engine.stages import data_getter, plan_trial, prepare_data, run_chain
from engine.store import Store
from tests.chaos import recording
from tests.engine.orchestration.spaces import TINY

ROOT = Path(__file__).parents[2]
STUDY = "chaos"
Variant = Literal["enqueued", "searched"]
SEARCH: Mapping[Variant, tuple[str, ...]] = {
    "enqueued": ("--sampler", "grid", "--pruner", "none"),
    "searched": ("--sampler", "tpe", "--pruner", "median"),
}


def make_space(variant: Variant) -> Space:
    """Return a space whose pretrainings are shared, go on from shorter ones, and are fine-tuned in several ways."""
    selective = {"finetune.which": ("most", "least", "random")}
    fractions = {
        "enqueued": Choice("finetune.fraction", (0.25, 0.5, 0.75), when=selective),
        "searched": Float("finetune.fraction", 0.25, 0.9, when=selective),
    }
    base = {
        "data.n_train": 200,
        "pretrain.schedule": "constant",
        "pretrain.learning_rate": 0.01,
        "pretrain.batch_size": 16,
        "finetune.training.batch_size": 16,
        "finetune.training.epochs": 4,
    }
    more = (Float("finetune.training.learning_rate", 1e-4, 0.3, log=True, when=selective),)
    return Space(
        name="chaos",
        description="a space to be disturbed",
        base=TINY.with_settings(base),
        axes=(
            Choice("pretrain.epochs", (2, 4)),
            Choice("push_pull.where", ("none", "first")),
            Choice("push_pull.alpha", (0.5, 1.0), when={"push_pull.where": ("first",)}),
            Choice("finetune.which", ("most", "least", "random", "none")),
            fractions[variant],
            *(more if variant == "searched" else ()),
        ),
        arms=(
            Arm("plain", {"push_pull.where": "none", "finetune.which": "none"}, control=True),
            Arm("push-pull", {"push_pull.where": "first", "finetune.which": "none"}),
        ),
        n_seeds=2,
    )


@dataclass(frozen=True)
class SweepFiles:
    """Where a sweep's files are, and how it is run.

    Attributes:
        folder: of everything.
        variant: which space and search.
        n_trials: how many trials it has.
    """

    folder: Path
    variant: Variant
    n_trials: int

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def output(self) -> Path:
        return self.folder / "output.txt"

    def prepare(self) -> None:
        """Write the space."""
        self.folder.mkdir(parents=True)
        (self.folder / "space.json").write_text(json.dumps(make_space(self.variant).to_json()))
        recording.set_pause(self.folder, 0.0)

    def start(self) -> subprocess.Popen:
        """Start the sweep's driver, or go on with it: the command is the same."""
        words = ["--space", str(self.folder / "space.json"), "--home", str(self.home), "--study", STUDY]
        words += ["--n-trials", str(self.n_trials), "--slots", "2", "--import", recording.__name__]
        with self.output.open("a") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "pipelines.sweep", *words, *SEARCH[self.variant]],
                cwd=ROOT,
                env={**os.environ, recording.FOLDER: str(self.folder)},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def trials(self) -> dict[str, dict[str, Any]]:
        """Return what the study says of each slot: settings, seed, state, values, all errors, stages' keys."""
        storage = f"sqlite:///{self.home / 'optuna.db'}"
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.load_study(storage=storage, study_name=STUDY)
        found: dict[str, dict[str, Any]] = {}
        for trial in study.get_trials(deepcopy=False):
            noted = trial.user_attrs
            if noted.get("interrupted"):
                continue
            assert noted["slot"] not in found, f"{noted['slot']} was filled twice"
            found[noted["slot"]] = {
                "state": trial.state.name,
                "params": trial.params,
                "values": trial.values,
                "intermediate": trial.intermediate_values,
                **{name: noted.get(name) for name in ("settings", "seed", "errors", "stages", "reason")},
            }
        return found

    def n_done(self) -> int:
        """Return how many trials have ended; 0 while the study is not there."""
        try:
            return sum(trial["state"] not in ("RUNNING", "WAITING") for trial in self.trials().values())
        except Exception:  # no database yet, or no table in it
            return 0

    def checksums(self) -> dict[str, dict[str, str]]:
        """Return the checksums of the results of every artifact, by key: weights, rankings, errors."""
        store = Store(self.home / "store", read_only=True)
        found = {}
        for key in store.keys():  # noqa: SIM118
            artifact = store.look_at(key)
            assert artifact is not None
            artifact.verify()
            files = artifact.manifest["files"]
            found[key] = {name: value for name, value in files.items() if name != "result.json"}
        return found

    def tracked(self) -> dict[str, list[str]]:
        """Return the states of the MLflow runs of each slot."""
        prepare_environment()
        from mlflow import MlflowClient

        client = MlflowClient(f"sqlite:///{self.home / 'mlflow.db'}")
        experiment = client.get_experiment_by_name(EXPERIMENT)
        assert experiment is not None
        found: dict[str, list[str]] = {}
        for run in client.search_runs([experiment.experiment_id], max_results=1000):
            found.setdefault(run.data.tags["robustune.slot"], []).append(run.info.status)
        return found


def computed_again(files: SweepFiles) -> dict[str, Any]:
    """Return the errors of each complete trial, computed in this process from its settings, with a store of its own."""
    trials = [trial for trial in load_results(STUDY, home=files.home).trials if trial.state == "COMPLETE"]
    return errors_computed_here(make_space(files.variant), trials, files.folder / "again")


def errors_computed_here(space: Space, trials: Sequence[TrialResult], folder: Path) -> dict[str, Any]:
    """Return the errors of trials by slot, computed in this process, on one thread, from their settings.

    Args:
        space: theirs.
        trials: whose errors are asked for.
        folder: of a store for it.
    """
    store, device = Store(folder), torch.device("cpu")
    found = {}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for trial in trials:
            config = space.config(trial.settings, seed=trial.seed)
            info, _ = prepare_data(config.data, store)
            *_, last = run_chain(plan_trial(config, info), store, data_getter(info, store, device), device=device)
            found[trial.slot] = last.artifact.json("errors")
    finally:
        torch.set_num_threads(threads)
    return found
