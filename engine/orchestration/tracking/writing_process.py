"""The process that writes to the tracker while a sweep runs: neither training nor the driver waits for it.

A tracker and figures take longer than everything else that a driver does for a trial, and in a thread they would take
it from the driver. The process reads the spool on disk, at the least priority while stages are computed, and what is
left at the end, which somebody waits for, at the usual one: a thread of its own has the former, since no process can
take it back. It is told of the end through its standard input, so that it also ends, with everything written, when its
driver dies.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, Self, TypeVar

from engine.extensions import import_modules
from engine.orchestration.tracking.spool import Spool
from engine.orchestration.tracking.spool_writer import SpoolWriter, describe_error
from engine.orchestration.tracking.tracker_kinds import TrackerRequest
from engine.priority import step_back, step_up

OUTAGE_WAIT_S = 10.0
"""How long the end of a sweep is held up by a server that has not answered so far."""
FIRST_S = 2.0
"""When the tracker is first connected to."""
FLUSH_S = 5.0
"""How often events are written from then on: all that a run is told meanwhile is one batch, which costs no more than a
part of it."""
BACK_OFF_S = (2.0, 5.0, 15.0, 60.0)
_LOOK_S = 0.1
"""How often it is looked whether something is done, and whether the end has come meanwhile."""
_NEAR = "the end is near"
_WITH_NETWORK = "the end is near, and has a network"
"""What the driver says once, when there is time for what the end takes, or the last trial has begun."""
_START = """
from engine.leaving import leaving_with, prepare_to_leave
prepare_to_leave()
from engine.orchestration.tracking.writing_process import main
main()
leaving_with(0)
"""

Result = TypeVar("Result")


class TrackingProcess:
    """Writes a study's events to a tracker in a process of its own.

    Args:
        tracker: its name.
        request: what its writer is made for.
        spool: where the events are.
        imports: modules of the user's that register what they add.

    Attributes:
        experiment: what the tracker said of where its runs are; "" until the first connection.
        last_error: why the last attempt failed, without credentials; "" if it did not.
    """

    def __init__(self, tracker: str, request: TrackerRequest, spool: Spool, *, imports: Sequence[str] = ()) -> None:
        self._tracker = tracker
        self._spool = spool
        self._given = {
            "tracker": tracker,
            "study": request.study,
            "home": str(request.home.absolute()),
            "uri": request.uri,
            "spool": str(spool.path.absolute()),
            "imports": list(imports),
        }
        self.experiment = ""
        self.last_error = ""
        self._process: subprocess.Popen[str] | None = None
        self._listener = threading.Thread(target=self._listen, name="tracking", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            process_group=0,  # who tells the driver's group to end means the driver, which says when this is to end
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path)},
        )
        self._tell(json.dumps(self._given))  # not as an argument: those can be read by everybody on the machine
        self._listener.start()

    def prepare_end(self, *, with_network: bool) -> None:
        """Import what the end will take.

        Args:
            with_network: whether a network is to be kept then.
        """
        if self._process is not None:
            self._tell(_WITH_NETWORK if with_network else _NEAR)

    def finish(self) -> None:
        """Have written what is left: nothing comes any more. ``close`` waits for it."""
        if self._process is not None:
            with contextlib.suppress(OSError):
                assert self._process.stdin is not None
                self._process.stdin.close()

    def close(self, timeout_s: float) -> bool:
        """Write what is left, for a while, or one last try if the server is away; return whether all was written."""
        if self._process is not None:
            self.finish()
            end = time.monotonic() + timeout_s
            if self.last_error:
                self._wait(min(timeout_s, OUTAGE_WAIT_S))
            if not self.last_error:  # it answers, perhaps for a moment only now
                self._wait(end - time.monotonic())
            if self._process.poll() is None:
                self._process.kill()  # its events wait in the spool
                self._process.wait(OUTAGE_WAIT_S)
            self._listener.join(OUTAGE_WAIT_S)
        return self._spool.n_waiting() == 0

    def _wait(self, timeout_s: float) -> None:
        assert self._process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(max(0.0, timeout_s))

    def _tell(self, line: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # it has died, or was told of the end: events wait in the spool
            assert self._process is not None
            assert self._process.stdin is not None
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()

    def _listen(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with contextlib.suppress(ValueError, KeyError, TypeError):  # a line that some library printed
                news = json.loads(line)
                self.experiment, self.last_error = news["experiment"], news["error"]
        if self._process.wait() != 0 and not self.last_error:
            self.last_error = f"the process that writes to {self._tracker} ended with code {self._process.returncode}"


def main() -> None:
    """Write a spool's events until standard input ends, then those that are left."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):  # likewise, where all processes are told
        signal.signal(number, signal.SIG_IGN)
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print is not for the driver
    given = json.loads(sys.stdin.readline())
    end = _EndOfInput(sys.stdin)
    with Aside(end) as aside:
        keep_writing(
            aside(lambda: _make(given)),
            told_to_end=end,
            tell=lambda news: print(json.dumps(news), file=out),
            said=lambda: end.last_line,
            aside=aside,
        )


class Aside:
    """Does one thing at a time in a thread that steps back, until the end comes: then somebody waits for it.

    Args:
        told_to_end: waits for some seconds at most; returns whether the end has come.
    """

    def __init__(self, told_to_end: Callable[[float], bool]) -> None:
        self._told_to_end = told_to_end
        self._thread = ThreadPoolExecutor(1, initializer=step_back)

    def __enter__(self) -> Self:
        """Start the thread."""
        self._native_id = self._thread.submit(threading.get_native_id).result()
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self._thread.shutdown()

    def __call__(self, work: Callable[[], Result]) -> Result:
        """Do something, and return what it returns."""
        doing = self._thread.submit(work)
        while not doing.done():
            if self._told_to_end(_LOOK_S):
                step_up(self._native_id)
                break
        return doing.result()


def _make(given: Mapping[str, Any]) -> SpoolWriter:
    from engine.orchestration.tracking.trackers import make_writer  # here: trackers are slow to import

    import_modules(given["imports"])
    request = TrackerRequest(given["study"], Path(given["home"]), given["uri"])
    return SpoolWriter(make_writer(given["tracker"], request), Spool(Path(given["spool"])))


def at_once(work: Callable[[], Result]) -> Result:
    """Do something here and now."""
    return work()


def keep_writing(
    writer: SpoolWriter,
    *,
    told_to_end: Callable[[float], bool],
    tell: Callable[[dict[str, Any]], None],
    said: Callable[[], str] = str,
    aside: Callable[[Callable[[], None]], None] = at_once,
) -> None:
    """Write events as they come, and those that are left at the end.

    Args:
        writer: writes them.
        told_to_end: waits for some seconds at most, or until something is said; returns whether the end has come.
        tell: hears {"experiment", "error"} when one of them changes.
        said: returns what was said last.
        aside: does, and waits for, what is written before the end.
    """
    n_failures, told, is_prepared = 0, {"experiment": "", "error": ""}, False
    wait_s = FIRST_S

    def say(error: str) -> None:
        nonlocal told
        news = {"experiment": writer.experiment, "error": error}
        if news != told:
            told = news
            with contextlib.suppress(OSError):  # the driver has died
                tell(news)

    def write() -> None:
        if not (writer.lease.is_held or writer.lease.acquire()):
            raise RuntimeError(f"another process writes the events of {writer.lease.path.stem}.jsonl")
        writer.connect()
        say("")  # before the writing, which takes a while after an outage: the end of a sweep waits for it
        writer.flush()

    while True:
        closing = told_to_end(wait_s)
        error = ""
        try:
            (at_once if closing else aside)(write)
            n_failures = 0
            if said() in (_NEAR, _WITH_NETWORK) and not (closing or is_prepared):
                is_prepared = True
                writer.prepare_end(with_network=said() == _WITH_NETWORK)
        except Exception as failure:  # whatever the server raises: the spool keeps the events
            n_failures += 1
            error = describe_error(failure)
        say(error)
        wait_s = FLUSH_S if not n_failures else BACK_OFF_S[min(n_failures, len(BACK_OFF_S)) - 1]
        if closing and n_failures != 1:  # what failed for the first time is tried once more
            writer.lease.release()
            return


class _EndOfInput:
    """Waits for the end of a file, or for a line of it, which is ``last_line`` then."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._selector = selectors.DefaultSelector()
        self._selector.register(file, selectors.EVENT_READ)
        self._ended = False
        self.last_line = ""

    def __call__(self, timeout_s: float) -> bool:
        """Wait; return whether the file has ended."""
        if not self._ended and self._selector.select(timeout_s):
            line = self._file.readline()
            self._ended = not line
            self.last_line = line.rstrip("\n") or self.last_line
        return self._ended
