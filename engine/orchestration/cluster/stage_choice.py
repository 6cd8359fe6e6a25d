"""Which waiting stages idle workers get: those that unblock most work first, and some machines are kept for one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from engine.orchestration.cluster.wanted_stage import WantedStage


class StageTimes:
    """How long stages take, by the times of those that ended so far."""

    def __init__(self) -> None:
        self._times: dict[str, tuple[int, float]] = {}

    def learn(self, name: str, seconds: float) -> None:
        """Take the time of a stage that ended."""
        count, total = self._times.get(name, (0, 0.0))
        self._times[name] = (count + 1, total + seconds)

    def expected(self, name: str) -> float:
        """Return the seconds that a kind of stage takes; one that none has ended of counts as one second."""
        count, seconds = self._times.get(name, (0, 0.0))
        return seconds / count if count else 1.0

    def priority(self, stage: WantedStage) -> tuple[float, int, int]:
        """Return what a stage is queued by: the work that it unblocks, then its depth, then its age.

        The work is what comes after it in the chains of all trials that wait for it, in seconds.
        """
        work = sum(self.expected(name) for names in stage.followers.values() for name in names)
        return (-work, -stage.depth, stage.order)


def choose(
    waiting: Sequence[WantedStage],
    running: Sequence[WantedStage],
    idle: Sequence[str],
    machines: Mapping[str, str],
) -> Iterator[tuple[WantedStage, str]]:
    """Yield the stages to start now, each with its worker.

    A stage that ran out of memory gets a machine to itself: that on which it did, while there is a worker, and else the
    one with least to do. No other stage is started there until it has ended.

    Args:
        waiting: the stages that may be started, the most urgent first.
        running: the stages under way.
        idle: the workers that have nothing to do.
        machines: where each worker is, by its name.
    """
    free = list(idle)
    n_running = Counter(stage.machine for stage in running)
    kept = {stage.machine for stage in running if stage.alone}
    for stage in (stage for stage in waiting if stage.alone):
        machine = _machine_for(stage, set(machines.values()), kept, n_running)
        if machine is None:
            continue
        kept.add(machine)
        worker = next((name for name in free if machines[name] == machine), None)
        if worker is not None and not n_running[machine]:
            free.remove(worker)
            yield stage, worker
    free = [name for name in free if machines[name] not in kept]
    yield from zip((stage for stage in waiting if not stage.alone), free, strict=False)


def _machine_for(stage: WantedStage, known: set[str], kept: set[str], n_running: Counter[str]) -> str | None:
    """Return the machine that a stage is to have to itself; None while that is kept for another one."""
    if stage.machine in known:
        return None if stage.machine in kept else stage.machine
    return min(known - kept, key=lambda machine: (n_running[machine], machine), default=None)
