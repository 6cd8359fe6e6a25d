import gc
import itertools
import math
import statistics

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from engine.errors import InputError
from engine.metrics.inference import (
    LEVEL,
    evidence,
    family_bound,
    holm,
    is_shown,
    least_sign_flip_p,
    seeds_for_a_claim,
    sign_flip_level,
    sign_flip_p,
    smallest_effect,
    spread_limit,
    t_p,
)


def counted(values) -> float:
    """Return the sign-flip test's p by counting."""
    observed = abs(sum(values))
    flips = list(itertools.product((1, -1), repeat=len(values)))
    as_large = [abs(sum(s * v for s, v in zip(flip, values, strict=True))) >= observed - 1e-12 for flip in flips]
    return sum(as_large) / len(flips)


@pytest.mark.parametrize("n", [2, 3, 6, 9])
def test_sign_flip_p_is_the_share_of_flips_that_are_as_far_from_0(n):
    for seed in range(5):
        values = np.random.default_rng(seed).normal(0.5, 1, n)
        assert sign_flip_p(values) == pytest.approx(counted(values))


def test_the_least_sign_flip_p_is_that_of_one_direction():
    for n in range(2, 9):
        assert sign_flip_p([0.1] * n) == sign_flip_p(range(1, n + 1)) == least_sign_flip_p(n)
    assert seeds_for_a_claim() == 6
    assert least_sign_flip_p(6) <= LEVEL < least_sign_flip_p(5)


def test_of_many_seeds_flips_are_drawn_and_the_p_is_near():
    values = np.random.default_rng(0).normal(0.5, 1, 16)
    assert sign_flip_p(values) == sign_flip_p(values)
    assert sign_flip_p(values) == pytest.approx(counted(values), abs=0.01)


@pytest.mark.parametrize(("values", "p"), [([], 1), ([0.3], 1), ([0.0, 0.0], 1), ([0.1] * 4, 0)])
def test_t_p_where_there_is_no_t(values, p):
    assert t_p(values) == p


def test_evidence_is_that_of_scipy():
    values = [0.1, 0.3, 0.2, -0.1, 0.25, 0.4]
    found = evidence(values)
    theirs = stats.ttest_1samp(values, 0)
    assert found.t_p == pytest.approx(theirs.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(theirs.confidence_interval()))
    assert found.effect_size == pytest.approx(theirs.statistic / math.sqrt(6))
    assert found.spread == pytest.approx(statistics.stdev(values))
    assert (evidence([0.1]).n, evidence([0.1]).t_p) == (1, 1)
    assert evidence([0.2, 0.2]).effect_size == math.inf
    assert evidence([0.0, 0.0]).effect_size == 0


def test_holm_worked_by_hand():
    # sorted: 0.01·4, 0.02·3, 0.03·2, 0.5·1, each at least the one before
    assert holm([0.03, 0.01, 0.5, 0.02]) == pytest.approx((0.06, 0.04, 0.5, 0.06))
    assert holm([]) == ()


def test_holm_leaves_a_process_s_garbage_alone():
    holm([0.03, 0.01])  # what it imports is there
    sizes, before = [], gc.get_freeze_count()

    def note(phase, _):
        sizes.append(len(gc.get_objects()))

    gc.callbacks.append(note)
    try:
        holm([0.03, 0.01])
    finally:
        gc.callbacks.remove(note)
    assert all(size < 10_000 for size in sizes), "what is there is half a second's work for the collector"
    assert gc.get_freeze_count() <= before


def test_holm_does_so_where_python_itself_has_frozen_something(monkeypatch):
    """Python 3.12 has; what somebody else has frozen stays so."""
    asked = []
    monkeypatch.setattr(gc, "freeze", lambda: asked.append("freeze"))
    monkeypatch.setattr(gc, "unfreeze", lambda: asked.append("unfreeze"))
    for n_frozen, wanted in ((375, ["freeze", "unfreeze"]), (50_000, [])):
        monkeypatch.setattr(gc, "get_freeze_count", lambda n_frozen=n_frozen: n_frozen)
        holm([0.03, 0.01])
        assert asked == wanted
        asked.clear()


def test_a_star_needs_both_tests():
    assert is_shown(0.05, 0.05, n=7, n_family=1)
    assert not is_shown(0.051, 2 / 2**7, n=7, n_family=1)
    assert not is_shown(0.001, 6 / 2**6, n=6, n_family=1)


def test_sign_flips_must_have_their_share_of_the_level_or_the_least_p_of_so_many_seeds():
    assert sign_flip_level(10, 4) == 0.0125
    assert sign_flip_level(6, 4) == 2 / 64
    assert not is_shown(0.001, 6 / 2**8, n=8, n_family=6)
    assert is_shown(0.001, 2 / 2**8, n=8, n_family=60), "the t test carries the correction"
    assert not is_shown(0.0, 2 / 2**5, n=5, n_family=1), "too few seeds"


def test_the_bound_of_a_family_is_the_far_end_of_a_bonferroni_interval():
    values = [0.1, 0.3, 0.2, -0.1]
    low, high = stats.ttest_1samp(values, 0).confidence_interval(1 - 0.05 / 3)
    assert family_bound(values, 3) == pytest.approx(max(-low, high))
    assert family_bound([-value for value in values], 3) == pytest.approx(max(-low, high))
    assert family_bound([0.1], 3) == math.inf


def test_the_smallest_effect_is_at_least_what_the_t_test_alone_needs():
    for n, n_family in itertools.product((6, 8, 12), (1, 4, 20)):
        alone = TTestPower().solve_power(nobs=n, alpha=LEVEL / n_family, power=0.8)
        assert alone < smallest_effect(n, n_family) < 1.35 * alone + 0.05
    assert smallest_effect(5, 1) == math.inf
    # of six differences all must have one sign: Φ(d)⁶ is 0.8, and 0.04 more for noise that is not normal
    assert smallest_effect(6, 1) == pytest.approx(stats.norm.ppf(0.84 ** (1 / 6)), abs=0.04)


@pytest.mark.parametrize("value", [math.nan, -math.inf])
@pytest.mark.parametrize("about", [evidence, t_p, sign_flip_p, spread_limit, lambda values: family_bound(values, 2)])
def test_nothing_is_shown_by_differences_that_are_not_finite(about, value):
    with pytest.raises(InputError, match=f"must be finite, got {value} among 3 values"):
        about([0.1, value, 0.2])


@pytest.mark.parametrize("n", [13, 14, 15, 20])
def test_the_smallest_effect_of_a_large_family_has_an_end(n):
    alone = TTestPower().solve_power(nobs=n, alpha=LEVEL / 1000, power=0.8)
    assert alone < smallest_effect(n, 1000) < 2 * alone


def test_many_seeds_can_have_a_star_in_a_family_of_any_size():
    values = [0.2 + 0.01 * seed for seed in range(20)]
    assert sign_flip_p(values) == least_sign_flip_p(20) <= sign_flip_level(20, 1000)
    assert is_shown(0.01, sign_flip_p(values), 20, 1000)


@pytest.mark.parametrize(
    ("numbers", "unit"), [((-1, 1, -1, 1, 1, -1), 1 / 150), ((1, 2, -3, 4, -1, 2, 1), 1 / 97), ((3, 1, 2, -6), 0.1 / 3)]
)
def test_ties_of_sign_flips_are_ties_in_spite_of_rounding(numbers, unit):
    share = 0.4  # a difference of two errors, as they are measured
    differences = [(share + number * unit) - share for number in numbers]
    assert sign_flip_p(differences) == counted(numbers)


def test_of_differences_that_are_all_0_every_flip_is_as_far():
    assert sign_flip_p([0.0] * 6) == 1.0
