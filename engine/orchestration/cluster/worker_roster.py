"""The workers that a queue knows: where each is, which have nothing to do, which are to go once they have not."""

from __future__ import annotations

from engine.orchestration.cluster.wanted_stage import Worker


class WorkerRoster:
    """Keeps the workers.

    Attributes:
        machines: where each worker is, by its name.
        idle: the names of those that have nothing to do, in the order in which they came free.
        n_unplaced: how many more wait for a machine, as was last told.
    """

    def __init__(self) -> None:
        self.machines: dict[str, str] = {}
        self.idle: list[str] = []
        self.n_unplaced = 0
        self._workers: dict[str, Worker] = {}
        self._n_excess = 0
        self._retired: list[str] = []

    def __len__(self) -> int:
        """Return how many are known."""
        return len(self._workers)

    def __getitem__(self, name: str) -> Worker:
        """Return a worker; raises ``KeyError`` where it is not known (any more)."""
        return self._workers[name]

    def get(self, name: str) -> Worker | None:
        """Return a worker, or None."""
        return self._workers.get(name)

    def names(self) -> list[str]:
        """Return the names of the workers that are known, and of those that were retired and not yet fetched."""
        return [*self._workers, *self._retired]

    def add(self, name: str, worker: Worker, machine: str) -> bool:
        """Take a worker, which has nothing to do; return whether it is new."""
        if name in self._workers:
            return False
        self._workers[name], self.machines[name] = worker, machine
        self.idle.append(name)
        return True

    def remove_if_idle(self, name: str) -> bool:
        """Forget a worker that has nothing to do, or was retired; return whether it is not known any more."""
        if name in self._workers and name not in self.idle:
            return False
        self.forget(name)
        if name in self._retired:  # whoever removes it need not be told that it was
            self._retired.remove(name)
        return True

    def forget(self, name: str) -> None:
        """Forget a worker."""
        self._workers.pop(name, None)
        self.machines.pop(name, None)
        if name in self.idle:
            self.idle.remove(name)

    def free(self, name: str) -> None:
        """Take that a worker has nothing to do; it is retired where there are too many."""
        if self._n_excess > 0:
            self._n_excess -= 1
            self.forget(name)
            self._retired.append(name)
        else:
            self.idle.append(name)

    def retire(self, n_excess: int) -> list[str]:
        """Say how many workers are to be retired as they come free; return those that were since the last call."""
        self._n_excess, retired, self._retired = n_excess, self._retired, []
        return retired
