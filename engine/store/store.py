"""Content-addressed artifacts, wherever they lie: what every store can do, and how one is opened.

Everybody else works with this interface and knows no file of a store; a folder keeps its own in
``engine.store.folder_store``, a bucket in ``engine.store.bucket_store``. An artifact is whole or not there; two
attempts at one key do no harm: the second finds the place taken and is dropped.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, Self

from engine.store.artifact import Artifact, CorruptArtifactError
from engine.store.attempts import Attempt
from engine.store.leases import LiveLease
from engine.store.stored import Stored, Unfinished

if TYPE_CHECKING:
    from torch import Tensor


class Lease(Protocol):
    """What several may want and one has: the right to compute a stage, say."""

    def acquire(self) -> bool:
        """Take it and keep it fresh, unless somebody alive has it; return whether the holder may go to work."""

    def release(self) -> None:
        """Give it back, if it is held."""

    @property
    def is_held(self) -> bool:
        """Return whether it was taken, and nobody has taken it over since."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: Any) -> None: ...


class Presence(Protocol):
    """By which others see that somebody is there, and what he needs, as long as it is entered.

    Attributes:
        name: tells it from all others in the store.
    """

    name: str

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: Any) -> None: ...


class Store(ABC):
    """Artifacts and epoch checkpoints by key.

    Args:
        place: a folder, which is made if it does not exist, or an address such as ``s3://BUCKET/PREFIX``.
        read_only: whether it is only looked at: no folder is made, nothing tried; in a bucket a probe of its clock
            may be written.

    Attributes:
        address: what other processes, on any machine that reaches the store, open it by.

    Raises:
        InputError: it is the address of something else, or cannot be written, or, to be looked at, is not there.
    """

    address: str

    def __new__(cls, *arguments: Any, **options: Any) -> Self:
        """Make a store of the kind that the place asks for, as ``pathlib.Path`` does for a system."""
        kind: Any = cls
        if cls is Store:  # by name: the kinds of store import this module
            kind = import_module("engine.store.opening").kind_of(arguments[0])
        return super().__new__(kind)

    @abstractmethod
    def find(self, key: str) -> Artifact | None:
        """Return the artifact of a key, noting its use, or None if it is not there (or its manifest is damaged)."""

    @abstractmethod
    def look_at(self, key: str) -> Artifact | None:
        """Return what ``find`` does, without taking that for a use."""

    def look_anew(self, key: str) -> bool:
        """Have this machine ask anew for an artifact that it did not see, where it remembers that there was none.

        Returns:
            Whether it may be there, and is worth another look; False where it is certain that it is not.
        """
        return False

    @abstractmethod
    def find_or_clear(self, key: str) -> Artifact | None:
        """Return what ``find`` does; what lies in the place and is no artifact is put aside."""

    def find_whole(self, key: str) -> Artifact | None:
        """Return a key's artifact with every checksum verified; a corrupt one is put aside and counts as absent."""
        artifact = self.find_or_clear(key)
        if artifact is None:
            return None
        try:
            artifact.verify()
        except CorruptArtifactError:
            self.quarantine(key)
            return None
        return artifact

    @abstractmethod
    def attempt(self, key: str) -> AbstractContextManager[Attempt]:
        """Give a folder to write an artifact in; it is removed unless it was published."""

    @abstractmethod
    def publish(self, attempt: Attempt, manifest: Mapping[str, Any]) -> Artifact:
        """Seal an attempt, put it into place and return the artifact of its key.

        Where another attempt was faster, that one stays and is returned.
        """

    @abstractmethod
    def quarantine(self, key: str) -> str | None:
        """Put a corrupt artifact aside and return where it is now; its stage will be computed again.

        An artifact that is whole stays: another process has put it there since this one saw that it was not.
        """

    @abstractmethod
    def check(self, key: str) -> None:
        """Check every file of an artifact where the store is, whatever copies this machine has.

        Raises:
            CorruptArtifactError: it is not there, or not whole.
        """

    @abstractmethod
    def remove(self, key: str) -> None:
        """Remove an artifact; a reader sees all of it or nothing."""

    @abstractmethod
    def keys(self) -> Iterator[str]:
        """Yield the keys of all artifacts."""

    @abstractmethod
    def save_checkpoint(self, key: str, epoch: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Keep a stage's state after an epoch; earlier ones of the same stage are dropped."""

    @abstractmethod
    def checkpoints(self, key: str) -> Iterator[Artifact]:
        """Yield a stage's checkpoints that are whole as far as their manifests say, the last one first.

        Each is to be read before the next one is asked for.
        """

    def latest_checkpoint(self, key: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Return the tensors and the state of a stage's last whole checkpoint, or None."""
        for artifact in self.checkpoints(key):
            with suppress(OSError, ValueError, KeyError, CorruptArtifactError):
                return artifact.tensors("state"), artifact.json("state")
        return None

    def checkpointed_history(self, key: str) -> list[dict[str, Any]]:
        """Return the epochs' records up to a stage's last whole checkpoint; empty if there is none."""
        for artifact in self.checkpoints(key):
            with suppress(OSError, ValueError, KeyError, CorruptArtifactError):
                return list(artifact.json("state")["history"])
        return []

    @abstractmethod
    def abandon_checkpoints(self, key: str) -> None:
        """Note that nobody wants a stage any more: of what is not finished, its checkpoints are the first to go."""

    @abstractmethod
    def take_up_checkpoints(self, key: str) -> None:
        """Note that somebody wants a stage again."""

    @abstractmethod
    def drop_checkpoints(self, key: str) -> None:
        """Remove a finished stage's checkpoints."""

    @abstractmethod
    def stage_lease(self, key: str, inputs: Mapping[str, str]) -> Lease:
        """Return the lease of a stage that is to be computed for this store.

        Args:
            key: the stage's key.
            inputs: keys of what it reads, which stay in the store meanwhile.
        """

    @abstractmethod
    def stage_holder(self, key: str) -> LiveLease | None:
        """Return the lease of a stage that somebody alive computes, or None."""

    @abstractmethod
    def end_stage_lease(self, key: str, token: str) -> bool:
        """Remove the lease of a stage whose holder, by its token, is known to be dead; return whether it was there."""

    @abstractmethod
    def live_stages(self) -> Iterator[LiveLease]:
        """Yield the leases of the stages that somebody alive computes."""

    @abstractmethod
    def sweep_presence(self, study: str, keys: Collection[str] | Callable[[], Collection[str]]) -> Presence:
        """Return what shows the store that a sweep lives on it.

        Args:
            study: the sweep's study.
            keys: what has to stay in the store, whenever it was used last; or a function that returns what has to now.
        """

    @abstractmethod
    def live_sweeps(self) -> Iterator[tuple[str, LiveLease]]:
        """Yield what the live sweeps show, each with its name."""

    @abstractmethod
    def remove_left_leases(self) -> None:
        """Remove what killed sweeps and stages left among the leases."""

    @abstractmethod
    def family(self, name: str) -> list[str]:
        """Return the keys that were noted under a family's name, in no order."""

    @abstractmethod
    def join_family(self, name: str, key: str) -> None:
        """Note a key under a family's name; a store that is full goes without."""

    @abstractmethod
    def leave_family(self, name: str, key: str) -> None:
        """Take a key back that was noted."""

    @abstractmethod
    def n_bytes(self) -> int:
        """Return the size of all that the store holds."""

    @abstractmethod
    def inventory(self) -> Iterable[Stored]:
        """Return all artifacts, in no order."""

    @abstractmethod
    def used_at(self, key: str) -> float:
        """Return when an artifact was last used, to the minute, in seconds since 1970; 0 if it is not there."""

    @abstractmethod
    def unfinished(self) -> Iterable[Unfinished]:
        """Return the checkpoints of stages that nobody is at; they are worth going on from, but no more than that."""

    @abstractmethod
    def leftovers(self, *, whole: Collection[str], broken: Collection[str], kept: Collection[str]) -> Mapping[str, int]:
        """Return {place, seen from the store: size} of what nobody can need.

        Only what a store has named itself is among them: quarantine, broken artifacts, leases and attempts of the dead,
        checkpoints of finished stages, and whatever else was neither finished nor touched for a day.

        Args:
            whole: keys of the artifacts that are whole.
            broken: keys of those that are not.
            kept: keys of what is needed.
        """

    @abstractmethod
    def remove_leftover(self, name: str) -> None:
        """Remove a leftover; in a broken artifact's place there may be a whole one by now, which stays."""

    @abstractmethod
    def remove_unfinished(self, one: Unfinished) -> None:
        """Remove the checkpoints of a stage; who reads them sees all of it or nothing."""
