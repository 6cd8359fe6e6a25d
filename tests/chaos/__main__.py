"""A chaos run: ``python -m tests.chaos --seconds 200``."""

import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from tests.chaos.comparison import disturb_and_compare


@dataclass
class Options:
    """Kill processes of a sweep at random, let it end, and compare it with an undisturbed one."""

    seconds: float = 200.0
    """How long processes are killed."""
    variant: Literal["enqueued", "searched", "both"] = "both"
    """A grid without pruner, TPE with the median pruner, or one after the other."""
    seed: int = 0
    """Seed of what is killed when."""
    n_trials: int | None = None
    """Trials of a sweep; enough for the time if not given."""
    folder: Path | None = None
    """Where the sweeps' files go; a new temporary folder if not given."""


def main(options: Options) -> int:
    """Run; return 1 if anything is not as it has to be."""
    folder = options.folder or Path(tempfile.mkdtemp(prefix="chaos-"))
    faults = []
    for variant in ("enqueued", "searched"):
        if options.variant in (variant, "both"):
            began = time.monotonic()
            text, found = disturb_and_compare(
                folder / variant, variant, seconds=options.seconds, seed=options.seed, n_trials=options.n_trials
            )
            print(f"{variant}, seed {options.seed}, in {time.monotonic() - began:.0f} s:\n{text}", flush=True)
            print("\n".join(found) or "as it has to be", flush=True)
            faults += found
    print(f"files are in {folder}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, prog="python -m tests.chaos")))
