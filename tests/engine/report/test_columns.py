"""Which corruptions tables have columns for."""

import pytest

from engine.errors import InputError
from engine.report.columns import corruption_columns, errors_by_column, kind_columns
from engine.report.results import Results
from engine.report.study_report import study_report
from engine.report.terminal import as_text
from tests.engine.orchestration.spaces import SPACE
from tests.engine.report.small_study import RESULTS, make_trial, table_rows, with_rows


def test_a_kind_with_one_corruption_is_called_by_it() -> None:
    assert kind_columns(RESULTS.tested) == ["clean", "gaussian_noise", "contrast", "all"]
    assert list(RESULTS.groups()[0].errors) == ["clean", "noise", "digital", "gaussian_noise", "contrast", "all"]


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
