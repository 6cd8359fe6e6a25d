import subprocess
import sys

import pytest
import torch

from engine.errors import InputError
from engine.ranking import FilterRanking, make_ranking, n_selected, select_filters


@pytest.fixture
def ranking() -> FilterRanking:
    """Return a ranking of eight filters in the order 5 0 3 7 1 6 2 4."""
    points = torch.tensor([9, 5, 2, 8, 0, 20, 2, 6])
    mean = torch.tensor([0.9, 0.5, 0.2, 0.3, 0.1, 0.8, 0.25, 0.6])
    return make_ranking(points, mean, rule="borda", n_images=4)


@pytest.mark.parametrize(
    ("n_filters", "fraction", "expected"),
    [
        (32, 0.25, 8),
        (96, 0.25, 24),
        (10, 0.25, 3),
        (6, 0.25, 2),
        (5, 0.25, 1),
        (16, 0.04, 1),
        (16, 1.0, 16),
        (3, 0.5, 2),
    ],
)
def test_n_selected_rounds_halves_up(n_filters, fraction, expected):
    assert n_selected(n_filters, fraction=fraction) == expected


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.01, float("nan")])
def test_n_selected_refuses_fractions_outside_their_range(fraction):
    with pytest.raises(InputError, match=r"`fraction` must be in \(0, 1\]"):
        n_selected(8, fraction=fraction)


@pytest.mark.parametrize("fraction", [1e-9, 0.01, 0.031])
def test_n_selected_refuses_fractions_that_select_no_filter(fraction):
    with pytest.raises(InputError, match=rf"`fraction` {fraction} of the layer's 16 filters selects none; give 0.0625"):
        n_selected(16, fraction=fraction)


@pytest.mark.parametrize("count", [0, -1, 9, 2.5])
def test_n_selected_refuses_counts_that_the_layer_does_not_have(count):
    with pytest.raises(InputError, match="from 1 to the layer's 8 filters"):
        n_selected(8, count=count)


def test_n_selected_needs_exactly_one_size():
    with pytest.raises(InputError, match="exactly one of `fraction` and `count`"):
        n_selected(8)
    with pytest.raises(InputError, match="exactly one of `fraction` and `count`"):
        n_selected(8, fraction=0.5, count=2)


def test_select_filters_takes_the_most_affected_first(ranking):
    assert select_filters(ranking, fraction=0.25, which="most").tolist() == [5, 0]
    assert select_filters(ranking, count=3, which="most").tolist() == [5, 0, 3]


def test_select_filters_takes_the_least_affected_first(ranking):
    assert select_filters(ranking, count=3, which="least").tolist() == [4, 2, 6]


def test_select_filters_by_threshold_takes_what_exceeds_it_in_the_ranking_s_order(ranking):
    assert select_filters(ranking, threshold=0.5, which="most").tolist() == [5, 0, 7]
    assert select_filters(ranking, threshold=0.9, which="most").tolist() == []


def test_select_filters_by_threshold_makes_controls_of_the_same_size(ranking):
    assert select_filters(ranking, threshold=0.5, which="least").tolist() == [4, 2, 6]
    assert len(select_filters(ranking, threshold=0.5, which="random", seed=0)) == 3


def test_select_filters_all_and_none_need_no_size(ranking):
    assert select_filters(ranking, which="all").tolist() == ranking.order.tolist()
    assert select_filters(ranking, which="none").tolist() == []
    assert select_filters(ranking, fraction=0.25, which="all").tolist() == ranking.order.tolist()


def test_select_filters_at_random_depends_on_the_seed_alone(ranking):
    drawn = [tuple(select_filters(ranking, count=4, which="random", seed=seed).tolist()) for seed in range(20)]
    assert len(set(drawn)) > 10
    assert all(len(set(chosen)) == 4 for chosen in drawn)
    torch.manual_seed(7)
    assert tuple(select_filters(ranking, count=4, which="random", seed=3).tolist()) == drawn[3]


def test_select_filters_at_random_is_the_same_in_another_process(ranking):
    script = (
        "import torch; from engine.ranking import make_ranking, select_filters;"
        "r = make_ranking(torch.zeros(8), torch.zeros(8), rule='borda', n_images=1);"
        "print(select_filters(r, count=4, which='random', seed=3).tolist())"
    )
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == str(select_filters(ranking, count=4, which="random", seed=3).tolist())


def test_select_filters_at_random_takes_every_filter_equally_often(ranking):
    counts = torch.zeros(8)
    for seed in range(800):
        counts[select_filters(ranking, count=2, which="random", seed=seed)] += 1
    assert (counts - 200).abs().max() < 5 * (800 * 0.25 * 0.75) ** 0.5


def test_select_filters_does_not_share_memory_with_the_ranking(ranking):
    for which in ("most", "least", "all"):
        select_filters(ranking, fraction=1.0, which=which).zero_()
    assert ranking.order.tolist() == [5, 0, 3, 7, 1, 6, 2, 4]


def test_select_filters_refuses_bad_input(ranking):
    with pytest.raises(InputError, match=r"unknown choice of filters 'mots' \(did you mean 'most'\?\)"):
        select_filters(ranking, count=1, which="mots")
    with pytest.raises(InputError, match=r"exactly one of .* got none of them"):
        select_filters(ranking, which="most")
    with pytest.raises(InputError, match=r"exactly one of .* got fraction and threshold"):
        select_filters(ranking, fraction=0.5, threshold=0.1, which="most")
    with pytest.raises(InputError, match="`seed` is needed"):
        select_filters(ranking, count=1, which="random")
    with pytest.raises(InputError, match="`threshold` must be"):
        select_filters(ranking, threshold=-0.1, which="most")
    with pytest.raises(InputError, match="layer's 8 filters, got 9"):
        select_filters(ranking, count=9, which="all")
