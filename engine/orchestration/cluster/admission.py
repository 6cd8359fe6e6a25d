"""Which machines may run a sweep's stages: those that have its code and its versions, and see its store."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from engine.errors import InputError
from engine.orchestration.cluster.inspection import (
    NodeFacts,
    StoreMark,
    differences,
    inspect_node,
    leave_mark,
    look_for_mark,
    remove_mark,
)
from engine.redaction import hide_credentials
from engine.store.attempts import StoreFaultError
from engine.store.opening import open_store
from engine.store.store import Store

_SIGHT_S = 15.0
"""How long a mark is looked for. It was not looked for before it was left, so that no machine remembers its absence."""


class UnfitError(Exception):
    """A machine can run none of a sweep's stages, whoever asks; the message names it and says why."""


@dataclass(frozen=True)
class Admission:
    """What a machine has to agree with.

    Attributes:
        facts: of the driver's machine.
        mark: what the driver has left in the store.
    """

    facts: NodeFacts
    mark: StoreMark

    @classmethod
    def of_driver(cls, store: Store, imports: Sequence[str]) -> Self:
        """Return what machines have to agree with that run stages for this process; it leaves a mark in the store.

        Raises:
            StoreFaultError: the store refuses.
        """
        return cls(inspect_node(imports=imports), leave_mark(store, store.address))

    def end(self, store: Store) -> None:
        """Take the mark away; where the store refuses that, it stays."""
        with contextlib.suppress(StoreFaultError):
            remove_mark(store, self.mark)

    def to_json(self) -> dict[str, Any]:
        """Return the admission as a JSON value."""
        return {"facts": self.facts.to_json(), "mark": vars(self.mark)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the admission of ``to_json``."""
        return cls(NodeFacts.from_json(value["facts"]), StoreMark(**value["mark"]))

    def check_code(self, imports: Sequence[str]) -> None:
        """Check that this machine would compute what the driver's does; the user's modules must have been imported.

        Raises:
            UnfitError: its code or its versions are others.
        """
        different = differences(self.facts, inspect_node(imports=imports))
        if different:
            raise UnfitError(
                f"{_here()} has other code or versions than {self.facts.host}, where the sweep was started: "
                + "; ".join(different)
            )

    def check_store(self, address: str) -> None:
        """Check that this machine sees the driver's store.

        Raises:
            UnfitError: it sees another one, or none.
            InputError: the store cannot be opened now, which may pass.
            StoreFaultError: it refuses to be looked at.
        """
        try:
            store = open_store(address, read_only=True, patient=True)
        except InputError as error:
            if isinstance(error.__cause__, StoreFaultError | OSError):  # it is away, for other machines too perhaps
                raise
            seen, why = False, str(error)
        else:
            seen = look_for_mark(store, self.mark, timeout_s=_SIGHT_S) is not None
            why = f"what {self.mark.host} has written there for this sweep is not seen"
        if not seen:
            raise UnfitError(
                f"{_here()} does not share the sweep's store {hide_credentials(address)}: {why}; mount one folder of a "
                f"shared file system there as on {self.mark.host}, or keep the store in a bucket"
            )


def _here() -> str:
    return f"machine {socket.gethostname()}"
