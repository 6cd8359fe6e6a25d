"""Which networks of a study are compared by where noise switches their filters on or off."""

from __future__ import annotations

from collections.abc import Sequence

from engine.report.disparity_table import BASELINE
from engine.report.trial_results import TrialResult
from engine.report.views import Shown
from engine.settings import DistortionSettings


def networks_by_seed(shown: Shown, which: Sequence[str]) -> dict[int, dict[str, TrialResult]]:
    """Return {seed: {choice of filters: its trial}} of the seeds that have all choices, the baseline's first."""
    found: dict[int, dict[str, TrialResult]] = {}
    base = shown.results.space.base.finetune.which
    for group in shown.results.groups():
        for trial in group.trials:
            found.setdefault(trial.seed, {})[trial.settings.get("finetune.which", base)] = trial
    wanted = (BASELINE, *which)
    return {
        seed: {name: by_choice[name] for name in wanted}
        for seed, by_choice in sorted(found.items())
        if all(name in by_choice for name in wanted)
    }


def distortion_of(shown: Shown, trials: dict[str, TrialResult]) -> DistortionSettings:
    """Return what the networks were tuned on."""
    tuned = next(trial for which, trial in trials.items() if which != BASELINE)
    return shown.results.space.config(tuned.settings, seed=tuned.seed).distortion
