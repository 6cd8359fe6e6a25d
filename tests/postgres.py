"""A PostgreSQL server for tests: in a folder of its own, on the loopback, as another user where this one is root."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

_PLACES = ("/usr/local/bin", "/usr/bin", "/usr/lib/postgresql", "/opt/homebrew/bin")
_OWNERS = ("postgres", "nobody")
"""Who may run it in root's place, which it refuses."""


class PostgresServer:
    """A server that answers while the block of ``postgres_server`` lasts.

    Args:
        folder: of its data.
        programs: where initdb and pg_ctl are.
        owner: the user that runs it; None for this one.
    """

    def __init__(self, folder: Path, programs: Path, owner: str | None) -> None:
        self._folder, self._programs, self._owner = folder, programs, owner
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]

    def run(self, program: str, *words: str) -> None:
        """Run one of PostgreSQL's programs to its end."""
        done = subprocess.run(
            [self._programs / program, *words],
            user=self._owner,
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # the server keeps it, and a pipe would never end
            stderr=subprocess.PIPE if program != "pg_ctl" else subprocess.DEVNULL,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
            check=False,
        )
        assert done.returncode == 0, f"{program} {words}: {done.stderr}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
        self.run("pg_ctl", "-D", "data", "-l", "log", "-w", "-o", options, "start")

    def stop(self) -> None:
        """Stop it at once: whoever is connected loses the connection."""
        self.run("pg_ctl", "-D", "data", "-m", "fast", "-w", "stop")

    def url(self, database: str, *, driver: str = "") -> str:
        """Return the address of one of its databases, as it is mostly written, or with a driver ("+psycopg2")."""
        return f"postgresql{driver}://robustune:secret@127.0.0.1:{self.port}/{database}"

    def create(self, database: str, *, driver: str = "") -> str:
        """Make an empty database; return its address."""
        self.ask(f"CREATE DATABASE {database}")
        return self.url(database, driver=driver)

    def ask(self, statement: str, database: str = "postgres") -> list[tuple]:
        """Return the rows of a statement."""
        import psycopg2

        connection = psycopg2.connect(self.url(database))
        connection.autocommit = True
        with contextlib.closing(connection), connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def end_connections(self, database: str) -> int:
        """End all connections to a database, as an administrator does; return how many there were."""
        found = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'"
        return len(self.ask(found))


def _programs() -> Path | None:
    """Return the folder that has initdb and pg_ctl, or None."""
    found = shutil.which("initdb")
    if found is not None and shutil.which("pg_ctl"):
        return Path(found).parent
    folders = [path for place in _PLACES for path in (Path(place), *sorted(Path(place).glob("*/bin"), reverse=True))]
    return next((folder for folder in folders if (folder / "initdb").exists() and (folder / "pg_ctl").exists()), None)


def _owner() -> str | None:
    """Return the user that has to run it; None for this one.

    Raises:
        KeyError: this one must not, and no other is known.
    """
    if os.geteuid() != 0:
        return None
    for name in _OWNERS:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise KeyError(f"no user {' or '.join(_OWNERS)}")


@contextlib.contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Run a server meanwhile; where there is none, the test is skipped."""
    pytest.importorskip("psycopg2", reason="needs the extra `postgres`")
    programs = _programs()
    if programs is None or sys.platform == "win32":
        pytest.skip("needs PostgreSQL's initdb and pg_ctl")
    try:
        owner = _owner()
    except KeyError as error:
        pytest.skip(f"PostgreSQL refuses to be run by root: {error}")
    folder = Path(tempfile.mkdtemp(prefix="robustune-postgres-"))
    try:
        (folder / "password").write_text("secret")
        if owner is not None:
            for path in (folder, folder / "password"):
                shutil.chown(path, owner)
        server = PostgresServer(folder, programs, owner)
        secured = ["-A", "scram-sha-256", "--pwfile", "password"]
        server.run("initdb", "-D", "data", "-U", "robustune", "-E", "UTF8", *secured)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
