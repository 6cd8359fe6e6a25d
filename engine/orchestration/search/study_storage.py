"""Optuna's storage of studies: opened, with its tables made, and SQLite with a write-ahead log."""

from __future__ import annotations

import time

import sqlalchemy
from optuna.storages import BaseStorage, RDBStorage

from engine.orchestration.databases.servers import connection_options
from engine.orchestration.databases.write_ahead import write_ahead
from engine.orchestration.search.optuna_internals import STUDIES_TABLE

_LOOK_AGAIN_S = (0.1, 0.2, 0.4, 0.8, 1.6)
"""Pauses in which another program finishes the tables that it makes in the same empty database."""


def open_storage(url: str, *, to_write: bool = True) -> BaseStorage:
    """Return Optuna's storage at a URL.

    SQLite gets a write-ahead log, with which those who read, such as optuna-dashboard, do not hold up those who write.
    A server's connections are looked at before they are used, see ``connection_options``.

    Raises:
        Exception: whatever the database's driver raises when it cannot be used.
    """
    if to_write:
        write_ahead(url)
    return _tables_made(url)


def _tables_made(url: str) -> RDBStorage:
    """Return the storage with its tables, whoever else makes them at this moment.

    Of two programs that open an empty database together (two sweeps, a sweep and its dashboard), one finds that a table
    or a row which it was about to make is there already; when it looks again it finds all that the other one made.
    """
    for pause_s in _LOOK_AGAIN_S:
        try:
            return RDBStorage(url, engine_kwargs=connection_options(url))
        except sqlalchemy.exc.DBAPIError as error:
            if not (isinstance(error, sqlalchemy.exc.IntegrityError) or "already exists" in str(error.orig)):
                raise
            time.sleep(pause_s)
    return RDBStorage(url, engine_kwargs=connection_options(url))


def holds_studies(url: str) -> bool:
    """Return whether Optuna's tables are in a database; it is not changed.

    Raises:
        Exception: whatever the database's driver raises when it cannot be used.
    """
    engine = sqlalchemy.create_engine(url, **connection_options(url))
    try:
        return sqlalchemy.inspect(engine).has_table(STUDIES_TABLE)
    finally:
        engine.dispose()
