"""What a study says to a person."""

import dataclasses
import json
import shlex
from collections.abc import Mapping
from typing import Any

import pytest

from engine.extensions import parse_settings
from engine.metrics import PairedDifference
from engine.report.comparisons import error_table, format_difference, interval_table, measured_table
from engine.report.formats import FORMATS, Answer
from engine.report.reasons import Reason
from engine.report.results import Importances, Results
from engine.report.study_report import ended_lines, study_report
from engine.report.terminal import as_text
from engine.report.text_tables import Table
from engine.report.trial_results import TrialResult, objective_values
from engine.settings import TrialConfig
from engine.spaces import Arm
from engine.stages.budget import NoisyBudget
from tests.engine.orchestration.spaces import SPACE
from tests.engine.report.page.large import large_study
from tests.engine.report.small_study import RESULTS, make_trial
from tests.engine.report.studies import study


def test_the_answer_names_what_a_person_wants_to_know() -> None:
    text = as_text(study_report(RESULTS))
    assert "push-pull − plain" in text
    assert "winner − plain" in text
    assert "-25.0 [-88.5, +38.5]" in text
    assert "best proposal: trial 4, objective 5.00%" in text
    assert "pruned: 1 of 10 trials (1 in finetune)" in text
    assert "failed: 1 × loss became nan — proposals 1 (trial 6)" in text


def test_a_study_whose_proposals_all_ended_early_says_why_it_has_no_winner() -> None:
    arms = RESULTS.trials[:2]
    ended = {"objective": None, "errors": None}
    by_bound = Reason("pruner", "pretrain", pruner="threshold", epoch=1, step=1, value=0.9, bound=0.5)
    pruned = [
        make_trial(2 + k, f"proposal/{k}", "", 5, 0.0, state="PRUNED", reason=by_bound, **ended) for k in range(3)
    ]
    repeat = make_trial(5, "proposal/3", "", 5, 0.0, state="PRUNED", reason=Reason("repeat", trial=2), **ended)
    failed = make_trial(6, "proposal/4", "", 5, 0.0, state="FAIL", reason=Reason("stage", "rank", text="it"), **ended)
    lost = dataclasses.replace(failed, reason=Reason("process"))

    def said(*proposals: TrialResult, **changes: Any) -> list[str]:
        lines = ended_lines(dataclasses.replace(RESULTS, trials=(*arms, *proposals), **changes))
        return [line for line in lines if "no winner" in line]

    assert said(*pruned, repeat, failed) == [
        "no winner: none of 5 proposals is complete (3 pruned by threshold, 1 repeating pruned ones, 1 failed), so "
        "that there is none to compute again on the arms' seeds; with --pruner none and a greater --n-trials further "
        "ones are run to their end"
    ]
    assert said(failed)[0].endswith(
        "none of 1 proposals is complete (1 failed), so that there is none to compute again on the arms' seeds"
    )
    assert not said()
    assert not said(*pruned, make_trial(7, "proposal/5", "", 5, 0.1))
    assert not said(*pruned, lost), "it is run again"
    assert not said(*pruned, is_running=True)


def test_the_best_settings_can_be_pasted_as_they_are() -> None:
    """To the last digit: another number is another trial."""
    settings = {
        "push_pull.where": "first",
        "push_pull.h": 2.0,
        "push_pull.learn_alpha": None,
        "finetune.which": "most",
        "finetune.fraction": 0.3745401188473625,
        "finetune.train_classifier": True,
        "finetune.training.learning_rate": 1e-05,
        "finetune.training.milestones": [0.25, 0.7],
        "finetune.layers": "conv1, layer1.0.conv1",
    }
    best = dataclasses.replace(RESULTS.trials[4], settings=settings)
    text = as_text(study_report(dataclasses.replace(RESULTS, trials=(*RESULTS.trials[:4], best))))
    (line,) = [line for line in text.splitlines() if line.startswith("  --set ")]
    assert "push_pull.h=2 " in line, "short where nothing is lost"
    _, *words = shlex.split(line)
    assert TrialConfig().with_settings(parse_settings(words)) == TrialConfig().with_settings(settings)


@pytest.mark.parametrize(
    ("difference", "text"),
    [
        (PairedDifference(-0.1, -0.2, -0.05, 6), "-10.0 [-20.0, -5.0]"),
        (PairedDifference(0.1, -0.2, 0.4, 6), "+10.0 [-20.0, +40.0]"),
        (PairedDifference(0.0, 0.0, 0.0, 6), "0 (identical)"),
        (PairedDifference(-1e-17, -4e-17, 2e-17, 6), "+0.0 [+0.0, +0.0]"),
        (PairedDifference(0.1, float("nan"), float("nan"), 1), "+10.0 (one seed)"),
        (None, "–"),
    ],
)
def test_format_difference(difference, text) -> None:
    assert format_difference(difference) == text


def test_an_empty_study_has_no_tables() -> None:
    assert study_report(Results("study", SPACE, ())) == []


def proposal(number: int, clean: float, corrupted: float, **changes) -> TrialResult:
    values = {"clean": clean, "corrupted": corrupted}
    return make_trial(number, f"proposal/{number}", "", 11, corrupted, values=values, **changes)


FRONT = Results(
    "study",
    SPACE,
    (
        proposal(0, 0.10, 0.30),
        proposal(1, 0.20, 0.20),
        proposal(2, 0.20, 0.30),  # worse than both
        proposal(3, 0.30, 0.20),  # as good as 1 under corruption, worse on clean images
        proposal(4, 0.10, 0.30, repeat_of=0),
    ),
    objectives=("clean", "corrupted"),
)


def test_the_front_has_what_nothing_dominates_and_its_first_point_is_the_best() -> None:
    assert [trial.number for trial in FRONT.front()] == [1, 0]
    best = FRONT.best()
    assert best is not None
    assert best.number == 1


def test_the_answer_shows_the_front_and_says_which_point_wins() -> None:
    text = as_text(study_report(FRONT))
    assert "Pareto front of the proposals" in text
    rows = [line.split() for line in text.splitlines() if "10.00" in line or "20.00" in line]
    assert [row[1:6:2] for row in rows if "│" in row] == [["1", "20.00", "20.00"], ["0", "10.00", "30.00"]]
    assert "one seed, the front's point with the least of it)" in text
    assert "repeated: 1 proposal equals an earlier trial (nothing was computed for it)" in text


def test_objective_values_come_from_validation_images() -> None:
    errors = {"objective": 0.4, "validation": {"clean": 0.1}, "test": {"clean": 0.9}}
    assert objective_values(errors, ("clean", "corrupted")) == (0.1, 0.4)


def test_repeats_that_no_table_shows_are_counted() -> None:
    assert "in no table: 1 trials that repeat a proposal which a better one has displaced" in as_text(
        study_report(
            dataclasses.replace(
                RESULTS, trials=(*RESULTS.trials, make_trial(20, "winner/x/0", "winner", 11, 0.9, settings={}))
            )
        )
    )


def test_labelled_noisy_images_are_named_beside_what_used_them() -> None:
    def used(errors: Mapping[str, Any] | None, n: int) -> dict[str, Any]:
        budget = NoisyBudget.of(n, "held-out", n_validation=60)
        return {**(errors or {}), "labelled_noisy": budget.to_json()}

    trials = [
        dataclasses.replace(trial, errors=used(trial.errors, 50 if trial.group == "push-pull" else 200))
        if trial.group == "push-pull" or trial.number == 4
        else trial
        for trial in RESULTS.trials
    ]
    text = as_text(study_report(dataclasses.replace(RESULTS, trials=tuple(trials))), width=300)
    (arm,) = [line for line in text.splitlines() if line.startswith("push-pull: ")]
    assert arm.endswith("; 50 labelled noisy images (40 trained on, 10 held out to select the epoch)")
    (best,) = [line for line in text.splitlines() if line.startswith("best proposal: ")]
    assert best.endswith("; 200 labelled noisy images (160 trained on, 40 held out to select the epoch)")
    (plain,) = [line for line in text.splitlines() if line.startswith("plain: ")]
    assert "labelled" not in plain


def test_an_arm_without_settings_is_the_base() -> None:
    base = SPACE.base.with_settings({"finetune.which": "all"})
    space = dataclasses.replace(SPACE, base=base, arms=(*SPACE.arms, Arm("base", {})))
    assert "base: the base as it is" in as_text(study_report(dataclasses.replace(RESULTS, space=space)))


def test_it_says_how_much_each_setting_matters_and_the_page_draws_it():
    found = Importances(9, {"corrupted": {"push_pull.h": 0.75, "finetune.which": 0.25}})
    results = dataclasses.replace(large_study(40), importances=found)
    title = "Importance of the settings in the 9 complete proposals alone (PED-ANOVA)"
    tables = [part for part in study_report(results, detailed=True) if isinstance(part, Table)]
    table = next(table for table in tables if table.title == title)
    assert [tuple(row) for row in table.rows] == [("push_pull.h", "0.75"), ("finetune.which", "0.25")]
    page = FORMATS["page"].write(Answer(results))[""]
    assert title in page
    assert json.loads(FORMATS["json"].write(Answer(results))[""])["importances"]["shares"] == found.shares
    unasked = FORMATS["page"].write(Answer(large_study(40)))[""]
    assert "importance of the settings: too few proposals are complete" in unasked


def test_seeds_are_counted_beside_what_stages_have_measured():
    results = large_study(40)
    trials = [
        dataclasses.replace(trial, errors={**trial.errors, "metrics": {"prune/zero": 0.5}}) if trial.errors else trial
        for trial in results.trials[1:]
    ]
    table = measured_table(dataclasses.replace(results, trials=tuple(trials)).groups())
    assert table.columns == ("", "seeds", "prune/zero")
    assert table.rows[0] == ("plain", "5 of 6", "0.5 ±0")


def test_a_mean_between_two_digits_is_one_number_in_every_table():
    values = [0.667, 0.3885, 0.8075, 0.2145, 0.096, 0.4995]
    groups = study(SPACE, {SPACE.arms[0].name: values}).groups()[:1]
    (short,), (long,) = (table(groups, ["noise"]).rows for table in (error_table, interval_table))
    assert short[2] == long[2].split("\n")[0]
