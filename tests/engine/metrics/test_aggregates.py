import math
import statistics

import numpy as np
import pytest

from engine.errors import InputError
from engine.metrics.aggregates import interquartile_mean, probability_of_improvement


def errors_of(n_corruptions, n_seeds, *, seed=0, level=0.3, network=0.0):
    """Return errors by corruption and seed; ``network`` is how far a seed is off under all corruptions alike."""
    random = np.random.default_rng(seed)
    shift = network * random.normal(size=n_seeds)
    return [(level + 0.02 * k + shift + 0.02 * random.normal(size=n_seeds)).tolist() for k in range(n_corruptions)]


def middle_half(values):
    """Return the mean of the middle half, by sorting."""
    cut = len(values) // 4
    return statistics.fmean(sorted(values)[cut : len(values) - cut])


def drawn(errors, n=4000, *, whole):
    """Return the ends of a bootstrap's 95 % interval of the middle half, by a loop: of seeds drawn whole, or not."""
    random, found = np.random.default_rng(1), []
    n_seeds = len(errors[0])
    for _ in range(n):
        same = random.integers(n_seeds, size=n_seeds)
        draws = [same if whole else random.integers(n_seeds, size=n_seeds) for _ in errors]
        found.append(middle_half([of[seed] for of, some in zip(errors, draws, strict=True) for seed in some]))
    return np.percentile(found, [2.5, 97.5])


def test_the_interquartile_mean_cuts_a_quarter_off_at_each_end_of_all_errors_together():
    assert interquartile_mean([[0.0, 0.1], [0.2, 1.0]]).value == pytest.approx(0.15), "of 0, 0.1, 0.2 and 1: 0.1, 0.2"
    errors = errors_of(7, 6)
    assert interquartile_mean(errors).value == pytest.approx(middle_half([one for of in errors for one in of]))


def test_one_corruption_that_all_fail_under_hardly_moves_it():
    errors = errors_of(8, 6)
    spoiled = [*errors[:-1], [0.9] * 6]
    assert interquartile_mean(spoiled).value == pytest.approx(interquartile_mean(errors).value, abs=0.02)


@pytest.mark.parametrize("network", [0.0, 0.05])
def test_its_intervals_are_those_of_two_bootstraps(network):
    errors = errors_of(8, 6, network=network)
    found = interquartile_mean(errors)
    assert (found.low, found.high) == pytest.approx(drawn(errors, whole=False), abs=0.002)
    assert (found.seeds_low, found.seeds_high) == pytest.approx(drawn(errors, whole=True), abs=0.004)


def test_seeds_drawn_whole_count_what_a_network_has_under_all_corruptions():
    found = interquartile_mean(errors_of(8, 6, network=0.05))
    assert found.seeds_high - found.seeds_low > 1.5 * (found.high - found.low)


def test_the_probability_of_improvement_counts_pairs_of_seeds():
    found = probability_of_improvement([[0.1, 0.2, 0.3], [0.5, 0.5, 0.5]], [[0.15, 0.25], [0.5, 0.9]])
    first = (2 + 1 + 0) / 6  # 0.1 is below both, 0.2 below one
    second = (0.5 + 1) / 2  # equal ones count half
    assert found.value == pytest.approx((first + second) / 2)
    ours, theirs = errors_of(5, 6, seed=1), errors_of(5, 4, seed=2, level=0.32)
    pairs = [
        statistics.fmean((a < b) + 0.5 * (a == b) for a in one for b in other)
        for one, other in zip(ours, theirs, strict=True)
    ]
    assert probability_of_improvement(ours, theirs).value == pytest.approx(statistics.fmean(pairs))


def test_two_alike_improve_on_each_other_half_of_the_time():
    errors = errors_of(5, 6)
    found = probability_of_improvement(errors, errors)
    assert found.value == 0.5
    assert found.low < 0.5 < found.high
    turned = probability_of_improvement(errors_of(5, 6, seed=3), errors)
    assert probability_of_improvement(errors, errors_of(5, 6, seed=3)).value == pytest.approx(1 - turned.value)


def test_one_seed_has_no_interval_and_equal_errors_have_one_without_width():
    alone = interquartile_mean([[0.1], [0.2]])
    assert alone.value == pytest.approx(0.15)
    assert all(map(math.isnan, (alone.low, alone.high, alone.seeds_low, alone.seeds_high)))
    same = interquartile_mean([[0.1, 0.1], [0.1, 0.1]])
    assert (same.value, same.low, same.high, same.seeds_low, same.seeds_high) == pytest.approx((0.1,) * 5)
    best = probability_of_improvement([[0.1, 0.1]], [[0.2, 0.2]])
    assert (best.value, best.low, best.high) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize("errors", [[], [[]], [[0.1], [0.1, 0.2]]])
def test_errors_of_no_or_different_seeds_are_refused(errors):
    with pytest.raises(InputError, match="every corruption needs the errors of the same seeds"):
        interquartile_mean(errors)


def test_other_corruptions_are_refused():
    with pytest.raises(InputError, match="under the same corruptions, got 2 and 1"):
        probability_of_improvement([[0.1], [0.2]], [[0.1]])


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_an_error_that_is_no_finite_number_is_not_cut_off_with_the_largest(value):
    odd = [[0.1, 0.2, 0.3, value]] * 2
    with pytest.raises(InputError, match=f"must be finite, got {value} among 4 values"):
        interquartile_mean(odd)
    with pytest.raises(InputError, match=f"must be finite, got {value} among 4 values"):
        probability_of_improvement([[0.1, 0.2, 0.3, 0.4]] * 2, odd)
