import pytest
import torch

from engine.errors import InputError
from engine.ranking import (
    activation_maps,
    exemplar_distances,
    mean_activations,
    pooled_distances,
    random_exemplars,
    random_pair,
    split_halves,
)
from tests.engine.ranking.test_filters import Residual


@pytest.fixture
def model() -> Residual:
    torch.manual_seed(0)
    return Residual()


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(7, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def test_random_pair_depends_on_the_seed_alone_and_reaches_every_image():
    pairs = [random_pair(3, 4, seed=seed) for seed in range(200)]
    assert pairs == [random_pair(3, 4, seed=seed) for seed in range(200)]
    assert {(i, j) for i in range(3) for j in range(4)} == set(pairs)
    with pytest.raises(InputError, match="0 clean and 4 noisy"):
        random_pair(0, 4, seed=0)


def test_random_exemplars_are_different_images_of_their_own_draw():
    draws = [random_exemplars(5, 2, seed=seed, purpose="clean").tolist() for seed in range(100)]
    assert draws == [random_exemplars(5, 2, seed=seed, purpose="clean").tolist() for seed in range(100)]
    assert draws != [random_exemplars(5, 2, seed=seed, purpose="noisy").tolist() for seed in range(100)]
    assert {len(set(drawn)) for drawn in draws} == {2}
    assert {image for drawn in draws for image in drawn} == {0, 1, 2, 3, 4}
    with pytest.raises(InputError, match=r"in \[1, 5\].* got 6"):
        random_exemplars(5, 6, seed=0, purpose="clean")


def test_mean_activations_are_the_means_of_the_maps(model, images):
    found = mean_activations(model, images, batch_size=3)
    maps = next(activation_maps(model, images))
    for layer in ("first", "second"):
        torch.testing.assert_close(found[layer], maps[layer].double().mean(dim=(0, 2, 3)), rtol=1e-6, atol=1e-8)


def test_pooled_distances_of_one_image_each_are_emd_1d(model, images):
    torch.testing.assert_close(
        pooled_distances(model, images[:1], images[1:2])["first"],
        exemplar_distances(model, images[:1], images[1:2])["first"],
        rtol=1e-6,
        atol=1e-8,
    )


def test_pooled_distances_do_not_depend_on_pairing_or_batches(model, images):
    noisy = (images + 0.2).clamp(0, 1)
    one = pooled_distances(model, images, noisy, batch_size=2)["first"]
    torch.testing.assert_close(one, pooled_distances(model, images.flip(0), noisy)["first"])
    assert (one > 0).any()
    assert pooled_distances(model, images, images.flip(0))["first"].max() < 1e-7


def test_pooled_distances_take_sets_of_different_sizes(model, images):
    assert pooled_distances(model, images, images[:2])["second"].shape == (4,)
    with pytest.raises(InputError, match="of one size"):
        pooled_distances(model, images, images[:, :, :6])


def test_split_halves_are_a_partition_of_the_images():
    distances = torch.arange(14.0).reshape(7, 2)
    halves = split_halves(distances, seed=0)
    assert [len(half) for half in halves] == [3, 4]
    assert sorted(torch.cat(halves)[:, 0].tolist()) == distances[:, 0].tolist()
    assert not torch.equal(halves[0], split_halves(distances, seed=1)[0])
    with pytest.raises(InputError, match="two images or more"):
        split_halves(distances[:1], seed=0)
