import numpy as np
import pytest
import torch
from scipy import stats

from engine.corruptions.counter import random_words, words_to_uniform
from engine.corruptions.draws import Draws
from engine.seeds import derive_seed


def _draws(n=4, seed=0):
    return Draws(seed, ("corruption", "x", 1), torch.arange(n))


def test_draws_are_pinned():
    # The same numbers on any machine and in any process: they are in stored artifacts' keys by implication.
    draws = _draws(2, seed=7)
    assert draws.integers("a", 0, 1000, (3,)).tolist() == [[590, 973, 691], [922, 612, 113]]
    assert [f"{value:.12f}" for value in draws.normal("b", (2,))[1].tolist()] == ["-0.069835186005", "-1.115161895752"]


def test_draws_of_other_purposes_and_seeds_differ():
    first = _draws().uniform("a", (50,))
    assert torch.equal(first, _draws().uniform("a", (50,)))
    assert not torch.equal(first, _draws().uniform("b", (50,)))
    assert not torch.equal(first, _draws(seed=1).uniform("a", (50,)))


def test_uniform_scales():
    unit = _draws().uniform("a", (20,))
    np.testing.assert_allclose(_draws().uniform("a", (20,), -45, 45), unit * 90 - 45, atol=1e-12)


def test_integers_are_uniform_and_cover_their_range():
    counts = torch.bincount(_draws(10).integers("a", -3, 4, (3000,)).flatten() + 3)
    assert len(counts) == 7
    assert stats.chisquare(counts.numpy()).pvalue > 0.001


def test_integers_below_keep_to_each_limit():
    limits = torch.tensor([1, 2, 5] * 200)
    drawn = _draws(600).integers_below("a", limits)
    assert [drawn[limits == limit].unique().tolist() for limit in (1, 2, 5)] == [[0], [0, 1], [0, 1, 2, 3, 4]]


@pytest.mark.parametrize("photons", [0.5, 3, 60, 500])
def test_poisson_inverts_the_distribution_function(photons):
    images = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16).repeat(8, 1, 1, 1)
    drawn = _draws(8).poisson("p", images, photons)
    words = random_words(derive_seed(0, "corruption", "x", 1, "p"), torch.arange(8), 256)
    expected = stats.poisson.ppf(words_to_uniform(words).reshape(images.shape), images.double() / 255 * photons)
    np.testing.assert_array_equal(drawn, np.maximum(expected, 0))
