"""What disturbs a sweep: it kills one of its processes every few seconds, and starts the sweep again where it must."""

import random
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from engine.orchestration.cluster.stage_runs import MAX_LOSSES
from tests.chaos.processes import Process, descendants, kill, wait_until_gone
from tests.chaos.recording import Attempt, read_attempts, set_pause
from tests.chaos.sweeps import SweepFiles

Kind = Literal["worker", "broker", "driver"]
TITLES: dict[Kind, str] = {"worker": "ray::StageWorker", "broker": "ray::Broker"}
DECK: tuple[Kind, ...] = (*["worker"] * 4, "broker", "broker")
"""What is killed, in an order that is drawn each time, before the driver is, and all begins again."""
SHORT_DECK: tuple[Kind, ...] = ("worker", "broker")
SHORT_S = 60.0
"""Below how many seconds the short deck is used, so that each kind has its turn."""
PAUSE_S = 1.5
"""What starts and epochs of stages take longer while processes are killed: most kills are to hit a stage."""
APART_S = (1.5, 5.0)
PATIENCE_S = 20.0
"""How long a process to kill is waited for: a worker in the middle of a stage, say."""
LEFT_S = 20.0
START_S = 480.0
END_S = 900.0


class ChaosError(Exception):
    """The sweep did not go on, or ended by itself before its time."""


@dataclass(frozen=True)
class Kill:
    """A process that was killed, and when; with a driver go all processes below it, a moment later."""

    kind: Kind
    process: int
    time: float
    below: frozenset[int] = frozenset()


@dataclass
class Disturbed:
    """What was done to a sweep.

    Attributes:
        kills: in order.
        seconds: from the first chance to kill to the last.
        finished_s: how long the sweep then took to its end.
        left_over: processes of killed drivers that outlived the sweep.
    """

    kills: list[Kill] = field(default_factory=list)
    seconds: float = 0.0
    finished_s: float = 0.0
    left_over: list[Process] = field(default_factory=list)

    def count(self) -> Counter[str]:
        return Counter(killed.kind for killed in self.kills)


def run_undisturbed(files: SweepFiles) -> None:
    """Run a sweep to its end."""
    files.prepare()
    _end(files, files.start())


def run_disturbed(files: SweepFiles, seconds: float, seed: int) -> Disturbed:
    """Run a sweep, kill its processes at random for some seconds, then let it come to its end.

    Raises:
        ChaosError: it ended before the time was over, or did not come to its end.
    """
    files.prepare()
    set_pause(files.folder, PAUSE_S)
    monkey = _Monkey(files, random.Random(seed))
    try:
        monkey.play(seconds)
        set_pause(files.folder, 0.0)
        began = time.monotonic()
        _end(files, monkey.driver)
        monkey.done.finished_s = time.monotonic() - began
        monkey.done.left_over = wait_until_gone(monkey.family, LEFT_S)
    finally:
        monkey.driver.kill()
        monkey.driver.wait(30)
    return monkey.done


class _Monkey:
    def __init__(self, files: SweepFiles, draw: random.Random) -> None:
        self.files = files
        self.draw = draw
        self.done = Disturbed()
        self.driver = files.start()
        self.family: list[Process] = []

    def play(self, seconds: float) -> None:
        self._wait(lambda: self._open_attempts() != [])
        began = time.monotonic()
        end = began + seconds
        for kind in self._deck(SHORT_DECK if seconds < SHORT_S else DECK):
            if time.monotonic() >= end and self.done.count().keys() == {*TITLES, "driver"}:
                break  # each kind was killed once, however slow the machine is
            time.sleep(self.draw.uniform(*APART_S))
            patience = time.monotonic() + PATIENCE_S
            while time.monotonic() < patience and not self._strike(kind):
                self._still_runs()
                time.sleep(0.2)
        self.done.seconds = time.monotonic() - began

    def _deck(self, deck: tuple[Kind, ...]) -> Iterator[Kind]:
        while True:
            yield from self.draw.sample(deck, len(deck))
            yield "driver"

    def _strike(self, kind: Kind) -> bool:
        """Kill a process of a kind; return whether there was one."""
        if kind == "driver":
            return self._strike_driver()
        victims = [process for process in descendants(self.driver.pid) if process.title.startswith(TITLES[kind])]
        if kind == "worker":
            mid_stage = {attempt.process for attempt in self._open_attempts() if self._n_hits(attempt.key) < self._most}
            victims = [process for process in victims if process.number in mid_stage]
        if not victims:
            return False
        victim = self.draw.choice(sorted(victims, key=lambda process: process.number))
        return kill(victim) and self._note(kind, victim.number)

    _most = MAX_LOSSES - 1  # a stage whose worker dies once more fails: that is its trial's result, by design

    def _strike_driver(self) -> bool:
        family = list(descendants(self.driver.pid))
        below = frozenset(process.number for process in family)
        self.done.kills.append(Kill("driver", self.driver.pid, time.time(), below))
        self.driver.kill()
        self.driver.wait(30)
        if self.draw.random() < 0.5:  # else it is started again while the old one's processes are still ending
            wait_until_gone([process for process in family if process.title.startswith("ray::StageWorker")], 20)
        self.family += family
        n_before = len(read_attempts(self.files.folder))
        self.driver = self.files.start()
        if self.draw.random() < 0.7:  # else it may be hit again while it starts
            self._wait(lambda: len(read_attempts(self.files.folder)) > n_before)
        return True

    def _note(self, kind: Kind, process: int) -> bool:
        self.done.kills.append(Kill(kind, process, time.time()))
        return True

    def _open_attempts(self) -> list[Attempt]:
        return [attempt for attempt in read_attempts(self.files.folder) if attempt.ended is None]

    def _n_hits(self, key: str) -> int:
        killed = {kill.process for kill in self.done.kills if kill.kind == "worker"}
        attempts = [attempt for attempt in self._open_attempts() if attempt.key == key]
        return sum(attempt.process in killed for attempt in attempts)

    def _still_runs(self) -> None:
        if self.driver.poll() is not None:
            raise ChaosError(
                f"the sweep ended by itself with code {self.driver.returncode}, {self.files.n_done()} of "
                f"{self.files.n_trials} trials done: {_tail(self.files)}"
            )

    def _wait(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + START_S
        while not condition():
            self._still_runs()
            if time.monotonic() > end:
                raise ChaosError(f"no stage began within {START_S:.0f} s: {_tail(self.files)}")
            time.sleep(0.2)


def _end(files: SweepFiles, driver: subprocess.Popen) -> None:
    """Wait for a sweep's end."""
    try:
        code = driver.wait(END_S)
    except subprocess.TimeoutExpired:
        driver.kill()
        driver.wait(30)
        raise ChaosError(
            f"{files.n_done()} of {files.n_trials} trials were done {END_S:.0f} s later: {_tail(files)}"
        ) from None
    if code != 0:
        raise ChaosError(f"the sweep ended with code {code}: {_tail(files)}")


def _tail(files: SweepFiles) -> str:
    return files.output.read_text()[-3000:]
