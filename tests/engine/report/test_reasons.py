import json

import pytest

from engine.report.reasons import Reason
from engine.report.results import Results
from engine.report.study_report import study_report
from engine.report.terminal import as_text
from tests.engine.orchestration.spaces import SPACE
from tests.engine.report.small_study import make_trial

REASONS = [
    (
        Reason("pruner", "finetune", "median", 2, 4, 0.95, 0.5, 50, 4),
        "median pruner at step 4: probe error 0.9500, median of the 4 complete trials 0.5000 (epoch 2 of finetune)",
    ),
    (
        Reason("pruner", "evaluate", "wilcoxon", None, 8, 0.3375, 0.3175, 0.1, 8, 4),
        "wilcoxon pruner after 8 cells of the evaluation: mean error 0.3375, that of the best trial (number 4) 0.3175, "
        "p < 0.1",
    ),
    (Reason("repeat", trial=7), "it repeats trial 7, which was pruned"),
    (Reason("settings", text="`push_pull.h` must be ≥ 1"), "impossible settings: `push_pull.h` must be ≥ 1"),
    (Reason("stage", "pretrain", text="pretrain: loss became nan"), "pretrain: loss became nan"),
    (Reason("process"), "its process died"),
    (Reason("objective", text="nan"), "its objective is nan"),
    (Reason("interrupted"), "interrupted"),
]


@pytest.mark.parametrize(("reason", "words"), REASONS)
def test_a_reason_is_kept_as_json_and_told_in_words(reason: Reason, words: str) -> None:
    assert Reason.from_json(json.loads(json.dumps(reason.to_json()))) == reason
    assert str(reason) == words


def test_what_is_not_known_is_not_kept() -> None:
    assert Reason("repeat", trial=0).to_json() == {"kind": "repeat", "trial": 0}


def test_words_of_an_older_study_are_repeated_and_fields_of_a_newer_one_left_out() -> None:
    assert str(Reason.from_json("loss became nan")) == "loss became nan"
    assert Reason.from_json({"kind": "process", "weather": "bad"}) == Reason("process")


def ended(number: int, state: str, reason: Reason | None):
    return make_trial(
        number, f"proposal/{number}", "", 11, 0.0, state=state, objective=None, errors=None, reason=reason
    )


def lines_of(*reasons: Reason | None, state: str) -> list[str]:
    trials = [ended(number, state, reason) for number, reason in enumerate(reasons)]
    lines = as_text(study_report(Results("study", SPACE, tuple(trials)))).splitlines()
    return [line for line in lines if line.startswith(("pruned: ", "failed: ", "no trial completed"))]


def test_pruned_trials_are_counted_by_stage_whatever_the_words() -> None:
    by_cells = Reason("pruner", "evaluate", "wilcoxon", None, 8, 0.3, 0.1, 0.1, 8, -1)
    by_epochs = Reason("pruner", "finetune", "median", 2, 4, 0.95)
    (line, none) = lines_of(by_cells, by_epochs, by_cells, Reason("repeat", trial=0), None, state="PRUNED")
    assert line == (
        "pruned: 5 of 5 trials (2 in evaluate, 1 in finetune, 1 as repeats of pruned ones, 1 in a stage that was not "
        "recorded)"
    )
    assert none == "no trial completed: there is nothing to compare"


def test_failures_are_counted_by_reason_and_those_that_differ_in_a_detail_are_one() -> None:
    full = [Reason("stage", "pretrain", text=f"no space left: /store/{name}") for name in "abcdefghij"]
    elsewhere = Reason("stage", "rank", text="no space left: /store/a")
    *lines, _ = lines_of(Reason("process"), None, *full, full[4], elsewhere, state="FAIL")
    assert lines == [
        "failed: 11 × no space left: /store/a (and alike, with other numbers or paths) — proposals 11 (trials 2, 3, 4, "
        "5, 6, 7, 8, 9, 10, 11 and 1 more)",
        "failed: 1 × its process died — proposals 1 (trial 0)",
        "failed: 1 × for no reason that was recorded — proposals 1 (trial 1)",
        "failed: 1 × no space left: /store/a — proposals 1 (trial 13)",
    ]
