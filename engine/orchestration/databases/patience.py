"""Waiting for a database or a disk that refuses for now: locked by a backup, full, or away for a moment."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from engine.errors import InputError
from engine.redaction import hide_credentials
from engine.store.attempts import StoreFaultError

if TYPE_CHECKING:
    from sqlalchemy.exc import DBAPIError

LIMIT_S = 300.0
"""How long is waited for one call."""
PAUSE_S = 1.0
_READ_ONLY = "25006"
"""What PostgreSQL calls a write to a server that another is just taking over from."""
_P = ParamSpec("_P")
_T = TypeVar("_T")


class RefusedError(Exception):
    """A database or a disk refused for longer than is waited, or a user's own code fails; the message tells."""


class UnusableError(InputError):
    """A database that cannot be used where it is needed at once; its cause tells whether that may pass."""


class Patience:
    """Calls again what was refused for a reason that may pass. What is called must bear that.

    Args:
        limit_s: seconds after which a call is given up; None for ``LIMIT_S``.

    Attributes:
        waits: what is waited for now, in a sentence; "" for nothing.
    """

    def __init__(self, limit_s: float | None = None) -> None:
        self.limit_s = LIMIT_S if limit_s is None else limit_s
        self.waits = ""

    def call(self, function: Callable[_P, _T], *arguments: _P.args, **named: _P.kwargs) -> _T:
        """Return what a function returns, however often it has to be called.

        Raises:
            RefusedError: it was refused until the end.
            Exception: whatever else the function raises.
        """
        started = time.monotonic()
        while True:
            try:
                found = function(*arguments, **named)
            except Exception as error:
                reason = passing_reason(error)
                if reason is None:
                    raise
                waited = time.monotonic() - started
                if waited >= self.limit_s:
                    self.waits = ""
                    raise RefusedError(reason) from error
                self.waits = f"waiting for {waited:.0f} s: {reason}"
                time.sleep(PAUSE_S)
            else:
                self.waits = ""
                return found


def passing_reason(error: BaseException) -> str | None:
    """Return what a database, a disk or a store said, if an error is theirs and may pass; else None."""
    from sqlalchemy.exc import DBAPIError

    says_it_all = isinstance(error, InputError) and not isinstance(error, UnusableError)
    found: BaseException | None = None if says_it_all else error
    said_by_store: str | None = None
    while found is not None:
        if isinstance(found, RefusedError):
            return str(found)
        if isinstance(found, DBAPIError) and _may_pass(found):
            said = str(found.orig or found).strip().partition("\n")[0]
            return hide_credentials(f"the study's database says: {said}")
        if isinstance(found, OSError) and found.strerror:
            where = f": {found.filename}" if found.filename else ""
            return hide_credentials(f"the disk says: {found.strerror}{where}")
        if isinstance(found, StoreFaultError):  # its cause may be the disk's own words
            said_by_store = said_by_store or str(found)
        found = found.__cause__
    return said_by_store


def _may_pass(error: DBAPIError) -> bool:
    """Return whether a database may take later what it refuses now."""
    from sqlalchemy.exc import InterfaceError, OperationalError

    code = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)  # psycopg's, psycopg2's
    return isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated or code == _READ_ONLY
