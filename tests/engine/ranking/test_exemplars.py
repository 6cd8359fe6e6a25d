import itertools

import pytest
import torch

from engine.errors import InputError
from engine.ranking import euclidean, find_exemplar
from engine.ranking import exemplars as exemplars_module
from engine.ranking.euclidean import sums_by_bounds


def images_like(n: int, d: int, seed: int, n_directions: int = 12) -> torch.Tensor:
    """Return points whose variance lies in few directions, as images' does."""
    generator = torch.Generator().manual_seed(seed)
    main = torch.randn(n, n_directions, generator=generator) @ torch.randn(n_directions, d, generator=generator)
    return 5 + main + 0.2 * torch.randn(n, d, generator=generator)


def brute_force(points: torch.Tensor) -> int:
    points = points.double()
    return int(torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist").sum(dim=1).argmin())


@pytest.mark.parametrize("seed", range(5))
def test_find_exemplar_is_the_brute_force_medoid(seed):
    points = torch.rand(150, 7, generator=torch.Generator().manual_seed(seed))
    assert find_exemplar(points).tolist() == [brute_force(points)]


@pytest.mark.parametrize("seed", range(3))
def test_find_exemplar_by_bounds_is_the_brute_force_medoid(seed):
    points = images_like(1200, 150, seed)
    assert sums_by_bounds(points).argmin() == brute_force(points)
    assert find_exemplar(points).tolist() == [brute_force(points)]


def test_find_exemplar_computes_all_sums_where_bounds_do_not_help():
    points = torch.randn(1200, 150, generator=torch.Generator().manual_seed(0))
    assert sums_by_bounds(points) is None
    assert find_exemplar(points).tolist() == [brute_force(points)]


def test_find_exemplar_is_the_same_whatever_the_blocks(monkeypatch):
    points = torch.rand(300, 5)
    whole = find_exemplar(points)
    monkeypatch.setattr(euclidean, "rows_at_once", lambda points: 7)
    assert torch.equal(find_exemplar(points), whole)


def test_find_exemplar_is_exact_far_from_the_origin():
    points = 1000 + 1e-2 * torch.rand(200, 4, generator=torch.Generator().manual_seed(2))
    assert find_exemplar(points).tolist() == [brute_force(points)]


@pytest.mark.parametrize("precision", ["highest", "medium"])
def test_find_exemplar_is_exact_whatever_precision_products_are_set_to(precision):
    points = images_like(1200, 150, seed=4)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        assert find_exemplar(points).tolist() == [brute_force(points)]
        assert torch.get_float32_matmul_precision() == precision
    finally:
        torch.set_float32_matmul_precision(before)


def test_find_exemplar_takes_the_first_of_equal_points():
    points = torch.tensor([[0.0], [4.0], [2.0], [2.0]])
    assert find_exemplar(points).tolist() == [2]
    for value in (0.0, 0.1, 1.0, 1e6):
        assert find_exemplar(torch.full((5, 3), value)).tolist() == [0]
        assert find_exemplar(torch.full((1100, 150), value)).tolist() == [0]
    assert find_exemplar(torch.ones(5, 3), "hamming").tolist() == [0]


def test_find_exemplar_is_exact_for_float64_far_from_the_origin():
    points = 1e7 + torch.rand(200, 4, dtype=torch.float64)
    assert find_exemplar(points).tolist() == [brute_force(points)]


@pytest.mark.parametrize(("n", "d"), [(300, 10), (1100, 150)])
def test_find_exemplar_is_exact_in_a_tight_cluster_with_far_outliers(n, d):
    points = 1e-3 * torch.rand(n, d, generator=torch.Generator().manual_seed(1))
    points[::9] += 500.0
    assert find_exemplar(points).tolist() == [brute_force(points)]


def test_find_exemplar_takes_bytes_as_numbers():
    points = torch.randint(0, 256, (120, 30), dtype=torch.uint8)
    assert find_exemplar(points).tolist() == [brute_force(points)]
    assert find_exemplar(points > 99).tolist() == [brute_force(points > 99)]


@pytest.mark.parametrize("seed", range(3))
def test_find_exemplar_by_hamming_is_the_brute_force_medoid_of_what_is_positive(seed):
    points = torch.randn(80, 33, generator=torch.Generator().manual_seed(seed))
    binary = points > 0
    sums = [(binary != binary[i]).sum().item() for i in range(80)]
    assert find_exemplar(points, "hamming").tolist() == [sums.index(min(sums))]
    assert find_exemplar(binary, "hamming").tolist() == [sums.index(min(sums))]


@pytest.mark.parametrize("metric", ["euclidean", "hamming"])
def test_find_exemplar_of_two_clusters_is_the_best_pair(metric):
    generator = torch.Generator().manual_seed(3)
    points = torch.randn(24, 9, generator=generator) + 2 * (torch.arange(24) % 2 * 2 - 1)[:, None]
    if metric == "hamming":
        apart = ((points > 0)[:, None] != (points > 0)[None]).sum(dim=2).double()
    else:
        apart = torch.cdist(points.double(), points.double())
    costs = {pair: apart[:, list(pair)].amin(dim=1).sum().item() for pair in itertools.combinations(range(24), 2)}
    found = find_exemplar(points, metric, n_exemplars=2)
    assert costs[tuple(found.tolist())] == pytest.approx(min(costs.values()))


def test_find_exemplar_of_many_points_looks_at_those_drawn_with_the_seed(monkeypatch):
    monkeypatch.setattr(exemplars_module, "MAX_CLUSTERED", 40)
    points = torch.rand(200, 3)
    drawn = [find_exemplar(points, n_exemplars=3, seed=seed).tolist() for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    with pytest.raises(InputError, match="at most 40, got 41"):
        find_exemplar(points, n_exemplars=41)


def test_find_exemplar_as_many_as_points_are_all():
    assert find_exemplar(torch.rand(4, 2), n_exemplars=4).tolist() == [0, 1, 2, 3]


def test_find_exemplar_refuses_bad_input():
    points = torch.rand(5, 2)
    with pytest.raises(InputError, match="from 1 to the number of images, 5, got 6"):
        find_exemplar(points, n_exemplars=6)
    with pytest.raises(InputError, match="from 1 to the number of images, 5, got 0"):
        find_exemplar(points, n_exemplars=0)
    with pytest.raises(InputError, match="unknown metric 'euclid'"):
        find_exemplar(points, "euclid")
    with pytest.raises(InputError, match="flatten them first"):
        find_exemplar(torch.rand(5, 3, 2, 2))
    with pytest.raises(InputError, match="no features"):
        find_exemplar(points[:0])
    with pytest.raises(InputError, match="NaN or infinite"):
        find_exemplar(points / 0)
