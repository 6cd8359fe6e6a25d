import math

import pytest

from engine.errors import InputError
from engine.metrics import Baseline, corruption_scores, mean_by_corruption

TABLE = {("fog", 1): 0.1, ("fog", 5): 0.3, ("snow", 1): 0.2, ("snow", 5): 0.6}


def test_scores_without_a_baseline_are_errors():
    scores = corruption_scores(TABLE, 0.05)
    assert pytest.approx(0.3) == scores.E
    assert scores.E_by_corruption == pytest.approx({"fog": 0.2, "snow": 0.4})
    assert (scores.CE, scores.mCE, scores.rCE_by_corruption, scores.rCE) == (None, None, None, None)


def test_scores_of_a_2_by_2_table_by_hand():
    scores = corruption_scores(TABLE, 0.05, ({"fog": 0.25, "snow": 0.3, "frost": 0.9}, 0.1))
    assert pytest.approx({"fog": 0.8, "snow": 4 / 3}) == scores.CE  # 0.4 / 0.5 and 0.8 / 0.6
    assert scores.mCE == pytest.approx((0.8 + 4 / 3) / 2)
    # (0.2 − 0.05) / (0.25 − 0.1) and (0.4 − 0.05) / (0.3 − 0.1)
    assert scores.rCE_by_corruption == pytest.approx({"fog": 1.0, "snow": 1.75})
    assert scores.rCE == pytest.approx(1.375)


@pytest.mark.parametrize("on_fog", [0.1, 0.08, 0.1 + 1e-16])
def test_a_relative_score_needs_a_baseline_that_suffers(on_fog):
    scores = corruption_scores(TABLE, 0.05, ({"fog": on_fog, "snow": 0.3}, 0.1))
    assert scores.rCE_by_corruption == {"fog": None, "snow": pytest.approx(1.75)}
    assert scores.rCE is None
    assert scores.reasons == {
        "fog": f"the baseline has {on_fog:.2%} error on fog, no more than the 10.00% on clean images"
    }
    assert scores.mCE == pytest.approx((0.2 / on_fog + 4 / 3) / 2)


def test_a_baseline_must_have_every_corruption_and_err_on_it():
    with pytest.raises(InputError, match="the baseline has no error for snow"):
        corruption_scores(TABLE, 0.05, ({"fog": 0.25}, 0.1))
    with pytest.raises(InputError, match="its error is 0 for fog"):
        corruption_scores(TABLE, 0.05, ({"fog": 0.0, "snow": 0.3}, 0.0))


@pytest.mark.parametrize(
    ("errors", "clean", "message"),
    [
        ({"fog": math.nan, "snow": 0.3}, 0.1, "the baseline: errors are fractions in 0…1, got nan for fog"),
        ({"fog": 0.2, "snow": 0.3}, math.nan, "the baseline: errors are fractions in 0…1, got nan for clean images"),
        ({"fog": 30.31, "snow": 26.94}, 13.87, "errors are fractions in 0…1, got 13.87 for clean images"),
        ({}, 0.1, "the baseline has no errors on corrupted images"),
    ],
)
def test_a_baseline_has_fractions(errors, clean, message):
    with pytest.raises(InputError, match=message):
        corruption_scores(TABLE, 0.05, (errors, clean))


def test_errors_must_be_fractions_too():
    with pytest.raises(InputError, match="got nan for fog"):
        corruption_scores({**TABLE, ("fog", 5): math.nan}, 0.05)
    with pytest.raises(InputError, match=r"got 5\.0 for clean images"):
        corruption_scores(TABLE, 5.0)


def test_a_baseline_over_other_severities_is_refused():
    baseline = Baseline("baseline other.csv", {"fog": 0.2, "snow": 0.3}, 0.1, (1, 2, 3))
    with pytest.raises(InputError, match=r"baseline other\.csv is over the severities 1, 2, 3, not 1, 5"):
        corruption_scores(TABLE, 0.05, baseline)


def test_an_empty_or_ragged_table_is_refused():
    with pytest.raises(InputError, match="the error table is empty"):
        corruption_scores({}, 0.05)
    with pytest.raises(InputError, match=r"the same severities, got \[\(1,\), \(1, 5\)\]"):
        mean_by_corruption({("fog", 1): 0.1, ("snow", 1): 0.2, ("snow", 5): 0.6})
