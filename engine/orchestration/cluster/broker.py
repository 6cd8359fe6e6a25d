"""The broker: wanted stages in a queue, each key computed once, any number of trials following it epoch by epoch.

``BrokerCore`` is plain asyncio and knows no Ray, so that its decisions can be tested without processes; ``Broker`` is
the actor around it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from engine.stages.spec import StageSpec
from engine.stages.store import Store

State = Literal["queued", "running", "done", "failed"]
MAX_LOSSES = 3
"""How often a stage's worker may die before the stage counts as failed."""


class WorkerLostError(Exception):
    """A worker died, or cannot be reached, while it ran a stage."""


class Worker(Protocol):
    """What the broker needs of a stage worker."""

    def run(self, spec: Mapping[str, Any]) -> Awaitable[dict[str, Any]]:
        """Compute a stage; return {"state": "done" | "failed" | "cancelled", "reason", "seconds", …}.

        Raises:
            WorkerLostError: the worker died.
        """


@dataclass
class WantedStage:
    """A stage that somebody asked for."""

    spec: StageSpec
    order: int
    depth: int
    state: State = "queued"
    reason: str = ""
    missing: str | None = None
    seconds: float = 0.0
    from_store: bool = False
    worker: str = ""
    losses: int = 0
    starts: int = 0
    askers: set[str] = field(default_factory=set)
    all_askers: set[str] = field(default_factory=set)
    records: list[dict[str, Any]] = field(default_factory=list)


class BrokerCore:
    """Keeps the queue.

    Args:
        find: returns an artifact's manifest from the store, or None.
    """

    def __init__(self, find: Callable[[str], Mapping[str, Any] | None]) -> None:
        self._find = find
        self._stages: dict[str, WantedStage] = {}
        self._workers: dict[str, Worker] = {}
        self._idle: list[str] = []
        self._order = itertools.count()
        self._tasks: set[asyncio.Task] = set()
        self._changed = asyncio.Condition()
        self._n_shared = 0
        self._n_from_store = 0
        self._n_run = 0
        self._run_seconds = 0.0

    def add_worker(self, name: str, worker: Worker) -> None:
        """Take a worker; it gets a stage at once if one is waiting."""
        if name not in self._workers:
            self._workers[name] = worker
            self._idle.append(name)
            self._dispatch()

    def worker_names(self) -> list[str]:
        """Return the names of the workers that are known."""
        return list(self._workers)

    async def submit(self, trial: str, spec_json: Mapping[str, Any], depth: int) -> None:
        """Want a stage for a trial. What is done, running or queued already is shared; what failed is tried again.

        Args:
            trial: who asks.
            spec_json: the stage.
            depth: its place in the trial's chain; deeper ones go first, so that what was begun is finished.
        """
        spec = StageSpec.from_json(spec_json)
        stage = self._stages.get(spec.key)
        if stage is not None and stage.state == "failed" and not stage.askers:
            stage = None  # everyone who heard of the failure has gone: a new asker gets a new try
        if stage is None:
            stage = self._stages[spec.key] = WantedStage(spec, next(self._order), depth)
            manifest = await asyncio.to_thread(self._find, spec.key)
            if manifest is not None and stage.state == "queued":
                stage.state, stage.from_store = "done", True
                stage.records = list(manifest["history"])
                stage.seconds = float(manifest.get("seconds", 0.0))
        stage.askers.add(trial)
        if trial not in stage.all_askers:
            stage.all_askers.add(trial)
            if stage.from_store and len(stage.all_askers) == 1:
                self._n_from_store += 1
            elif len(stage.all_askers) > 1:
                self._n_shared += 1
        self._dispatch()

    async def follow(self, trial: str, key: str, after: int, timeout_s: float) -> dict[str, Any]:
        """Wait until a stage has more records than ``after``, or ends; return what there is.

        Returns:
            {"state", "records" (those after ``after``), "own" (nobody else ever asked for it), "from_store",
            "seconds", "reason", "missing" (the key of an input that is gone, or None)}; the state is "unknown" for a
            stage that nobody asked this broker for.
        """
        stage = self._stages.get(key)
        if stage is None:
            return {"state": "unknown", "records": []}
        if not self._news(stage, after):
            async with self._changed:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait_for(lambda: self._news(stage, after)), timeout_s)
        return {
            "state": stage.state,
            "records": stage.records[after:],
            "own": len(stage.all_askers) == 1,
            "from_store": stage.from_store,
            "seconds": stage.seconds,
            "reason": stage.reason,
            "missing": stage.missing,
        }

    async def report(self, key: str, record: Mapping[str, Any]) -> bool:
        """Take an epoch's record from a worker; return whether anybody still wants the stage."""
        stage = self._stages.get(key)
        if stage is None:
            return True  # asked for before this broker was restarted: let it finish, its artifact is good
        known = {old.get("epoch") for old in stage.records}
        if record.get("epoch") not in known:
            stage.records.append(dict(record))
            await self._tell()
        return bool(stage.askers)

    def release(self, trial: str) -> None:
        """Forget a trial's wishes; a queued stage that nobody else wants leaves the queue."""
        for key, stage in list(self._stages.items()):
            stage.askers.discard(trial)
            if stage.state == "queued" and not stage.askers:
                del self._stages[key]

    def forget(self, key: str) -> None:
        """Forget a stage whose artifact turned out to be missing or corrupt, so that it is computed again."""
        stage = self._stages.get(key)
        if stage is not None and stage.state in ("done", "failed"):
            del self._stages[key]

    def statistics(self) -> dict[str, Any]:
        """Return counts and times: what ran, what was shared or found, and the seconds that this saved."""
        states = [stage.state for stage in self._stages.values()]
        shared = sum(
            stage.seconds * (len(stage.all_askers) - (0 if stage.from_store else 1))
            for stage in self._stages.values()
            if stage.state == "done"
        )
        return {
            "workers": len(self._workers),
            "idle": len(self._idle),
            "queued": states.count("queued"),
            "running": states.count("running"),
            "done": states.count("done"),
            "run": self._n_run,
            "run_seconds": self._run_seconds,
            "shared": self._n_shared,
            "from_store": self._n_from_store,
            "saved_seconds": shared,
            "lost_workers": sum(stage.losses for stage in self._stages.values()),
        }

    def _news(self, stage: WantedStage, after: int) -> bool:
        return len(stage.records) > after or stage.state in ("done", "failed")

    def _dispatch(self) -> None:
        """Give idle workers the deepest waiting stages; among equally deep ones those that most trials wait for."""
        waiting = [stage for stage in self._stages.values() if stage.state == "queued" and stage.askers]
        waiting.sort(key=lambda stage: (-stage.depth, -len(stage.askers), stage.order))
        for stage in waiting[: len(self._idle)]:
            name = self._idle.pop(0)
            stage.state, stage.worker = "running", name
            stage.starts += 1
            task = asyncio.get_running_loop().create_task(self._run(stage, name))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run(self, stage: WantedStage, name: str) -> None:
        """Run a stage on a worker and note how it ended."""
        try:
            result = await self._workers[name].run(stage.spec.to_json())
        except WorkerLostError as error:
            stage.losses += 1
            result = {"state": "lost", "reason": str(error)}
        self._idle.append(name)
        self._settle(stage, result)
        await self._tell()
        self._dispatch()

    def _settle(self, stage: WantedStage, result: Mapping[str, Any]) -> None:
        state = result["state"]
        stage.seconds += float(result.get("seconds", 0.0))
        if state == "done":
            stage.state = "done"
            stage.from_store = bool(result.get("from_store"))
            if "history" in result:
                stage.records = list(result["history"])
            self._n_run += 1
            self._run_seconds += float(result.get("seconds", 0.0))
        elif state == "failed" or (state == "lost" and stage.losses >= MAX_LOSSES):
            stage.state = "failed"
            stage.missing = result.get("missing")
            stage.reason = str(result["reason"])
            if state == "lost":
                stage.reason = f"worker lost {stage.losses} times: {stage.reason}"
        elif stage.askers:
            stage.state = "queued"  # cancelled but wanted again, or its worker died
        else:
            self._stages.pop(stage.spec.key, None)

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


class Broker:
    """The broker as an asynchronous Ray actor.

    Args:
        store: the store's folder.
    """

    def __init__(self, store: str) -> None:
        self._store = Store(store)
        self._core: BrokerCore | None = None

    @property
    def core(self) -> BrokerCore:
        """Return the queue, made in the actor's event loop."""
        if self._core is None:
            self._core = BrokerCore(self._manifest)
        return self._core

    def _manifest(self, key: str) -> Mapping[str, Any] | None:
        artifact = self._store.find(key)
        return artifact.manifest if artifact is not None else None

    async def add_worker(self, name: str, actor: Any) -> None:
        """Take a stage worker's actor handle."""
        self.core.add_worker(name, _RemoteWorker(actor))

    async def worker_names(self) -> list[str]:
        """See ``BrokerCore``."""
        return self.core.worker_names()

    async def submit(self, trial: str, spec: Mapping[str, Any], depth: int) -> None:
        """See ``BrokerCore``."""
        await self.core.submit(trial, spec, depth)

    async def follow(self, trial: str, key: str, after: int, timeout_s: float) -> dict[str, Any]:
        """See ``BrokerCore``."""
        return await self.core.follow(trial, key, after, timeout_s)

    async def report(self, key: str, record: Mapping[str, Any]) -> bool:
        """See ``BrokerCore``."""
        return await self.core.report(key, record)

    async def release(self, trial: str) -> None:
        """See ``BrokerCore``."""
        self.core.release(trial)

    async def forget(self, key: str) -> None:
        """See ``BrokerCore``."""
        self.core.forget(key)

    async def statistics(self) -> dict[str, Any]:
        """See ``BrokerCore``."""
        return self.core.statistics()


class _RemoteWorker:
    """A stage worker's actor as the broker sees it."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    async def run(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        from ray.exceptions import RayError

        try:
            return await self._actor.run.remote(dict(spec))
        except RayError as error:
            raise WorkerLostError(str(error).strip().splitlines()[0]) from error
