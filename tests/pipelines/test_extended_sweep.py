"""A study that is given more trials: what is left comes from the study alone."""

import itertools
import os
import signal
import threading
import time
from io import StringIO
from pathlib import Path

import optuna
import pytest
from rich.console import Console

from engine.orchestration import load_results
from engine.orchestration.options import SweepOptions
from engine.orchestration.preparation import prepare
from engine.settings import TrialConfig
from engine.spaces import Arm, Float, Space, draw_settings
from tests.engine.orchestration.scripted import Scripted, ScriptedSweep
from tests.engine.orchestration.spaces import TINY

SPACE = Space(
    name="extended",
    base=TINY.with_settings({"push_pull.where": "first"}),
    axes=(Float("push_pull.alpha", 0.1, 1.0),),
    arms=(Arm("plain", {"push_pull.where": "none"}, control=True),),
    n_seeds=2,
)
N_PROPOSALS = (3, 5, 7)
OTHERS = 2 * SPACE.n_seeds
"""Trials that are not proposals: the arm's and the winner's."""


def alpha_is_the_error(config: TrialConfig) -> dict[str, float]:
    return {"objective": config.push_pull.alpha}


def improving_seed() -> int:
    """Return a seed by which each extension has a better proposal than all before."""
    for seed in itertools.count():
        errors = [draw_settings(SPACE, seed=seed, index=index)["push_pull.alpha"] for index in range(N_PROPOSALS[-1])]
        if min(errors[:3]) > min(errors[3:5]) > min(errors[5:]):
            return seed
    raise AssertionError("unreachable")


def extend(home: Path, n_proposals: int, *, seed: int, seconds: float = 0.0) -> tuple[ScriptedSweep, str]:
    """Run the sweep with so many proposals; return it and what it printed."""
    options = SweepOptions(
        home=home, study="s", n_trials=n_proposals + OTHERS, sampler="random", pruner="none", seed=seed, slots=2
    )
    out = StringIO()
    prepared = Scripted.of(prepare(options, SPACE), alpha_is_the_error, seconds=seconds)
    sweep = ScriptedSweep(prepared, Console(file=out, width=200))
    sweep.run()
    return sweep, out.getvalue()


def interrupt_at(home: Path, slot: str) -> threading.Thread:
    """Press Ctrl-C once a slot's trial is under way."""

    def watch() -> None:
        end = time.monotonic() + 120
        while time.monotonic() < end:
            study = optuna.load_study(storage=f"sqlite:///{home / 'optuna.db'}", study_name="s")
            if any(trial.user_attrs["slot"] == slot for trial in study.trials):
                os.kill(os.getpid(), signal.SIGINT)
                return
            time.sleep(0.1)

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def check_winner(home: Path) -> None:
    """Check that the winner's row is the best proposal's, on all of the arms' seeds."""
    results = load_results("s", home=home)
    best = results.best()
    assert best is not None
    plain, winner = results.groups()
    assert {trial.settings["push_pull.alpha"] for trial in winner.trials} == {best.objective}
    assert {trial.seed for trial in winner.trials} == {trial.seed for trial in plain.trials}


@pytest.mark.slow
def test_a_study_extended_twice_and_once_while_interrupted_has_its_winners_repeats(tmp_path: Path) -> None:
    home, seed = tmp_path / "home", improving_seed()
    first, said = extend(home, 3, seed=seed)
    assert first.complete
    check_winner(home)

    thread = interrupt_at(home, "proposal/4")
    second, said = extend(home, 5, seed=seed, seconds=2.0)
    thread.join()
    assert not second.complete
    assert "of 9 trials are done; the same command goes on from here" in said
    assert "stopped early: 9 of 9" not in said

    third, said = extend(home, 7, seed=seed)
    assert third.complete, said
    assert "stopped early" not in said
    check_winner(home)
    slots = [trial.slot for trial in load_results("s", home=home).trials]
    assert len(slots) == len(set(slots))
    assert {slot for slot in slots if slot.startswith("proposal/")} == {f"proposal/{index}" for index in range(7)}

    again, said = extend(home, 7, seed=seed)
    assert again.complete
    assert "all 11 trials are done, nothing to run" in said
