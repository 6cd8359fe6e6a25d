"""Errors of the published networks under every corruption, beside those that the benchmark's own code led to.

Slow, and skipped without the reference files: 2 networks × 95 sets of 1,000 images.
"""

import pytest
import torch

from engine.corruptions import CORRUPTIONS, corrupt
from engine.data import Split
from engine.metrics import classification_error
from engine.models import load_reference_checkpoint
from tests.engine.corruptions.reference import (
    DETERMINISTIC,
    channels_first,
    reference_clean_errors,
    reference_path,
    reference_statistics,
    thousand_images,
)

NETWORKS = ("resnet-20", "resnet-20-pp")
N_DRAWS = 4
"""Draws whose mean error is compared with that of the stored draw."""


@pytest.fixture(autouse=True)
def _original_frost(monkeypatch):
    monkeypatch.setenv("FROST_DIR", str(reference_path("frost")))


@pytest.fixture(scope="module")
def split() -> Split:
    """The first 100 test images of each class, with the classes in the order of their names, which is CIFAR-10's."""
    return Split(channels_first(thousand_images()), torch.arange(1000) // 100, torch.arange(1000))


@pytest.fixture(scope="module", params=NETWORKS)
def network(request):
    model, _ = load_reference_checkpoint(reference_path(f"checkpoints/{request.param}.pth.tar"))
    return f"{request.param}/model_best", model


@pytest.mark.slow
def test_error_on_clean_images_is_the_stored_one(network, split):
    name, model = network
    assert 100 * classification_error(model, split) == pytest.approx(reference_clean_errors()[name], abs=0.051)


def corrupted_error(model, split, corruption, severity, seed):
    """Return the error in % under one corruption."""
    images = corrupt(split.images, corruption, severity, seed=seed)
    return 100 * classification_error(model, Split(images, split.labels, split.indices))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_error_is_within_three_points_of_the_stored_one(network, corruption, split):
    name, model = network
    for severity in range(1, 6):
        stored = reference_statistics()[f"{corruption}/{severity}"]["error"][name]
        seeds = range(1 if corruption in DETERMINISTIC else N_DRAWS)
        found = sum(corrupted_error(model, split, corruption, severity, seed) for seed in seeds) / len(seeds)
        print(f"{corruption}/{severity}: {found:.1f} (stored {stored:.1f})")
        # Where nothing is random the bytes are the same, and only the network's own rounding can differ.
        assert abs(found - stored) <= (0.25 if corruption in DETERMINISTIC else 3.0), severity
