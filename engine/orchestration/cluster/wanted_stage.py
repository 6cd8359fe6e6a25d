"""A stage that trials want, and the workers that can run it, as the broker's queue sees them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from engine.stages.spec import StageSpec

State = Literal["queued", "running", "elsewhere", "done", "failed"]


class WorkerLostError(Exception):
    """A worker died, or cannot be reached, while it ran a stage.

    Attributes:
        kind: "died"; "preempted", its node was taken away, which is not the stage's fault; "out of memory"; or
            "unfit", it lives, but can run no stage.
    """

    def __init__(self, message: str, kind: Literal["died", "preempted", "out of memory", "unfit"] = "died") -> None:
        super().__init__(message)
        self.kind = kind


class Worker(Protocol):
    """What the broker needs of a stage worker."""

    def run(
        self, spec: Mapping[str, Any], *, anyway: bool = False, recent: Mapping[str, float], alone: bool = False
    ) -> Awaitable[dict[str, Any]]:
        """Compute a stage; return {"state": "done" | "failed" | "cancelled" | "elsewhere", "reason", "seconds", …}.

        One that is done comes with all of ``summary_of``, one that failed with all of ``failure_of``. "elsewhere" says
        that another sweep is at it.

        Args:
            spec: the stage.
            anyway: whether to compute it even while another sweep does.
            recent: {key of an input: seconds for which it may not be seen yet on the worker's machine, though it is
                done}.
            alone: whether nothing else runs on its machine meanwhile.

        Raises:
            WorkerLostError: the worker died.
        """

    def lost_its_node(self) -> Awaitable[bool]:
        """Return, of a worker that died, whether its node is gone; that may take a while to show."""

    def kill(self) -> None:
        """End the worker's process; it is started anew."""


@dataclass
class WantedStage:
    """A stage that somebody asked for.

    Attributes:
        spec: the stage.
        order: when it was first asked for.
        depth: its place in the chain of who asked first.
        family: of trainings that differ in their length only; None for other stages.
        state: where it stands; "elsewhere" while another sweep computes it.
        reason: why it failed.
        lasting: whether it would fail again, whoever computed it.
        infrastructure: whether it failed by what happened to machines, store or network: that says nothing of it.
        hopeless: whether no stage can be run, whichever is tried.
        n_faults: how often store or network refused, and it was tried again.
        not_before: when it may be started, by this machine's steady clock.
        missing: the key of an input that was gone.
        seconds: computing time.
        from_store: whether it was there before.
        values: what of its artifact trials report, as of ``summary_of``.
        host: where it was made.
        ended_at: when it was done, by this machine's steady clock; 0 before.
        shared: whether another sweep computed it, and this one waited for it.
        anyway: whether another sweep has been at it for too long without an epoch to wait for that.
        n_elsewhere: how often a worker found another sweep at it, since there was news of that.
        worker: who runs it, or ran it.
        machine: where that is, or was.
        losses: how often its worker died, but for those whose node turned out to be gone.
        inquiries: find out, for each loss, whether the node was gone.
        starts: how often it was started.
        alone: whether it ran out of memory once, and is tried again with the machine to itself.
        unwanted_since: since when it runs for nobody.
        followers: for each trial that wants it, the stages that come after it there.
        askers: the trials that want it now.
        all_askers: the trials that ever wanted it.
        records: its epochs so far.
    """

    spec: StageSpec
    order: int
    depth: int
    family: str | None = None
    state: State = "queued"
    reason: str = ""
    lasting: bool = False
    infrastructure: bool = False
    hopeless: bool = False
    n_faults: int = 0
    not_before: float = 0.0
    missing: str | None = None
    seconds: float = 0.0
    values: Mapping[str, Any] = field(default_factory=dict)
    host: str = ""
    ended_at: float = 0.0
    from_store: bool = False
    shared: bool = False
    anyway: bool = False
    n_elsewhere: int = 0
    worker: str = ""
    machine: str = ""
    losses: int = 0
    inquiries: list[asyncio.Task] = field(default_factory=list)
    starts: int = 0
    alone: bool = False
    unwanted_since: float | None = None
    followers: dict[str, tuple[str, ...]] = field(default_factory=dict)
    askers: set[str] = field(default_factory=set)
    all_askers: set[str] = field(default_factory=set)
    records: list[dict[str, Any]] = field(default_factory=list)

    @property
    def is_over(self) -> bool:
        """Return whether it is done, or has failed."""
        return self.state in ("done", "failed")

    def finish(self, found: Mapping[str, Any]) -> None:
        """Take what the stage has come to, as of ``summary_of``; without a history, the epochs that were told stay."""
        self.state, self.alone, self.ended_at = "done", False, time.monotonic()
        self.values, self.host = dict(found.get("values", {})), str(found.get("host", ""))
        if "history" in found:
            self.records = list(found["history"])

    def add_records(self, records: Iterable[Mapping[str, Any]]) -> bool:
        """Take records that are not known yet; return whether there was one."""
        places = {_place(record) for record in self.records}
        new = [dict(record) for record in records if _place(record) not in places]
        self.records += new
        return bool(new)

    def has_news(self, after: int) -> bool:
        """Return whether those who know so many of its records have something to hear."""
        return len(self.records) > after or self.is_over

    def news(self, after: int) -> dict[str, Any]:
        """Return what those who follow the stage hear.

        Args:
            after: how many records they know.

        Returns:
            {"state", "records" (those after ``after``), "own" (nobody else ever asked for it), "from_store",
            "seconds", "reason", "infrastructure" (whether the machines failed, not the stage), "hopeless" (whether no
            stage can be run), "missing" (the key of an input that is gone, or None), "values" and "host" (of one that
            is done, as of ``summary_of``)}.
        """
        return {
            "state": self.state,
            "records": self.records[after:],
            "own": len(self.all_askers) == 1,
            "from_store": self.from_store,
            "seconds": self.seconds,
            "reason": self.reason,
            "infrastructure": self.infrastructure,
            "hopeless": self.hopeless,
            "missing": self.missing,
            "values": self.values,
            "host": self.host,
        }


def _place(record: Mapping[str, Any]) -> Any:
    """Return a record's place in its stage: its epoch, or its batch of cells."""
    return record.get("epoch", record.get("batch"))
