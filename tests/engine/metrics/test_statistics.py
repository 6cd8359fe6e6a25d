import math
import random

import pytest
from scipy.stats import ttest_rel

from engine.errors import InputError
from engine.metrics import paired_difference


@pytest.mark.parametrize("n", [2, 6, 30])
@pytest.mark.parametrize("confidence", [0.95, 0.8])
def test_paired_difference_is_scipy_s_paired_t_interval(n, confidence):
    draws = random.Random(n)
    a, b = [draws.gauss(0.3, 0.1) for _ in range(n)], [draws.gauss(0.2, 0.1) for _ in range(n)]
    found = paired_difference(a, b, confidence=confidence)
    expected = ttest_rel(a, b).confidence_interval(confidence)
    assert found.mean == pytest.approx(sum(a) / n - sum(b) / n)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.n == n


def test_paired_difference_by_hand():
    found = paired_difference([1.0, 2.0, 3.0], [0.0, 2.0, 1.0])  # differences 1, 0, 2: mean 1, deviation 1
    assert found.mean == 1
    half = 4.302652729911275 / 3**0.5  # the 97.5 % quantile of Student's t with two degrees of freedom
    assert (found.low, found.high) == pytest.approx((1 - half, 1 + half))


def test_differences_that_are_all_the_same_have_an_interval_of_no_width():
    found = paired_difference([0.25, 0.5, 0.75], [0.0, 0.25, 0.5])
    assert (found.mean, found.low, found.high) == (0.25, 0.25, 0.25)


def test_one_pair_has_a_mean_and_no_interval():
    found = paired_difference([0.5], [0.2])
    assert found.mean == pytest.approx(0.3)
    assert math.isnan(found.low)
    assert math.isnan(found.high)


@pytest.mark.parametrize(("a", "b"), [([], []), ([1.0], []), ([1.0, 2.0], [1.0])])
def test_unpaired_values_are_refused(a, b):
    with pytest.raises(InputError, match=rf"as many on both sides and at least one, got {len(a)} and {len(b)}"):
        paired_difference(a, b)
