"""A store in a bucket: what a folder's store can do, without a file system that machines share.

An attempt is written on this machine and uploaded under a name of its own, ``files/KEY-…/``; its manifest, put last and
only where there is none, is what publishes it. So a half upload is never seen, and of two attempts the second is
dropped. Every file that is read is fetched once for a machine (see ``engine.store.local_cache``) and checked against
its manifest. That something is absent is said only by an answer of the service, never by what was seen before.

Layout, below the address: ``artifacts/KEY.json`` the manifests; ``files/KEY-…/`` what they name; ``uses/KEY`` when one
was used last; ``checkpoints/KEY/``; ``leases/``; ``families/``; ``quarantine/`` the manifests of what was corrupt.
"""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import InputError
from engine.store.artifact import MANIFEST, Artifact, CorruptArtifactError, parse_manifest
from engine.store.attempts import Attempt, StoreFaultError, attempt_name, faults_named
from engine.store.bucket import OPENING_S, Bucket, Found, within
from engine.store.bucket_checkpoints import BucketCheckpoints
from engine.store.bucket_leases import PROBES, BucketLease, BucketPresence, Places
from engine.store.bucket_leftovers import Lying, leftovers, names_below, unfinished
from engine.store.claims import DEAD_S
from engine.store.leases import LiveLease
from engine.store.local_cache import LocalCache
from engine.store.places import Address
from engine.store.store import USE_NOTED_S, Store, Stored, Unfinished, is_key, valid_key

if TYPE_CHECKING:
    from torch import Tensor

_DEADLINE_S = 15.0
"""How long opening may take at most, whatever hangs."""
_NOTE_S = 5.0
"""How long a service that refuses is asked to take a note that may be missing."""
_ENDING_S = 0.2
"""How long to wait between two looks at a place where an artifact is just being removed."""
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
        self._checkpoints = BucketCheckpoints(self._bucket, self._scratch)
        self._notes = ThreadPoolExecutor(1, thread_name_prefix="bucket-notes")
        self._noted: dict[str, float] = {}

    def find(self, key: str) -> Artifact | None:
        """Return the artifact of a key, noting its use, or None if it is not there (or its manifest is damaged)."""
        found = self._bucket.get(_manifest_name(key))
        artifact = self._artifact(key, found)
        if artifact is not None and found is not None:
            self._note_use(key, found.modified)
        return artifact

    def find_or_clear(self, key: str) -> Artifact | None:
        """Return what ``find`` does; what lies in the place and is no artifact is put aside."""
        found = self._bucket.get(_manifest_name(key))
        artifact = self._artifact(key, found)
        if artifact is not None and found is not None:
            self._note_use(key, found.modified)
        elif found is not None:
            self.quarantine(key)
        return artifact

    def look_at(self, key: str) -> Artifact | None:
        """Return what ``find`` does, without taking that for a use."""
        return self._artifact(key, self._bucket.get(_manifest_name(key)))

    @contextmanager
    def attempt(self, key: str) -> Iterator[Attempt]:
        """Give a folder of this machine to write an artifact in; it is removed unless it was published."""
        with self._scratch(key) as folder:
            yield Attempt(folder, key)

    def publish(self, attempt: Attempt, manifest: Mapping[str, Any]) -> Artifact:
        """Seal an attempt, upload it, put its manifest into place and return the artifact of its key.

        Where another attempt was faster, that one stays and is returned.

        Raises:
            StoreFaultError: the service, or the disk, refuses.
        """
        sealed = attempt.seal(manifest)
        key, place = attempt.key, f"files/{attempt.folder.name}"
        files = [path for path in sorted(attempt.folder.iterdir()) if path.name != MANIFEST]
        sealed["upload"] = {"place": place, "sizes": {path.name: path.stat().st_size for path in files}}
        names = {path: f"{place}/{path.name}" for path in files}
        self._bucket.each(lambda path: self._bucket.upload(names[path], path), files)
        if not self._put_manifest(key, json.dumps(sealed).encode()):
            with contextlib.suppress(StoreFaultError):
                self._bucket.delete(names.values(), patience_s=_NOTE_S)
            return self.find(key) or self._whole(key, sealed)
        (attempt.folder / MANIFEST).unlink(missing_ok=True)
        self._cache.take_over(attempt.folder.name, attempt.folder)
        return self._whole(key, sealed)

    def quarantine(self, key: str) -> str | None:
        """Put a corrupt artifact's manifest aside and return where it is now; its stage will be computed again.

        An artifact that is whole stays: another process has put it there since this one saw that it was not.
        """
        found = self._bucket.get(_manifest_name(key))
        if found is None or _is_mark(found):
            return None
        try:
            self._check(key, found)
            return None
        except CorruptArtifactError as error:
            reason = str(error)
        aside = f"quarantine/{key}-{uuid.uuid4().hex[:8]}.json"
        self._bucket.put(aside, found.content)
        if not self._places.end(_manifest_name(key), found.version):
            self._bucket.delete([aside])
            return None  # another process was faster
        where = f"{self.address}/{aside}"
        logging.getLogger(__name__).warning(
            "%s; it was put into quarantine (%s), and what is needed of it is computed again", reason, where
        )
        return where

    def check(self, key: str) -> None:
        """Check every file of an artifact in the bucket, whatever copies this machine has.

        Raises:
            CorruptArtifactError: it is not there, or not whole.
        """
        found = self._bucket.get(_manifest_name(key))
        if found is None:
            raise CorruptArtifactError(f"artifact {key} is not there")
        self._check(key, found)

    def remove(self, key: str) -> None:
        """Remove an artifact; a reader sees all of it or nothing."""
        found = self._bucket.get(_manifest_name(key))
        if found is None or not self._places.end(_manifest_name(key), found.version):
            return
        with contextlib.suppress(CorruptArtifactError):
            manifest = parse_manifest(found.content, key)
            self._cache.forget(_attempt_of(manifest))
            names = [f"{manifest['upload']['place']}/{name}" for name in manifest["files"]]
            self._bucket.delete([*names, f"uses/{key}"])

    def keys(self) -> Iterator[str]:
        """Yield the keys of all artifacts."""
        for listed in self._bucket.listing("artifacts"):
            key = _key_of(listed.name)
            if key is not None:
                yield key

    def save_checkpoint(self, key: str, epoch: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Keep a stage's state after an epoch, first on this machine; it is uploaded while the stage goes on."""
        folder = self._cache.attempts / attempt_name(valid_key(key))
        with faults_named(f"keeping epoch {epoch} of {key}", folder):
            folder.mkdir(parents=True)
        try:
            attempt = Attempt(folder, key)
            attempt.write_tensors("state", tensors)
            attempt.write_json("state", state)
            attempt.seal({"epoch": epoch})
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self._checkpoints.save(key, epoch, folder)

    def latest_checkpoint(self, key: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Return the tensors and the state of a stage's last whole checkpoint, or None."""
        for artifact in self._checkpoints.latest(key):
            with contextlib.suppress(OSError, ValueError, KeyError, CorruptArtifactError):
                return artifact.tensors("state"), artifact.json("state")
        return None

    def checkpointed_history(self, key: str) -> list[dict[str, Any]]:
        """Return the epochs' records up to a stage's last whole checkpoint; empty if there is none."""
        for artifact in self._checkpoints.latest(key):
            with contextlib.suppress(OSError, ValueError, KeyError, CorruptArtifactError):
                return list(artifact.json("state")["history"])
        return []

    def abandon_checkpoints(self, key: str) -> None:
        """Note that nobody wants a stage any more: of what is not finished, its checkpoints are the first to go."""
        self._note(partial(self._checkpoints.abandon, valid_key(key)))

    def take_up_checkpoints(self, key: str) -> None:
        """Note that somebody wants a stage again; nobody waits for that."""
        self._note(partial(self._checkpoints.take_up, valid_key(key)))

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
        self._flush_notes()
        found = self._bucket.listing(f"families/{valid_key(name)}")
        return [listed.name.rpartition("/")[2] for listed in found]

    def join_family(self, name: str, key: str) -> None:
        """Note a key under a family's name; nobody waits for that, and where it is refused, it goes without."""
        self._note(partial(self._bucket.put, f"families/{valid_key(name)}/{key}", b"", patience_s=_NOTE_S))

    def leave_family(self, name: str, key: str) -> None:
        """Take a key back that was noted."""
        with contextlib.suppress(StoreFaultError):
            self._bucket.delete([f"families/{valid_key(name)}/{key}"], patience_s=_NOTE_S)

    def n_bytes(self) -> int:
        """Return the size of all that the store holds."""
        return sum(listed.n_bytes for folder in _FOLDERS for listed in self._bucket.listing(folder))

    def inventory(self) -> Iterable[Stored]:
        """Return all artifacts, in no order."""
        manifests = {key: one for one in self._bucket.listing("artifacts") if (key := _key_of(one.name))}
        uses = {one.name.rpartition("/")[2]: one.modified for one in self._bucket.listing("uses")}
        found = self._bucket.each(self._bucket.get, [one.name for one in manifests.values()])
        for (key, listed), read in zip(manifests.items(), found, strict=True):
            if read is None or _is_mark(read):
                continue
            artifact = self._artifact(key, read)
            used_at = max(listed.modified, uses.get(key, 0.0))
            yield Stored(key, listed.n_bytes + _files_bytes(artifact), self._local(used_at), artifact)

    def used_at(self, key: str) -> float:
        """Return when an artifact was last used, to the minute, in seconds since 1970; 0 if it is not there."""
        manifest = self._bucket.get(_manifest_name(key))
        if manifest is None or _is_mark(manifest):
            return 0.0
        used = self._bucket.get(f"uses/{key}")
        return self._local(max(manifest.modified, used.modified if used is not None else 0.0))

    def unfinished(self) -> list[Unfinished]:
        """Return the checkpoints of stages that nobody is at; they are worth going on from, but no more than that."""
        self._flush_notes()
        lying = Lying.read(self._bucket, self._live_keys())
        return unfinished(lying, self._local)

    def leftovers(self, *, whole: Collection[str], broken: Collection[str], kept: Collection[str]) -> Mapping[str, int]:
        """Return {place below the address: size} of what nobody can need."""
        lying = Lying.read(self._bucket, self._live_keys())
        named = {_attempt_of(one.artifact.manifest) for one in self.inventory() if one.artifact is not None}
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
        elif kind == "files" and self._is_published(rest):
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

    def _check(self, key: str, found: Found) -> None:
        """Fetch every file that a manifest names, and check it; a copy of what is corrupt is removed.

        Raises:
            CorruptArtifactError: it is no manifest, or a file is not what it says.
        """
        manifest = parse_manifest(found.content, key)
        attempt, sizes = _attempt_of(manifest), manifest["upload"]["sizes"]
        with self._scratch(key) as folder:
            for name in manifest["files"]:
                try:
                    if not self._bucket.download(f"files/{attempt}/{name}", int(sizes[name]), folder / name):
                        raise CorruptArtifactError(f"artifact {key} has no file {name}")
                    Artifact(folder, manifest).path_of(name)
                except CorruptArtifactError:
                    self._cache.forget(attempt)
                    raise
                (folder / name).unlink()

    def _artifact(self, key: str, found: Found | None) -> Artifact | None:
        if found is None:
            return None
        try:
            return self._whole(key, parse_manifest(found.content, key))
        except CorruptArtifactError:
            return None

    def _whole(self, key: str, manifest: dict[str, Any]) -> Artifact:
        """Return the artifact of a manifest.

        Raises:
            CorruptArtifactError: it does not say where its files are.
        """
        attempt, sizes = _attempt_of(manifest), manifest["upload"]["sizes"]

        def fetch(name: str, expected: str) -> Path:
            def download(path: Path) -> bool:
                return self._bucket.download(f"files/{attempt}/{name}", int(sizes[name]), path)

            try:
                path = self._cache.fetch(attempt, name, expected, download)
            except ValueError as error:
                raise CorruptArtifactError(f"artifact {key}: {error}") from error
            except OSError as error:
                said = f"the store failed while fetching {name} of {key}: {error.strerror or error}"
                raise StoreFaultError(f"{said} ({self._cache.folder})") from error
            if path is None:
                raise CorruptArtifactError(f"artifact {key} has no file {name}")
            return path

        return Artifact(self._cache.folder_of(attempt), manifest, fetch, self._cache.max_bytes)

    def _put_manifest(self, key: str, text: bytes) -> bool:
        """Put a manifest into its place; return whether it is there now, and not another attempt's.

        Raises:
            StoreFaultError: the service refuses, or the place is not freed by who frees it.
        """
        name, end = _manifest_name(key), time.monotonic() + 2 * DEAD_S
        while time.monotonic() < end:
            if self._bucket.put_if(name, text, None) is not None:
                return True
            found = self._bucket.get(name)
            if found is None:
                continue  # it was removed in this moment
            if self._artifact(key, found) is not None:
                return False
            if not _is_mark(found):
                self.quarantine(key)
                continue
            if self._bucket.clock.now() - found.modified > DEAD_S:  # who was to remove it has died
                return self._bucket.put_if(name, text, found.version) is not None
            time.sleep(_ENDING_S)
        raise StoreFaultError(f"the store failed while putting {key} into place: it is not freed ({self.address})")

    def _note_use(self, key: str, modified: float) -> None:
        """Leave the time of an artifact's last use, if that is not recent anyway; nobody waits for it."""
        now = time.monotonic()
        if self._bucket.clock.now() - modified <= USE_NOTED_S or now - self._noted.get(key, -USE_NOTED_S) < USE_NOTED_S:
            return
        self._noted[key] = now
        self._note(partial(self._bucket.put, f"uses/{key}", b"", patience_s=_NOTE_S))

    def _note(self, write: Callable[[], object]) -> None:
        """Write a note that may be missing, in the background, one after the other."""

        def unless_refused() -> None:
            with contextlib.suppress(StoreFaultError):
                write()

        with contextlib.suppress(RuntimeError):  # the process is ending
            self._notes.submit(unless_refused)

    def _flush_notes(self) -> None:
        """Wait for the notes of this process."""
        with contextlib.suppress(RuntimeError):
            self._notes.submit(lambda: None).result()

    def _is_published(self, attempt: str) -> bool:
        """Return whether an attempt's files are those of an artifact by now."""
        artifact = self.look_at(attempt.partition("-")[0])
        return artifact is not None and _attempt_of(artifact.manifest) == attempt

    def _live_keys(self) -> set[str]:
        return {str(lease.note.get("key")) for lease in self.live_stages()}

    def _local(self, modified: float) -> float:
        """Return a moment of the bucket's clock by this machine's."""
        return round(modified - self._bucket.clock.now() + time.time(), 1) if modified else 0.0

    @contextmanager
    def _scratch(self, key: str) -> Iterator[Path]:
        folder = self._cache.attempts / attempt_name(valid_key(key))
        with faults_named(f"beginning {key}", folder):
            folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _manifest_name(key: str) -> str:
    return f"artifacts/{valid_key(key)}.json"


def _stage_name(key: str) -> str:
    return f"leases/stages/{valid_key(key)}.json"


def _key_of(name: str) -> str | None:
    """Return the key of a manifest's name; None for another object."""
    key = name.rpartition("/")[2].removesuffix(".json")
    return key if is_key(key) and name == _manifest_name(key) else None


def _is_mark(found: Found) -> bool:
    """Return whether what lies in a place is the mark of its last content's end."""
    try:
        content = json.loads(found.content)
    except (ValueError, RecursionError):
        return False
    return isinstance(content, dict) and content.keys() == {"ended"}


def _attempt_of(manifest: Mapping[str, Any]) -> str:
    """Return the name of the attempt that an artifact's files are of.

    Raises:
        CorruptArtifactError: the manifest does not say.
    """
    upload = manifest.get("upload")
    if isinstance(upload, Mapping) and isinstance(upload.get("sizes"), Mapping):
        folder, _, attempt = str(upload.get("place")).partition("/")
        sizes = upload["sizes"]
        known = all(isinstance(sizes.get(name), int) for name in manifest["files"])
        if folder == "files" and known and attempt.partition("-")[0] == manifest["key"] and "/" not in attempt:
            return attempt
    raise CorruptArtifactError(f"artifact {manifest['key']}: its manifest does not say where its files are")


def _files_bytes(artifact: Artifact | None) -> int:
    return sum(artifact.manifest["upload"]["sizes"].values()) if artifact is not None else 0
