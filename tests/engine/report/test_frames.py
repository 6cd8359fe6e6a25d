import dataclasses

import pytest

from engine.errors import InputError
from engine.report.study_results import StudyResults
from tests.engine.report import small_study

RESULTS = StudyResults.of(small_study.RESULTS)

EVIL = "</script><b>&"


def test_trials_are_a_row_each_whatever_became_of_them():
    trials = RESULTS.frames().trials
    assert list(trials.trial) == [trial.number for trial in RESULTS.trials]
    assert set(trials.state) == {trial.state for trial in RESULTS.trials}
    assert trials.set_index("trial").loc[0, "error: gaussian_noise"] == pytest.approx(0.45)
    assert trials.set_index("trial").loc[6, "reason"] == str(RESULTS.trials[6].reason)
    assert trials.set_index("trial").loc[6, ["error: clean", "error: all"]].isna().all()


def test_errors_are_a_row_a_trial_and_corruption_and_severity():
    errors = RESULTS.frames().errors
    cells = errors[errors.trial == 1].set_index(["corruption", "severity"]).error
    assert dict(cells) == pytest.approx(
        {("clean", 0): 0.02, **RESULTS.trials[1].table},
    )
    assert errors[errors.trial == 6].error.isna().all()


def test_groups_have_their_spread_and_what_is_not_in_it():
    groups = RESULTS.frames().groups.set_index(["group", "errors"])
    plain = groups.loc[("plain", "gaussian_noise")]
    assert plain["mean"] == pytest.approx(0.55)
    assert plain["std"] == pytest.approx(0.1414, abs=1e-4)
    assert plain["low"] < plain["mean"] < plain["high"]
    assert (plain["n"], plain["failed"]) == (2, 0)


def test_a_study_without_trials_has_frames_with_columns_and_no_figures():
    empty = dataclasses.replace(RESULTS, trials=())
    frames = empty.frames()
    assert len(frames.trials) == len(frames.errors) == 0
    assert {"trial", "state"} <= set(frames.trials.columns)
    assert {"corruption", "severity", "error"} <= set(frames.errors.columns)
    assert empty.figures() == {}


def test_figures_show_themselves_have_data_and_can_be_saved(tmp_path):
    figures = RESULTS.figures()
    assert figures
    for title, figure in figures.items():
        assert figure.title == title
        assert "<svg" in figure.html()
        assert figure._repr_html_().startswith("<iframe srcdoc=")
        assert len(figure.data) > 0
        figure.save(tmp_path / "figure.html")
        assert (tmp_path / "figure.html").read_text() == figure.html()
    with pytest.raises(InputError, match="the figure cannot be written"):
        figure.save(tmp_path / "none" / "figure.html")


def test_names_in_a_figure_are_escaped():
    trials = [dataclasses.replace(trial, group=EVIL) for trial in RESULTS.trials if trial.group == "plain"]
    arms = tuple(dataclasses.replace(arm, name=EVIL) if arm.name == "plain" else arm for arm in RESULTS.space.arms)
    space = dataclasses.replace(RESULTS.space, arms=arms)
    figures = dataclasses.replace(RESULTS, space=space, trials=tuple(trials)).figures()
    assert not any(EVIL in figure.html() or EVIL in figure._repr_html_() for figure in figures.values())
