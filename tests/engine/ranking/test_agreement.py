import pytest
import torch
from scipy.stats import spearmanr

from engine.errors import InputError
from engine.ranking import Agreement, compare_rankings, rank_filters


def test_compare_rankings_of_a_worked_example():
    one = rank_filters(torch.tensor([8.0, 7, 6, 5, 4, 3, 2, 1]))
    other = rank_filters(torch.tensor([7.0, 8, 1, 5, 4, 3, 2, 6]))
    # the top halves are {0 1 2 3} and {1 0 7 3}; positions differ by 1 1 5 0 0 0 0 5 (2 goes to the end, 7 to third)
    assert compare_rankings(one, other, fraction=0.5) == Agreement(
        matches=3, n_selected=4, by_chance=2.0, jaccard=3 / 5, rank_correlation=1 - 6 * 52 / (8 * 63)
    )


def test_compare_rankings_correlates_as_scipy_does():
    values = torch.rand(2, 40)
    found = compare_rankings(rank_filters(values[0]), rank_filters(values[1]), count=10)
    assert found.rank_correlation == pytest.approx(spearmanr(values[0].numpy(), values[1].numpy()).statistic)


def test_compare_rankings_of_a_ranking_with_itself_and_its_reverse():
    values = torch.rand(12)
    same = compare_rankings(rank_filters(values), rank_filters(values), count=3)
    reverse = compare_rankings(rank_filters(values), rank_filters(-values), count=3)
    assert (same.matches, same.jaccard, same.rank_correlation) == (3, 1.0, 1.0)
    assert (reverse.matches, reverse.jaccard, reverse.rank_correlation) == (0, 0.0, -1.0)


def test_compare_rankings_of_a_single_filter_has_no_correlation():
    ranking = rank_filters(torch.tensor([1.0]))
    assert compare_rankings(ranking, ranking, count=1).rank_correlation is None


def test_compare_rankings_refuses_rankings_of_different_layers():
    with pytest.raises(InputError, match="rankings of 2 and 3 filters"):
        compare_rankings(rank_filters(torch.rand(2)), rank_filters(torch.rand(3)), count=1)
