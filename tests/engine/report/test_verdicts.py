import dataclasses
import math

import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.anova import AnovaRM
from statsmodels.stats.multitest import multipletests

from engine.report.comparisons import declared_table
from engine.report.page.forest import declared_forest
from engine.report.results import Results
from engine.report.study_report import study_report
from engine.report.terminal import as_text
from engine.report.verdicts import findings, p_text, verdict_lines
from engine.spaces import Arm, Comparison, Factor, Factorial, LeaveOneOut, OneAtATime, Part, Space
from search_spaces.push_pull import SPACE as PUSH_PULL
from tests.engine.orchestration.spaces import TINY
from tests.engine.report.studies import complete, study

ARMS = (
    Arm("plain", {}, control=True),
    Arm("push-pull", {"push_pull.where": "first"}),
    Arm("tuned", {"finetune.which": "most"}),
)


def space(*comparisons: Comparison, n_seeds: int = 6, **others) -> Space:
    return Space(**{"name": "s", "base": TINY, "arms": ARMS, "n_seeds": n_seeds, "comparisons": comparisons, **others})


DECLARED = space(Comparison("push-pull", "plain", ("noise", "clean")), Comparison("tuned", "plain", ("noise",)))
PLAIN = [0.40, 0.52, 0.45, 0.38, 0.47, 0.41]
LESS = [0.20, 0.28, 0.22, 0.21, 0.24, 0.22]
ABOUT = [0.41, 0.50, 0.46, 0.37, 0.48, 0.41]
ERRORS = {"plain": PLAIN, "push-pull": LESS, "tuned": ABOUT}


def verdicts(results: Results) -> list[str]:
    return [line.strip() for line in verdict_lines(findings(results))]


def differences(a, b) -> list[float]:
    return [x - y for x, y in zip(a, b, strict=True)]


def test_the_family_is_tested_as_scipy_and_statsmodels_test_it():
    found = findings(study(DECLARED, ERRORS))
    assert [(one.contrast.subject, one.outcome, one.n) for one in found] == [
        ("push-pull", "noise", 6),
        ("push-pull", "clean", 6),
        ("tuned", "noise", 6),
    ]
    theirs = [
        stats.ttest_rel(LESS, PLAIN).pvalue,
        1.0,  # the same on every seed
        stats.ttest_rel(ABOUT, PLAIN).pvalue,
    ]
    assert [one.holm_p for one in found] == pytest.approx(multipletests(theirs, method="holm")[1])
    assert [one.is_starred for one in found] == [True, False, False]
    assert found[0].evidence is not None
    assert found[0].evidence.sign_flip_p == 2 / 64


def test_verdicts_say_what_is_shown_and_how_large_an_effect_could_have_been_missed():
    clean = {"push-pull": [0.02, 0.021, 0.02, 0.019, 0.02, 0.021]}
    head, push_pull, tuned = verdicts(study(DECLARED, ERRORS, clean))
    assert head == (
        "verdicts on what was declared beforehand; * is shown: p ≤ 0.05 by t test corrected for 3 comparisons (Holm) "
        "and ≤ 0.031 by sign flips"
    )
    low, high = stats.ttest_rel(PLAIN, LESS).confidence_interval()
    assert push_pull == (
        f"push-pull against plain helps under noise by 21.0 points [{100 * low:.1f}, {100 * high:.1f}] *; "
        "no effect on clean images larger than 0.1 points could have been missed"
    )
    bound = max(map(abs, stats.ttest_rel(ABOUT, PLAIN).confidence_interval(1 - 0.05 / 3)))
    assert tuned == (
        f"tuned against plain: no effect under noise larger than {100 * bound:.1f} points could have been missed"
    )


def test_a_star_is_explained_where_there_is_one():
    alike = findings(study(DECLARED, dict.fromkeys(ERRORS, PLAIN)))
    assert verdict_lines(alike)[0] == (
        "verdicts on what was declared beforehand; nothing is shown, which takes p ≤ 0.05 by t test corrected for 3 "
        "comparisons (Holm) and ≤ 0.031 by sign flips"
    )
    assert "*" not in declared_table(alike).caption
    assert "none is shown after the correction" in declared_forest(alike).caption
    assert "* and colour mark what is shown" in declared_forest(findings(study(DECLARED, ERRORS))).caption


def test_what_makes_errors_more_hurts():
    assert "plain against push-pull hurts under noise by 21.0 points [" in "".join(
        verdicts(study(space(Comparison("plain", "push-pull", ("noise",))), ERRORS))
    )


def test_an_interval_without_0_is_no_claim_where_the_family_s_correction_takes_it_away():
    slight = [0.39, 0.50, 0.45, 0.37, 0.455, 0.405]
    assert stats.ttest_rel(slight, PLAIN).pvalue < 0.05
    (_, _, tuned) = verdicts(study(DECLARED, {**ERRORS, "tuned": slight}))
    assert tuned.startswith("tuned against plain: 1.0 points better under noise [")
    assert "which is not shown (p " in tuned
    assert "*" not in tuned


def test_an_effect_of_one_direction_that_varies_much_is_no_claim_but_is_not_passed_over():
    """One network that breaks down takes the t test its power: the interval has 0, though all seeds agree."""
    broken = [0.41, 0.53, 0.46, 0.39, 0.48, 0.95]
    (_, _, tuned) = verdicts(study(DECLARED, {**ERRORS, "tuned": broken}))
    assert tuned.startswith("tuned against plain: 9.8 points worse under noise [-")
    second_of_three = 2 * stats.ttest_rel(broken, PLAIN).pvalue
    assert tuned.endswith(f"which is not shown (p {second_of_three:.2g}, by sign flips 0.031)")


def test_few_seeds_show_nothing_whatever_the_effect_and_that_is_said():
    few = dataclasses.replace(DECLARED, n_seeds=4)
    results = study(few, {arm: errors[:4] for arm, errors in ERRORS.items()})
    lines = verdicts(results)
    assert not any("*" in line for line in lines[1:])
    assert "push-pull against plain: 21.0 points better under noise [" in lines[1]
    assert "], which 4 seeds cannot show; the same on clean images on all 4 seeds" in lines[1]
    assert lines[-1] == (
        "with 4 seeds nothing can be shown: the sign-flip test's p is at least 2/2^4 = 0.12; 6 seeds can"
    )


def test_failed_dead_and_missing_seeds_are_counted_beside_the_verdict():
    noise = {**ERRORS, "push-pull": [*LESS[:5], None]}
    results = study(dataclasses.replace(DECLARED, n_seeds=6), noise)
    trials = list(results.trials)
    trials[0] = complete(0, "plain", 0, PLAIN[0], dead=True)
    _, push_pull, tuned, *_ = verdicts(dataclasses.replace(results, trials=tuple(trials)))
    assert push_pull.endswith("(5 of 6 seeds; failed: push-pull 1; dead: plain 1)")
    assert "which 5 seeds cannot show" in push_pull
    assert tuned.endswith("(dead: plain 1)")


def test_a_comparison_is_not_tested_before_its_seeds_are_run():
    found = study(DECLARED, {**ERRORS, "push-pull": LESS[:5]})
    _, push_pull, tuned, *_ = verdicts(found)
    assert "21.0 points better under noise" not in push_pull
    assert "so far, not tested before all seeds are run" in push_pull
    assert push_pull.endswith("(5 of 6 seeds; not run: push-pull 1)")
    assert "could have been missed" in tuned, "the others are"
    by_name = {(one.contrast.subject, one.outcome): one for one in findings(found)}
    assert by_name["push-pull", "noise"].holm_p == 1, "it counts in the family all the same"
    assert by_name["tuned", "noise"].holm_p == pytest.approx(min(1, 3 * stats.ttest_rel(ABOUT, PLAIN).pvalue))


def test_what_has_no_seed_is_said():
    _, push_pull, *_ = verdicts(study(DECLARED, {**ERRORS, "push-pull": [None] * 6}))
    assert push_pull == (
        "push-pull against plain: nothing to compare under noise: no seed has all of its arms; nothing to compare on "
        "clean images: no seed has all of its arms (0 of 6 seeds; failed: push-pull 6)"
    )


def test_what_no_arm_was_tested_on_is_said():
    blurred = space(Comparison("push-pull", "plain", ("blur", "noise")))
    _, line = verdicts(study(blurred, ERRORS))
    assert line.startswith(
        "push-pull against plain: nothing to compare under blur: push-pull and plain not tested there; helps under"
    )


def test_a_winner_that_is_not_computed_yet_is_not_tested():
    found = findings(study(PUSH_PULL, {"plain": PLAIN, "placebo": PLAIN, "push-pull": LESS}))
    assert [one.is_starred for one in found] == [True, False, False, False]
    assert [one.n for one in found] == [6, 6, 0, 0]


def test_a_study_without_a_family_or_without_trials_has_no_verdicts():
    assert verdicts(study(space(), ERRORS)) == []
    assert verdicts(Results("study", DECLARED, ())) == []


METHOD = LeaveOneOut(
    "method",
    (Part("push-pull", {"push_pull.where": "none"}, control="placebo"),),
    {"push_pull.where": "first"},
    ("noise",),
)


def test_parts_and_controls_are_called_by_what_they_are():
    found = space(arms=(), ablations=(METHOD,))
    noise = {"full": LESS, "without push-pull": PLAIN, "placebo for push-pull": PLAIN}
    _, part, control = verdicts(study(found, noise))
    assert part.startswith("push-pull helps under noise by 21.0 points [")
    assert control.startswith("push-pull beyond its control (placebo) helps under noise by 21.0 points [")


def test_alternatives_are_called_by_what_they_are():
    found = space(arms=(), ablations=(OneAtATime("choices", {"blurred": {"rank.top": 3}}, {}, ("noise",)),))
    _, line = verdicts(study(found, {"reference": LESS, "blurred": PLAIN}))
    assert line.startswith("blurred instead of the reference hurts under noise by 21.0 points [")


FACTORIAL = Factorial(
    "both",
    (
        Factor("a", {"push_pull.where": "first"}, {"push_pull.where": "none"}),
        Factor("b", {"finetune.which": "most"}, {"finetune.which": "none"}),
    ),
    outcomes=("noise",),
)
CELLS = {
    "a + b": [0.10, 0.15, 0.12, 0.11, 0.16, 0.09],
    "a": [0.22, 0.30, 0.25, 0.19, 0.29, 0.22],
    "b": [0.25, 0.34, 0.26, 0.24, 0.31, 0.27],
    "nothing": [0.52, 0.66, 0.57, 0.50, 0.60, 0.55],
}


def test_effects_of_a_factorial_are_those_of_an_analysis_of_variance_with_seeds_as_blocks():
    """t² of an effect's values, one a seed, is F of the repeated-measures analysis of variance."""
    found = findings(study(space(arms=(), ablations=(FACTORIAL,)), CELLS))
    rows = [
        {"seed": seed, "a": "a" in arm.split(" + "), "b": "b" in arm.split(" + "), "error": error}
        for arm, errors in CELLS.items()
        for seed, error in enumerate(errors)
    ]
    table = AnovaRM(pd.DataFrame(rows), "error", "seed", within=["a", "b"]).fit().anova_table
    assert [one.contrast.name for one in found] == ["a", "b", "a × b"]
    for one, (f, p) in zip(found, table[["F Value", "Pr > F"]].to_numpy(), strict=True):
        assert one.evidence is not None
        assert one.evidence.t_p == pytest.approx(p)
        assert one.evidence.effect_size**2 * one.n == pytest.approx(f)


def test_effects_of_a_factorial_in_words():
    _, a, b, both = verdicts(study(space(arms=(), ablations=(FACTORIAL,)), CELLS))
    assert a.startswith("a (averaged over b) helps under noise by 23.9 points [")
    assert b.startswith("b (averaged over a) helps under noise by 20.6 points [")
    assert both.startswith("a × b: together they gain 16.5 points less under noise than their effects add up to [")
    assert both.endswith("] *")
    more = {**CELLS, "a + b": [error - 0.5 for error in CELLS["a + b"]]}
    assert "points more under noise than their" in verdicts(study(space(arms=(), ablations=(FACTORIAL,)), more))[-1]


def test_an_interaction_that_is_not_shown_is_bounded():
    others = zip(*(CELLS[arm] for arm in ("a", "b", "nothing")), (0.01, -0.01, 0.01, -0.01, 0.02, -0.02), strict=True)
    additive = {**CELLS, "a + b": [a + b - nothing + noise for a, b, nothing, noise in others]}
    line = verdicts(study(space(arms=(), ablations=(FACTORIAL,)), additive))[-1]
    assert line.startswith("a × b: no interaction under noise larger than ")


def test_what_a_seed_lacks_in_one_arm_is_in_no_effect():
    cells = {**CELLS, "b": [None, *CELLS["b"][1:]]}
    found = findings(study(space(arms=(), ablations=(FACTORIAL,)), cells))
    assert [one.n for one in found] == [5, 5, 5]


def test_the_table_has_what_the_verdicts_rest_on():
    table = declared_table(findings(study(DECLARED, ERRORS)))
    assert table is not None
    assert [row[:3] for row in table.rows] == [
        ("push-pull − plain", "noise", "6 of 6"),
        ("push-pull − plain", "clean", "6 of 6"),
        ("tuned − plain", "noise", "6 of 6"),
    ]
    assert table.rows[0][3].endswith(" *")
    assert table.caption.endswith("; *: it is shown")
    assert declared_table([]) is None
    one_seed = findings(study(DECLARED, {arm: errors[:1] for arm, errors in ERRORS.items()}))
    (first, *_) = declared_table(one_seed).rows
    assert first[3:] == ("-20.0 (one seed)", "–", "–", "–", "–", "–")


def test_verdicts_come_first_and_no_other_difference_has_a_star():
    parts = study_report(study(DECLARED, ERRORS))
    assert str(parts[0]).startswith("verdicts on what was declared")
    text = as_text(parts)
    below = text[text.index("Explored, not tested") :]
    assert "push-pull − plain" in below
    assert "*" not in below


def test_the_answer_of_the_default_space_is_no_longer_than_before_it_had_verdicts():
    noise = {"plain": PLAIN, "placebo": PLAIN, "push-pull": LESS, "winner": LESS}
    found = study(PUSH_PULL, {arm: errors for arm, errors in noise.items() if arm != "winner"})
    proposal = dataclasses.replace(complete(90, "", 77, 0.2), slot="proposal/0")
    repeats = [
        dataclasses.replace(complete(100 + seed, "winner", seed, error), slot=f"winner/x/{seed}")
        for seed, error in enumerate(LESS)
    ]
    results = dataclasses.replace(found, trials=(*found.trials, proposal, *repeats))
    text = as_text(study_report(results), width=120)
    assert "winner against plain helps under corruption" in text
    assert len(text.splitlines()) <= 38 - 2  # of the same study; it is tested on two corruptions less here
    assert math.isfinite(findings(results)[2].detectable)


@pytest.mark.parametrize(
    ("p", "text"), [(0.0504647, "0.0505"), (0.05000001, "0.05000001"), (0.05, "0.05"), (0.0496, "0.05"), (0.06, "0.06")]
)
def test_a_p_above_the_level_is_not_written_as_if_it_were_on_it(p, text):
    assert p_text(p) == text


def test_where_seeds_have_failed_the_p_that_a_star_needs_is_that_of_those_left():
    eight = dataclasses.replace(DECLARED, n_seeds=8)
    more = {arm: [*errors, *errors[:2]] for arm, errors in ERRORS.items()}
    head, push_pull, _ = verdicts(study(eight, {**more, "push-pull": [*LESS, None, None]}))
    assert push_pull.startswith("push-pull against plain helps under noise")
    assert "] *;" in push_pull
    assert head.endswith("and ≤ 0.017 by sign flips (≤ 0.031 of 6 seeds)")
    head, *_ = verdicts(study(eight, {**more, "push-pull": [*LESS, 0.2, 0.2]}))
    assert head.endswith("and ≤ 0.017 by sign flips")


def test_differences_that_rounding_alone_sets_apart_have_no_spread():
    plain = [0.3, 0.4, 0.6, 0.7, 0.8, 0.9]
    results = study(DECLARED, {**ERRORS, "plain": plain, "push-pull": [error - 0.1 for error in plain]})
    found = findings(results)[0].evidence
    assert len({error - 0.1 - error for error in plain}) > 1
    assert found is not None
    assert (found.spread, found.effect_size) == (0, -math.inf)
    table = declared_table(findings(results))
    assert table is not None
    assert table.rows[0][3:5] == ("-10.0 [-10.0, -10.0] *", "-inf")


def test_what_is_the_same_on_the_one_seed_left_is_said_of_one():
    one_left = [PLAIN[0], *[None] * 5]
    _, push_pull, _ = verdicts(study(DECLARED, {**ERRORS, "push-pull": one_left}))
    assert "the same under noise on 1 seed;" in push_pull
