"""Where noise switches filters of a study's networks on or off, measured now on its test images."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.data.streamed import whole
from engine.ranking import activation_disparity
from engine.report.disparity_table import BASELINE, Sums
from engine.report.trial_results import TrialResult
from engine.report.views import Shown
from engine.settings import DistortionSettings
from engine.stages.network import load_network
from engine.stages.noisy import distorted
from engine.stages.probe import TEST, corruption_seed

Maps = dict[str, dict[str, Tensor]]
"""{choice of filters: {layer: (images, h, w)}}."""


def test_images(shown: Shown, distortion: DistortionSettings, n_images: int) -> tuple[Tensor, Tensor]:
    """Return test images from all over the set, the first one first, and what the distortion makes of them."""
    test = shown.data().test
    n = min(n_images, len(test))
    clean = test.take(torch.arange(n) * len(test) // n)
    noisy = distorted(clean, {"name": distortion.name, "level": distortion.level}, seed=corruption_seed(TEST))
    return whole(clean.images), whole(noisy.images)


def disparity_maps(shown: Shown, trials: dict[str, TrialResult], clean: Tensor, noisy: Tensor) -> Maps:
    """Return at how many filters clean and noisy images differ in being positive, in the layers that were tuned.

    Raises:
        InputError: a network was cleaned up.
    """
    space, cpu = shown.results.space, torch.device("cpu")
    tuned = {which: shown.artifact(trial, "finetune") for which, trial in trials.items() if which != BASELINE}
    chosen = next(iter(tuned.values())).json("filters")
    found = {}
    for which, trial in trials.items():
        network = load_network(shown.artifact(trial, "pretrain"), tuned.get(which), cpu)
        layers = [name for name, _ in network.named_modules() if name in chosen]
        found[which] = activation_disparity(network, clean, noisy, layers, at=space.base.rank.at)
    return found


def sums_of(maps: Maps) -> Sums:
    """Return the sum of each image's map."""
    return {
        which: {layer: counts.flatten(1).sum(1).double().tolist() for layer, counts in by_layer.items()}
        for which, by_layer in maps.items()
    }


def filter_counts(shown: Shown, trial: TrialResult, maps: Maps) -> dict[str, int]:
    """Return {layer: how many filters it has} of the layers of some maps."""
    modules = dict(load_network(shown.artifact(trial, "pretrain"), None, torch.device("cpu")).named_modules())
    return {layer: int(modules[layer].out_channels) for layer in maps[BASELINE]}
