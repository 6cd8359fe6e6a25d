"""LeNet A–D and PA–PD under Gaussian noise, contrast and Poisson noise, beside the push–pull paper (Figs. 4 and 5).

Run: python -m pipelines.sweep --space lenet-noise --n-trials 40 --study lenet-noise --dataset mnist
     python -m studies.lenet_noise --study lenet-noise
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import torch

from engine.corruptions import distort
from engine.data import DataSet, Split
from engine.errors import InputError
from engine.metrics import classification_error
from engine.stages import prepare_data
from engine.stages.network import load_network
from studies.common import artifact_of, difference_text, load, mean_and_std, parser, print_table, trials_by_arm

LEVELS = {
    "gaussian_variance": (0.01, 0.1, 0.2, 0.3, 0.5),
    "contrast": (0.1, 0.2, 0.3, 0.5, 0.8, 1.0, 1.5),
    "poisson": (100, 50, 20, 10, 5),
}
"""The text gives the variances; the factors and peaks are read off Fig. 5."""

PAPER = {
    "clean": {"A": 98.93, "PA": 99.1, "B": 98.85, "PB": 98.78, "C": 99.06, "PC": 98.91, "D": 98.58, "PD": 98.84},
    "gaussian_variance 0.2": {
        "A": 86.5, "PA": 87.1, "B": 73.91, "PB": 87.2, "C": 86.2, "PC": 85.14, "D": 78.62, "PD": 82.0,
    },
}  # fmt: skip
"""The accuracies in % that the paper's text gives (section 4.1.2)."""

SEED = 0

Accuracies = dict[str, dict[str, dict[int, float]]]
"""{condition: {arm: {seed: share of test images that are classified rightly}}}."""


def conditions(test: Split) -> dict[str, Split]:
    """Return the test images clean and under every level of every distortion; all networks meet the same."""
    splits = {"clean": test}
    for name, levels in LEVELS.items():
        for level in levels:
            images = distort(test.images, name, level, seed=SEED, indices=test.indices)
            splits[f"{name} {level:g}"] = Split(images, test.labels, test.indices)
    return splits


def measure(given: argparse.Namespace) -> tuple[Accuracies, DataSet]:
    """Return the accuracy of every network of a finished sweep under every condition, and the data."""
    results, store = load(given, "lenet-noise")
    _, data = prepare_data(results.space.base.data, store)
    splits = conditions(data.test)
    found: Accuracies = {name: {} for name in splits}
    for arm, trials in trials_by_arm(results).items():
        for seed, trial in trials.items():
            network = load_network(artifact_of(trial, "pretrain", store), None, torch.device("cpu"))
            for name, split in splits.items():
                found[name].setdefault(arm, {})[seed] = 1 - classification_error(network, split)
    return found, data


def print_tables(found: Accuracies, data: DataSet) -> None:
    """Print accuracies by arm, the differences that inhibition makes, and the paper's figures where it gives them."""
    arms = list(found["clean"])
    n_seeds = max(len(seeds) for seeds in found["clean"].values())
    print(f"{len(data.train)} training and {len(data.test)} test images, {n_seeds} seeds")
    rows = [[name, *(mean_and_std(found[name][arm]) for arm in arms)] for name in found]
    print_table("Accuracy in %, mean ± std over seeds", ["", *arms], rows)
    pairs = [(arm, f"P{arm}") for arm in arms if f"P{arm}" in arms]
    header = ["", *(f"{inhibited} − {plain}" for plain, inhibited in pairs)]
    rows = [
        [name, *(difference_text(found[name][inhibited], found[name][plain]) for plain, inhibited in pairs)]
        for name in found
    ]
    print_table("Difference in points, paired by seed, 95 % interval; * excludes 0", header, rows)
    rows = [
        [f"{name}: {who}", *(value(arm) for arm in arms)]
        for name, paper in PAPER.items()
        for who, value in (
            ("paper", lambda arm, paper=paper: f"{paper[arm]:.1f}"),
            ("here", lambda arm, name=name: mean_and_std(found[name][arm])),
        )
    ]
    print_table("Beside the paper (one network each, 50,000 training images, 90 epochs)", ["", *arms], rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the study of a finished sweep; return the exit code."""
    options = parser(__doc__ or "")
    options.add_argument("--threads", type=int, default=1, help="CPU threads")
    given = options.parse_args(arguments)
    torch.set_num_threads(given.threads)
    try:
        print_tables(*measure(given))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
