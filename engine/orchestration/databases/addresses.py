"""Addresses of databases, and what can be said of one before it is used."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

from engine.errors import InputError
from engine.redaction import hide_credentials

_MARKS = {
    "Optuna": {"studies": {"study_id", "study_name"}, "version_info": {"schema_version"}},
    "MLflow": {"experiments": {"experiment_id", "artifact_location"}, "runs": {"run_uuid"}},
}
"""{program: {table: columns of it}} by which its databases are known."""


def sqlite_url(path: Path) -> str:
    """Return the address of a SQLite file, as SQLAlchemy, Optuna and MLflow read it.

    Raises:
        InputError: the path has a "?" or something like "%41" in it, which an address would read as something else.
    """
    from sqlalchemy import make_url

    url = f"sqlite:///{path}"
    if make_url(url).database != str(path):
        raise InputError(
            f"a database cannot lie at {path}: in its address '?' would end the path, and '%' with two hexadecimal "
            "digits be read as a letter; choose another folder"
        )
    return url


def sqlite_file(url: str) -> Path | None:
    """Return the file of a SQLite address; None for a database of another kind.

    Raises:
        InputError: it is not an address, or one of a database in memory, which nobody else would see.
    """
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise InputError(
            f"a database's address is like sqlite:///FILE or postgresql://HOST/NAME, got {hide_credentials(url)!r}"
        ) from None
    if not parsed.drivername.startswith("sqlite"):
        return None
    if parsed.database in (None, "", ":memory:"):
        raise InputError(f"a database in memory cannot be shared: give a file, as sqlite:///FILE, got {url!r}")
    return Path(str(parsed.database))


def check_sqlite(url: str, of: str, *, must_exist: bool = False) -> None:
    """Check that the file of a SQLite address, if there is one, is a whole database; other kinds are not asked.

    Args:
        url: the address.
        of: whose database it is to be, "Optuna" or "MLflow".
        must_exist: whether the file must be there.

    Raises:
        InputError: it is damaged, something else than a database, another program's, unreadable, or missing.
    """
    file = sqlite_file(url)
    if file is None:
        return
    if not file.is_file():
        if file.exists():
            raise InputError(f"no database: {file} is not a file")
        if must_exist:
            raise InputError(f"no database: {file} does not exist; `--home` (or `--storage`) says where a study is")
        return
    try:
        with contextlib.closing(sqlite3.connect(f"file:{quote(str(file))}?mode=rw", uri=True)) as connection:
            [found] = connection.execute("PRAGMA quick_check(1)").fetchone()
            columns = _columns(connection) if found == "ok" else {}
    except sqlite3.OperationalError as error:
        if "locked" in str(error):  # whoever holds it will let it go: writes wait for that
            return
        raise InputError(f"database cannot be opened: {file} ({error})") from None
    except sqlite3.DatabaseError as error:
        found, columns = str(error), {}
    if columns and not _is_of(of, columns):
        raise InputError(
            f"database {file} is another program's, not {of}'s: it has the tables {', '.join(sorted(columns)[:5])}"
            f"{' and others' if len(columns) > 5 else ''}; name another file"
        )
    if found != "ok":
        raise InputError(
            f"database is damaged, or no database: {file} ({found}); restore it, or move it out of the way"
        )


def check_folder(url: str) -> None:
    """Check that the file of a SQLite address can be written: the folder that it lies in is not made for it.

    Raises:
        InputError: the folder is missing, is a file, or nobody may write into it.
    """
    file = sqlite_file(url)
    if file is None:
        return
    if not file.parent.is_dir():
        raise InputError(f"no folder for the database {file}: make {file.parent.absolute()} first, or name another")
    if not os.access(file.parent, os.W_OK):
        raise InputError(f"database {file} cannot be written: its folder cannot")


def _columns(connection: sqlite3.Connection) -> dict[str, set[str]]:
    """Return {table: its columns} of a database."""
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    found = "SELECT name FROM pragma_table_info(?)"
    return {table: {name for (name,) in connection.execute(found, (table,))} for (table,) in tables}


def _is_of(program: str, columns: dict[str, set[str]]) -> bool:
    """Return whether a database can be a program's; one whose making was interrupted lacks tables."""
    known = {table: wanted for table, wanted in _MARKS[program].items() if table in columns}
    return bool(known) and all(wanted <= columns[table] for table, wanted in known.items())


def is_same_database(url: str, other: str) -> bool:
    """Return whether two addresses lead to one database, whatever driver and user they name."""
    from sqlalchemy import make_url

    file, other_file = sqlite_file(url), sqlite_file(other)
    if file is not None or other_file is not None:
        return file is not None and other_file is not None and os.path.realpath(file) == os.path.realpath(other_file)
    one, two = make_url(url), make_url(other)
    kinds = [parsed.drivername.partition("+")[0] for parsed in (one, two)]
    return (kinds[0], one.host, one.port, one.database) == (kinds[1], two.host, two.port, two.database)
