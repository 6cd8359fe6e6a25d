import numpy as np
import pytest
import torch
from scipy.stats import rankdata

from engine.errors import InputError
from engine.ranking import ELECTIONS, borda_count, rank_filters


def test_borda_count_of_a_table_worked_by_hand():
    # top 3: image 1 places 2 1 0; image 2 has a tie of 0 and 3, the lower index first: 0 3 1; image 3: all tied: 0 1 2
    distances = torch.tensor([[0.3, 0.5, 0.9, 0.1], [0.8, 0.2, 0.0, 0.8], [0.4, 0.4, 0.4, 0.4]])
    assert borda_count(distances, top=3).tolist() == [1 + 3 + 3, 2 + 1 + 2, 3 + 0 + 1, 2]


def test_borda_count_gives_ten_to_the_largest_distance_and_none_after_the_tenth():
    assert borda_count(torch.arange(12.0)[None]).tolist() == [0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]


def test_borda_count_starts_at_ten_with_fewer_filters_too():
    assert borda_count(torch.tensor([[0.1, 0.3, 0.2]])).tolist() == [8, 10, 9]


def test_borda_count_is_the_paper_s_loop():
    distances = torch.rand(20, 15, dtype=torch.float64)
    points = [0] * 15
    for row in distances.tolist():
        ranked = sorted(range(15), key=lambda k: -row[k])[:10]
        for place, candidate in enumerate(ranked):
            points[candidate] += 10 - place
    found = borda_count(distances)
    assert found.tolist() == points
    assert found.dtype == torch.int64


def test_borda_count_takes_numpy_arrays():
    assert borda_count(np.array([[1.0, 2.0]]), top=2).tolist() == [1, 2]


def test_borda_count_refuses_bad_input():
    with pytest.raises(InputError, match=r"must be \(images, filters\), got shape \(3,\)"):
        borda_count(torch.rand(3))
    with pytest.raises(InputError, match="no distances"):
        borda_count(torch.rand(0, 3))
    with pytest.raises(InputError, match="NaN"):
        borda_count(torch.tensor([[1.0, torch.nan]]))
    with pytest.raises(InputError, match="`top` must be ≥ 1, got 0"):
        borda_count(torch.rand(2, 3), top=0)


def test_copeland_counts_duels():
    # 0 beats 1 on two images of three, ties with 2 (one each, one tie); 1 beats 2 on two of three
    distances = torch.tensor([[3.0, 2.0, 1.0], [1.0, 0.0, 2.0], [0.0, 3.0, 0.0]])
    assert ELECTIONS["copeland"](distances.double(), 10).tolist() == [1 + 0, -1 + 1, 0 - 1]


def test_copeland_is_the_same_in_blocks():
    distances = torch.rand(300, 300, dtype=torch.float64).mul(5).round()
    duels = sum((row[:, None] > row[None]).int() - (row[:, None] < row[None]).int() for row in distances)
    assert torch.equal(ELECTIONS["copeland"](distances, 10), duels.sign().sum(dim=1))


def test_mean_rank_is_scipy_s_midrank():
    distances = torch.rand(30, 9, dtype=torch.float64).mul(4).round()
    expected = rankdata(distances.numpy(), axis=1).mean(axis=0) - 1
    np.testing.assert_allclose(ELECTIONS["mean_rank"](distances, 10).numpy(), expected)


@pytest.mark.parametrize("rule", ELECTIONS.names())
def test_every_rule_puts_the_filter_first_that_all_images_do(rule):
    distances = torch.rand(11, 6, dtype=torch.float64)
    distances[:, 4] += 1
    distances[:, 2] -= 1
    ranking = rank_filters(distances, rule=rule)
    assert ranking.points.shape == (6,)
    assert ranking.order[0] == 4
    assert ranking.order[-1] == 2


@pytest.mark.parametrize("rule", ELECTIONS.names())
def test_every_rule_ignores_the_order_of_the_images(rule):
    distances = torch.rand(9, 6, dtype=torch.float64)
    one, other = rank_filters(distances, rule=rule), rank_filters(distances.flip(0), rule=rule)
    torch.testing.assert_close(one.points, other.points)


def test_borda_points_of_many_places_take_no_memory_of_their_own():
    distances = torch.tensor([[1.0, 3.0, 2.0]])
    assert borda_count(distances, top=2**31 - 1).tolist() == [2**31 - 3, 2**31 - 1, 2**31 - 2]
