"""Leases in a bucket: objects that are only written where one knows what one replaces.

An empty place is taken by "put if absent"; a claim of one's own is kept fresh, and one that the dead left is taken
over, by "put if it is still this one". Objects cannot be removed on a condition. So a claim is ended in two steps: it
is replaced by a *mark of its end*, which nobody else replaces as long as it is fresh, and the mark is removed. What
remains is a process that stands still for over ``DEAD_S`` between these two.

Ages are judged by the bucket's clock, never by comparing those of machines. A claim that is older than ``DEAD_S``
counts as left only once this process has seen it unchanged for ``CONFIRM_S`` while every request of its own was
answered: where the service itself was away, its holder could not touch it.
"""

from __future__ import annotations

import contextlib
import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from engine.store import claims, leases
from engine.store.attempts import StoreFaultError
from engine.store.bucket import Bucket
from engine.store.claims import content_of
from engine.store.holders import Heartbeat, Holder
from engine.store.leases import LiveLease

CONFIRM_S = 15.0
"""How long an old claim is watched before it counts as left: three beats."""
GIVEN_UP_S = 600.0
"""Age from which on it need not be watched: no process waits that long for a service."""
PROBES = "probes"
_ENDING_S = 10.0
"""How long a service that refuses is asked to remove a mark: well below ``DEAD_S``, after which others replace it."""
_N_TRIES = 5
_RELEASE_S = 20.0
"""How long a service that refuses is asked to take a lease back; it gets stale by itself."""


@dataclass(frozen=True)
class BucketClaim:
    """What an object in a place says.

    Attributes:
        token: tells this claim from any other.
        holder: who made it; None where the object is none of ours, or the mark of a claim's end.
        note: what the holder says of its work.
        version: of the object.
        modified: when it was touched last, by the bucket's clock.
    """

    token: str
    holder: Holder | None
    note: Mapping[str, Any]
    version: Mapping[str, str]
    modified: float


class Places:
    """The places of a bucket that one of several contenders holds.

    Args:
        bucket: the bucket.
    """

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket
        self._watched: dict[str, tuple[Mapping[str, str], float]] = {}

    def look(self, name: str, *, patience_s: float | None = None) -> BucketClaim | None:
        """Return the claim in a place, or None where there is none.

        Raises:
            StoreFaultError: the service refuses.
        """
        found = self.bucket.get(name, patience_s=patience_s)
        if found is None:
            return None
        try:
            content = json.loads(found.content)
            holder, note = Holder(**content["holder"]), dict(content["note"])
            return BucketClaim(holder.token, holder, note, found.version, found.modified)
        except (KeyError, TypeError, ValueError):
            return BucketClaim(str(found.version), None, {}, found.version, found.modified)

    def take(self, name: str, text: str) -> Mapping[str, str] | None:
        """Put a claim into a place that is empty or whose claim the dead left; return its version, or None.

        Raises:
            StoreFaultError: the service refuses.
        """
        for _ in range(_N_TRIES):
            version = self.bucket.put_if(name, text.encode(), None)
            if version is not None:
                return version
            found = self.look(name)
            if found is None:
                continue  # it was freed in this moment
            if self.is_live(name, found):
                return None
            return self.bucket.put_if(name, text.encode(), found.version)
        return None

    def end(self, name: str, version: Mapping[str, str], *, patience_s: float | None = None) -> bool:
        """Remove an object, unless it is another by now; return whether it was ended.

        A mark that cannot be removed soon is left to who takes the place: later it may be his.

        Raises:
            StoreFaultError: the service refuses.
        """
        mark = json.dumps({"ended": uuid.uuid4().hex}).encode()
        if self.bucket.put_if(name, mark, version, patience_s=patience_s) is None:
            return False
        limit_s = self.bucket.patience_s if patience_s is None else patience_s
        with contextlib.suppress(StoreFaultError):
            self.bucket.delete([name], patience_s=min(limit_s, _ENDING_S))
        return True

    def is_live(self, name: str, claim: BucketClaim) -> bool:
        """Return whether a claim's holder is taken to live, or its end to be under way."""
        if claim.holder is not None and claim.holder.is_gone:
            return False
        clock = self.bucket.clock
        if clock.now() - claim.modified <= claims.DEAD_S and not clock.is_measured:
            with contextlib.suppress(StoreFaultError):  # who may only read sees a claim grow old all the same
                self.bucket.measure_clock(PROBES, patience_s=1.0)
        age_s = clock.now() - claim.modified
        if age_s <= claims.DEAD_S:
            self._watched.pop(name, None)
            return True
        if age_s > GIVEN_UP_S:
            return False
        version, since = self._watched.get(name, ({}, 0.0))
        if version != claim.version or since < self.bucket.broke_at:
            self._watched[name] = (claim.version, time.monotonic())
            return True
        return time.monotonic() - since < CONFIRM_S

    def held(self, name: str) -> LiveLease | None:
        """Return what somebody alive shows in a place, or None; what the dead left there is removed.

        Raises:
            StoreFaultError: the service refuses.
        """
        found = self.look(name)
        if found is None:
            return None
        if self.is_live(name, found):
            return _as_lease(found)
        with contextlib.suppress(StoreFaultError):
            self.end(name, found.version, patience_s=1.0)
        return None

    def live(self, folder: str) -> Iterator[tuple[str, LiveLease]]:
        """Yield the name, and what is said there, of each place in a folder that somebody alive holds.

        Raises:
            StoreFaultError: the service refuses.
        """
        for name, claim in self._claims(folder):
            lease = _as_lease(claim) if self.is_live(name, claim) else None
            if lease is not None:
                yield name, lease

    def left(self, folder: str) -> Iterator[tuple[str, BucketClaim]]:
        """Yield the places in a folder, and below it, that the dead left.

        Raises:
            StoreFaultError: the service refuses.
        """
        yield from ((name, claim) for name, claim in self._claims(folder) if not self.is_live(name, claim))

    def _claims(self, folder: str) -> Iterator[tuple[str, BucketClaim]]:
        names = [listed.name for listed in self.bucket.listing(folder) if listed.name.endswith(".json")]
        for name, claim in zip(names, self.bucket.each(self.look, names), strict=True):
            if claim is not None:
                yield name, claim


def _as_lease(claim: BucketClaim) -> LiveLease | None:
    return None if claim.holder is None else LiveLease(claim.holder, claim.note)


class BucketLease:
    """A lease in a bucket, which several may want.

    Args:
        places: of the bucket.
        name: the object's.
        note: what others should know of the holder's work, as JSON.
    """

    def __init__(self, places: Places, name: str, note: Mapping[str, Any]) -> None:
        self.name = name
        self._places = places
        self._note = dict(note)
        self._holder: Holder | None = None
        self._version: Mapping[str, str] = {}
        self._n_beats = 0
        self._heartbeat: Heartbeat | None = None

    def acquire(self) -> bool:
        """Take the lease and keep it fresh, unless somebody alive has it or just ends it.

        Returns:
            Whether the holder may go to work.

        Raises:
            StoreFaultError: the service refuses.
        """
        self.release()
        holder = Holder.this_process()
        version = self._places.take(self.name, self._text(holder))
        if version is None:
            return False
        self._holder, self._version = holder, version
        self._heartbeat = Heartbeat(self._beat, leases.BEAT_S)
        return True

    def release(self) -> None:
        """Give the lease back, if it is held."""
        holder, self._holder = self._holder, None
        if self._heartbeat is not None:
            self._heartbeat.stop()
            self._heartbeat = None
        if holder is None:
            return
        with contextlib.suppress(StoreFaultError):
            if not self._places.end(self.name, self._version, patience_s=_RELEASE_S):
                found = self._places.look(self.name, patience_s=_RELEASE_S)
                if found is not None and found.token == holder.token:  # a beat's answer was lost
                    self._places.end(self.name, found.version, patience_s=_RELEASE_S)

    @property
    def is_held(self) -> bool:
        """Return whether the lease was taken, and nobody has taken it over since, while this machine slept, say."""
        holder = self._holder
        found = None
        with contextlib.suppress(StoreFaultError):
            found = self._places.look(self.name)
        return holder is not None and (found is None or found.token == holder.token)

    def __enter__(self) -> Self:
        """Take the lease, whether or not somebody else has it."""
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _text(self, holder: Holder) -> str:
        """Return the object's text, another one at each beat: some services tell versions apart by their content."""
        self._n_beats += 1
        return json.dumps({**json.loads(content_of(holder, self._note)), "beat": self._n_beats})

    def _beat(self) -> None:
        holder = self._holder
        if holder is None:
            return
        text, wait_s = self._text(holder).encode(), leases.BEAT_S
        bucket = self._places.bucket
        version = bucket.put_if(self.name, text, self._version, patience_s=wait_s)
        if version is None:
            found = self._places.look(self.name, patience_s=wait_s)
            if found is None:  # removed by hand, or, while this machine slept, as one that is stale
                if self._holder is holder:
                    version = bucket.put_if(self.name, text, None, patience_s=wait_s)
            elif found.token == holder.token:  # an earlier beat's answer was lost
                version = bucket.put_if(self.name, text, found.version, patience_s=wait_s)
        if self._holder is holder:
            self._version = version or self._version
        elif version is not None:  # released while this beat hung: nobody would keep it fresh
            self._places.end(self.name, version, patience_s=_RELEASE_S)


class BucketPresence:
    """An object by which others see that somebody is there, and what he needs; nobody else wants it.

    Args:
        bucket: the bucket.
        folder: where the object is.
        note: returns what others should know, as JSON; it is asked again at every beat.

    Attributes:
        name: tells it from all others in its folder.
    """

    def __init__(self, bucket: Bucket, folder: str, note: Callable[[], Mapping[str, Any]]) -> None:
        self.name = uuid.uuid4().hex
        self._object = f"{folder}/{self.name}.json"
        self._bucket = bucket
        self._note = note
        self._holder: Holder | None = None
        self._heartbeat: Heartbeat | None = None

    def __enter__(self) -> Self:
        """Show it.

        Raises:
            StoreFaultError: the service refuses.
        """
        self._holder = Holder.this_process()
        self._show(self._bucket.patience_s)
        self._heartbeat = Heartbeat(lambda: self._show(leases.BEAT_S), leases.BEAT_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Show it no more."""
        if self._heartbeat is not None:
            self._heartbeat.stop()
        with contextlib.suppress(StoreFaultError):
            self._bucket.delete([self._object], patience_s=_RELEASE_S)

    def _show(self, patience_s: float) -> None:
        assert self._holder is not None
        text = content_of(self._holder, self._note())
        self._bucket.put(self._object, text.encode(), patience_s=patience_s)
