"""The recipe ``fast`` against the papers' for ResNets: errors and seconds of training, by seed.

The seconds are the processor's (of all its cores): other work on the machine stretches the clock's.

Run: python -m pipelines.sweep --space recipes-digits --n-trials 6 --study recipes-digits
     python -m pipelines.sweep --space recipes-cifar --n-trials 6 --study recipes-cifar --dataset cifar10
     python -m studies.recipes --study recipes-digits
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from statistics import fmean

from engine.errors import InputError
from studies.common import artifact_of, difference_text, load, mean_and_std, parser, print_table, trials_by_arm

SPACES = ("recipes-digits", "recipes-cifar")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the study of a finished sweep; return the exit code."""
    given = parser(__doc__ or "").parse_args(arguments)
    try:
        results, store = load(given, *SPACES)
        errors, seconds = {}, {}
        for arm, trials in trials_by_arm(results).items():
            errors[arm] = {
                column: {seed: trial.test_errors()[column] for seed, trial in trials.items()}
                for column in ("clean", "gaussian_noise")
            }
            seconds[arm] = {
                seed: float(artifact_of(trial, "pretrain", store).manifest["cpu_seconds"])
                for seed, trial in trials.items()
            }
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    rows = [[arm, *map(mean_and_std, errors[arm].values()), f"{fmean(seconds[arm].values()):.1f}"] for arm in errors]
    if {"full", "fast"} <= errors.keys():
        common = [seed for seed in seconds["fast"] if seed in seconds["full"]]
        ratio = sum(seconds["full"][seed] for seed in common) / sum(seconds["fast"][seed] for seed in common)
        changes = [difference_text(errors["fast"][column], errors["full"][column]) for column in errors["fast"]]
        rows.append(["fast − full", *changes, f"{ratio:.1f} times faster"])
    title = (
        f"{results.space.name}: test error in %, mean ± std over {len(next(iter(seconds.values())))} seeds; training"
    )
    print_table(title, ["", "clean", "noise", "cpu seconds"], rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
