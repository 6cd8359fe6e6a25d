"""A module for ``--import`` that leaves a line for every start and end of a stage, and makes stages last a while.

It changes nothing that a stage computes, and no key. The folder of its files is in the environment.
"""

import functools
import json
import os
import socket
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.stages import StageCancelledError, StageContext, StageSpec, runner

FOLDER = "ROBUSTUNE_CHAOS"
"""The environment's variable that names the folder."""
STARTS = "starts.jsonl"
PAUSE = "pause_s"
"""The file with the seconds that every start of a stage and every epoch take longer; read anew each time."""


@dataclass
class Attempt:
    """A start of a stage, and how it ended.

    Attributes:
        key: the stage's.
        stage: its name.
        process: the process that it ran in.
        started: when, in seconds since 1970.
        ended: when it ended by itself; None if it did not.
        how: "done", "stopped" (nobody wanted it any more), "failed", or "" if it did not end by itself.
        host: the machine that it ran on.
    """

    key: str
    stage: str
    process: int
    started: float
    ended: float | None = None
    how: str = ""
    host: str = ""


def read_attempts(folder: Path) -> list[Attempt]:
    """Return all starts of stages so far, in order."""
    attempts: dict[str, Attempt] = {}
    for line in _lines(folder / STARTS):
        if line["event"] == "start":
            attempts[line["id"]] = Attempt(line["key"], line["stage"], line["process"], line["time"], host=line["host"])
        else:
            attempts[line["id"]].ended, attempts[line["id"]].how = line["time"], line["how"]
    return list(attempts.values())


def set_pause(folder: Path, seconds: float) -> None:
    """Make stages last longer, from now on."""
    scratch = folder / f"{PAUSE}.new"
    scratch.write_text(str(seconds))
    scratch.replace(folder / PAUSE)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    if path.exists():
        for line in path.read_text().splitlines():
            yield json.loads(line)


def _write(folder: Path, **values: Any) -> None:
    """Append a line in one write, so that processes do not mix theirs, and none is torn by a kill."""
    line = json.dumps({**values, "host": socket.gethostname(), "process": os.getpid(), "time": time.time()}) + "\n"
    file = os.open(folder / STARTS, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, line.encode())
    os.close(file)


def _record(folder: Path) -> None:
    compute, end_epoch = runner._compute, StageContext.end_epoch

    def pause() -> None:
        time.sleep(float((folder / PAUSE).read_text()))

    @functools.wraps(compute)
    def recorded(spec: StageSpec, *arguments: Any) -> Any:
        attempt, how = uuid.uuid4().hex, "failed"
        _write(folder, event="start", id=attempt, key=spec.key, stage=spec.stage)
        try:
            pause()
            artifact = compute(spec, *arguments)
            how = "done"
            return artifact
        except StageCancelledError:
            how = "stopped"
            raise
        finally:
            _write(folder, event="end", id=attempt, how=how)

    @functools.wraps(end_epoch)
    def slow_end_epoch(self: StageContext, *arguments: Any) -> None:
        pause()
        end_epoch(self, *arguments)

    runner._compute = recorded
    StageContext.end_epoch = slow_end_epoch  # type: ignore[method-assign]


if FOLDER in os.environ:
    _record(Path(os.environ[FOLDER]))
