"""Checkpoints in a bucket: written beside the training, so that no epoch waits for an upload.

What an epoch left is kept on this machine's disk and uploaded by a thread; of several that wait for it only the last
one of a stage is, and none before it has waited for ``DELAY_S``: of epochs that take a moment, not each is worth five
requests. A process that is killed loses the epochs that were not uploaded yet, and no more. The manifest of an epoch
comes last, so that a half upload is never seen.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import re
import shutil
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.store.artifact import MANIFEST, Artifact, CorruptArtifactError, parse_manifest
from engine.store.attempts import StoreFaultError
from engine.store.bucket import Bucket
from engine.store.bucket_notes import NOTE_S
from engine.store.stored import ABANDONED, valid_key

FOLDER = "checkpoints"
DELAY_S = 2.0
"""How long the first of the epochs that wait for an upload waits, unless somebody asks for them."""
_EPOCH = re.compile(r"/epoch-(\d+)(\.json$|/)")
_FLUSH_S = 20.0
"""How long a process that ends waits for what is not uploaded yet."""


@dataclass(frozen=True)
class _Save:
    """A checkpoint that waits for its upload: the folder of its files on this machine, and its epoch."""

    folder: Path
    epoch: int


class BucketCheckpoints:
    """The checkpoints of a store in a bucket.

    Args:
        bucket: the bucket.
        scratch: gives a path on this machine for what is read, which is removed afterwards.
    """

    def __init__(self, bucket: Bucket, scratch: Callable[[str], contextlib.AbstractContextManager[Path]]) -> None:
        self._bucket = bucket
        self._scratch = scratch
        self._waiting: OrderedDict[str, _Save | None] = OrderedDict()
        self._due: dict[str, float] = {}
        self._asked_for: list[str | None] = []
        self._under_way: str | None = None
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def save(self, key: str, epoch: int, folder: Path) -> None:
        """Have a sealed folder uploaded, which is removed then; what waits of the same stage is dropped."""
        self._put(key, _Save(folder, epoch))

    def drop(self, key: str) -> None:
        """Have a stage's checkpoints removed, and what waits of it dropped."""
        self._put(valid_key(key), None)

    def flush(self, key: str | None = None, timeout_s: float | None = None) -> None:
        """Wait until nothing of a stage (of any, if None) is under way."""
        with self._changed:
            self._asked_for.append(key)
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._is_busy(key), timeout_s)
            self._asked_for.remove(key)

    def latest(self, key: str) -> Iterator[Artifact]:
        """Yield a stage's checkpoints that are whole as far as their manifests say, the last one first.

        Each is to be read before the next one is asked for.

        Raises:
            StoreFaultError: the service refuses.
        """
        self.flush(valid_key(key))
        manifests = [one.name for one in self._bucket.listing(f"{FOLDER}/{key}") if _is_manifest(one.name)]
        for name in sorted(manifests, reverse=True):
            with contextlib.suppress(CorruptArtifactError):
                found = self._bucket.get(name)
                if found is not None:
                    with self._scratch(key) as folder:
                        yield self._artifact(key, parse_manifest(found.content, key), folder)

    def abandon(self, key: str) -> None:
        """Note that nobody wants a stage any more, if it has checkpoints."""
        self.flush(key, _FLUSH_S)
        with contextlib.suppress(StoreFaultError):
            if self._bucket.listing(f"{FOLDER}/{valid_key(key)}", patience_s=NOTE_S):
                self._bucket.put(f"{FOLDER}/{key}/{ABANDONED}", b"", patience_s=NOTE_S)

    def take_up(self, key: str) -> None:
        """Note that somebody wants a stage again."""
        with contextlib.suppress(StoreFaultError):
            self._bucket.delete([f"{FOLDER}/{valid_key(key)}/{ABANDONED}"], patience_s=NOTE_S)

    def _artifact(self, key: str, manifest: dict[str, Any], folder: Path) -> Artifact:
        upload = manifest.get("upload")
        if not isinstance(upload, Mapping) or not isinstance(upload.get("sizes"), Mapping):
            raise CorruptArtifactError(f"checkpoint of {key}: its manifest does not say where its files are")

        def fetch(name: str, expected: str) -> Path:
            path = folder / name
            there = self._bucket.download(f"{upload['place']}/{name}", int(upload["sizes"][name]), path)
            if not there:
                raise CorruptArtifactError(f"checkpoint of {key} has no file {name}")
            checked = Artifact(folder, manifest)
            return checked.path_of(name)

        return Artifact(folder, manifest, fetch)

    def _put(self, key: str, job: _Save | None) -> None:
        with self._changed:
            before = self._waiting.pop(key, None)
            self._waiting[key] = job
            soonest = time.monotonic() + (0.0 if job is None else DELAY_S)
            self._due[key] = min(soonest, self._due.get(key, soonest))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="checkpoints", daemon=True)
                self._thread.start()
                atexit.register(self.flush, timeout_s=_FLUSH_S)
            self._changed.notify_all()
        if before is not None:
            shutil.rmtree(before.folder, ignore_errors=True)

    def _is_busy(self, key: str | None) -> bool:
        if key is None:
            return bool(self._waiting) or self._under_way is not None
        return key in self._waiting or key == self._under_way

    def _next(self) -> str | None:
        """Return the stage whose turn it is, if one is due or asked for."""
        now = time.monotonic()
        return next(
            (key for key, due in self._due.items() if due <= now or key in self._asked_for or None in self._asked_for),
            None,
        )

    def _run(self) -> None:
        while True:
            with self._changed:
                while (key := self._next()) is None:
                    first = min(self._due.values(), default=None)
                    self._changed.wait(None if first is None else max(0.0, first - time.monotonic()))
                job = self._waiting.pop(key)
                del self._due[key]
                self._under_way = key
            try:
                self._do(key, job)
            except Exception as error:  # a training goes on without: what it loses is what a crash would cost
                logging.getLogger(__name__).warning("a checkpoint of %s was not uploaded: %s", key, error)
            finally:
                if job is not None:
                    shutil.rmtree(job.folder, ignore_errors=True)
                with self._changed:
                    self._under_way = None
                    self._changed.notify_all()

    def _do(self, key: str, job: _Save | None) -> None:
        if job is None:
            self._bucket.delete(one.name for one in self._bucket.listing(f"{FOLDER}/{key}"))
            return
        name = f"{FOLDER}/{key}/epoch-{job.epoch:05d}"
        place = f"{name}/{job.folder.name}"
        files = [path for path in sorted(job.folder.iterdir()) if path.name != MANIFEST]
        self._bucket.each(lambda path: self._bucket.upload(f"{place}/{path.name}", path), files)
        manifest = json.loads((job.folder / MANIFEST).read_text())
        manifest["upload"] = {"place": place, "sizes": {path.name: path.stat().st_size for path in files}}
        before = [one.name for one in self._bucket.listing(f"{FOLDER}/{key}")]
        self._bucket.put(f"{name}.json", json.dumps(manifest).encode())
        self._bucket.delete(other for other in before if _is_replaced(other, place, job.epoch))


def _is_replaced(name: str, place: str, epoch: int) -> bool:
    """Return whether an object was part of a checkpoint that another, of an epoch and in a place, has replaced."""
    found = _EPOCH.search(name)
    is_file = found is not None and found[2] != ".json"
    return found is not None and (
        int(found[1]) < epoch or (int(found[1]) == epoch and is_file and not name.startswith(f"{place}/"))
    )


def _is_manifest(name: str) -> bool:
    found = _EPOCH.search(name)
    return found is not None and found[2] == ".json"
