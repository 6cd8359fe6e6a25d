"""What the broker decides: wanted stages in a queue, each key computed once, any number of trials following it.

This is plain asyncio and knows no Ray, so that its decisions can be tested without processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any

from engine.orchestration.cluster.inspection import VISIBLE_S
from engine.orchestration.cluster.lookout import Lookout
from engine.orchestration.cluster.queue_counts import QueueCounts
from engine.orchestration.cluster.stage_choice import StageTimes, choose
from engine.orchestration.cluster.stage_runs import MAX_LOSSES, StageRuns
from engine.orchestration.cluster.wanted_stage import WantedStage, Worker
from engine.orchestration.cluster.worker_roster import WorkerRoster
from engine.stages.prefix import family_of, is_prefix
from engine.stages.spec import StageSpec

GRACE_S = 60.0
"""How long a stage that nobody wants may go on without coming to the end of an epoch before its worker is killed."""
FAULT_PAUSES_S = (2.0, 10.0, 30.0)
"""How long a stage waits before it is tried again, when store or network refused: the first time, the second, …"""
GATHER_S = 0.25
"""For how long epochs are gathered before those who follow a stage hear of them: short ones come faster than each is
worth an answer of its own. Of its end they hear at once."""
_UNENDED = ("queued", "running", "elsewhere")


class StageQueue:
    """Keeps the queue.

    Args:
        lookout: says what the store has of stages.
        abandon: notes in the store that nobody wants a stage whose worker was killed.
        grace_s: how long a stage that nobody wants may go on before its worker is killed.

    Attributes:
        workers: the workers that are known.
    """

    def __init__(
        self,
        lookout: Lookout,
        *,
        abandon: Callable[[str], None] = lambda key: None,
        grace_s: float = GRACE_S,
    ) -> None:
        self._lookout = lookout
        self._grace_s = grace_s
        self.workers = WorkerRoster()
        self._runs = StageRuns(self.workers, abandon, self._start)
        self._times = StageTimes()
        self._began = time.monotonic()
        self._stages: dict[str, WantedStage] = {}
        self._unended: dict[str, WantedStage] = {}
        self._wishes: defaultdict[str, set[str]] = defaultdict(set)
        self._asking: defaultdict[str, set[object]] = defaultdict(set)
        self._ended: set[str] = set()
        self._order = itertools.count()
        self._tasks: set[asyncio.Task] = set()
        self._changed = asyncio.Condition()
        self._counts = QueueCounts()

    def add_worker(self, name: str, worker: Worker, machine: str = "") -> None:
        """Take a worker, and where it is; it gets a stage at once if one is waiting."""
        if self.workers.add(name, worker, machine):
            self._dispatch()

    async def submit(self, trial: str, spec_json: Mapping[str, Any], depth: int, followers: Sequence[str] = ()) -> bool:
        """Want a stage for a trial. What is done, running or queued already is shared; what failed is tried again, but
        for what would fail again.

        Args:
            trial: who asks.
            spec_json: the stage.
            depth: its place in the trial's chain.
            followers: the names of the stages that come after it in that chain.

        Returns:
            Whether the trial still counts; one that was released meanwhile, or has ended for good, wants nothing.
        """
        spec, ticket = StageSpec.from_json(spec_json), object()
        self._asking[trial].add(ticket)
        stage = self._known(spec.key)
        if stage is None:
            try:
                found = await asyncio.to_thread(self._lookout.look_up, spec.key)
            except Exception:  # the store refuses: the worker that gets the stage looks too, and can say what it met
                found = None, []
            stage = self._known(spec.key)  # another trial may have asked meanwhile
        if trial in self._ended or ticket not in self._asking[trial]:
            return False
        self._asking[trial].discard(ticket)
        stage = stage or self._add(spec, depth, *found)
        self._wishes[trial].add(spec.key)
        stage.askers.add(trial)
        stage.followers[trial] = tuple(followers)
        stage.unwanted_since = None
        if trial not in stage.all_askers:
            stage.all_askers.add(trial)
            self._counts.take_asker(stage)
        self._dispatch()
        return True

    def _add(
        self, spec: StageSpec, depth: int, found: Mapping[str, Any] | None, epochs: list[dict[str, Any]]
    ) -> WantedStage:
        """Add a stage that nobody has asked for yet, or not lately."""
        stage = self._stages[spec.key] = WantedStage(spec, next(self._order), depth, family_of(spec))
        self._unended[spec.key] = stage
        stage.records = epochs
        if found is not None:
            stage.finish(found)
            stage.from_store, stage.seconds = True, float(found.get("seconds", 0.0))
            self._times.learn(spec.stage, stage.seconds)
        return stage

    def _known(self, key: str) -> WantedStage | None:
        """Return a stage; not one whose failure nobody waits for any more: a new asker gets a new try.

        One that would fail again whoever computed it is not tried again.
        """
        stage = self._stages.get(key)
        is_over = stage is not None and stage.state == "failed" and not stage.askers and not stage.lasting
        return None if is_over else stage

    async def refuse(self, reason: str) -> None:
        """Fail the stages that wait for a worker, because there is none that could run them."""
        for stage in self._stages.values():
            if stage.state == "queued":
                stage.state, stage.reason, stage.infrastructure, stage.hopeless = "failed", reason, True, True
        await self._tell()

    async def follow(self, key: str, after: int, timeout_s: float) -> dict[str, Any]:
        """Wait until a stage has more records than ``after``, and a moment for those that come next, or until it ends.

        Returns:
            ``WantedStage.news``; the state is "unknown" for a stage that nobody asked this broker for.
        """
        stage = self._stages.get(key)
        if stage is None:
            return {"state": "unknown", "records": []}
        if not stage.has_news(after):
            await self._until(lambda: stage.has_news(after), timeout_s)
        if stage.has_news(after) and not stage.is_over:
            await self._until(lambda: stage.is_over, GATHER_S)
        return stage.news(after)

    async def _until(self, is_so: Callable[[], bool], timeout_s: float) -> None:
        """Wait until something is so, for a while."""
        async with self._changed:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait_for(is_so), timeout_s)

    async def report(self, key: str, record: Mapping[str, Any]) -> bool:
        """Take an epoch's record from a worker; return whether anybody still wants the stage."""
        stage = self._stages.get(key)
        if stage is None:
            return True  # asked for before this broker was restarted: let it finish, its artifact is good
        if stage.add_records([record]):
            await self._tell()
        return bool(stage.askers)

    def release(self, trial: str, *, for_good: bool = False) -> None:
        """Forget a trial's wishes; a queued stage that nobody else wants leaves the queue, a running one is stopped.

        It is asked to stop at the end of its epoch; if that takes longer than the grace, its worker is killed.

        Args:
            trial: who wants nothing any more, and what it is just asking for neither.
            for_good: whether it has ended: what it may still ask for, late, is not heard.
        """
        self._asking.pop(trial, None)
        if for_good:
            self._ended.add(trial)
        for key in self._wishes.pop(trial, ()):
            stage = self._stages.get(key)
            if stage is None:
                continue
            stage.askers.discard(trial)
            stage.followers.pop(trial, None)
            if stage.askers:
                continue
            if stage.state in ("queued", "elsewhere"):
                del self._stages[key]
            elif stage.state == "running" and stage.unwanted_since is None:
                stage.unwanted_since = time.monotonic()
                self._start(self._kill_if_unwanted(stage, stage.starts))

    def forget(self, key: str) -> None:
        """Forget a stage whose artifact turned out to be missing or corrupt, so that it is computed again."""
        stage = self._stages.get(key)
        if stage is not None and stage.state in ("done", "failed") and not stage.lasting:
            del self._stages[key]

    def statistics(self) -> dict[str, Any]:
        """Return counts and times: what ran, what was shared or found, and the seconds that this saved."""
        return self._counts.statistics(self._stages.values(), self.workers) | {"preempted": self._runs.n_preempted}

    def _dispatch(self) -> None:
        """Give idle workers waiting stages; a training waits for a shorter one that it can go on from."""
        unended = self._unended_stages()
        running = [stage for stage in unended if stage.state == "running"]
        now = time.monotonic()
        waiting = [stage for stage in unended if stage.state == "queued" and stage.askers and stage.not_before <= now]
        waiting = [stage for stage in waiting if not self._waits_for_shorter(stage)]
        waiting.sort(key=self._times.priority)
        for stage, name in list(choose(waiting, running, self.workers.idle, self.workers.machines)):
            self.workers.idle.remove(name)
            stage.state, stage.worker, stage.machine = "running", name, self.workers.machines[name]
            stage.starts += 1
            self._start(self._run(stage, name))

    def _waits_for_shorter(self, stage: WantedStage) -> bool:
        """Return whether a training that this one can go on from is queued or under way."""
        return stage.family is not None and any(
            other.family == stage.family
            and other.state in _UNENDED
            and other.askers
            and is_prefix(other.spec, stage.spec)
            for other in self._unended.values()
        )

    def _unended_stages(self) -> list[WantedStage]:
        """Return the stages that have not ended: few, however many have since the broker was started."""
        self._unended = {
            key: stage
            for key, stage in self._unended.items()
            if stage.state in _UNENDED and self._stages.get(key) is stage
        }
        return list(self._unended.values())

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _kill_if_unwanted(self, stage: WantedStage, start: int) -> None:
        """Kill the worker of a stage that still runs for nobody when the grace is over."""
        await asyncio.sleep(self._grace_s)
        same = self._stages.get(stage.spec.key) is stage and stage.state == "running" and stage.starts == start
        since = stage.unwanted_since
        if same and since is not None and time.monotonic() - since >= self._grace_s * 0.99:
            self._runs.kill(stage.worker)

    async def _run(self, stage: WantedStage, name: str) -> None:
        """Run a stage on a worker and take how it ended."""
        self._settle(stage, await self._runs.run(stage, name, self._recent(stage.spec.inputs.values())))
        await self._tell()
        self._dispatch()

    def _recent(self, keys: Iterable[str]) -> dict[str, float]:
        """Return, of stages that are done, for how many seconds another machine may not see them yet.

        Of those that an earlier broker knew, it is known that they were done when this one began.
        """
        now, found = time.monotonic(), {}
        for key in keys:
            stage = self._stages.get(key)
            left_s = VISIBLE_S - (now - (self._began if stage is None else stage.ended_at))
            if left_s > 0:
                found[key] = left_s
        return found

    def _settle(self, stage: WantedStage, result: Mapping[str, Any]) -> None:
        """Take how a stage ended, or why it has not: it is done, has failed, or is queued again."""
        state = result["state"]
        stage.seconds += float(result.get("seconds", 0.0))
        if state == "done":
            stage.finish(result)
            stage.from_store, stage.shared = bool(result.get("from_store")), bool(result.get("shared"))
            self._counts.take_end(stage, float(result.get("seconds", 0.0)))
            self._times.learn(stage.spec.stage, float(result.get("seconds", 0.0)))
        elif state == "elsewhere" and stage.askers:
            stage.state = "elsewhere"
            self._start(self._wait_for_elsewhere(stage))
        elif result.get("out_of_memory") and not stage.alone:
            stage.alone = True
            self._queue_again(stage)
        elif result.get("out_of_memory"):
            stage.state, stage.alone, stage.infrastructure = "failed", False, True
            stage.reason = f"out of memory, with the machine to itself too: {result['reason']}"
        elif result.get("passing") and stage.n_faults < len(FAULT_PAUSES_S):
            self._try_again_later(stage, FAULT_PAUSES_S[stage.n_faults])
        elif state == "failed" or (state == "lost" and stage.losses >= MAX_LOSSES):
            stage.state = "failed"
            stage.missing, stage.lasting = result.get("missing"), bool(result.get("lasting"))
            stage.infrastructure = state == "lost" or bool(result.get("infrastructure"))
            stage.reason = str(result["reason"])
            if state == "lost":
                stage.reason = f"worker lost {stage.losses} times: {stage.reason}"
        else:
            self._queue_again(stage)

    def _try_again_later(self, stage: WantedStage, pause_s: float) -> None:
        """Queue a stage again that store or network refused, but let them recover for some seconds."""
        stage.n_faults += 1
        stage.not_before = time.monotonic() + pause_s
        self._queue_again(stage)
        self._start(self._dispatch_after(pause_s))

    async def _dispatch_after(self, pause_s: float) -> None:
        await asyncio.sleep(pause_s)
        self._dispatch()

    def _queue_again(self, stage: WantedStage) -> None:
        """Queue a stage whose worker died, or that was stopped and is wanted again; forget one that nobody wants."""
        if stage.askers:
            stage.state = "queued"
        else:
            self._stages.pop(stage.spec.key, None)

    async def _wait_for_elsewhere(self, stage: WantedStage) -> None:
        """Wait for a stage that another sweep computes, which holds no worker meanwhile."""
        result = await self._lookout.wait(stage, lambda: self._is_elsewhere(stage), self._tell)
        if result is not None:
            self._settle(stage, result)
            await self._tell()
            self._dispatch()

    def _is_elsewhere(self, stage: WantedStage) -> bool:
        """Return whether a stage is still wanted, and still waits for another sweep."""
        return self._stages.get(stage.spec.key) is stage and stage.state == "elsewhere"

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()
