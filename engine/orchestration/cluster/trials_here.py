"""Trials that Tune runs in the driver: what it takes for an actor is a coroutine, and costs no process.

A trial only waits for what the broker says. Tune would give each a process of its own, which takes a hundred megabytes
and two or three seconds of a core to start, beside the stages that it waits for.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from typing import Any

from engine.orchestration.cluster.shared_names import REPORT

Walk = Callable[[Mapping[str, Any]], AsyncIterator[Mapping[str, Any]]]
"""Gives a trial's reports, of its configuration, as they come."""
_END_S = 10.0


class TrialHere:
    """A trial as Tune's controller handles it: both the actor that it tracks and the handle of that actor.

    Args:
        reports: what the trial has to say.
        on_start: called once it is begun.
        on_stop: called once it is ended.
    """

    def __init__(
        self,
        reports: AsyncIterator[Mapping[str, Any]],
        on_start: Callable[[TrialHere], None] | None,
        on_stop: Callable[[TrialHere], None] | None,
    ) -> None:
        self.reports = reports
        self.is_started = self.is_removed = False
        self.n_reports = 0
        self.awaited: Future[Mapping[str, Any] | None] | None = None
        self._on_start = on_start
        self._on_stop = on_stop

    def start(self) -> None:
        """Say that it is begun, unless it was given up before."""
        if not self.is_removed:
            self.is_started = True
            if self._on_start is not None:
                self._on_start(self)

    def stop(self) -> None:
        """Say that it is ended."""
        if self._on_stop is not None:
            self._on_stop(self)

    def set_on_stop(self, on_stop: Callable[[TrialHere], None] | None) -> None:
        """Have something else called once it is ended."""
        self._on_stop = on_stop

    def set_on_error(self, on_error: object) -> None:
        """Take that something else is to be called when its process dies: it has none."""

    @property
    def get_auto_filled_metrics(self) -> _Answer:
        """Return what gives Tune a trial's result before there is one."""
        return _Answer()


class _Answer:
    """What Tune takes for an actor's method; it knows nothing yet."""

    def remote(self, **_: Any) -> dict[str, Any]:
        return {}


class TrialsHere:
    """What Tune's controller takes for the manager of its actors.

    Args:
        walk: gives a trial's reports.
    """

    def __init__(self, walk: Walk) -> None:
        self._walk = walk
        self._events: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._pending: set[TrialHere] = set()
        self._live: set[TrialHere] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="trials", daemon=True)
        self._thread.start()

    @property
    def num_live_actors(self) -> int:
        """Return how many trials are begun."""
        return len(self._live)

    @property
    def num_pending_actors(self) -> int:
        """Return how many trials are about to begin."""
        return len(self._pending)

    @property
    def num_total_actors(self) -> int:
        """Return how many trials are not ended."""
        return len(self._live) + len(self._pending)

    @property
    def num_actor_tasks(self) -> int:
        """Return of how many trials a report is awaited."""
        return sum(trial.awaited is not None for trial in self._live)

    @property
    def _live_actors_to_ray_actors_resources(self) -> dict[TrialHere, tuple[TrialHere, None]]:
        return {trial: (trial, None) for trial in self._live}

    def get_live_actors_resources(self) -> dict[str, float]:
        """Return what trials hold: nothing."""
        return {}

    def add_actor(
        self,
        cls: object,
        kwargs: Mapping[str, Any],
        resource_request: object,
        *,
        on_start: Callable[[TrialHere], None] | None = None,
        on_stop: Callable[[TrialHere], None] | None = None,
        on_error: object = None,
    ) -> TrialHere:
        """Take a trial; that it is begun is said by one of the next calls of ``next``."""
        trial = TrialHere(self._walk(kwargs["config"]), on_start, on_stop)
        self._pending.add(trial)
        self._events.put(lambda: self._start(trial))
        return trial

    def schedule_actor_task(
        self,
        tracked_actor: TrialHere,
        method_name: str,
        args: object = None,
        kwargs: object = None,
        on_result: Callable[[TrialHere, dict[str, Any]], None] | None = None,
        on_error: Callable[[TrialHere, BaseException], None] | None = None,
        _return_future: bool = False,
    ) -> None:
        """Await a trial's next report ("train"); its end ("stop") comes with ``remove_actor``."""
        if method_name == "stop":
            return
        if method_name != "train":
            raise NotImplementedError(f"a trial in the driver has no method {method_name!r}")
        awaited = self._run(_next_of(tracked_actor.reports))
        tracked_actor.awaited = awaited

        def take() -> None:
            if tracked_actor.awaited is not awaited:
                return
            tracked_actor.awaited = None
            error = awaited.exception()
            if error is not None and on_error is not None:
                on_error(tracked_actor, error)
            elif error is None and on_result is not None:
                tracked_actor.n_reports += 1
                on_result(tracked_actor, _as_result(awaited.result(), tracked_actor.n_reports))

        awaited.add_done_callback(lambda _: self._events.put(take))

    def clear_actor_task_futures(self, tracked_actor: TrialHere) -> None:
        """Have a report that is awaited go unheard."""
        awaited, tracked_actor.awaited = tracked_actor.awaited, None
        if awaited is not None:
            awaited.cancel()

    def remove_actor(self, tracked_actor: TrialHere, kill: bool = False, stop_future: object = None) -> bool:
        """End a trial; return whether it was begun, so that its end will be said by ``next``."""
        self.clear_actor_task_futures(tracked_actor)
        was_live = tracked_actor in self._live
        self._pending.discard(tracked_actor)
        self._live.discard(tracked_actor)
        tracked_actor.is_removed = True
        if was_live:
            self._events.put(tracked_actor.stop)
        return was_live

    def next(self, timeout: float | None = None) -> bool:
        """Wait, for some seconds at most, until something happens, and pass it on; return whether it did."""
        try:
            event = self._events.get(timeout=timeout)
        except queue.Empty:
            return False
        event()
        return True

    def is_actor_started(self, tracked_actor: TrialHere) -> bool:
        """Return whether a trial is begun and not ended."""
        return tracked_actor in self._live

    def is_actor_failed(self, tracked_actor: TrialHere) -> bool:
        """Return whether a trial's process has died: it has none."""
        return False

    def cleanup(self) -> None:
        """End all trials."""
        for trial in [*self._live, *self._pending]:
            self.clear_actor_task_futures(trial)
        self._live.clear()
        self._pending.clear()

    def close(self) -> None:
        """End all trials, and the thread that they run in."""
        self.cleanup()
        with suppress(TimeoutError, CancelledError):
            self._run(_cancel_others()).result(_END_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_END_S)

    def _start(self, trial: TrialHere) -> None:
        if trial in self._pending:
            self._pending.discard(trial)
            self._live.add(trial)
            trial.start()

    def _run(self, coroutine: Coroutine[Any, Any, Any]) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)


async def _next_of(reports: AsyncIterator[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return the next report, or None where there are no more."""
    return await anext(reports, None)


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def _as_result(report: Mapping[str, Any] | None, number: int) -> dict[str, Any]:
    """Return a report as Tune wants it; None says that the trial is over."""
    if report is None:
        return {"done": True, "training_iteration": number}
    return {REPORT: [dict(report)], "done": False, "training_iteration": number}
