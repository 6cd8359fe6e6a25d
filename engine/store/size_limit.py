"""A sweep's life on a store: it shows what it needs there, and keeps the store below a size."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

from engine.store.cleaning import clean, describe_bytes
from engine.store.holders import Heartbeat
from engine.store.store import Store

CHECK_S = 5.0
"""How often the store's size is looked at, at most."""
REST = 20
"""After a look, the thread rests that many times as long as it took: however large a store, it costs little."""
LOW = 0.9
"""Share of the size that is cleaned down to, so that the next artifact does not call for the next clean-up."""


@contextmanager
def living_on(
    store: Store,
    study: str,
    needed: Callable[[], Collection[str]],
    *,
    max_gb: float | None,
    say: Callable[[str], None],
) -> Iterator[None]:
    """Show in a store that a sweep lives on it, and what it needs; keep the store below its size.

    Args:
        store: the store; what killed sweeps have left among its leases is removed.
        study: the sweep's study.
        needed: returns the keys of the artifacts that the sweep needs now.
        max_gb: how large the store may be, in gigabytes (10⁹ bytes); None for any size.
        say: tells a person something.
    """
    store.remove_left_leases()
    with store.sweep_presence(study, needed) as presence:
        if max_gb is None:
            yield
            return
        size_limit = SizeLimit(store, max_gb, needed=needed, lease=presence.name, say=say)
        size_limit.start()
        try:
            yield
        finally:
            size_limit.close()


class SizeLimit:
    """Cleans a store up whenever it is larger than it may be, in a thread of its own, and once more at the end.

    Args:
        store: the store.
        max_gb: how large it may be, in gigabytes (10⁹ bytes).
        needed: returns the keys of the artifacts that the sweep needs now.
        lease: name of the sweep's presence at the store.
        say: tells a person something; called once if the size cannot be held, and once if the disk refuses.
    """

    def __init__(
        self,
        store: Store,
        max_gb: float,
        *,
        needed: Callable[[], Collection[str]],
        lease: str,
        say: Callable[[str], None],
    ) -> None:
        self._store = store
        self._max_gb = max_gb
        self._needed = needed
        self._lease = lease
        self._say = say
        self._said: set[str] = set()
        self._next_at = 0.0
        self._n_removed = 0
        self._freed_bytes = 0
        self._heartbeat: Heartbeat | None = None

    def start(self) -> None:
        """Begin; the first look follows some seconds later, when trials say what they need."""
        self._heartbeat = Heartbeat(self._look, CHECK_S)

    def close(self) -> None:
        """Clean up a last time, and say what was removed in all."""
        if self._heartbeat is not None:
            self._heartbeat.stop()
        self.check()
        if self._n_removed:
            self._say(
                f"the store was kept below {self._max_gb:g} GB: {self._n_removed} artifacts "
                f"({describe_bytes(self._freed_bytes)}) that were not used for longest are removed"
            )

    def check(self) -> None:
        """Clean up if the store is too large; whatever stands in the way is said, and the sweep goes on."""
        max_bytes = self._max_gb * 1e9
        try:
            if self._store.n_bytes() <= max_bytes:
                return
            done = clean(self._store, int(LOW * max_bytes), self._needed, own_lease=self._lease)
        except Exception as error:  # a clean-up that fails must not end a sweep
            self._say_once("fault", f"the store cannot be cleaned up: {error or type(error).__name__}")
            return
        self._n_removed += len(done.artifacts)
        self._freed_bytes += done.freed_bytes
        if done.left_bytes > max_bytes:
            others = [study for study in done.sweeps if study]
            self._say_once(
                "larger",
                f"the store stays larger than --store-max-gb {self._max_gb:g}: {describe_bytes(done.left_bytes)} are "
                f"needed by the live sweeps ({', '.join(others)}); they go on",
            )

    def _look(self) -> None:
        if time.monotonic() >= self._next_at:
            started = time.monotonic()
            self.check()
            self._next_at = time.monotonic() + REST * (time.monotonic() - started)

    def _say_once(self, what: str, text: str) -> None:
        if what not in self._said:
            self._said.add(what)
            self._say(text)
