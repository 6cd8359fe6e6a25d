"""Verdicts claim what is not there, and find what is, as often as they say; ``benchmarks/calibration.py`` has more."""

import pytest
from scipy.stats import binomtest

from benchmarks.calibration import Design, designs, false_claims, found_claims, networks, share
from engine.metrics.inference import LEVEL, POWER

N_STUDIES = 200


@pytest.fixture(scope="module")
def tried() -> Design:
    """Return the family of a 2×2 design: six comparisons."""
    return designs()[2]


def is_at_most(count: int, n: int, share: float) -> bool:
    """Return whether a count could come of a share that is no larger: no more than one time in a thousand it is so."""
    return binomtest(count, n, share, alternative="greater").pvalue > 1e-3


def is_at_least(count: int, n: int, share: float) -> bool:
    return binomtest(count, n, share, alternative="less").pvalue > 1e-3


def test_of_studies_without_an_effect_few_have_a_star_or_a_bound_that_the_truth_is_beyond(tried):
    starred, beyond = false_claims(tried, networks(), N_STUDIES)
    assert is_at_most(starred, N_STUDIES, LEVEL), share(starred, N_STUDIES)
    assert is_at_most(beyond, N_STUDIES, LEVEL), share(beyond, N_STUDIES)


@pytest.mark.parametrize("by_a_study", [False, True])
def test_the_smallest_effect_that_is_stated_is_found(tried, by_a_study):
    found = found_claims(tried, networks(), N_STUDIES // 2, by_a_study=by_a_study)
    assert is_at_least(found, N_STUDIES // 2, POWER), share(found, N_STUDIES // 2)


def test_a_claim_by_each_interval_alone_would_be_made_too_often(tried, monkeypatch):
    """The test can fail: the stars that tables had before, of intervals that exclude 0, one by one."""
    monkeypatch.setattr("engine.report.verdicts.is_shown", lambda holm_p, sign_flip, n, n_family: sign_flip <= LEVEL)
    starred, _ = false_claims(tried, networks(), N_STUDIES)
    assert not is_at_most(starred, N_STUDIES, LEVEL), share(starred, N_STUDIES)


def test_an_effect_of_half_the_size_would_not_be_found_as_often(tried, monkeypatch):
    monkeypatch.setattr("benchmarks.calibration.stated_beforehand", lambda *_: 0.04)
    found = found_claims(tried, networks(), N_STUDIES // 2)
    assert not is_at_least(found, N_STUDIES // 2, POWER), share(found, N_STUDIES // 2)
