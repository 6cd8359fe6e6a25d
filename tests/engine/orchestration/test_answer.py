import pytest

from engine.metrics import PairedDifference
from engine.orchestration.answer import answer_tables, format_difference
from engine.orchestration.printing import as_text
from engine.orchestration.reasons import Reason
from engine.orchestration.results import Results, TrialResult, objective_values
from tests.engine.orchestration.spaces import SPACE


def make_trial(number: int, slot: str, group: str, seed: int, noise: float, **changes) -> TrialResult:
    rows = [
        {"corruption": "gaussian_noise", "severity": severity, "error": noise + 0.1 * severity} for severity in (1, 2)
    ] + [{"corruption": "contrast", "severity": severity, "error": 0.5} for severity in (1, 2)]
    errors = {"objective": noise, "test": {"clean": 0.02, "tuned_distortion": None, "corrupted": rows}}
    settings = {
        "number": number,
        "slot": slot,
        "group": group,
        "seed": seed,
        "state": "COMPLETE",
        "settings": {"push_pull.where": "first"},
        "objective": noise,
        "errors": errors,
        "reason": None,
        "stages": {},
        **changes,
    }
    return TrialResult(**settings)


RESULTS = Results(
    "study",
    SPACE,
    (
        make_trial(0, "arm/plain/0", "plain", 11, 0.30),
        make_trial(1, "arm/push-pull/0", "push-pull", 11, 0.10),
        make_trial(2, "arm/plain/1", "plain", 12, 0.50),
        make_trial(3, "arm/push-pull/1", "push-pull", 12, 0.20),
        make_trial(4, "proposal/0", "", 11, 0.05),
        make_trial(
            5,
            "proposal/1",
            "",
            11,
            0.0,
            state="PRUNED",
            objective=None,
            errors=None,
            reason=Reason("pruner", "finetune", "median", epoch=2, step=4, value=0.9),
        ),
        make_trial(
            6,
            "proposal/2",
            "",
            11,
            0.0,
            state="FAIL",
            objective=None,
            errors=None,
            reason=Reason("stage", "pretrain", text="loss became nan"),
        ),
        make_trial(7, "winner/old/0", "winner", 11, 0.9),
        make_trial(8, "winner/new/0", "winner", 11, 0.05),
        make_trial(9, "winner/new/1", "winner", 12, 0.07),
    ),
)


def test_groups_are_arms_in_order_then_the_last_winner() -> None:
    groups = RESULTS.groups()
    assert [group.name for group in groups] == ["plain", "push-pull", "winner"]
    assert groups[0].errors["gaussian_noise"] == pytest.approx((0.45, 0.65))
    assert groups[2].errors["gaussian_noise"] == pytest.approx((0.20, 0.22))
    assert groups[0].mean_and_std("gaussian_noise") == pytest.approx((0.55, 0.1414213562))


def test_repeats_of_a_proposal_that_a_better_one_has_displaced_are_no_row() -> None:
    trials = [trial for trial in RESULTS.trials if trial.group != "winner"]
    repeat = make_trial(10, "winner/old/0", "winner", 11, 0.01, settings={"push_pull.where": "none"})
    results = Results("study", SPACE, (*trials, repeat))
    assert [group.name for group in results.groups()] == ["plain", "push-pull"]
    assert "'winner' is this proposal" not in as_text(answer_tables(results))


def test_a_kind_with_one_corruption_is_called_by_it() -> None:
    assert list(RESULTS.groups()[0].errors) == ["clean", "gaussian_noise", "contrast", "all"]


def test_differences_are_paired_by_seed() -> None:
    plain, push_pull, _ = RESULTS.groups()
    difference = RESULTS.compare(push_pull, plain, "gaussian_noise")
    assert difference is not None
    # differences −0.20 and −0.30: mean −0.25, standard error 0.05, t(0.975, 1) = 12.7062
    assert (difference.mean, difference.low, difference.high) == pytest.approx((-0.25, -0.88531, 0.38531), abs=1e-5)


def test_the_answer_names_what_a_person_wants_to_know() -> None:
    text = as_text(answer_tables(RESULTS))
    assert "push-pull − plain" in text
    assert "winner − plain" in text
    assert "-25.0 [-88.5, +38.5]" in text
    assert "best proposal: trial 4, objective 5.00%" in text
    assert "pruned: 1 of 10 trials (1 in finetune)" in text
    assert "failed: 1 × loss became nan" in text


@pytest.mark.parametrize(
    ("difference", "text"),
    [
        (PairedDifference(-0.1, -0.2, -0.05, 6), "-10.0 [-20.0, -5.0] *"),
        (PairedDifference(0.1, -0.2, 0.4, 6), "+10.0 [-20.0, +40.0]"),
        (PairedDifference(0.0, 0.0, 0.0, 6), "0 (identical)"),
        (PairedDifference(0.1, float("nan"), float("nan"), 1), "+10.0 (one seed)"),
        (None, "–"),
    ],
)
def test_format_difference(difference, text) -> None:
    assert format_difference(difference) == text


def test_an_empty_study_has_no_tables() -> None:
    assert answer_tables(Results("study", SPACE, ())) == []


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
    text = as_text(answer_tables(FRONT))
    assert "Pareto front of the proposals" in text
    rows = [line.split() for line in text.splitlines() if "10.00" in line or "20.00" in line]
    assert [row[1:6:2] for row in rows if "│" in row] == [["1", "20.00", "20.00"], ["0", "10.00", "30.00"]]
    assert "one seed, the front's point with the least of it)" in text
    assert "repeated: 1 proposals equal an earlier trial (nothing was computed for them)" in text


def test_objective_values_come_from_validation_images() -> None:
    errors = {"objective": 0.4, "validation": {"clean": 0.1}, "test": {"clean": 0.9}}
    assert objective_values(errors, ("clean", "corrupted")) == (0.1, 0.4)
