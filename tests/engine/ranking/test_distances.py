import numpy as np
import pytest
import torch
from scipy.spatial.distance import cosine as scipy_cosine
from scipy.stats import wasserstein_distance

from engine.errors import InputError
from engine.ranking import DISTANCES, distances, filter_distances, register_distance

gpu = pytest.param("cuda", marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")])

PLACED_MASS = ("emd_spatial", "emd_spatial_manhattan", "sliced_emd", "sinkhorn")


def maps_of(seed: int, shape: tuple[int, ...] = (3, 4, 5, 6)) -> tuple[torch.Tensor, torch.Tensor]:
    """Return clean and noisy maps as after a ReLU, one filter's empty on both sides, one image's on one side."""
    generator = torch.Generator().manual_seed(seed)
    clean = torch.randn(shape, generator=generator).relu()
    noisy = (clean + 0.5 * torch.randn(shape, generator=generator)).relu()
    clean[:, 0] = 0
    noisy[:, 0] = 0
    clean[0, 1] = 0
    return clean, noisy


@pytest.fixture(params=DISTANCES.names())
def distance(request) -> str:
    return request.param


class TestEveryDistance:
    """What holds of all that is registered."""

    @pytest.mark.parametrize("device", ["cpu", gpu])
    def test_gives_a_finite_float64_number_of_each_image_and_filter(self, distance, device):
        clean, noisy = maps_of(0)
        found = filter_distances(clean.to(device), noisy.to(device), distance)
        assert found.shape == (3, 4)
        assert found.dtype == torch.float64
        assert found.device.type == device
        assert torch.isfinite(found).all()
        assert (found >= 0).all()
        torch.testing.assert_close(found.cpu(), filter_distances(clean, noisy, distance), rtol=1e-4, atol=1e-6)

    def test_is_zero_for_identical_maps(self, distance):
        clean, _ = maps_of(1)
        assert (filter_distances(clean, clean.clone(), distance) == 0).all()
        assert (filter_distances(clean - 0.5, clean - 0.5, distance) == 0).all()

    def test_is_zero_for_two_empty_maps(self, distance):
        assert (filter_distances(*maps_of(2), distance)[:, 0] == 0).all()

    def test_is_positive_for_maps_that_differ(self, distance):
        assert (filter_distances(*maps_of(3), distance)[1:, 1:] > 0).all()

    def test_is_symmetric(self, distance):
        clean, noisy = maps_of(4)
        there, back = filter_distances(clean, noisy, distance), filter_distances(noisy, clean, distance)
        torch.testing.assert_close(there, back, rtol=1e-4, atol=1e-6)

    def test_treats_images_and_filters_one_by_one(self, distance):
        clean, noisy = maps_of(5)
        whole = filter_distances(clean, noisy, distance)
        images, filters = torch.tensor([2, 0, 1]), torch.tensor([3, 1, 0, 2])
        shuffled = filter_distances(clean[images][:, filters], noisy[images][:, filters], distance)
        torch.testing.assert_close(shuffled, whole[images][:, filters], rtol=1e-4, atol=1e-6)
        single = filter_distances(clean[1:2, 2:3], noisy[1:2, 2:3], distance)
        torch.testing.assert_close(single, whole[1:2, 2:3], rtol=1e-6, atol=1e-9)

    def test_leaves_the_maps_alone(self, distance):
        clean, noisy = maps_of(6)
        before = clean.clone(), noisy.clone()
        filter_distances(clean, noisy, distance)
        assert torch.equal(clean, before[0])
        assert torch.equal(noisy, before[1])

    def test_takes_half_precision_and_views(self, distance):
        clean, noisy = maps_of(7)
        clean, noisy = clean.half().transpose(2, 3), noisy.half().transpose(2, 3)
        torch.testing.assert_close(
            filter_distances(clean, noisy, distance),
            filter_distances(clean.float().contiguous(), noisy.float().contiguous(), distance),
        )

    def test_takes_negative_values_and_constant_maps(self, distance):
        clean, noisy = torch.full((1, 2, 4, 4), -1.0), torch.full((1, 2, 4, 4), 2.0)
        noisy[0, 1] = -1.0
        found = filter_distances(clean, noisy, distance)
        assert torch.isfinite(found).all()
        assert found[0, 1] == 0

    def test_takes_extreme_values(self, distance):
        clean, noisy = maps_of(8)
        for scale in (1e-30, 1e15):
            found = filter_distances(clean * scale, noisy * scale, distance)
            assert torch.isfinite(found).all()
            assert (found >= 0).all()


def test_emd_1d_is_scipy_s_wasserstein_distance():
    clean, noisy = maps_of(10)
    noisy -= 0.3
    expected = [
        [wasserstein_distance(a.flatten().numpy(), b.flatten().numpy()) for a, b in zip(x, y, strict=True)]
        for x, y in zip(clean, noisy, strict=True)
    ]
    np.testing.assert_allclose(filter_distances(clean, noisy, "emd_1d").numpy(), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("side", [4, 11, 12, 16])
@pytest.mark.parametrize("lowest", [0.0, -0.3])
def test_emd_1d_has_the_same_bits_however_maps_are_sorted(side, lowest, monkeypatch):
    clean, noisy = (maps + lowest for maps in maps_of(12, (3, 4, side, side)))
    expected = np.abs(np.sort(clean.flatten(2).numpy()) - np.sort(noisy.flatten(2).numpy()))
    for few in (0, 128, 1024):
        monkeypatch.setattr(distances, "_FEW_VALUES", few)
        found = filter_distances(clean, noisy, "emd_1d").numpy()
        assert np.array_equal(found, expected.mean(axis=2, dtype=np.float64))


def test_emd_1d_of_a_worked_example():
    clean, noisy = torch.tensor([[[[0.0, 3.0], [1.0, 0.0]]]]), torch.tensor([[[[4.0, 0.0], [0.0, 1.0]]]])
    assert filter_distances(clean, noisy, "emd_1d").item() == 0.25  # 0 0 1 3 against 0 0 1 4


def test_l1_and_l2_of_a_worked_example():
    clean, noisy = torch.tensor([[[[0.0, 3.0], [1.0, 0.0]]]]), torch.tensor([[[[4.0, 0.0], [0.0, 1.0]]]])
    assert filter_distances(clean, noisy, "l1").item() == 9 / 4
    assert filter_distances(clean, noisy, "l2").item() == pytest.approx((27 / 4) ** 0.5, rel=1e-6)


def test_emd_1d_is_at_most_l1_and_l1_at_most_l2():
    found = [filter_distances(*maps_of(11), name) for name in ("emd_1d", "l1", "l2")]
    assert (found[0] <= found[1] + 1e-6).all()
    assert (found[1] <= found[2] + 1e-6).all()


def test_cosine_is_scipy_s():
    clean, noisy = maps_of(12)
    expected = scipy_cosine(clean[1, 2].flatten().numpy(), noisy[1, 2].flatten().numpy())
    assert filter_distances(clean, noisy, "cosine")[1, 2].item() == pytest.approx(expected, abs=1e-6)


def test_cosine_of_one_empty_map_is_one_and_of_opposite_maps_two():
    ones = torch.ones(1, 1, 2, 2)
    assert filter_distances(ones, 0 * ones, "cosine").item() == 1
    assert filter_distances(ones, -ones, "cosine").item() == pytest.approx(2)


@pytest.mark.parametrize("name", ["emd_1d", "l1", "l2"])
def test_distances_of_values_take_negative_ones_constant_and_empty_maps(name):
    constant, empty = torch.full((1, 1, 3, 3), -1.5), torch.zeros(1, 1, 3, 3)
    assert filter_distances(constant, constant + 2, name).item() == pytest.approx(2)
    assert filter_distances(constant, empty, name).item() == pytest.approx(1.5)


@pytest.mark.parametrize("name", ["emd_1d", "l1", "l2"])
def test_distances_of_values_are_the_gap_on_maps_of_one_pixel(name):
    clean, noisy = torch.tensor([[1.0, -2.0]])[..., None, None], torch.tensor([[0.5, 1.0]])[..., None, None]
    assert filter_distances(clean, noisy, name).tolist() == [[0.5, 3.0]]


@pytest.mark.parametrize("name", PLACED_MASS)
def test_distances_of_places_take_an_empty_map_as_a_constant_one(name):
    clean, _ = maps_of(13, (2, 3, 5, 6))
    clean = clean[:, 2:]
    empty, constant = torch.zeros_like(clean), torch.full_like(clean, 7.0)
    found = filter_distances(clean, empty, name)
    assert (found > 0.01).all()
    torch.testing.assert_close(found, filter_distances(clean, constant, name))
    assert filter_distances(empty, constant, name).max() == 0


@pytest.mark.parametrize("name", PLACED_MASS)
def test_distances_of_places_count_negative_values_as_none(name):
    clean, noisy = maps_of(14)
    expected = filter_distances(clean, noisy, name)
    below = torch.rand(clean.shape)
    found = filter_distances(clean - below * (clean == 0), noisy - below * (noisy == 0), name)
    assert torch.equal(found, expected)


@pytest.mark.parametrize("name", [n for n in DISTANCES.names() if n not in ("emd_1d", "l1", "l2")])
def test_distances_that_look_at_places_refuse_maps_of_one_pixel(name):
    with pytest.raises(InputError, match=f"'{name}' needs activation maps of two pixels or more, got 1×1"):
        filter_distances(torch.rand(2, 3, 1, 1), torch.rand(2, 3, 1, 1), name)


def test_filter_distances_refuses_bad_maps():
    maps = torch.rand(2, 3, 4, 4)
    with pytest.raises(InputError, match=r"unknown distance 'emd1d' \(did you mean 'emd_1d'\?\)"):
        filter_distances(maps, maps, "emd1d")
    with pytest.raises(InputError, match="as many noisy images as clean ones, got 2 clean and 1 noisy"):
        filter_distances(maps, maps[:1], "l1")
    with pytest.raises(InputError, match="differ in shape"):
        filter_distances(maps, maps[:, :2], "l1")
    with pytest.raises(InputError, match="no activation maps to compare"):
        filter_distances(maps[:0], maps[:0], "l1")
    with pytest.raises(InputError, match=r"must be \(n, f, h, w\)"):
        filter_distances(maps[0], maps[0], "l1")
    with pytest.raises(InputError, match="NaN or infinite"):
        filter_distances(maps, maps / 0, "l1")


def test_a_registered_distance_can_be_used(monkeypatch):
    monkeypatch.setattr(DISTANCES, "_entries", dict(DISTANCES._entries))

    @register_distance("largest-difference")
    def largest(clean: torch.Tensor, noisy: torch.Tensor) -> torch.Tensor:
        return (clean - noisy).abs().amax(dim=(2, 3))

    clean = torch.zeros(1, 1, 2, 2)
    assert filter_distances(clean, clean + torch.eye(2), "largest-difference").item() == 1
