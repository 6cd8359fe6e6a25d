"""How much each setting matters in a search, by Optuna, of the proposals alone."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import optuna
from optuna.trial import FrozenTrial, TrialState

from engine.report.results import Importances
from engine.result_names import OfTrial

_LEAST = 4
"""Complete proposals below which importances say nothing at all."""


def importances_of(trials: Sequence[FrozenTrial], objectives: Sequence[str]) -> Importances | None:
    """Return the settings' importance by PED-ANOVA, which knows conditional spaces; None where nothing can be said.

    Arms and the winner's repeats are the same settings again, and proposals that equal an earlier trial were not
    computed: all of them are left out.

    Args:
        trials: of a study.
        objectives: what they are compared by; each has importances of its own.
    """
    proposals = [
        trial
        for trial in trials
        if trial.state == TrialState.COMPLETE
        and trial.user_attrs.get(OfTrial.SLOT, "").startswith("proposal/")
        and trial.user_attrs.get(OfTrial.REPEAT_OF) is None
    ]
    if len(proposals) < _LEAST:
        return None
    study = optuna.create_study(directions=["minimize"] * len(objectives))
    study.add_trials(proposals)
    shares = {name: _shares(study, place) for place, name in enumerate(objectives)}
    found = {name: of for name, of in shares.items() if of}
    return Importances(len(proposals), found) if found else None


def _shares(study: optuna.Study, place: int) -> dict[str, float]:
    """Return {setting: share} by one objective, the greatest first; none where no setting or no error varies.

    Optuna's own shares are all alike where nothing matters, for what it measured is 0 there; and it gives a share to a
    setting of which one value alone was tried.
    """
    from optuna.importance import get_param_importances

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of settings that few proposals have
            found = get_param_importances(study, target=lambda trial: float(trial.values[place]), normalize=False)
    except (RuntimeError, ValueError):
        return {}
    trials = study.get_trials(deepcopy=False)
    varied = {name for name in found if len({str(trial.params.get(name)) for trial in trials}) > 1}
    whole = math.fsum(value for name, value in found.items() if name in varied)
    return {name: value / whole for name, value in found.items() if name in varied} if whole > 0 else {}
