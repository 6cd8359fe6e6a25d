"""What nobody can need in a store's bucket, or hardly anybody: the rules of ``engine.store.leftovers`` for objects."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Self

from engine.store.attempts import is_of_the_dead
from engine.store.bucket import Bucket, Listed
from engine.store.bucket_leases import PROBES
from engine.store.leftovers import LEFT_S
from engine.store.stored import ABANDONED, Unfinished, is_key

_PROBE = re.compile(rf"{PROBES}/probe-[0-9a-f]{{32}}")
_ASIDE = re.compile(r"[0-9a-f]{16,64}-[0-9a-f]{8}\.json")


@dataclass(frozen=True)
class Lying:
    """What lies in a bucket beside artifacts.

    Attributes:
        files: by attempt, its files.
        checkpoints: by key, the objects of a stage's checkpoints.
        aside: the manifests in quarantine.
        artifacts: the manifests in their places.
        probes: what was written to look at the clock.
        live: the keys that somebody alive is at.
        now: the time, by the bucket's clock.
    """

    files: Mapping[str, list[Listed]]
    checkpoints: Mapping[str, list[Listed]]
    aside: list[Listed]
    artifacts: list[Listed]
    probes: list[Listed]
    live: Collection[str]
    now: float

    @classmethod
    def read(cls, bucket: Bucket, live: Collection[str]) -> Self:
        """Return what lies there now.

        Raises:
            StoreFaultError: the service refuses.
        """
        files, checkpoints, aside, artifacts, probes = bucket.each(
            bucket.listing, ("files", "checkpoints", "quarantine", "artifacts", PROBES)
        )
        by_key = {key: found for key, found in _by_second(checkpoints).items() if is_key(key)}
        by_attempt = {name: found for name, found in _by_second(files).items() if is_key(name.partition("-")[0])}
        return cls(by_attempt, by_key, aside, artifacts, probes, live, bucket.clock.now())

    def is_left(self, found: list[Listed], key: str) -> bool:
        """Return whether nobody is at what was written, nor has been for long."""
        return key not in self.live and self.now - max(listed.modified for listed in found) > LEFT_S


def unfinished(lying: Lying, local: Callable[[float], float]) -> list[Unfinished]:
    """Return the checkpoints of stages that nobody is at and that are not finished.

    Of a finished one there may be some if their removal was lost: they are leftovers.

    Args:
        lying: what lies in the bucket.
        local: gives a moment of the bucket's clock by this machine's.
    """
    finished = {listed.name.removeprefix("artifacts/").removesuffix(".json") for listed in lying.artifacts}
    return [
        Unfinished(
            key,
            f"checkpoints/{key}",
            _n_bytes(found),
            local(max(listed.modified for listed in found)),
            any(listed.name.endswith(f"/{ABANDONED}") for listed in found),
        )
        for key, found in lying.checkpoints.items()
        if key not in lying.live and key not in finished
    ]


def leftovers(
    lying: Lying,
    *,
    named: Collection[str],
    whole: Collection[str],
    broken: Collection[str],
    kept: Collection[str],
) -> dict[str, int]:
    """Return {name: size} of what nobody can need, but for the leases.

    Args:
        lying: what lies in the bucket.
        named: attempts whose files are those of artifacts.
        whole: keys of the artifacts that are whole.
        broken: keys of those that are not.
        kept: keys of what is needed.
    """
    found = {one.name: one.n_bytes for one in lying.aside if _ASIDE.fullmatch(one.name.rpartition("/")[2])}
    found |= {one.name: one.n_bytes for one in lying.probes if _PROBE.fullmatch(one.name) and lying.is_left([one], "")}
    manifests = {one.name: one.n_bytes for one in lying.artifacts}
    found |= {name: size for name, size in manifests.items() if name[len("artifacts/") : -len(".json")] in broken}
    for attempt, files in lying.files.items():
        key = attempt.partition("-")[0]
        if attempt not in named and (is_of_the_dead(attempt) or (lying.is_left(files, key) and key not in kept)):
            found[f"files/{attempt}"] = _n_bytes(files)
    for key, objects in lying.checkpoints.items():
        is_over = key in whole and key not in lying.live
        if (is_over or lying.is_left(objects, key)) and key not in kept:
            found[f"checkpoints/{key}"] = _n_bytes(objects)
    return found


def names_below(bucket: Bucket, name: str) -> list[str]:
    """Return the names of the objects in a folder, or the name itself if it is an object's.

    Raises:
        StoreFaultError: the service refuses.
    """
    if name.endswith(".json") or _PROBE.fullmatch(name):
        return [name]
    return [listed.name for listed in bucket.listing(name)]


def _by_second(listed: list[Listed]) -> dict[str, list[Listed]]:
    """Return objects by the second word of their names."""
    found = defaultdict(list)
    for one in listed:
        if one.name.count("/") >= 2:
            found[one.name.split("/")[1]].append(one)
    return dict(found)


def _n_bytes(found: list[Listed]) -> int:
    return sum(listed.n_bytes for listed in found)
