import pytest
import torch

from engine.errors import InputError
from engine.ranking import ELECTIONS, borda_count, find_exemplar, make_ranking, rank_filters


def test_rank_filters_orders_by_points_then_mean_distance_then_index():
    points, mean = torch.tensor([0, 7, 0, 7, 0]), torch.tensor([0.5, 1.0, 0.5, 2.0, 0.9])
    assert make_ranking(points, mean, rule="borda", n_images=1).order.tolist() == [3, 1, 4, 0, 2]


def test_rank_filters_holds_points_mean_distance_and_order():
    distances = torch.rand(7, 20, dtype=torch.float64)
    ranking = rank_filters(distances)
    assert torch.equal(ranking.points, borda_count(distances))
    torch.testing.assert_close(ranking.mean_distance, distances.mean(dim=0))
    assert sorted(ranking.order.tolist()) == list(range(20))
    assert (ranking.rule, ranking.n_images, ranking.n_filters) == ("borda", 7, 20)


def test_rank_filters_uses_the_cut():
    distances = torch.tensor([[3.0, 2.0], [3.0, 2.0], [0.0, 9.0]])
    assert rank_filters(distances, top=1).points.tolist() == [2, 1]


def test_rank_filters_sorts_a_vector_of_exemplar_distances_without_a_vote():
    ranking = rank_filters(torch.tensor([0.2, 0.9, 0.2, 0.4]))
    assert ranking.order.tolist() == [1, 3, 0, 2]
    assert ranking.rule == "distance"
    assert torch.equal(ranking.points, ranking.mean_distance)


def test_a_single_image_s_vote_orders_as_its_distances_do():
    distances = torch.rand(1, 30)
    assert torch.equal(rank_filters(distances).order, rank_filters(distances[0]).order)


def test_rank_filters_refuses_bad_input():
    with pytest.raises(InputError, match=r"unknown election rule 'bord' \(did you mean 'borda'\?\)"):
        rank_filters(torch.rand(2, 3), rule="bord")
    with pytest.raises(InputError, match="NaN"):
        rank_filters(torch.tensor([torch.inf, 1.0]))
    with pytest.raises(InputError, match="no distances"):
        rank_filters(torch.rand(0))
    with pytest.raises(InputError, match=r"must be \(f,\) both"):
        make_ranking(torch.rand(2), torch.rand(3), rule="borda", n_images=1)


def test_what_a_gpu_s_ranking_has_the_cpu_do_is_the_same_on_any_number_of_threads():
    """Elections and exemplars: so the keys of what a GPU computes leave the threads out."""
    draws = torch.Generator().manual_seed(0)
    distances = torch.rand(20_000, 16, generator=draws, dtype=torch.float64)
    points = torch.rand(1500, 300, generator=draws)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            rankings = [rank_filters(distances, rule=rule) for rule in ELECTIONS]
            exemplars = [find_exemplar(points, "euclidean", n_exemplars=1), find_exemplar(points - 0.5, "hamming", 1)]
            found.append([ranking.points for ranking in rankings] + [rankings[0].mean_distance] + exemplars)
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


@pytest.mark.parametrize("place", [0, 1])
def test_a_filter_that_is_ranked_by_nan_is_not_the_most_affected_one(place):
    given = [torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.1, 0.2, 0.3])]
    given[place][1] = torch.nan
    with pytest.raises(InputError, match="what filters are ranked by holds NaN or infinite values"):
        make_ranking(*given, rule="gradient", n_images=4)
