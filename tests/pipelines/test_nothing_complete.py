"""A sweep of which no trial has a result says so, and does not end as if it had."""

import json
from pathlib import Path

import pytest

from engine.orchestration.options import SweepOptions
from engine.orchestration.preparation import Prepared, prepare
from engine.orchestration.search.pruners import parse_pruner
from engine.report.reasons import Reason
from pipelines import sweep
from tests.engine.orchestration.scripted import Scripted, ScriptedSweep
from tests.engine.orchestration.spaces import SPACE
from tests.engine.orchestration.studies import make_sweep_study
from tests.pipelines.test_sweep import mlflow_runs

LOSS = Reason("stage", "pretrain", text="pretrain: loss became nan")
SAID = "no trial completed: there is nothing to compare"


def words(home: Path) -> list[str]:
    home.mkdir(exist_ok=True)
    (home / "space.json").write_text(json.dumps(SPACE.to_json()))
    return ["--home", str(home), "--study", "tiny", "--space", str(home / "space.json"), "--n-trials", "4"]


def fail_all(home: Path, reason: Reason = LOSS) -> None:
    """Make a study of which all trials failed."""
    prepared = prepare(SweepOptions(home=home, study="tiny", n_trials=4), SPACE)
    study = make_sweep_study(
        prepared.planned,
        storage=prepared.options.storage_url,
        name="tiny",
        sampler="tpe",
        pruner=parse_pruner("median"),
    )
    while (proposal := study.ask()) is not None:
        study.fail(proposal.number, reason)


def test_a_study_without_a_complete_trial_does_not_end_well(tmp_path: Path, capsys) -> None:
    arguments = words(tmp_path / "home")
    fail_all(tmp_path / "home")
    assert sweep.command_line(arguments) == sweep.NOTHING_COMPLETE == 1
    output = capsys.readouterr().out
    assert "all 4 trials are done, nothing to run" in output
    assert "loss became nan" in output
    assert SAID in output


def test_who_asks_for_fewer_trials_than_a_study_has_is_told_so(tmp_path: Path, capsys) -> None:
    arguments = words(tmp_path / "home")
    fail_all(tmp_path / "home")
    sweep.command_line([*arguments[:-1], "3"])
    said = "study tiny: the 3 trials that are asked for are done, and 1 more of a longer run, nothing to run"
    assert said in " ".join(capsys.readouterr().out.split())


def test_what_a_sweep_without_a_complete_trial_returns_can_be_looked_at(tmp_path: Path, capsys) -> None:
    from engine.orchestration import run_sweep

    fail_all(tmp_path / "home")
    results = run_sweep(SPACE, home=tmp_path / "home", study="tiny", n_trials=4)
    assert SAID in capsys.readouterr().out
    assert [group.trials for group in results.groups()] == [(), ()]
    assert len(results.with_state("FAIL")) == 4


def test_a_sweep_whose_trials_the_machines_ended_says_so_and_does_not_end_well(tmp_path: Path, capsys, monkeypatch):
    from engine.orchestration.sweep import Sweep

    def run_study(self: Sweep) -> None:
        fail_all(tmp_path / "home", Reason("infrastructure", "pretrain", text="the store failed while reading"))
        self.complete = True  # there was nothing left that could be run

    monkeypatch.setattr(Sweep, "_run_study", run_study)
    assert sweep.command_line(words(tmp_path / "home")) == sweep.SOME_UNKNOWN == 1
    output = capsys.readouterr().out
    assert "not counted as done: 4 trials that machines, store or network ended" in output
    assert "the store failed while reading" in output


@pytest.mark.slow
def test_a_sweep_whose_trials_all_fail_ends_so_everywhere(tmp_path: Path, capsys, monkeypatch) -> None:
    def scripted(options: SweepOptions) -> Prepared:
        return Scripted.of(prepare(options), lambda config: {"failure": "loss became nan"})

    monkeypatch.setattr("engine.orchestration.preparation.prepare", scripted)
    monkeypatch.setattr("engine.orchestration.sweep.Sweep", ScriptedSweep)
    arguments = words(tmp_path / "home")
    assert sweep.command_line(arguments) == sweep.NOTHING_COMPLETE
    assert SAID in capsys.readouterr().out
    assert {run.info.status for run in mlflow_runs(tmp_path / "home")} == {"FAILED"}


def test_the_answer_is_of_the_study_that_is_open_and_not_read_again(tmp_path: Path, capsys, monkeypatch) -> None:
    fail_all(tmp_path / "home")
    monkeypatch.setattr("engine.orchestration.sweep.read_results", lambda *place: pytest.fail("it was read again"))
    assert sweep.command_line(words(tmp_path / "home")) == sweep.NOTHING_COMPLETE
    assert "study tiny: all 4 trials are done" in capsys.readouterr().out
