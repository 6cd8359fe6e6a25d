"""SQLite files with a write-ahead log: a commit then waits for no disk, and who reads does not hold up who writes."""

from __future__ import annotations

import atexit
import contextlib
import os
import sqlite3
import weakref
from typing import Any

from engine.orchestration.databases.addresses import sqlite_file

_files: set[str] = set()
"""Those that this process writes so."""
_records: weakref.WeakSet[Any] = weakref.WeakSet()
"""SQLAlchemy's, of the connections to them."""


def write_ahead(url: str) -> None:
    """Have a SQLite file written with a write-ahead log by every connection that this process opens from here on.

    Without it SQLite waits for the disk some three times a commit, which takes most of the time of small ones. A power
    cut may take the last commits, never the file's consistency; what was committed outlives its process in any case.
    Libraries open their databases themselves, and make their tables at once, so that SQLAlchemy is asked to say when.
    On a network file system no second machine may have it open then. A database of another kind stays as it is.

    Args:
        url: the database's address.
    """
    import sqlalchemy

    file = sqlite_file(url)
    if file is None:
        return
    _files.add(os.path.realpath(file))
    if not sqlalchemy.event.contains(sqlalchemy.Engine, "connect", _set_up):
        sqlalchemy.event.listen(sqlalchemy.Engine, "connect", _set_up)
        atexit.register(close_files)


def close_files() -> None:
    """Close what this process has open of such files: the last who does puts the log into its file, and removes it."""
    for record in list(_records):
        with contextlib.suppress(Exception):  # another thread's own, or a disk that is full: the log is read again
            record.close()


def _set_up(connection: Any, record: Any) -> None:
    if not isinstance(connection, sqlite3.Connection):
        return
    places = connection.execute("PRAGMA database_list").fetchall()
    if not any(name == "main" and file and os.path.realpath(file) in _files for _, name, file in places):
        return
    _records.add(record)
    with contextlib.suppress(sqlite3.OperationalError):  # somebody holds it just now: the next connection asks again
        (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
        if mode == "wal":
            connection.execute("PRAGMA synchronous=NORMAL")
