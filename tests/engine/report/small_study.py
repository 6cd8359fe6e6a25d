"""A study of a few trials: two arms of two seeds, proposals, and repeats of the winner; and one that failed."""

import dataclasses

from engine.report.reasons import Reason
from engine.report.results import Results
from engine.report.trial_results import TrialResult
from tests.engine.orchestration.spaces import SPACE


def make_trial(number: int, slot: str, group: str, seed: int, noise: float, **changes) -> TrialResult:
    rows = [
        {"corruption": "gaussian_noise", "severity": severity, "error": noise + 0.1 * severity} for severity in (1, 2)
    ] + [{"corruption": "contrast", "severity": severity, "error": 0.5} for severity in (1, 2)]
    errors = {"objective": noise, "test": {"clean": 0.02, "tuned_distortion": None, "corrupted": rows}}
    settings = {
        "number": number,
        "slot": slot,
        "group": group,
        "seed": seed,
        "state": "COMPLETE",
        "settings": {"push_pull.where": "first"},
        "objective": noise,
        "errors": errors,
        "reason": None,
        "stages": {},
        **changes,
    }
    return TrialResult(**settings)


RESULTS = Results(
    "study",
    SPACE,
    (
        make_trial(0, "arm/plain/0", "plain", 11, 0.30),
        make_trial(1, "arm/push-pull/0", "push-pull", 11, 0.10),
        make_trial(2, "arm/plain/1", "plain", 12, 0.50),
        make_trial(3, "arm/push-pull/1", "push-pull", 12, 0.20),
        make_trial(4, "proposal/0", "", 11, 0.05),
        make_trial(
            5,
            "proposal/1",
            "",
            11,
            0.0,
            state="PRUNED",
            objective=None,
            errors=None,
            reason=Reason("pruner", "finetune", "median", epoch=2, step=4, value=0.9),
        ),
        make_trial(
            6,
            "proposal/2",
            "",
            11,
            0.0,
            state="FAIL",
            objective=None,
            errors=None,
            reason=Reason("stage", "pretrain", text="loss became nan"),
        ),
        make_trial(7, "winner/old/0", "winner", 11, 0.9),
        make_trial(8, "winner/new/0", "winner", 11, 0.05),
        make_trial(9, "winner/new/1", "winner", 12, 0.07),
    ),
)


def table_rows(text: str) -> list[list[str]]:
    """Return the cells of all tables' rows."""
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if line.startswith("│")]


def failed(number: int, slot: str, group: str, seed: int, reason: str, **changes) -> TrialResult:
    return make_trial(
        number,
        slot,
        group,
        seed,
        0.0,
        state="FAIL",
        objective=None,
        errors=None,
        reason=Reason("stage", reason.partition(":")[0], text=reason),
        **changes,
    )


def with_rows(trial: TrialResult, *, clean: float = 0.02, tuned: float | None = None, **errors: float) -> TrialResult:
    """Return a trial with other test errors, {corruption: error at severities 1 and 2}."""
    rows = [
        {"corruption": name, "severity": severity, "error": error}
        for name, error in errors.items()
        for severity in (1, 2)
    ]
    test = {"clean": clean, "tuned_distortion": tuned, "corrupted": rows}
    return dataclasses.replace(trial, errors={**(trial.errors or {}), "test": test})


FAILING = Results(
    "study",
    SPACE,
    (
        failed(0, "arm/plain/0", "plain", 11, "pretrain: OSError: [Errno 5] /data/7/x.bin"),
        make_trial(1, "arm/push-pull/0", "push-pull", 11, 0.10),
        failed(2, "arm/plain/1", "plain", 12, "pretrain: OSError: [Errno 5] /data/8/y.bin"),
        failed(3, "arm/push-pull/1", "push-pull", 12, "its process died"),
    ),
)
