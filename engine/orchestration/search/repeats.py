"""Which configurations are the same trial, and which of them a study already has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from engine.digest import digest
from engine.errors import InputError
from engine.report.results import Results
from engine.settings import TrialConfig
from engine.spaces import Space


class Identities:
    """Tells whether settings come to the same trial: equal identity, equal numbers.

    Args:
        space: gives everything that the settings do not change.
        resolve: a configuration's identity, such as its last stage's key, which leaves out what cannot matter; None
            to compare the settings as they are.
    """

    def __init__(self, space: Space, resolve: Callable[[TrialConfig], str] | None = None) -> None:
        self._space = space
        self._base = space.base.flat()
        self._resolve = resolve
        self._known: dict[str, str] = {}

    def __call__(self, settings: Mapping[str, Any], seed: int) -> str:
        """Return the identity of settings with a seed."""
        key = digest({**self._base, **settings, "seed": seed})
        if key not in self._known:
            self._known[key] = self._resolved(settings, seed) or key
        return self._known[key]

    def _resolved(self, settings: Mapping[str, Any], seed: int) -> str | None:
        if self._resolve is None:
            return None
        try:
            return self._resolve(self._space.config(settings, seed=seed))
        except InputError:
            return None  # impossible settings: the trial will fail with the reason


def check_reproduces(results: Results, identities: Identities) -> None:
    """Check that a study's trials would come to the same numbers now, so that its table compares like with like.

    Raises:
        InputError: the code of a stage, a user's module, the images or the weights are others than they were.
    """
    known = [trial for trial in results.trials if trial.state != "FAIL" and trial.identity is not None]
    changed = [trial.number for trial in known if identities(trial.settings, trial.seed) != trial.identity]
    if changed:
        raise InputError(
            f"study {results.study!r} was begun with other code or images: {len(changed)} of its {len(known)} finished "
            f"trials (first trial {changed[0]}) would come to other numbers now; choose another --study, for which "
            "what is the same is found in the store, or bring back what it was begun with"
        )


class Repeats:
    """The configurations that a study has, ended or live, and the first trial of each.

    Args:
        identities: which configurations are the same.
    """

    def __init__(self, identities: Identities) -> None:
        self._identities = identities
        self._numbers: dict[str, int] = {}

    def find(self, settings: Mapping[str, Any], seed: int) -> int | None:
        """Return the number of the trial that has this configuration, or None."""
        return self._numbers.get(self._identities(settings, seed))

    def find_known(self, identity: str) -> int | None:
        """Return the number of the trial that has this identity, or None."""
        return self._numbers.get(identity)

    def identity(self, settings: Mapping[str, Any], seed: int) -> str:
        """Return a configuration's identity."""
        return self._identities(settings, seed)

    def add_known(self, identity: str, number: int) -> None:
        """Note a trial, unless an earlier one has this identity."""
        self._numbers.setdefault(identity, number)

    def forget(self, number: int) -> None:
        """Forget a trial: it was interrupted, and its configuration may be tried again."""
        self._numbers = {identity: other for identity, other in self._numbers.items() if other != number}
