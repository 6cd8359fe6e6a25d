"""What a tracker is: what turns a sweep's events into the runs of MLflow, or of whatever a user tracks with.

Another tracker is one class with the methods of ``Writer`` and ``register_tracker``. MLflow is one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from engine.registry import Registry

SWEEP = "sweep"
"""What the events are of that are about the sweep itself."""

Event = Mapping[str, Any]
"""What happened, a JSON value. Each has

- "event": "start", "metrics" or "end";
- "slot": what it is about: ``SWEEP``; a planned trial, such as "arm/plain/0" or "proposal/3", as the study has it; or
  the group of trials that one is of, such as "group/arm/plain" (``group_of``);
- "time_ms": when it was, in milliseconds since 1970.

A start has "name", "params" {name: value}, "tags" {name: value}, "data" [data sets, as ``Origin.data``], and "parent",
the slot that it is below, if that is not the sweep; it may come again when a sweep is resumed, and with other params
when an interrupted trial's place is proposed anew. That of the sweep has "varied" [settings by which trials differ].
Metrics have "steps" [[step, {metric: value}]]. An end has "status" ("FINISHED", "FAILED" or "KILLED"), "metrics"
{metric: value}, "step" where it is a trial's, "tags", "texts" {file's name: text} and "figures" {file's name: what
``draw_figure`` makes an image of}. That of the sweep may have "network": {"slot": the trial that it is of, "folder":
where it lies in the sweep's folder, as ``load_exported`` reads it}. That of a group comes when it is complete, and
again at the sweep's end: then its values are the final ones.
"""

_GROUP = "group/"


def group_of(planned: str) -> str:
    """Return the slot of the group that a planned trial is of: an arm, a winner, or the search's proposals."""
    purpose, _, rest = planned.partition("/")
    return _GROUP + ("proposals" if purpose == "proposal" or not rest else planned.rpartition("/")[0])


def is_group(slot: str) -> bool:
    """Return whether a slot is a group's."""
    return slot.startswith(_GROUP)


class Writer(Protocol):
    """What writes events to a tracker, in a process beside the sweep's driver.

    What a method raises is shown to the person, and tried again later: the events stay on disk.

    It may have ``prepare_end(with_network=…)``, too: called once, while slots have nothing to do or the last
    trials are under way, for what takes seconds before the end can be written.
    """

    def connect(self) -> str:
        """Make sure that the tracker answers, and find what it has of the study.

        It is called before each ``write``.

        Returns:
            What the study should keep of where its runs are, such as an experiment's id; "" for nothing.
        """

    def write(self, events: Sequence[Event]) -> None:
        """Write events, in their order.

        After a crash events come again that were written before: of those nothing must double.
        """

    def drop(self) -> None:
        """Forget what is known of the tracker: the last call has failed, and ``connect`` finds out anew."""


@dataclass(frozen=True)
class TrackerRequest:
    """What a tracker's writer is made for.

    Attributes:
        study: the study's name.
        home: the sweep's folder.
        uri: ``--tracking-uri``; None if it was not given.
    """

    study: str
    home: Path
    uri: str | None = None


MakeWriter = Callable[[TrackerRequest], Writer]


def _nothing_to_check(given: TrackerRequest) -> None:
    return


@dataclass(frozen=True)
class TrackerKind:
    """What there is to know about a tracker.

    Attributes:
        description: what it is, in a line.
        make: gives its writer; nothing is asked of the tracker yet.
        check: finds before a sweep starts what cannot work.
    """

    description: str
    make: MakeWriter
    check: Callable[[TrackerRequest], None] = _nothing_to_check


TRACKERS: Registry[TrackerKind] = Registry("tracker")


def register_tracker(
    name: str, description: str, *, check: Callable[[TrackerRequest], None] = _nothing_to_check
) -> Callable[[MakeWriter], MakeWriter]:
    """Return a decorator that makes a class or function usable as ``--tracker name``.

    It gets a ``TrackerRequest`` and returns a ``Writer``; it should not ask the tracker for anything yet.

    Args:
        name: the tracker's name.
        description: what it is, in a line, for ``--list``.
        check: gets the same and raises ``InputError`` for what cannot work, before anything starts. A server may be
            away: events wait for it.

    Raises:
        InputError: another tracker has the name.
    """

    def add(make: MakeWriter) -> MakeWriter:
        TRACKERS.register(name, made_by=make)(TrackerKind(description, make, check))
        return make

    return add


def draw_figure(figure: Mapping[str, Any]) -> Any:
    """Return the picture (PIL) that an event's end describes."""
    from engine.figures.of_runs import draw  # here: matplotlib is slow to import

    return draw(figure)
