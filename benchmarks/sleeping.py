"""A stage that only waits, as a user's module would bring it (``--import benchmarks.sleeping``), and a sweep of it."""

from __future__ import annotations

import time
from dataclasses import fields

from engine.orchestration.sweep import Prepared
from engine.settings import TrialConfig
from engine.stages import StageContext, StageSpec, TrialPlan, register_stage

STAGE = "sleeping"


@register_stage(STAGE, version=1)
def sleep(context: StageContext) -> None:
    """Wait as long as the settings say, and leave what a trial's last stage leaves."""
    time.sleep(context.spec.settings["seconds"])
    row = {"corruption": "gaussian_noise", "severity": 1, "error": 0.5}
    errors = {"objective": 0.5, "test": {"clean": 0.5, "tuned_distortion": None, "corrupted": [row]}}
    context.attempt.write_json("errors", errors)


class SleepingSweep(Prepared):
    """A prepared sweep whose trials wait instead of computing: a stage for each group of trials, then one of their own.

    The group is the model's width, the rest of the configuration makes the second stage the trial's own.
    """

    shared_s = 1.0
    own_s = 1.0

    @classmethod
    def of(cls, prepared: Prepared, *, shared_s: float, own_s: float) -> SleepingSweep:
        """Return the sleeping form of a sweep."""
        sweep = cls(**{field.name: getattr(prepared, field.name) for field in fields(Prepared)})
        object.__setattr__(sweep, "shared_s", shared_s)
        object.__setattr__(sweep, "own_s", own_s)
        return sweep

    def plan(self, config: TrialConfig, *, device: str = "cpu") -> TrialPlan:
        """Return the group's stage and the trial's own."""
        shared = self._spec({"seconds": self.shared_s, "group": config.model.width}, {})
        own = self._spec({"seconds": self.own_s, "trial": config.digest}, {"shared": shared.key})
        return TrialPlan(config, (shared, own))

    def _spec(self, settings: dict, inputs: dict[str, str]) -> StageSpec:
        return StageSpec(STAGE, 1, settings, inputs, self.info.key, None, {"device": "cpu", "amp": False})
