"""Databases that are servers: the package that speaks to one, and connections that notice when they were lost."""

from __future__ import annotations

from typing import Any

from engine.errors import InputError, unknown_name
from engine.orchestration.databases.addresses import sqlite_file
from engine.redaction import hide_credentials

_KINDS = ("sqlite", "postgresql", "mysql", "mariadb", "mssql", "oracle")
_EXTRAS = {"psycopg": "postgres", "psycopg2": "postgres"}
"""{package: the project's extra that has it}."""
_LIBPQ = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
"""Seconds (the last one: milliseconds) after which PostgreSQL's own library gives up a server that answers no more;
left alone it waits for minutes to connect, and for a quarter of an hour on a connection that it has."""
_OF_LIBPQ = ("psycopg2", "psycopg")


def check_driver(url: str) -> None:
    """Check that a database's address is of a kind that there is, and that the package which speaks to it is installed.

    Raises:
        InputError: it is not.
    """
    if sqlite_file(url) is not None:
        return
    from sqlalchemy import make_url
    from sqlalchemy.exc import NoSuchModuleError

    parsed = make_url(url)
    kind = parsed.drivername.partition("+")[0]
    try:
        parsed.get_dialect().import_dbapi()
    except NoSuchModuleError:
        wrong = f"no package speaks to {kind} as {parsed.drivername!r}, leave out what follows '+'"
        if kind not in _KINDS:
            wrong = str(unknown_name("kind of database", kind, _KINDS))
        raise InputError(f"database {hide_credentials(url)}: {wrong}") from None
    except ImportError as error:
        package = str(error.name or parsed.get_driver_name())
        extra = f": pip install 'robustune[{_EXTRAS[package]}]'" if package in _EXTRAS else ""
        missing = f"needs the package {package!r}, which is not installed{extra}"
        raise InputError(f"database {hide_credentials(url)} {missing}") from error


def connection_options(url: str) -> dict[str, Any]:
    """Return how SQLAlchemy is to connect: a connection that a server has dropped is replaced before it is used.

    What the address itself says of timeouts stays.
    """
    if sqlite_file(url) is not None:
        return {}
    from sqlalchemy import make_url

    parsed = make_url(url)
    options: dict[str, Any] = {"pool_pre_ping": True}
    if parsed.get_driver_name() in _OF_LIBPQ:
        options["connect_args"] = {name: value for name, value in _LIBPQ.items() if name not in parsed.query}
    return options
