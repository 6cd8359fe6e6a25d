"""Upsampling factor and inhibition strength under Gaussian noise on digits, beside the push–pull paper's Table 4.

The paper's networks and images (a ResNet-14 on CIFAR-10) are others, and so are its levels of noise: what can be
compared is which settings help, and whether all do.

Run: python -m pipelines.sweep --space inhibition --n-trials 100 --study inhibition
     python -m studies.inhibition --study inhibition
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from statistics import fmean

from engine.errors import InputError
from engine.report.trial_results import TrialResult
from search_spaces.inhibition import ALPHA, MODELS, H
from studies.common import difference_text, load, mean_and_std, parser, print_table, trials_by_arm

PAPER_VARIANCES = (0.0, 0.0001, 0.0005, 0.001, 0.005, 0.01)
PAPER_PLAIN = (4.09, 5.18, 10.47, 18.76, 59.53, 77.46)
PAPER = {
    (1.0, 0.5): (3.99, 4.81, 9.5, 17.1, 57.2, 72.51),
    (1.0, 1.0): (4.17, 4.86, 9.58, 16.62, 55.95, 71.17),
    (1.0, 1.5): (4.19, 4.97, 10.11, 17.85, 60.79, 77.32),
    (1.5, 0.5): (4.24, 4.98, 8.76, 14.26, 45.92, 62.56),
    (1.5, 1.0): (4.16, 5.17, 9.18, 14.64, 47.97, 65.58),
    (1.5, 1.5): (4.33, 4.91, 8.32, 12.82, 42.41, 59.82),
    (2.0, 0.5): (4.38, 4.72, 8.54, 13.18, 41.15, 58.86),
    (2.0, 1.0): (4.55, 5.97, 10.1, 14.94, 44.56, 63.91),
    (2.0, 1.5): (4.38, 4.97, 7.98, 11.98, 41.11, 63.17),
}
"""{(h, alpha): error in % at each variance} (Table 4)."""

NOISE = {1: 0.05, 2: 0.1, 3: 0.15, 4: 0.2, 5: 0.3}
"""{severity: standard deviation} of the digits' table."""


def columns(trials: Mapping[int, TrialResult]) -> dict[str, dict[int, float]]:
    """Return {column: {seed: error}}: clean, every level of noise, and the mean over the levels."""
    found: dict[str, dict[int, float]] = {"clean": {}} | {f"σ {sigma:g}": {} for sigma in NOISE.values()}
    found["all noise"] = {}
    for seed, trial in trials.items():
        assert trial.errors is not None
        found["clean"][seed] = trial.errors["test"]["clean"]
        for row in trial.errors["test"]["corrupted"]:
            found[f"σ {NOISE[row['severity']]:g}"][seed] = row["error"]
        found["all noise"][seed] = fmean(row["error"] for row in trial.errors["test"]["corrupted"])
    return found


def print_model(model: str, by_arm: Mapping[str, Mapping[int, TrialResult]]) -> None:
    """Print a network's table, and what each setting changes beside what it changes in the paper."""
    plain = columns(by_arm[f"{model} plain"])
    rows = [["plain", *map(mean_and_std, plain.values())]]
    changes = []
    for h in H:
        for alpha in ALPHA:
            trials = by_arm.get(f"{model} h={h:g} alpha={alpha:g}")
            if trials is None:
                continue
            found = columns(trials)
            label = f"h {h:g} α {alpha:g}" + (" (placebo)" if h == alpha == 1 else "")
            rows.append([label, *map(mean_and_std, found.values())])
            paper = [theirs - without for theirs, without in zip(PAPER[h, alpha], PAPER_PLAIN, strict=True)]
            changes.append(
                [
                    label,
                    difference_text(found["clean"], plain["clean"]),
                    difference_text(found["all noise"], plain["all noise"]),
                    f"{paper[0]:+.1f}",
                    f"{fmean(paper[1:]):+.1f}",
                ]
            )
    print_table(f"{model} on digits: error in %, mean ± std over {len(plain['clean'])} seeds", ["", *plain], rows)
    header = ["", "clean", "all noise", "paper: clean", "paper: all noise"]
    print_table(f"{model}: difference to plain in points, paired by seed; paper: its ResNet-14", header, changes)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the study of a finished sweep; return the exit code."""
    given = parser(__doc__ or "").parse_args(arguments)
    try:
        by_arm = trials_by_arm(load(given, "inhibition")[0])
        for model in MODELS:
            if f"{model} plain" in by_arm:
                print_model(model, by_arm)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
