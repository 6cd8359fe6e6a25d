"""A driver's lease on its study: a second driver on a live study is refused.

The lease lies in the study itself, as a user attribute: what has to be guarded is the study, which may be in a database
that drivers on several machines share, while each has a store and a home of its own: a file there would not be seen.
A beat is one small write every ``BEAT_S`` (some 20 ms with sqlite), in a thread of its own.

A driver that died on this machine is known by its process and replaced at once; one elsewhere once its last beat is
``DEAD_S`` old and no other follows while it is watched. Optuna cannot compare and set, so a driver reads its own claim
back after ``SETTLE_S``, and again before each beat. A claim must stand ``CLAIM_S`` after the study was seen to be free:
whoever has claimed it meanwhile then finds another in his place when he reads back, and of any number of drivers that
start in the same instant one remains at most. A claim that took longer is withdrawn, and made again once a driver that
it may have been written over has shown itself. A driver that finds another in its place (it slept, or lost the
database, for a minute) stops.
"""

from __future__ import annotations

import _thread
import contextlib
import time
from collections.abc import Callable
from dataclasses import asdict
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from engine.errors import InputError
from engine.store.holders import Heartbeat, Holder

if TYPE_CHECKING:
    from optuna import Study

DRIVER = "driver"
"""The study's user attribute: {"holder", "beat": time of the last beat}, or None."""
BEAT_S = 10.0
DEAD_S = 60.0
CLAIM_S = 0.5
"""How long after the study was seen to be free a claim may stand, at the latest."""
SETTLE_S = CLAIM_S
LOOK_S = 2.0
"""How often who waits for another driver's end looks again."""


class _HeldError(InputError):
    """Another driver has the study.

    Attributes:
        held: that alone, without what to do.
    """

    def __init__(self, held: str, advice: str) -> None:
        super().__init__(f"{held}; {advice}")
        self.held = held


class DriverLease:
    """The right to drive a study, while the block lasts.

    Args:
        study: the study. The beats come from another thread, which has a connection of its own to the database.
        stop: called, from that thread, when another driver has taken the study; None to interrupt the main thread.
        wait_s: how long another driver's end is waited for, one's that died elsewhere say, before it is refused.
        say: hears, once, whose end is waited for.

    Raises:
        InputError: on entering, another driver is at work on the study; on leaving, one has taken it meanwhile.
    """

    def __init__(
        self,
        study: Study,
        stop: Callable[[], None] | None = None,
        *,
        wait_s: float = 0.0,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._study = study
        self._wait_s = wait_s
        self._say = say
        self._stop = stop or _thread.interrupt_main
        self._holder = Holder.this_process()
        self._heartbeat: Heartbeat | None = None
        self._other: Holder | None = None

    def __enter__(self) -> Self:
        """Take the study or refuse."""
        end, said = time.monotonic() + self._wait_s, False
        while True:
            try:
                return self._take()
            except _HeldError as held:
                left_s = end - time.monotonic()
                if left_s <= 0:
                    raise
                if not said:
                    self._say(f"waiting for up to {self._wait_s:.0f} s: {held.held}")
                    said = True
                time.sleep(min(left_s, LOOK_S))

    def _take(self) -> Self:
        try:
            self._claim()
            time.sleep(SETTLE_S)
            found = self._read()
            if found is None or not self._is_ours(found):
                raise self._refusal(found)
            self._heartbeat = Heartbeat(self._beat, BEAT_S)
        except BaseException:
            self._release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the study back."""
        if self._heartbeat is not None:
            self._heartbeat.stop()
        if self._other is not None:
            raise InputError(
                f"study {self._study.study_name!r} was taken over by {self._other}, since this driver had given no "
                "sign of life; its trials go on there"
            ) from error
        self._release()

    def _claim(self) -> None:
        """Write a claim shortly after the study was seen to be free.

        Where the database is too slow for that twice, the second claim stands: the beats will show who is alone.
        """
        for is_last in (False, True):
            found = self._read()
            if found is not None and not _is_dead(found, self._read):
                raise self._refusal(found)
            began = time.monotonic()
            again = self._read()
            if again != found and again is not None:
                raise self._refusal(again)
            self._write()
            if is_last or time.monotonic() - began <= CLAIM_S:
                return
            self._release()
            time.sleep(1.5 * BEAT_S)

    def _beat(self) -> None:
        found = self._read()
        if found is not None and not self._is_ours(found):
            if self._other is None:
                self._other = Holder(**found["holder"])
                self._stop()
        elif self._other is None:
            self._write()

    def _read(self) -> dict[str, Any] | None:
        return self._study.user_attrs.get(DRIVER)

    def _write(self) -> None:
        self._study.set_user_attr(DRIVER, {"holder": asdict(self._holder), "beat": time.time()})

    def _release(self) -> None:
        with contextlib.suppress(Exception):  # a database that is away must not hide why the driver ends
            found = self._read()
            if found is not None and self._is_ours(found):
                self._study.set_user_attr(DRIVER, None)

    def _is_ours(self, found: dict[str, Any]) -> bool:
        return found["holder"]["token"] == self._holder.token

    def _refusal(self, found: dict[str, Any] | None) -> _HeldError:
        name = self._study.study_name
        if found is None:
            return _HeldError(f"study {name!r} was claimed by another driver in the same moment", "run again")
        holder = Holder(**found["holder"])
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(holder.since))
        return _HeldError(
            f"study {name!r} is being run by {holder} since {since} (last sign of life "
            f"{max(0.0, time.time() - found['beat']):.0f} s ago)",
            "let it end, stop it, or choose another --study; --wait gives it time",
        )


def is_driven(study: Study) -> bool:
    """Return whether a driver is at work on a study, as far as can be told without waiting for its next beat."""
    found = study.user_attrs.get(DRIVER)
    if found is None:
        return False
    holder = Holder(**found["holder"])
    return not holder.is_gone if holder.is_here else time.time() - found["beat"] <= DEAD_S


def _is_dead(found: dict[str, Any], read: Callable[[], dict[str, Any] | None]) -> bool:
    """Return whether the driver that left a claim is dead."""
    holder = Holder(**found["holder"])
    if holder.is_here:
        return holder.is_gone
    if time.time() - found["beat"] <= DEAD_S:
        return False
    time.sleep(1.5 * BEAT_S)  # its clock may differ from this one's: does it beat?
    return read() in (found, None)
