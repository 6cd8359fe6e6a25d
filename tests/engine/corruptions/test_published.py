"""Errors of the published networks under every corruption, beside those that the benchmark's own code led to.

Slow, and skipped without the reference files: 2 networks × 19 corruptions × 3 severities, sets of 1,000 images.
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
SEVERITIES = (1, 3, 5)
"""Those between have the same code; ``test_reference.py`` holds the statistics of all."""
N_DRAWS = 4
"""Draws whose mean error is compared with that of the stored draw."""


@pytest.fixture(autouse=True)
def _original_frost(monkeypatch):
    monkeypatch.setenv("FROST_DIR", str(reference_path("frost")))


@pytest.fixture(scope="module")
def split() -> Split:
    """The first 100 test images of each class, with the classes in the order of their names, which is CIFAR-10's."""
    return Split(channels_first(thousand_images()), torch.arange(1000) // 100, torch.arange(1000))


@pytest.fixture(scope="module")
def networks() -> dict[str, torch.nn.Module]:
    """The published networks, by the names that their stored errors have."""
    found = {name: load_reference_checkpoint(reference_path(f"checkpoints/{name}.pth.tar"))[0] for name in NETWORKS}
    return {f"{name}/model_best": model for name, model in found.items()}


@pytest.mark.slow
def test_error_on_clean_images_is_the_stored_one(networks, split):
    for name, model in networks.items():
        assert 100 * classification_error(model, split) == pytest.approx(reference_clean_errors()[name], abs=0.051)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_error_is_within_three_points_of_the_stored_one(networks, corruption, severity, split):
    seeds = range(1 if corruption in DETERMINISTIC else N_DRAWS)
    found = dict.fromkeys(networks, 0.0)
    for seed in seeds:
        images = corrupt(split.images, corruption, severity, seed=seed)
        corrupted = Split(images, split.labels, split.indices)
        for name, model in networks.items():
            found[name] += 100 * classification_error(model, corrupted) / len(seeds)
    stored = reference_statistics()[f"{corruption}/{severity}"]["error"]
    for name in networks:
        print(f"{name}: {found[name]:.1f} (stored {stored[name]:.1f})")
        # Where nothing is random the bytes are the same, and only the network's own rounding can differ.
        assert abs(found[name] - stored[name]) <= (0.25 if corruption in DETERMINISTIC else 3.0), name
