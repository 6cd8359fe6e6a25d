"""Studies made by hand: a space's arms with the errors that a test wants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.report.reasons import Reason
from engine.report.results import Results
from engine.report.trial_results import TrialResult
from engine.spaces import Space

NOISE, BLUR = "gaussian_noise", "gaussian_blur"


def complete(
    number: int, group: str, seed: int, noise: float, clean: float = 0.02, blur: float | None = None, dead: bool = False
) -> TrialResult:
    """Return a complete trial of an arm with one error under noise, one on clean images and perhaps one under blur."""
    rows = [{"corruption": NOISE, "severity": 3, "error": noise}]
    rows += [{"corruption": BLUR, "severity": 3, "error": blur}] if blur is not None else []
    answered = {"most_answered": 0.99, "most_labelled": 0.1} if dead else {}
    test = {"n_images": 599, "clean": clean, "tuned_distortion": None, "corrupted": rows, **answered}
    validation = {"n_images": 240, "clean": clean, "corrupted": rows}
    errors = {"objective": noise, "validation": validation, "test": test, "metrics": {}}
    return TrialResult(
        number, f"arm/{group}/{seed}", group, seed, "COMPLETE", {}, noise, errors, None, {"evaluate": "k"}
    )


def failed(number: int, group: str, seed: int) -> TrialResult:
    """Return a trial of an arm that failed."""
    reason = Reason("stage", "pretrain", text="loss became nan")
    return TrialResult(number, f"arm/{group}/{seed}", group, seed, "FAIL", {}, None, None, reason, {})


def study(
    space: Space, noise: Mapping[str, Sequence[float | None]], clean: Mapping[str, Sequence[float]] | None = None
) -> Results:
    """Return a study in which arms have these errors, seed by seed; None for a trial that failed."""
    trials: list[TrialResult] = []
    for arm, errors in noise.items():
        for seed, error in enumerate(errors):
            of_clean = (clean or {}).get(arm, [0.02] * len(errors))[seed]
            number = len(trials)
            trials.append(
                failed(number, arm, seed) if error is None else complete(number, arm, seed, error, clean=of_clean)
            )
    return Results("study", space, tuple(trials))
