"""A made-up study as large as a page must show: arms on their seeds, and a search with pruned and failed trials."""

from __future__ import annotations

import random
from collections.abc import Sequence

from engine.corruption_kinds import KINDS
from engine.report.reasons import Reason
from engine.report.results import Results
from engine.report.trial_results import TrialResult
from engine.spaces import load_space
from engine.spaces.draw import draw_settings

CORRUPTIONS = [name for kind, names in KINDS.items() for name in names if kind != "c-bar"]
SEVERITIES = range(1, 6)


def large_study(n_trials: int, name: str = "large", corruptions: Sequence[str] = CORRUPTIONS) -> Results:
    """Return a study of the default space with so many trials, each tested on all corruptions and severities."""
    random_numbers = random.Random(0)
    space = load_space("push-pull")
    seeds = space.seeds(0)
    planned = [
        (f"arm/{arm.name}/{at}", arm.name, seed, arm.settings) for arm in space.arms for at, seed in enumerate(seeds)
    ]
    while len(planned) < n_trials:
        settings = draw_settings(space, seed=0, index=len(planned))
        planned.append((f"proposal/{len(planned)}", "", 1, settings))
    trials = [
        _trial(number, *of, random_numbers=random_numbers, corruptions=corruptions) for number, of in enumerate(planned)
    ]
    return Results(name, space, tuple(trials))


def _trial(number, slot, group, seed, settings, *, random_numbers, corruptions) -> TrialResult:
    level = random_numbers.uniform(0.1, 0.5) - 0.08 * (settings.get("push_pull.where") != "none")
    fate = random_numbers.random() if not group else 0.0
    stages = {"pretrain": f"{hash_of(seed, settings, 'push_pull'):032x}"}
    if settings.get("finetune.which", "none") != "none":
        stages["finetune"] = f"{random_numbers.getrandbits(128):032x}"
    stages["evaluate"] = f"{random_numbers.getrandbits(128):032x}"
    steps = {step: max(0.0, level + 0.4 / step + random_numbers.gauss(0, 0.01)) for step in range(1, 13)}
    common = {"number": number, "slot": slot, "group": group, "seed": seed, "settings": settings, "stages": stages}
    times = {"started_at": 1e9 + 2.0 * number, "ended_at": 1e9 + 2.0 * number + 7}
    if fate > 0.97:
        reason = Reason("stage", stage="finetune", text="loss became nan")
        return TrialResult(**common, state="FAIL", objective=None, errors=None, reason=reason, **times)
    if fate > 0.8:
        reason = Reason(
            "pruner", "pretrain", "median", epoch=4, step=4, value=steps[4], bound=0.3, number=50, n_compared=9
        )
        cut = {step: steps[step] for step in range(1, 5)}
        return TrialResult(**common, state="PRUNED", objective=None, errors=None, reason=reason, steps=cut, **times)
    rows = [
        {
            "corruption": name,
            "severity": at,
            "error": min(1.0, max(0.0, level * at / 3 + random_numbers.gauss(0, 0.02))),
        }
        for name in corruptions
        for at in SEVERITIES
    ]
    tuned = level * 0.8 if "finetune" in stages else None
    errors = {
        "objective": level,
        "validation": {"n_images": 240, "clean": 0.02, "corrupted": rows[:20]},
        "test": {
            "n_images": 599,
            "clean": max(0.0, random_numbers.gauss(0.02, 0.004)),
            "corrupted": rows,
            "tuned_distortion": tuned,
        },
        "metrics": {},
    }
    values = {"corrupted": level}
    return TrialResult(
        **common, state="COMPLETE", objective=level, errors=errors, reason=None, values=values, steps=steps, **times
    )


def hash_of(seed, settings, section) -> int:
    """Return a number that is the same for trials with one pretraining."""
    own = sorted((path, str(value)) for path, value in settings.items() if path.startswith(section))
    return random.Random(repr((seed, own))).getrandbits(128)
