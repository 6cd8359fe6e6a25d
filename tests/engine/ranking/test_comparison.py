import pytest
import torch

from engine.errors import InputError
from engine.ranking import (
    CONTROLS,
    compare_rankings,
    control_agreements,
    exemplar_distances,
    mean_activations,
    paired_distances,
    pooled_distances,
    rank_filters,
)
from tests.engine.ranking.test_filters import Residual


@pytest.fixture
def model() -> Residual:
    return Residual()


@pytest.fixture
def sets() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(1)
    clean, other = torch.rand(6, 3, 8, 8, generator=draw), torch.rand(5, 3, 8, 8, generator=draw)
    return clean, (clean + 0.3 * torch.randn(clean.shape, generator=draw)).clamp(0, 1), other


def test_controls_are_compared_with_the_paired_ranking(model, sets):
    clean, noisy, other = sets
    found = control_agreements(model, clean, noisy, other, count=2, distance="l2", n_draws=3, seed=0)
    assert tuple(found) == CONTROLS
    votes = paired_distances(model, clean, noisy, distance="l2")
    for layer in ("first", "second"):
        paired = rank_filters(votes[layer])
        for control, vector in (
            ("mean clean activation", mean_activations(model, other)[layer]),
            ("unpaired sets pooled", pooled_distances(model, other, noisy)[layer]),
        ):
            assert found[control][layer] == (compare_rankings(rank_filters(vector), paired, count=2),)


def test_random_images_are_one_clean_and_one_noisy_image_a_draw(model, sets):
    clean, noisy, other = sets
    drawn = control_agreements(model, clean, noisy, other, "second", count=2, n_draws=4, seed=0)["random images"]
    paired = rank_filters(paired_distances(model, clean, noisy, "second")["second"])
    pairs = {
        compare_rankings(
            rank_filters(exemplar_distances(model, other[i : i + 1], noisy[j : j + 1], "second")["second"]),
            paired,
            count=2,
        )
        for i in range(len(other))
        for j in range(len(noisy))
    }
    assert len(drawn["second"]) == 4
    assert set(drawn["second"]) <= pairs


def test_the_ceiling_is_1_where_all_images_vote_alike(model, sets):
    clean, noisy, other = sets
    same = (images[:1].expand(6, -1, -1, -1) for images in (clean, noisy))
    ceiling = control_agreements(model, *same, other, count=1, n_draws=2, seed=0)["split halves, paired"]
    for layer in ("first", "second"):
        assert [(a.matches, a.rank_correlation) for a in ceiling[layer]] == [(1, 1.0)] * 2


def test_draws_depend_on_the_seed_alone(model, sets):
    one, same, other = (control_agreements(model, *sets, count=2, n_draws=8, seed=seed) for seed in (0, 0, 1))
    assert one == same
    assert one["random images"] != other["random images"]
    with pytest.raises(InputError, match="`n_draws` must be ≥ 1, got 0"):
        control_agreements(model, *sets, count=2, n_draws=0, seed=0)
