"""What the benchmarks of the engine say about the machine they ran on, and the processor's seconds they took."""

from __future__ import annotations

import itertools
import os
import platform
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from engine.data.machine_sets import BOUND, DEFAULT_GB
from engine.machine_cache import FOLDER

_SAMPLE_S = 1.0

for _name, _value in (  # what the command line sets, before Ray is imported
    ("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1"),
    ("TUNE_GLOBAL_CHECKPOINT_S", "60"),
    ("RAY_AIR_NEW_OUTPUT", "0"),
    ("RAY_USAGE_STATS_ENABLED", "0"),
):
    os.environ.setdefault(_name, _value)


@contextmanager
def own_sets(folder: Path, *, kept: bool = True) -> Iterator[None]:
    """Have what is computed meanwhile find no sets that others have made on this machine, or keep none at all.

    Args:
        folder: where the sets that are made lie; it is removed by who has made it.
        kept: whether any are.
    """
    wanted = {FOLDER: str(folder), BOUND: str(DEFAULT_GB if kept else 0)}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ |= wanted
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def describe_machine() -> str:
    """Return the machine in a line: how many cores, and how busy they are, matters to every figure."""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    cores = len(os.sched_getaffinity(0))
    return (
        f"{platform.machine()}, {cores} cores, load {load} (other work's included); Python {platform.python_version()}"
    )


def timed(action: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


class CpuMeter:
    """Adds up the processor's seconds of this process and of all that it starts, while it is open (Linux).

    Attributes:
        driver_s: of this process.
        all_s: of all, as far as they lived longer than a sample's distance.
        samples: [(moment, in seconds since 1970; of all until then)].
    """

    def __enter__(self) -> CpuMeter:
        self.driver_s = self.all_s = self._own_s = 0.0
        self._started = time.process_time()
        self._before = descendants_cpu_s()
        self._seconds: dict[int, float] = {}
        self.samples: list[tuple[float, float]] = [(time.time(), 0.0)]
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._thread.join()
        self.driver_s = time.process_time() - self._started - self._own_s
        self.all_s = self.samples[-1][1]

    def until(self, moment: float) -> float:
        """Return the seconds of all until a moment, in seconds since 1970, between two samples in proportion."""
        for (before, low), (after, high) in itertools.pairwise(self.samples):
            if moment <= after:
                return low + (high - low) * max(0.0, moment - before) / (after - before)
        return self.samples[-1][1]

    def _watch(self) -> None:
        while not self._closed.wait(_SAMPLE_S):
            self._sample()
        self._sample()

    def _sample(self) -> None:
        self._seconds |= descendants_cpu_s()
        self._own_s = time.thread_time()  # the meter's own work is not the driver's
        driver_s = time.process_time() - self._started - self._own_s
        grown = (seconds - self._before.get(process, 0.0) for process, seconds in self._seconds.items())
        self.samples.append((time.time(), driver_s + sum(grown)))


def descendants_cpu_s() -> Mapping[int, float]:
    """Return {process: seconds of the processor} of everything that this process started, directly or not."""
    ticks = os.sysconf("SC_CLK_TCK")
    children: dict[int, list[int]] = defaultdict(list)
    seconds: dict[int, float] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            children[int(fields[1])].append(int(folder.name))
            seconds[int(folder.name)] = (int(fields[11]) + int(fields[12])) / ticks
    found, todo = {}, list(children[os.getpid()])
    while todo:
        process = todo.pop()
        found[process] = seconds[process]
        todo += children[process]
    return found
