import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.corruption_kinds import KINDS
from engine.corruptions import (
    CORRUPTIONS,
    SEVERITY_TABLES,
    corrupt,
    register_corruption,
    severity_constants,
    table_corruptions,
)
from engine.corruptions.apply import CORRUPTION_REGISTRY
from engine.errors import InputError
from tests.engine.pretend_device import on_device, pretend_device

REGISTERED = CORRUPTION_REGISTRY.names()
# On one-channel images too: all but those that are about colour.
GREY = [name for name in REGISTERED if name not in ("saturate", "plasma_noise", "transverse_chromatic_abberation")]


@pytest.fixture(autouse=True)
def _synthetic_frost(monkeypatch):
    monkeypatch.delenv("FROST_DIR", raising=False)


def _images(n=6, channels=3, height=32, width=32):
    """Smooth pictures with some noise, so that every corruption has something to change."""
    generator = np.random.default_rng(0)
    ramp = np.add.outer(np.arange(height), np.arange(width)) * 200 / (height + width)
    pictures = ramp + generator.integers(0, 56, (n, channels, height, width))
    return torch.from_numpy(pictures.astype(np.uint8))


def test_corruptions_are_the_benchmarks_nineteen_in_its_order():
    assert len(CORRUPTIONS) == 19
    assert CORRUPTIONS[:4] == ("gaussian_noise", "shot_noise", "impulse_noise", "defocus_blur")
    assert CORRUPTIONS[15:] == ("speckle_noise", "gaussian_blur", "spatter", "saturate")
    assert set(CORRUPTIONS) <= set(REGISTERED)


@pytest.mark.parametrize("severity", [1, 5])
@pytest.mark.parametrize("name", REGISTERED)
def test_corrupt_changes_images_and_does_not_depend_on_the_batch(name, severity):
    images = _images()
    before = images.clone()
    whole = corrupt(images, name, severity, seed=3)
    assert whole.dtype == torch.uint8
    assert whole.shape == images.shape
    assert whole.is_contiguous()
    assert torch.equal(images, before)
    assert not torch.equal(whole, images)
    order = torch.tensor([4, 1, 5])
    assert torch.equal(corrupt(images[order], name, severity, seed=3, indices=order), whole[order])


@pytest.mark.parametrize("name", REGISTERED)
def test_corrupt_works_in_parts_of_any_size(name, monkeypatch):
    whole = corrupt(_images(), name, 3, seed=3)
    monkeypatch.setattr("engine.corruptions.apply._CHUNK_ELEMENTS", {"cpu": 3072 * 4})
    assert torch.equal(corrupt(_images(), name, 3, seed=3), whole)


@pytest.mark.parametrize("size", [(16, 16), (28, 28), (64, 64), (20, 33), (5, 4), (1, 1)])
@pytest.mark.parametrize("name", GREY)
def test_corrupt_takes_other_sizes_and_one_channel(name, size):
    for severity in (1, 3, 5):
        images = _images(2, 1, *size)
        assert corrupt(images, name, severity, seed=0).shape == images.shape


@pytest.mark.parametrize("side", [96, 224])
@pytest.mark.parametrize("name", REGISTERED)
def test_corrupt_takes_large_images(name, side):
    images = _images(1, 3, side, side)
    assert not torch.equal(corrupt(images, name, 5, seed=0), images)


@pytest.mark.parametrize(
    "name",
    ["contrast", "defocus_blur", "gaussian_blur", "zoom_blur", "pixelate", "brightness", "fog", "snow", "glass_blur"],
)
def test_corrupt_of_one_channel_is_that_of_three_equal_ones(name):
    grey = _images(3, 1)
    colour = corrupt(grey.expand(-1, 3, -1, -1).contiguous(), name, 3, seed=0)
    difference = colour.int() - corrupt(grey, name, 3, seed=0).int()
    # Snow weighs the channels in float32, hue goes once around the circle: the last bit, truncated.
    assert int(difference.abs().max()) <= 1


def test_corrupt_draws_anew_for_other_seeds_indices_and_severities():
    image = torch.full((1, 3, 32, 32), 128, dtype=torch.uint8)
    first = corrupt(image, "gaussian_noise", 1, seed=0)
    others = [
        corrupt(image, "gaussian_noise", 1, seed=1),
        corrupt(image, "gaussian_noise", 1, seed=0, indices=[1]),
        corrupt(image, "gaussian_noise", 2, seed=0),
        corrupt(image, "speckle_noise", 1, seed=0),
    ]
    for other in others:
        shared = np.corrcoef(first.flatten().numpy(), other.flatten().numpy())[0, 1]
        assert abs(shared) < 5 / np.sqrt(3072)


def test_corrupt_is_the_same_in_another_process():
    code = (
        "import torch; from engine.corruptions import corrupt\n"
        "image = torch.arange(3072).remainder(256).to(torch.uint8).reshape(1, 3, 32, 32)\n"
        "print(sum(int(corrupt(image, n, 4, seed=5).long().mul(torch.arange(3072).reshape(1, 3, 32, 32)).sum())"
        " for n in ('gaussian_noise', 'fog', 'elastic_transform')))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
        cwd=Path(__file__).parents[3],
    )
    image = torch.arange(3072).remainder(256).to(torch.uint8).reshape(1, 3, 32, 32)
    weights = torch.arange(3072).reshape(1, 3, 32, 32)
    here = sum(
        int((corrupt(image, name, 4, seed=5).long() * weights).sum())
        for name in ("gaussian_noise", "fog", "elastic_transform")
    )
    assert int(run.stdout) == here


@pytest.mark.parametrize("severity", [0, 6, -1, 1.0, 2.5, "3", None, True])
def test_corrupt_refuses_severity(severity):
    with pytest.raises(InputError, match=r"`severity` must be a whole number from 1 to 5, got"):
        corrupt(_images(1), "contrast", severity, seed=0)


def test_corrupt_takes_numpy_severity():
    severity = np.int64(2)
    assert torch.equal(corrupt(_images(1), "contrast", severity, seed=0), corrupt(_images(1), "contrast", 2, seed=0))


def test_corrupt_suggests_the_nearest_name():
    with pytest.raises(InputError, match=r"unknown corruption 'gausian_noise' \(did you mean 'gaussian_noise'\?\)"):
        corrupt(_images(1), "gausian_noise", 1, seed=0)
    with pytest.raises(InputError, match=r"unknown severity table 'digit' \(did you mean 'digits'\?\)"):
        corrupt(_images(1), "contrast", 1, seed=0, table="digit")
    with pytest.raises(InputError, match=r"severity table 'digits' has no corruption 'fog'; it has: gaussian_noise, "):
        corrupt(_images(1), "fog", 1, seed=0, table="digits")


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.rand(1, 3, 8, 8), r"images must be uint8 in 0…255, got float32; for floats"),
        (torch.zeros(3, 8, 8, dtype=torch.uint8), r"must have the shape \(n, c, h, w\), got \(3, 8, 8\)"),
        (torch.zeros(0, 3, 8, 8, dtype=torch.uint8), r"at least one image and one pixel, got the shape \(0, 3, 8, 8\)"),
        (np.zeros((1, 3, 8, 8), dtype=np.uint8), r"must be a uint8 tensor \(n, c, h, w\), got ndarray"),
    ],
)
def test_corrupt_refuses_images(images, message):
    with pytest.raises(InputError, match=message):
        corrupt(images, "contrast", 1, seed=0)


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        ([0], r"one entry for each of the 2 images, got \(1,\)"),
        ([0.0, 1.0], r"`indices` must be whole numbers, got float32"),
        ([0, -1], r"`indices` must be ≥ 0, got -1"),
    ],
)
def test_corrupt_refuses_indices(indices, message):
    with pytest.raises(InputError, match=message):
        corrupt(_images(2), "gaussian_noise", 1, seed=0, indices=indices)


def test_saturate_refuses_grey():
    with pytest.raises(InputError, match=r"corruption 'saturate' needs images of 3 channels, got 1"):
        corrupt(_images(1, 1), "saturate", 1, seed=0)


@pytest.mark.parametrize("table", SEVERITY_TABLES)
def test_tables_have_five_constants_of_one_form(table):
    for name, constants in SEVERITY_TABLES[table].items():
        assert name in REGISTERED
        assert len(constants) == 5
        assert len({len(c) if isinstance(c, tuple) else 0 for c in constants}) == 1


def test_digits_table_is_covered_and_grows_worse():
    generator = np.random.default_rng(0)
    images = torch.from_numpy((generator.random((200, 1, 16, 16)) < 0.3).astype(np.uint8) * 255)
    for name in SEVERITY_TABLES["digits"]:
        assert name in table_corruptions("digits")
        differences = [
            (corrupt(images, name, severity, seed=0, table="digits").float() - images).abs().mean().item()
            for severity in range(1, 6)
        ]
        assert differences == sorted(differences), name


def test_register_corruption_adds_a_name_for_every_table():
    try:

        @register_corruption("invert_some", constants=(10, 20, 30, 40, 50))
        def invert_some(images, percent, draws):
            chosen = draws.uniform("chosen", (1, 1, 1)) < percent / 100
            return torch.where(chosen, 255 - images, images)

        images = _images(50)
        changed = corrupt(images, "invert_some", 5, seed=0, table="digits").ne(images).flatten(1).any(dim=1)
        assert 10 < int(changed.sum()) < 40
        assert "invert_some" in table_corruptions("cifar-c")
        assert "invert_some" not in CORRUPTIONS
        assert severity_constants("invert_some", 2, "digits") == 20
    finally:
        CORRUPTION_REGISTRY._entries.pop("invert_some", None)
        sys.modules["engine.corruptions.apply"]._own_constants.pop("invert_some", None)


def test_register_corruption_wants_five_constants():
    with pytest.raises(InputError, match=r"`constants` of corruption 'x' must be 5, got 2"):
        register_corruption("x", constants=(1, 2))


@pytest.mark.gpu
@pytest.mark.parametrize("name", REGISTERED)
def test_corrupt_agrees_on_cpu_and_cuda(name):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    for severity in (1, 4, 5):
        on_cpu = corrupt(_images(), name, severity, seed=0)
        on_cuda = corrupt(_images().cuda(), name, severity, seed=0)
        assert on_cuda.is_cuda
        # Angles go through the devices' own sines: a source pixel could differ where they round differently.
        through_sines = name in ("motion_blur", "snow", *KINDS["c-bar"])
        assert on_cpu.ne(on_cuda.cpu()).float().mean() < (1e-4 if through_sines else 1e-7)


@pytest.mark.parametrize("name", ["noise", "clean", "all", "tuned on", "mean_corrupted"])
def test_a_name_that_means_something_else_in_results_is_refused(name):
    with pytest.raises(InputError, match=f"a corruption cannot be called '{name}': results call something else so"):
        register_corruption(name, constants=(1, 2, 3, 4, 5))(lambda images, constant, draws: images)
    assert name not in CORRUPTION_REGISTRY


def test_indices_that_were_changed_in_place_are_looked_at_again():
    with pretend_device():
        images, indices = on_device(torch.zeros(2, 1, 8, 8, dtype=torch.uint8)), on_device(torch.tensor([0, 1]))
        for _ in range(2):
            corrupt(images, "gaussian_noise", 1, seed=0, indices=indices)
        indices -= 1
        with pytest.raises(InputError, match="`indices` must be ≥ 0, got -1"):
            corrupt(images, "gaussian_noise", 1, seed=0, indices=indices)
