"""A store in a bucket: what a folder's store can do, without a file system that machines share.

Each part has a file of its own: artifacts, checkpoints, leases, notes that may be missing, and what is left over. That
something is absent is said only by an answer of the service, never by what was seen before.

Layout, below the address: ``artifacts/KEY.json`` the manifests; ``files/KEY-…/`` what they name; ``uses/KEY`` when one
was used last; ``checkpoints/KEY/``; ``leases/``; ``families/``; ``quarantine/`` the manifests of what was corrupt.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import InputError
from engine.store.artifact import Artifact
from engine.store.attempts import Attempt, StoreFaultError
from engine.store.bucket import OPENING_S, Bucket, within
from engine.store.bucket_artifacts import BucketArtifacts, attempt_of
from engine.store.bucket_checkpoints import BucketCheckpoints
from engine.store.bucket_leases import PROBES, BucketLease, BucketPresence, Places
from engine.store.bucket_leftovers import Lying, leftovers, names_below, unfinished
from engine.store.bucket_notes import NOTE_S, BucketNotes
from engine.store.leases import LiveLease
from engine.store.local_cache import LocalCache
from engine.store.places import Address
from engine.store.store import Store
from engine.store.stored import Stored, Unfinished, valid_key

if TYPE_CHECKING:
    from torch import Tensor

_DEADLINE_S = 15.0
"""How long opening may take at most, whatever hangs."""
_FOLDERS = ("artifacts", "files", "uses", "checkpoints", "leases", "families", "quarantine", PROBES)


class BucketStore(Store):
    """Artifacts and epoch checkpoints in a bucket.

    Args:
        place: its address, such as ``s3://BUCKET/PREFIX``.
        read_only: whether it is only looked at: nothing is tried, but that it can be listed. Where the age of a lease
            has to be known, an object is written for a moment all the same, if that is allowed, to look at the clock.
        patient: whether a service that does not answer is waited for.

    Attributes:
        address: the address.

    Raises:
        InputError: it is no such address; the bucket does not exist, does not answer or cannot be written; credentials
            or the package are missing; or, to be looked at, there is nothing.
    """

    def __init__(self, place: str | Path, *, read_only: bool = False, patient: bool = False) -> None:
        address = Address.parse(place)
        if address is None:
            raise InputError(f"a store in a bucket has an address such as s3://BUCKET/PREFIX, got {str(place)!r}")
        self.address = str(address)
        self._bucket = Bucket(address)
        self._open(read_only=read_only, patience_s=self._bucket.patience_s if patient else OPENING_S)
        self._cache = LocalCache(self.address)
        self._places = Places(self._bucket)
        self._notes = BucketNotes()
        self._artifacts = BucketArtifacts(self._bucket, self._cache, self._places, self._notes)
        self._checkpoints = BucketCheckpoints(self._bucket, self._cache.scratch)

    def find(self, key: str) -> Artifact | None:
        """Return the artifact of a key, noting its use, or None if it is not there (or its manifest is damaged)."""
        return self._artifacts.find(key)

    def find_or_clear(self, key: str) -> Artifact | None:
        """Return what ``find`` does; what lies in the place and is no artifact is put aside."""
        return self._artifacts.find(key, clear=True)

    def look_at(self, key: str) -> Artifact | None:
        """Return what ``find`` does, without taking that for a use."""
        return self._artifacts.look_at(key)

    @contextmanager
    def attempt(self, key: str) -> Iterator[Attempt]:
        """Give a folder of this machine to write an artifact in; it is removed unless it was published."""
        with self._cache.scratch(key) as folder:
            yield Attempt(folder, key)

    def publish(self, attempt: Attempt, manifest: Mapping[str, Any]) -> Artifact:
        """Seal an attempt, upload it, put its manifest into place and return the artifact of its key.

        Where another attempt was faster, that one stays and is returned.

        Raises:
            StoreFaultError: the service, or the disk, refuses.
        """
        return self._artifacts.publish(attempt, manifest)

    def quarantine(self, key: str) -> str | None:
        """Put a corrupt artifact's manifest aside and return where it is now; its stage will be computed again.

        An artifact that is whole stays: another process has put it there since this one saw that it was not.
        """
        return self._artifacts.quarantine(key)

    def check(self, key: str) -> None:
        """Check every file of an artifact in the bucket, whatever copies this machine has.

        Raises:
            CorruptArtifactError: it is not there, or not whole.
        """
        self._artifacts.check(key)

    def remove(self, key: str) -> None:
        """Remove an artifact; a reader sees all of it or nothing."""
        self._artifacts.remove(key)

    def keys(self) -> Iterator[str]:
        """Yield the keys of all artifacts."""
        yield from self._artifacts.keys()

    def inventory(self) -> Iterable[Stored]:
        """Return all artifacts, in no order."""
        return self._artifacts.inventory()

    def used_at(self, key: str) -> float:
        """Return when an artifact was last used, to the minute, in seconds since 1970; 0 if it is not there."""
        return self._artifacts.used_at(key)

    def save_checkpoint(self, key: str, epoch: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Keep a stage's state after an epoch, first on this machine; it is uploaded while the stage goes on."""
        folder = self._cache.begin(key, f"keeping epoch {epoch} of {key}")
        try:
            attempt = Attempt(folder, key)
            attempt.write_tensors("state", tensors)
            attempt.write_json("state", state)
            attempt.seal({"epoch": epoch})
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self._checkpoints.save(key, epoch, folder)

    def checkpoints(self, key: str) -> Iterator[Artifact]:
        """Yield a stage's checkpoints that are whole as far as their manifests say, the last one first."""
        yield from self._checkpoints.latest(key)

    def abandon_checkpoints(self, key: str) -> None:
        """Note that nobody wants a stage any more: of what is not finished, its checkpoints are the first to go."""
        self._notes.take(partial(self._checkpoints.abandon, valid_key(key)))

    def take_up_checkpoints(self, key: str) -> None:
        """Note that somebody wants a stage again; nobody waits for that."""
        self._notes.take(partial(self._checkpoints.take_up, valid_key(key)))

    def drop_checkpoints(self, key: str) -> None:
        """Have a finished stage's checkpoints removed, soon."""
        self._checkpoints.drop(key)

    def stage_lease(self, key: str, inputs: Mapping[str, str]) -> BucketLease:
        """Return the lease of a stage that is to be computed for this store."""
        note = {"key": key, "inputs": list(inputs.values())}
        return BucketLease(self._places, _stage_name(key), note)

    def stage_holder(self, key: str) -> LiveLease | None:
        """Return the lease of a stage that somebody alive computes, or None."""
        return self._places.held(_stage_name(key))

    def end_stage_lease(self, key: str, token: str) -> bool:
        """Remove the lease of a stage whose holder, by its token, is known to be dead; return whether it was there."""
        found = self._places.look(_stage_name(key))
        return found is not None and found.token == token and self._places.end(_stage_name(key), found.version)

    def live_stages(self) -> Iterator[LiveLease]:
        """Yield the leases of the stages that somebody alive computes."""
        yield from (lease for _, lease in self._places.live("leases/stages"))

    def sweep_presence(self, study: str, keys: Collection[str] | Callable[[], Collection[str]]) -> BucketPresence:
        """Return what shows the store that a sweep lives on it."""
        return BucketPresence(
            self._bucket,
            "leases/sweeps",
            lambda: {"study": study, "keys": sorted(keys() if callable(keys) else keys)},
        )

    def live_sweeps(self) -> Iterator[tuple[str, LiveLease]]:
        """Yield what the live sweeps show, each with its name."""
        for name, lease in self._places.live("leases/sweeps"):
            yield name.rpartition("/")[2].removesuffix(".json"), lease

    def remove_left_leases(self) -> None:
        """Remove what killed sweeps and stages left among the leases."""
        for name, claim in self._places.left("leases"):
            self._places.end(name, claim.version)

    def family(self, name: str) -> list[str]:
        """Return the keys that were noted under a family's name, in no order."""
        self._notes.flush()
        found = self._bucket.listing(f"families/{valid_key(name)}")
        return [listed.name.rpartition("/")[2] for listed in found]

    def join_family(self, name: str, key: str) -> None:
        """Note a key under a family's name; nobody waits for that, and where it is refused, it goes without."""
        self._notes.take(partial(self._bucket.put, f"families/{valid_key(name)}/{key}", b"", patience_s=NOTE_S))

    def leave_family(self, name: str, key: str) -> None:
        """Take a key back that was noted."""
        with contextlib.suppress(StoreFaultError):
            self._bucket.delete([f"families/{valid_key(name)}/{key}"], patience_s=NOTE_S)

    def n_bytes(self) -> int:
        """Return the size of all that the store holds."""
        return sum(listed.n_bytes for folder in _FOLDERS for listed in self._bucket.listing(folder))

    def unfinished(self) -> list[Unfinished]:
        """Return the checkpoints of stages that nobody is at; they are worth going on from, but no more than that."""
        self._notes.flush()
        lying = Lying.read(self._bucket, self._live_keys())
        return unfinished(lying, self._bucket.clock.local)

    def leftovers(self, *, whole: Collection[str], broken: Collection[str], kept: Collection[str]) -> Mapping[str, int]:
        """Return {place below the address: size} of what nobody can need."""
        lying = Lying.read(self._bucket, self._live_keys())
        named = {attempt_of(one.artifact.manifest) for one in self.inventory() if one.artifact is not None}
        found = leftovers(lying, named=named, whole=whole, broken=broken, kept=kept)
        sizes = {listed.name: listed.n_bytes for listed in self._bucket.listing("leases")}
        return found | {name: sizes.get(name, 0) for name, _ in self._places.left("leases")}

    def remove_leftover(self, name: str) -> None:
        """Remove a leftover; in a broken artifact's place there may be a whole one by now, which stays."""
        kind, _, rest = name.partition("/")
        if kind == "leases":
            found = self._places.look(name)
            if found is not None and not self._places.is_live(name, found):
                self._places.end(name, found.version)
        elif kind == "artifacts":
            aside = self.quarantine(rest.removesuffix(".json"))
            if aside is not None:
                self._bucket.delete([aside.removeprefix(f"{self.address}/")])
        elif kind == "files" and self._artifacts.is_published(rest):
            return
        else:
            self._bucket.delete(names_below(self._bucket, name))

    def remove_unfinished(self, one: Unfinished) -> None:
        """Remove the checkpoints of a stage; who reads them sees all of it or nothing."""
        self._bucket.delete(names_below(self._bucket, one.name))

    def _open(self, *, read_only: bool, patience_s: float) -> None:
        """Find out whether the bucket is there and can be used.

        Raises:
            InputError: it cannot; the message says why.
        """
        slow = f"the service does not answer within {_DEADLINE_S:.0f} s"
        try:
            if read_only:
                there = within(
                    max(_DEADLINE_S, patience_s), partial(self._is_something_there, patience_s), otherwise=slow
                )
                if not there:
                    raise InputError(f"there is no store in {self.address}")
            else:
                measure = partial(self._bucket.measure_clock, PROBES, patience_s=patience_s)
                within(max(_DEADLINE_S, patience_s), measure, otherwise=slow)
        except StoreFaultError as error:
            verb = "read" if read_only else "written"
            raise InputError(f"store cannot be {verb}: {self.address} ({error})") from error

    def _is_something_there(self, patience_s: float) -> bool:
        return any(self._bucket.listing(folder, patience_s=patience_s) for folder in ("artifacts", "leases", "files"))

    def _live_keys(self) -> set[str]:
        return {str(lease.note.get("key")) for lease in self.live_stages()}


def _stage_name(key: str) -> str:
    return f"leases/stages/{valid_key(key)}.json"
