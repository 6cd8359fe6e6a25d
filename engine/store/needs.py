"""What has to stay in a store, whatever its size: what is at work, and what that was made from."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from engine.store.store import Store
from engine.store.stored import USE_NOTED_S

RECENT_S = 2 * USE_NOTED_S
"""How long after its last use an artifact may belong to a trial that its sweep has not named yet."""
GIVEN = ("data", "weights")
"""What is in the store without a stage that made it."""
GIVEN_S = 600.0
"""How long after its last use that may belong to a sweep that has checked its input and not started yet."""


class Needs:
    """What has to stay in a store, now: each question is asked of what is at work then.

    Args:
        store: the store.
        keep: keys that have to stay; or a function that returns those of this moment.
        own_lease: name of the presence of the sweep that cleans up, and whose needs are all in ``keep``.
        inputs: by artifact, the keys of what it was made from, which stays as long as it does.
    """

    def __init__(
        self,
        store: Store,
        keep: Collection[str] | Callable[[], Collection[str]],
        own_lease: str | None,
        inputs: Mapping[str, Collection[str]],
    ) -> None:
        self._store = store
        self._keep = keep if callable(keep) else lambda: keep
        self._own_lease = own_lease
        self._inputs = inputs

    def keys(self, uses: Mapping[str, tuple[float, str]]) -> set[str]:
        """Return the keys that have to stay, with all that their artifacts were made from.

        Args:
            uses: by key, the last use of what the question is about, and the stage that made it: a use that is recent
                keeps it.
        """
        needed = set(self._keep())
        for lease in self._store.live_stages():
            needed |= _strings([lease.note.get("key")]) | _strings(lease.note.get("inputs"))
        others = [lease for name, lease in self._store.live_sweeps() if name != self._own_lease]
        for lease in others:
            needed |= _strings(lease.note.get("keys"))
        for key, (used_at, stage) in uses.items():
            unnamed_s = GIVEN_S if stage in GIVEN else RECENT_S if others else 0.0
            if unnamed_s and time.time() - used_at < unnamed_s:  # the store's clock may be ahead of this machine's
                needed.add(key)
        return self._with_inputs(needed)

    def studies(self) -> tuple[str, ...]:
        """Return the names of the live sweeps' studies."""
        return tuple(sorted(str(lease.note.get("study", "?")) for _, lease in self._store.live_sweeps()))

    def _with_inputs(self, keys: set[str]) -> set[str]:
        kept: set[str] = set()
        waiting = list(keys)
        while waiting:
            key = waiting.pop()
            if key not in kept:
                kept.add(key)
                waiting += self._inputs.get(key, ())
        return kept


def _strings(value: Any) -> set[str]:
    """Return the strings in a list that another process wrote."""
    return {item for item in value if isinstance(item, str)} if isinstance(value, list) else set()
