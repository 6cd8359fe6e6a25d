import dataclasses
import json

import pytest

from engine.metrics.aggregates import interquartile_mean, probability_of_improvement
from engine.report import over_corruptions as module
from engine.report.formats import FORMATS, Answer
from engine.report.over_corruptions import improvement_table, means_table, over_corruptions
from engine.report.results import Results
from engine.report.study_report import closing_report, study_report
from engine.report.text_tables import Table
from engine.spaces import Comparison
from tests.engine.report.page.large import large_study

FOUR = ["gaussian_noise", "gaussian_blur", "contrast", "snow"]


@pytest.fixture(scope="module")
def results() -> Results:
    return large_study(40, corruptions=FOUR)


def test_groups_are_told_by_their_errors_over_corruptions_and_severities(results):
    groups = results.groups()
    found = over_corruptions(results, groups)
    assert found.n == 4
    errors = {group.name: [group.errors[name] for name in FOUR] for group in groups}
    assert found.means == {name: interquartile_mean(of) for name, of in errors.items()}
    ours, plain = errors["push-pull"], errors["plain"]
    assert found.pairs["push-pull", "plain"] == probability_of_improvement(ours, plain)
    assert ("plain", "push-pull") not in found.pairs, "a control is compared with other controls alone"
    cells = {row[0]: row[2] for row in means_table(found).rows}
    assert cells["push-pull"] == f"{100 * interquartile_mean(ours).value:.1f}"


def test_seeds_that_are_not_in_it_are_counted_beside_it(results):
    first = next(trial for trial in results.trials if trial.group == "push-pull")
    lost = dataclasses.replace(results, trials=tuple(trial for trial in results.trials if trial is not first))
    found = over_corruptions(lost, lost.groups())
    assert {row[0]: row[1] for row in means_table(found).rows}["push-pull"] == "5 of 6"
    pairs = {row[0]: row[1] for row in improvement_table(found).rows}
    assert pairs["push-pull over plain"] == "5 of 6; 6 of 6"


def test_every_form_of_the_report_has_them_and_the_closing_screen_does_not(results):
    titles = [part.title for part in study_report(results, detailed=True) if isinstance(part, Table)]
    assert any(title.startswith("Interquartile mean of the test errors in %, over 4 corruptions") for title in titles)
    assert any(title.startswith("Probability of improvement") for title in titles)
    short = [part.title for part in closing_report(results) if isinstance(part, Table)]
    assert not any(title.startswith(("Interquartile", "Probability")) for title in short)
    page = FORMATS["page"].write(Answer(results))[""]
    assert "Interquartile mean of the test errors" in page
    assert "Probability of improvement" in page
    stored = json.loads(FORMATS["json"].write(Answer(results))[""])["over_corruptions"]
    assert stored["n_corruptions"] == 4
    assert {one["group"] for one in stored["interquartile_means"]} >= {"plain", "push-pull"}
    assert all(0 <= one["value"] <= 1 for one in stored["probabilities_of_improvement"])


def test_of_few_corruptions_there_are_none_and_the_page_says_so():
    few = large_study(40, corruptions=FOUR[:3])
    assert over_corruptions(few, few.groups()) is None
    page = FORMATS["page"].write(Answer(few))[""]
    assert "interquartile means over corruptions: fewer than 4 were tested in all arms" in page
    assert json.loads(FORMATS["json"].write(Answer(few))[""])["over_corruptions"] is None


def test_what_is_declared_of_two_arms_comes_first_though_neither_is_a_control(results):
    arms = tuple(dataclasses.replace(arm, control=False) for arm in results.space.arms)
    comparisons = (Comparison("placebo", "push-pull", ("clean",)),)
    space = dataclasses.replace(results.space, arms=arms, comparisons=comparisons)
    found = over_corruptions(dataclasses.replace(results, space=space), results.groups())
    assert list(found.pairs) == [("placebo", "push-pull")]
    declared = over_corruptions(results, results.groups()).pairs
    assert next(iter(declared)) == ("push-pull", "plain"), "the space's first comparison"
    assert len(declared) == len(set(declared))


def test_pairs_beyond_a_number_are_left_out_and_counted(results, monkeypatch):
    n_pairs = len(over_corruptions(results, results.groups()).pairs)
    monkeypatch.setattr(module, "MOST_PAIRS", n_pairs - 1)
    found = over_corruptions(results, results.groups())
    assert (len(found.pairs), found.n_left_out) == (n_pairs - 1, 1)
    assert "1 more pairs were not computed" in improvement_table(found).caption
