import dataclasses
import json
import math
import shlex
from collections.abc import Mapping
from typing import Any

import pytest

from engine.errors import InputError
from engine.extensions import parse_settings
from engine.metrics import PairedDifference
from engine.report.columns import corruption_columns, errors_by_column, kind_columns
from engine.report.comparisons import error_table, format_difference, interval_table, measured_table
from engine.report.failures import failure_lines
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
from tests.engine.report.studies import study


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
    assert "'winner' is this proposal" not in as_text(study_report(results))


def test_a_kind_with_one_corruption_is_called_by_it() -> None:
    assert kind_columns(RESULTS.tested) == ["clean", "gaussian_noise", "contrast", "all"]
    assert list(RESULTS.groups()[0].errors) == ["clean", "noise", "digital", "gaussian_noise", "contrast", "all"]


def test_differences_are_paired_by_seed() -> None:
    plain, push_pull, _ = RESULTS.groups()
    difference = RESULTS.compare(push_pull, plain, "gaussian_noise")
    assert difference is not None
    # differences −0.20 and −0.30: mean −0.25, standard error 0.05, t(0.975, 1) = 12.7062
    assert (difference.mean, difference.low, difference.high) == pytest.approx((-0.25, -0.88531, 0.38531), abs=1e-5)


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


def table_rows(text: str) -> list[list[str]]:
    """Return the cells of all tables' rows."""
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if line.startswith("│")]


def failed(number: int, slot: str, group: str, seed: int, reason: str, **changes) -> TrialResult:
    return make_trial(
        number,
        slot,
        group,
        seed,
        0.0,
        state="FAIL",
        objective=None,
        errors=None,
        reason=Reason("stage", reason.partition(":")[0], text=reason),
        **changes,
    )


def with_rows(trial: TrialResult, *, clean: float = 0.02, tuned: float | None = None, **errors: float) -> TrialResult:
    """Return a trial with other test errors, {corruption: error at severities 1 and 2}."""
    rows = [
        {"corruption": name, "severity": severity, "error": error}
        for name, error in errors.items()
        for severity in (1, 2)
    ]
    test = {"clean": clean, "tuned_distortion": tuned, "corrupted": rows}
    return dataclasses.replace(trial, errors={**(trial.errors or {}), "test": test})


def test_a_corruption_of_ones_own_has_a_column_and_a_difference() -> None:
    """The truth of −20.5 points was told as "0 (identical)" while the corruption was in no column."""
    groups = {"plain": 0.705, "push-pull": 0.5}
    results = Results(
        "study",
        SPACE,
        tuple(
            with_rows(make_trial(number, f"arm/{name}/{seed}", name, seed, 0.3), contrast=0.5, invert=groups[name])
            for number, (name, seed) in enumerate((name, seed) for seed in (1, 2) for name in groups)
        ),
    )
    for by in ("kind", "corruption"):
        text = as_text(study_report(results, by=by))
        assert "invert" in text
        assert any("-20.5 [-20.5, -20.5]" in " ".join(row) for row in table_rows(text))
    assert results.groups()[1].mean_and_std("invert") == pytest.approx((0.5, 0.0))
    assert results.groups()[1].mean_and_std("all") == pytest.approx((0.5, 0.0))


FAILING = Results(
    "study",
    SPACE,
    (
        failed(0, "arm/plain/0", "plain", 11, "pretrain: OSError: [Errno 5] /data/7/x.bin"),
        make_trial(1, "arm/push-pull/0", "push-pull", 11, 0.10),
        failed(2, "arm/plain/1", "plain", 12, "pretrain: OSError: [Errno 5] /data/8/y.bin"),
        failed(3, "arm/push-pull/1", "push-pull", 12, "its process died"),
    ),
)


def test_seeds_that_failed_are_counted_beside_the_mean_and_an_arm_without_any_keeps_its_row() -> None:
    text = as_text(study_report(FAILING))
    plain, push_pull, difference = table_rows(text)
    assert plain == ["plain", "0 of 2", "–", "–", "–", "–"]
    assert push_pull[:3] == ["push-pull", "1 of 2", "2.0"]  # one seed has no deviation
    assert difference == ["push-pull − plain", "0 of 2", "–", "–", "–", "–"]
    assert "plain: push_pull.where=none, finetune.which=none" in text
    assert "±0.0" not in text
    assert "failed: 2 × pretrain: OSError: [Errno 5] /data/7/x.bin (and alike" in text
    assert "plain 2 (trials 0, 2)" in text
    assert "failed: 1 × its process died — push-pull 1 (trial 3)" in text


def test_a_study_of_failures_alone_has_its_rows_and_reasons() -> None:
    text = as_text(study_report(dataclasses.replace(FAILING, trials=(FAILING.trials[0], FAILING.trials[2]))))
    assert table_rows(text)[:2] == [["plain", "0 of 2", "–"], ["push-pull", "0 of 2", "–"]]
    assert "no trial completed: there is nothing to compare" in text
    assert "not run: push-pull 2 of 2 seeds" in text


def test_ten_failures_of_one_cause_are_one_line() -> None:
    trials = [
        failed(n, f"proposal/{n}", "", 11, f"finetune: NumericsError: loss {n}.5e-{n} in epoch {n} of /s/{n}/a{n}.bin")
        for n in range(12)
    ]
    lines = failure_lines([*trials, failed(12, "proposal/12", "", 11, "rank: NumericsError: loss in epoch 3")])
    assert len(lines) == 2
    assert lines[0].startswith("failed: 12 × finetune: NumericsError: loss 0.5e-0 in epoch 0 of /s/0/a0.bin (and alike")
    assert lines[0].endswith("— proposals 12 (trials 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more)")
    assert lines[1] == "failed: 1 × rank: NumericsError: loss in epoch 3 — proposals 1 (trial 12)"


def test_a_dead_network_is_counted_and_named() -> None:
    dead = with_rows(make_trial(0, "arm/plain/0", "plain", 11, 0.9), clean=0.9, contrast=0.9, fog=0.9)
    alive = with_rows(make_trial(1, "arm/plain/1", "plain", 12, 0.9), clean=0.9, contrast=0.9, fog=0.91)
    perfect = with_rows(make_trial(2, "arm/push-pull/0", "push-pull", 11, 0.0), clean=0.0, contrast=0.0, fog=0.0)
    results = Results("study", SPACE, (dead, alive, perfect))
    assert [group.count for group in results.groups()] == ["2 of 2, 1 dead", "1 of 2"]
    assert "dead: plain, seed 11: the network answers (nearly) every image alike; it counts in the mean" in as_text(
        study_report(results)
    )


def test_what_not_all_trials_were_tested_on_is_left_out_and_said() -> None:
    trials = (
        with_rows(make_trial(0, "arm/plain/0", "plain", 11, 0.3), contrast=0.5, fog=0.7),
        with_rows(make_trial(1, "arm/push-pull/0", "push-pull", 11, 0.3), contrast=0.4, invert=0.9),
    )
    results = Results("study", SPACE, trials)
    assert results.tested == ["contrast"]
    text = as_text(study_report(results))
    assert "left out, since not all trials were tested on it at the same severities" in text
    assert "fog (1 of 2 trials)" in text
    assert "invert (1 of 2 trials)" in text
    plain, push_pull, difference = table_rows(text)
    assert (plain[3:], push_pull[3:]) == (["50.0", "50.0"], ["40.0", "40.0"])  # contrast, and all of what is shared
    assert difference[3:] == ["-10.0 (one seed)", "-10.0 (one seed)"]


def test_nothing_in_common_but_clean_images_is_compared_on_these() -> None:
    trials = (
        with_rows(make_trial(0, "arm/plain/0", "plain", 11, 0.3), fog=0.7),
        with_rows(make_trial(1, "arm/push-pull/0", "push-pull", 11, 0.3), clean=0.03, invert=0.9),
    )
    plain, push_pull, difference = table_rows(as_text(study_report(Results("study", SPACE, trials))))
    assert (plain, push_pull) == (["plain", "1 of 2", "2.0"], ["push-pull", "1 of 2", "3.0"])
    assert difference == ["push-pull − plain", "1 of 2", "+1.0 (one seed)"]


def test_the_table_says_which_corruptions_it_merges_and_can_be_opened_up() -> None:
    errors = {"gaussian_blur": 0.1, "motion_blur": 0.3, "fog": 0.5}
    trials = tuple(
        with_rows(make_trial(place, f"arm/{name}/0", name, 11, 0.3), **errors)
        for place, name in enumerate(("plain", "push-pull"))
    )
    results = Results("study", SPACE, trials)
    text = as_text(study_report(results))
    assert "blur: mean of gaussian_blur, motion_blur (--by corruption shows each)" in text
    assert "fog" in text
    assert table_rows(text)[0] == ["plain", "1 of 2", "2.0", "20.0", "50.0", "30.0"]  # clean, blur, fog, all
    opened = as_text(study_report(results, by="corruption"))
    assert "Test error in %: blur" in opened
    assert ["plain", "1 of 2", "10.0", "30.0"] in table_rows(opened)
    assert "--by corruption" not in opened
    with pytest.raises(InputError, match=r"unknown way to open the tables up \(by\) 'corruptions' \(did you mean"):
        study_report(results, by="corruptions")


def test_the_error_under_the_distortion_tuned_on_has_a_column() -> None:
    plain = with_rows(make_trial(0, "arm/plain/0", "plain", 11, 0.3), contrast=0.5)
    tuned = with_rows(make_trial(1, "arm/push-pull/0", "push-pull", 11, 0.3), contrast=0.5, tuned=0.25)
    text = as_text(study_report(Results("study", SPACE, (plain, tuned))))
    assert [row[-1] for row in table_rows(text)[:2]] == ["–", "25.0"]
    assert "tuned on: test error under the distortion that the filters of the row were tuned on" in text


def test_repeats_that_no_table_shows_are_counted() -> None:
    assert "in no table: 1 trials that repeat a proposal which a better one has displaced" in as_text(
        study_report(
            dataclasses.replace(
                RESULTS, trials=(*RESULTS.trials, make_trial(20, "winner/x/0", "winner", 11, 0.9, settings={}))
            )
        )
    )


def test_columns_of_nineteen_corruptions_and_ones_own() -> None:
    own = [f"own-{number}" for number in range(8)]
    tables = corruption_columns(["fog", *own, "contrast", "gaussian_noise", "frost"])
    assert tables == {
        "noise": ["gaussian_noise"],
        "weather": ["fog", "frost"],
        "digital": ["contrast"],
        "others, 1": own[:6],
        "others, 2": own[6:],
    }
    errors = errors_by_column({("fog", 1): 0.1, ("fog", 2): 0.3, ("frost", 1): 0.5, ("frost", 2): 0.5}, 0.05)
    assert errors == pytest.approx({"clean": 0.05, "weather": 0.35, "fog": 0.2, "frost": 0.5, "all": 0.35})


def test_a_column_that_there_is_not_is_said_with_the_nearest() -> None:
    group = RESULTS.groups()[0]
    with pytest.raises(InputError, match=r"unknown column 'gausian_noise' \(did you mean 'gaussian_noise'\?\)"):
        group.mean_and_std("gausian_noise")
    with pytest.raises(InputError, match="unknown column 'typo'"):
        RESULTS.compare(group, group, "typo")


def test_mean_and_std_of_too_few_seeds_are_nan() -> None:
    empty, single = FAILING.groups()
    assert all(map(math.isnan, empty.mean_and_std("clean")))
    assert single.mean_and_std("clean")[0] == pytest.approx(0.02)
    assert math.isnan(single.mean_and_std("clean")[1])


def test_results_are_short_at_a_prompt() -> None:
    trials = tuple(make_trial(n, f"proposal/{n}", "", 11, 0.3) for n in range(300))
    results = dataclasses.replace(RESULTS, trials=(*RESULTS.trials, *trials))
    assert len(repr(results)) < 300
    assert "310 trials: 308 COMPLETE, 1 PRUNED, 1 FAIL" in repr(results)
    assert "plain 2 of 2" in repr(results)
    lacking = dataclasses.replace(results.trials[0], errors={"objective": 0.3})  # a record of some other version's
    assert "plain 2 of 2" in repr(dataclasses.replace(results, trials=(lacking, *results.trials[1:])))
    assert repr(results.groups()) == "[GroupSummary('plain', 2 of 2), GroupSummary('push-pull', 2 of 2), " + (
        "GroupSummary('winner', 2 of 2)]"
    )
    assert len(repr(trials[0])) < 100


@pytest.mark.parametrize(
    ("answered", "labelled", "dead"),
    [(1.0, 0.1, True), (0.96, 0.1, True), (0.94, 0.1, False), (0.97, 0.9, False), (1.0, 0.9, True), (1.0, 1.0, False)],
)
def test_a_network_is_dead_that_has_one_answer_for_images_of_many_classes(answered, labelled, dead) -> None:
    trial = make_trial(0, "arm/plain/0", "plain", 11, 0.3)
    assert trial.errors is not None
    test = {**trial.errors["test"], "most_answered": answered, "most_labelled": labelled}
    assert dataclasses.replace(trial, errors={**trial.errors, "test": test}).dead is dead


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
