"""What the store says of stages, and a watch over those that another sweep computes, until done or given up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from engine.orchestration.cluster.wanted_stage import WantedStage

POLL_S = (0.25, 2.0)
"""How long a stage that another sweep computes is left alone between two looks: at first, and at most."""
MAX_WAIT_S = 3600.0
"""How long another sweep may be at a stage without an epoch before it is computed here too."""
MAX_BLIND_S = 300.0
"""For how long the store may refuse every look at a stage that another sweep computes, until a worker is asked anew."""

Found = tuple[Mapping[str, Any] | None, list[dict[str, Any]]]
"""What a stage came to, or None, and the epochs of one that was begun."""


class Lookout:
    """Looks into the store.

    Args:
        find: returns what trials need of an artifact in the store, as ``summary_of`` does, or None. That a machine
            sees none does not say that there is none.
        look_anew: has this machine ask the store anew for an artifact that it did not see.
        begun: returns the epochs that a stage's checkpoint in the store has.
        held: returns whether somebody alive computes a stage for the store.
    """

    def __init__(
        self,
        find: Callable[[str], Mapping[str, Any] | None],
        *,
        look_anew: Callable[[str], object] = lambda key: None,
        begun: Callable[[str], Sequence[Mapping[str, Any]]] = lambda key: (),
        held: Callable[[str], bool] = lambda key: False,
    ) -> None:
        self._find = find
        self._look_anew = look_anew
        self._begun = begun
        self._held = held

    def look_up(self, key: str) -> Found:
        """Return what the store has of a stage: what it came to, or the epochs of one that was begun.

        A worker may still be at it for an earlier broker: who follows hears all epochs, in order.
        """
        found = self._find(key)
        return found, [] if found is not None else [dict(record) for record in self._begun(key)]

    async def wait(
        self, stage: WantedStage, is_waited_for: Callable[[], bool], tell: Callable[[], Awaitable[None]]
    ) -> Mapping[str, Any] | None:
        """Wait for a stage that another sweep computes, and take its epochs, until it is done or is to be queued again.

        The latter when the other sweep gives it up, or dies; and when that has come to no epoch for so long that it may
        never do so.

        Args:
            stage: the stage.
            is_waited_for: returns whether somebody still wants it from there.
            tell: tells of new epochs.

        Returns:
            How it ended, as a worker says it; "left" where it is to be queued again; None once nobody waits for it.
        """
        pause_s, heard = min(POLL_S[0] * 2**stage.n_elsewhere, POLL_S[1]), time.monotonic()
        stage.n_elsewhere += 1  # a lease that only the worker's machine sees is asked for less and less
        while True:
            await asyncio.sleep(pause_s)
            try:
                found, epochs, held = await self._look_until_seen(stage.spec.key, is_waited_for)
            except Exception as error:  # the store has refused for minutes: a worker is asked, and its trials go on
                reason = f"{stage.spec.stage}: {type(error).__name__}: {error}"
                return {"state": "failed", "reason": reason, "infrastructure": True, "passing": True}
            if not is_waited_for():
                return None
            if found is not None:
                return {**found, "state": "done", "shared": True}
            if not held:
                return {"state": "left"}
            if stage.add_records(epochs):
                heard, stage.n_elsewhere = time.monotonic(), 0
                await tell()
            stage.anyway = time.monotonic() - heard > MAX_WAIT_S
            if stage.anyway:
                return {"state": "left"}
            pause_s = min(2 * pause_s, POLL_S[1])

    async def _look_until_seen(
        self, key: str, is_waited_for: Callable[[], bool]
    ) -> tuple[Mapping[str, Any] | None, list[dict[str, Any]], bool]:
        """Return what ``_look_elsewhere`` does, looking again while the store, or its disk, refuses.

        Raises:
            Exception: what the last look raised, where none was answered for ``MAX_BLIND_S``.
        """
        began = time.monotonic()
        while True:
            try:
                return await asyncio.to_thread(self._look_elsewhere, key)
            except Exception:  # a fault of the store's says nothing of the stage, and may be over at the next look
                if not is_waited_for():
                    return None, [], False
                if time.monotonic() - began > MAX_BLIND_S:
                    raise
            await asyncio.sleep(POLL_S[1])

    def _look_elsewhere(self, key: str) -> tuple[Mapping[str, Any] | None, list[dict[str, Any]], bool]:
        """Return what ``look_up`` does, and whether somebody is at it; he may have ended it between the two."""
        held = self._held(key)
        if not held:  # he has ended it, or given it up: which of them, only the store itself can say
            self._look_anew(key)
        return *self.look_up(key), held
