from concurrent.futures import ThreadPoolExecutor

import numpy as np
import ot
import pytest
import torch

from engine.errors import InputError
from engine.ranking import filter_distances
from engine.ranking import spatial as spatial_module
from engine.ranking.spatial import ground_distances, unit_mass

METRICS = {"emd_spatial": "euclidean", "emd_spatial_manhattan": "cityblock"}


def whole_problem(a: torch.Tensor, b: torch.Tensor, metric: str) -> float:
    """Return POT's answer for two non-negative maps with mass, without any short cut."""
    height, width = a.shape
    positions = np.array([(y, x) for y in range(height) for x in range(width)], dtype=float)
    mass_a, mass_b = (m.double().flatten().numpy() / m.double().sum().item() for m in (a, b))
    return float(ot.emd2(mass_a, mass_b, ot.dist(positions, positions, metric=metric)))


def single(a: list[list[float]], b: list[list[float]], distance: str) -> float:
    return filter_distances(torch.tensor([[a]]), torch.tensor([[b]]), distance).item()


@pytest.mark.parametrize(("distance", "metric"), METRICS.items())
def test_spatial_emd_is_pot_s_of_the_whole_maps(distance, metric):
    generator = torch.Generator().manual_seed(0)
    clean = torch.randn(4, 3, 6, 7, generator=generator).relu()
    noisy = torch.randn(4, 3, 6, 7, generator=generator).relu()
    expected = [[whole_problem(clean[i, k], noisy[i, k], metric) for k in range(3)] for i in range(4)]
    np.testing.assert_allclose(filter_distances(clean, noisy, distance).numpy(), expected, rtol=1e-9)


@pytest.mark.parametrize(("distance", "expected"), [("emd_spatial", 5.0), ("emd_spatial_manhattan", 7.0)])
def test_spatial_emd_of_a_moved_point_is_how_far_it_moved(distance, expected):
    clean, noisy = torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 8)
    clean[0, 0, 1, 2] = 3.0
    noisy[0, 0, 4, 6] = 0.2
    assert filter_distances(clean, noisy, distance).item() == pytest.approx(expected)


def test_spatial_emd_of_a_worked_example():
    # shares ½ ½ 0 against 0 ½ ½: what is in the middle stays, one half moves two pixels
    assert single([[2.0, 2.0, 0.0]], [[0.0, 1.0, 1.0]], "emd_spatial") == pytest.approx(1.0)


def test_spatial_emd_does_not_see_the_scale():
    maps = torch.rand(2, 2, 4, 4)
    assert filter_distances(maps, 4 * maps, "emd_spatial").max() < 1e-9


def test_spatial_emd_counts_negative_values_as_no_earth():
    assert single([[-5.0, 1.0, 0.0]], [[0.0, 0.0, 2.0]], "emd_spatial") == pytest.approx(1.0)


def test_spatial_emd_takes_an_empty_map_as_evenly_spread():
    # a third in each pixel against all in the first: a third moves one pixel, a third two
    assert single([[0.0, 0.0, 0.0]], [[4.0, 0.0, 0.0]], "emd_spatial") == pytest.approx(1.0)
    assert single([[-1.0, -2.0, 0.0]], [[7.0, 7.0, 7.0]], "emd_spatial") == 0


def test_emd_spatial_mass_weighs_by_the_mean_earth_per_pixel():
    # moved by 2 pixels; earth per pixel 3/3 and 6/3
    assert single([[3.0, 0.0, 0.0]], [[0.0, 0.0, 6.0]], "emd_spatial_mass") == pytest.approx(2 * 1.5)
    # an empty map: distance 1 (above), earth per pixel 0 and 4/3
    assert single([[0.0, 0.0, 0.0]], [[4.0, 0.0, 0.0]], "emd_spatial_mass") == pytest.approx(2 / 3)


def test_unit_mass_sums_to_one_whatever_the_scale():
    maps = torch.rand(2, 3, 4, 4)
    for scale in (1e-38, 1.0, 1e37):
        torch.testing.assert_close(unit_mass(maps * scale).sum(dim=2), torch.ones(2, 3, dtype=torch.float64))


def test_ground_distances_are_between_pixels_row_by_row():
    assert ground_distances(2, 3, 1)[0].tolist() == [0, 1, 2, 1, 2, 3]
    assert ground_distances(2, 3, 2)[0, 5] == pytest.approx(5**0.5)


@pytest.mark.parametrize(("n_threads", "size"), [(1, 12), (2, 12), (3, 12), (3, 4)])
def test_spatial_emd_is_the_same_on_several_threads(monkeypatch, n_threads, size):
    clean, noisy = torch.rand(3, 5, size, size), torch.rand(3, 5, size, size)
    expected = [
        [whole_problem(a, b, "euclidean") for a, b in zip(*x, strict=True)] for x in zip(clean, noisy, strict=True)
    ]
    pools = []

    class Pool(ThreadPoolExecutor):
        def __init__(self, max_workers: int) -> None:
            pools.append(max_workers)
            super().__init__(max_workers)

    monkeypatch.setattr(spatial_module, "ThreadPoolExecutor", Pool)
    monkeypatch.setattr(torch, "get_num_threads", lambda: n_threads)
    np.testing.assert_allclose(filter_distances(clean, noisy, "emd_spatial").numpy(), expected, rtol=1e-9)
    assert pools == ([n_threads] if n_threads > 1 and size == 12 else [])  # small maps: not worth any


def test_spatial_emd_tells_what_went_wrong_on_another_thread(monkeypatch):
    def fail(surplus: np.ndarray, ground: np.ndarray) -> float:
        raise RuntimeError("was not found")

    monkeypatch.setattr(spatial_module, "_cost_of_moving", fail)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    with pytest.raises(RuntimeError, match="was not found"):
        filter_distances(torch.rand(2, 2, 12, 12), torch.rand(2, 2, 12, 12), "emd_spatial")


def test_spatial_emd_is_refused_where_the_solver_gave_up(monkeypatch):
    class GaveUp:
        @staticmethod
        def emd2(*args, **settings):
            return 0.0, {"warning": "numItermax reached"}

    monkeypatch.setattr(spatial_module, "_pot", lambda: GaveUp)
    with pytest.raises(RuntimeError, match="was not found: numItermax reached"):
        single([[1.0, 0.0]], [[0.0, 1.0]], "emd_spatial")


def test_spatial_emd_says_what_to_install_without_pot(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ot", None)
    with pytest.raises(InputError, match="install pot"):
        single([[1.0, 0.0]], [[0.0, 1.0]], "emd_spatial")
