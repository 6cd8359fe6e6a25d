"""Artifacts in a bucket: their manifests, the files that these name, and when they were used.

An attempt's files are uploaded under a name of their own; its manifest, put last and only where there is none, is what
publishes it. So a half upload is never seen, and of two attempts the second is dropped. Every file that is read is
fetched once for a machine (see ``engine.store.local_cache``) and checked against its manifest.
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from engine.store.artifact import MANIFEST, Artifact, CorruptArtifactError, parse_manifest
from engine.store.attempts import Attempt, StoreFaultError
from engine.store.bucket import Bucket, Found
from engine.store.bucket_leases import Places
from engine.store.bucket_notes import NOTE_S, BucketNotes
from engine.store.claims import DEAD_S
from engine.store.local_cache import LocalCache
from engine.store.stored import USE_NOTED_S, Stored, is_key, valid_key

_ENDING_S = 0.2
"""How long to wait between two looks at a place where an artifact is just being removed."""


class BucketArtifacts:
    """The artifacts of a store in a bucket; its methods are those of ``Store``.

    Args:
        bucket: the bucket.
        cache: this machine's copies.
        places: what ends what lies in a place.
        notes: takes when an artifact was used.
    """

    def __init__(self, bucket: Bucket, cache: LocalCache, places: Places, notes: BucketNotes) -> None:
        self._bucket = bucket
        self._cache = cache
        self._places = places
        self._notes = notes
        self._noted: dict[str, float] = {}

    def find(self, key: str, *, clear: bool = False) -> Artifact | None:
        """Return the artifact of a key, noting its use, or None if it is not there (or its manifest is damaged).

        Args:
            key: the key.
            clear: whether what lies in the place and is no artifact is put aside.
        """
        found = self._bucket.get(_manifest_name(key))
        artifact = self._artifact(key, found)
        if artifact is not None and found is not None:
            self._note_use(key, found.modified)
        elif found is not None and clear:
            self.quarantine(key)
        return artifact

    def look_at(self, key: str) -> Artifact | None:
        """Return what ``find`` does, without taking that for a use."""
        return self._artifact(key, self._bucket.get(_manifest_name(key)))

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
                self._bucket.delete(names.values(), patience_s=NOTE_S)
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
        where = f"{self._bucket.address}/{aside}"
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
            self._cache.forget(attempt_of(manifest))
            names = [f"{manifest['upload']['place']}/{name}" for name in manifest["files"]]
            self._bucket.delete([*names, f"uses/{key}"])

    def keys(self) -> Iterator[str]:
        """Yield the keys of all artifacts."""
        for listed in self._bucket.listing("artifacts"):
            key = _key_of(listed.name)
            if key is not None:
                yield key

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
            yield Stored(key, listed.n_bytes + _files_bytes(artifact), self._bucket.clock.local(used_at), artifact)

    def used_at(self, key: str) -> float:
        """Return when an artifact was last used, to the minute, in seconds since 1970; 0 if it is not there."""
        manifest = self._bucket.get(_manifest_name(key))
        if manifest is None or _is_mark(manifest):
            return 0.0
        used = self._bucket.get(f"uses/{key}")
        return self._bucket.clock.local(max(manifest.modified, used.modified if used is not None else 0.0))

    def is_published(self, attempt: str) -> bool:
        """Return whether an attempt's files are those of an artifact by now."""
        artifact = self.look_at(attempt.partition("-")[0])
        return artifact is not None and attempt_of(artifact.manifest) == attempt

    def _check(self, key: str, found: Found) -> None:
        """Fetch every file that a manifest names, and check it; a copy of what is corrupt is removed.

        Raises:
            CorruptArtifactError: it is no manifest, or a file is not what it says.
        """
        manifest = parse_manifest(found.content, key)
        attempt, sizes = attempt_of(manifest), manifest["upload"]["sizes"]
        with self._cache.scratch(key) as folder:
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
        attempt, sizes = attempt_of(manifest), manifest["upload"]["sizes"]

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
        raise StoreFaultError(
            f"the store failed while putting {key} into place: it is not freed ({self._bucket.address})"
        )

    def _note_use(self, key: str, modified: float) -> None:
        """Leave the time of an artifact's last use, if that is not recent anyway; nobody waits for it."""
        now = time.monotonic()
        if self._bucket.clock.now() - modified <= USE_NOTED_S or now - self._noted.get(key, -USE_NOTED_S) < USE_NOTED_S:
            return
        self._noted[key] = now
        self._notes.take(partial(self._bucket.put, f"uses/{key}", b"", patience_s=NOTE_S))


def _manifest_name(key: str) -> str:
    return f"artifacts/{valid_key(key)}.json"


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


def attempt_of(manifest: Mapping[str, Any]) -> str:
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
