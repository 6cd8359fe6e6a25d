"""PRIME: its three transforms against other ways to them, what its batches draw, and what its mixtures are made of."""

import math
import random

import numpy as np
import pytest
import scipy.ndimage
import torch
import torch.nn.functional as F

from engine.corruptions.draws import Draws
from engine.training.prime import (
    STRENGTHS,
    TRANSFORMS,
    Prime,
    deformed,
    displacement,
    filtered,
    random_deformation,
    recoloured,
    temperatures,
)

PLACES = torch.arange(12)
IMAGES = torch.randint(0, 256, (12, 3, 32, 32), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
VALUES = IMAGES.float() / 255


def test_each_image_is_filtered_by_its_own_kernel():
    kernels = torch.randn(12, 3, 3, generator=torch.Generator().manual_seed(1))
    found = filtered(VALUES, kernels)
    for image, kernel, one in zip(VALUES, kernels, found, strict=True):
        expected = F.conv2d(image[:, None], kernel[None, None], padding=1)[:, 0].clamp(0, 1)
        torch.testing.assert_close(one, expected, rtol=0, atol=1e-5)
    corner = torch.zeros(12, 3, 3)
    corner[:, 2, 2] = 1
    assert torch.equal(filtered(VALUES, corner)[:, :, :-1, :-1], VALUES[:, :, 1:, 1:]), "a shift by a pixel"


@pytest.mark.parametrize("first", [1, 40])
def test_each_channel_is_recoloured_by_its_own_sines(first):
    weights = 0.1 * torch.randn(12, 3, 7, generator=torch.Generator().manual_seed(1))
    added = sum(
        weights[:, :, k, None, None].double() * torch.sin(math.pi * (first + k) * VALUES.double()) for k in range(7)
    )
    expected = (VALUES.double() + added).clamp(0, 1)
    torch.testing.assert_close(recoloured(VALUES, weights, first).double(), expected, rtol=0, atol=1e-5)
    ends = torch.tensor([0.0, 1.0]).reshape(1, 1, 1, 2)
    torch.testing.assert_close(recoloured(ends, weights[:1, :1], first), ends, rtol=0, atol=1e-5)


def test_a_field_is_the_sum_of_its_modes():
    coefficients = np.random.default_rng(0).standard_normal((2, 5, 5))
    x = np.linspace(0, 1, 9)
    expected = np.zeros((2, 9, 9))
    for i in range(1, 6):
        for j in range(1, 6):
            if i * i + j * j < 5.5**2:
                mode = np.outer(np.sin(np.pi * j * x), np.sin(np.pi * i * x)) / math.hypot(i, j)
                expected += 9 * coefficients[:, i - 1, j - 1, None, None] * mode
    np.testing.assert_allclose(displacement(torch.from_numpy(coefficients), 9), expected, atol=1e-9)


def test_images_are_deformed_as_scipy_reads_them():
    field = 3 * torch.randn(2, 32, 32, generator=torch.Generator().manual_seed(2))
    y, x = np.mgrid[:32, :32]
    places = [y - field[1].numpy(), x - field[0].numpy()]
    found = deformed(VALUES, field)
    for image, one in zip(VALUES.flatten(0, 1), found.flatten(0, 1), strict=True):
        expected = scipy.ndimage.map_coordinates(image.numpy(), places, order=1, mode="nearest")
        np.testing.assert_allclose(one, expected, atol=1e-4)


def test_a_deformation_moves_pixels_by_about_half_a_pixel_or_more_and_does_not_fold():
    for seed in range(30):
        found = []
        apply = random_deformation(STRENGTHS["cifar"], random.Random(seed), VALUES)
        span = torch.arange(32.0)
        ramps = torch.stack([span.expand(32, 32), span[:, None].expand(32, 32)])[None] / 31
        moved = apply(ramps, Draws(0, ("none",), torch.zeros(1, dtype=torch.int64)))[0] * 31
        found = (ramps[0] * 31 - moved).square().sum(0).mean().sqrt()
        assert 0.1 < found < 6, seed
        assert torch.equal(moved[0, :, 0], torch.zeros(32)), "the edges stay"
    low, high = temperatures(32, 2)
    assert low == pytest.approx(1 / (math.pi * 1024 * math.log(2)))
    assert high == pytest.approx(1 / (math.pi**3 * math.log(2)))


def test_what_a_batch_draws_is_the_batch_s_and_the_rest_the_image_s_own():
    prime = Prime(strengths="cifar", consistency=12, seed=0)
    whole = prime.views(IMAGES, PLACES, 2, 5)
    assert whole.shape == (36, 3, 32, 32)
    assert torch.equal(whole[:12], VALUES)
    assert (whole.min(), whole.max()) >= (0, 0)
    assert whole.max() <= 1 + 1e-6
    some = torch.tensor([5, 0, 11])
    part = prime.views(IMAGES[some], PLACES[some], 2, 5).reshape(3, 3, 3, 32, 32)
    torch.testing.assert_close(part, whole.reshape(3, 12, 3, 32, 32)[:, some], rtol=0, atol=1e-5)
    others = [prime.views(IMAGES, PLACES, 2, 6), prime.views(IMAGES, PLACES, 3, 5)]
    others.append(Prime(strengths="cifar", consistency=12, seed=1).views(IMAGES, PLACES, 2, 5))
    others.append(Prime(strengths="imagenet", consistency=12, seed=0).views(IMAGES, PLACES, 2, 5))
    for other in others:
        assert not torch.equal(other[12:], whole[12:])
    same = prime.views(IMAGES[:1].expand(12, -1, -1, -1), PLACES, 2, 5)[12:]
    assert same.std(0).max() > 0.05, "each image has draws of its own"
    alone = Prime(strengths="cifar", consistency=0, seed=0)
    torch.testing.assert_close(alone.views(IMAGES, PLACES, 2, 5), whole[12:24], rtol=0, atol=0)
    assert alone.penalty([torch.zeros(1, 2)]) is None


def test_every_transform_is_of_some_images_and_strengths_stay_within_bounds(monkeypatch):
    seen = {}
    for number, transform in enumerate(TRANSFORMS):

        def noted(strengths, batch, images, number=number, transform=transform):
            apply = transform(strengths, batch, images)
            return lambda images, draws: seen.setdefault(number, []).append(len(images)) or apply(images, draws)

        monkeypatch.setattr(
            "engine.training.prime.TRANSFORMS", (*TRANSFORMS[:number], noted, *TRANSFORMS[number + 1 :])
        )
        for step in range(4):
            Prime(strengths="imagenet", consistency=12, seed=0).views(IMAGES, PLACES, 0, step)
    n_layers = 4 * 2 * 36 * 2  # steps, views, images in chains; a chain has two transforms in the mean
    for number in range(3):
        assert sum(seen[number]) / n_layers == pytest.approx(1 / 3, abs=0.06)
