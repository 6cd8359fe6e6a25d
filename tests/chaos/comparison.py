"""Both sweeps and the verdict: under kills, and undisturbed or computed again."""

from pathlib import Path

from tests.chaos.monkey import run_disturbed, run_undisturbed
from tests.chaos.sweeps import SweepFiles, Variant
from tests.chaos.verdict import describe, faults_against, faults_alone, faults_of_starts, faults_of_tracking


def disturb_and_compare(
    folder: Path, variant: Variant, *, seconds: float, seed: int, n_trials: int | None = None
) -> tuple[str, list[str]]:
    """Run a sweep under kills; return a description, and everything that is not as it has to be.

    Args:
        folder: where the files go.
        variant: "enqueued", compared with an undisturbed sweep, or "searched", whose results are computed again.
        seconds: how long processes are killed.
        seed: of what is killed when.
        n_trials: of the sweep; enough for the time if None.
    """
    n_trials = n_trials or round(12 + seconds / 8)
    disturbed = SweepFiles(folder / "disturbed", variant, n_trials)
    done = run_disturbed(disturbed, seconds, seed)
    faults = faults_of_starts(disturbed, done.kills) + faults_of_tracking(disturbed)
    if variant == "enqueued":
        undisturbed = SweepFiles(folder / "undisturbed", variant, n_trials)
        run_undisturbed(undisturbed)
        faults += faults_against(disturbed, undisturbed)
    else:
        faults += faults_alone(disturbed)
    return describe(disturbed, done), faults
