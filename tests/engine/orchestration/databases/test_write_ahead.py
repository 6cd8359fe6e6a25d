"""SQLite files that libraries open themselves get a write-ahead log, from their first table on, and no others do."""

import sqlite3
import subprocess
import sys
from contextlib import closing

import sqlalchemy

from engine.orchestration.databases.write_ahead import write_ahead


def mode_and_waiting(url: str) -> tuple[str, int]:
    engine = sqlalchemy.create_engine(url)
    try:
        with engine.connect() as connection:
            asked = [connection.exec_driver_sql(f"PRAGMA {what}").scalar() for what in ("journal_mode", "synchronous")]
    finally:
        engine.dispose()
    return str(asked[0]), int(asked[1])


def test_a_file_gets_its_log_whoever_opens_it_in_this_process(tmp_path) -> None:
    ours, other = (f"sqlite:///{tmp_path / name}" for name in ("ours.db", "other.db"))
    write_ahead(ours)
    write_ahead("postgresql://host/name")
    assert mode_and_waiting(ours) == ("wal", 1)
    assert mode_and_waiting(other) == ("delete", 2)
    write_ahead(other)
    assert mode_and_waiting(other) == ("wal", 1)


def test_a_file_that_is_held_stays_as_safe_as_it_was(tmp_path) -> None:
    """Without the log, a file that is written without waiting for the disk could be damaged by a power cut."""
    url = f"sqlite:///{tmp_path / 'held.db'}"
    write_ahead(url)
    with closing(sqlite3.connect(tmp_path / "held.db", isolation_level=None)) as holder:
        holder.execute("CREATE TABLE t (x)")
        holder.execute("BEGIN IMMEDIATE")
        engine = sqlalchemy.create_engine(url, connect_args={"timeout": 0})
        with engine.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        engine.dispose()
    assert mode_and_waiting(url) == ("wal", 1)


def test_whoever_leaves_at_once_leaves_a_file_that_is_whole_by_itself(tmp_path) -> None:
    """A copy of the file alone would lack what is still in the log beside it."""
    program = (
        "from engine.leaving import leaving_with, prepare_to_leave; prepare_to_leave(); import sqlalchemy;"
        "from engine.orchestration.databases.write_ahead import write_ahead; import sys;"
        "write_ahead(sys.argv[1]); connection = sqlalchemy.create_engine(sys.argv[1]).connect();"
        "connection.exec_driver_sql('CREATE TABLE t (x)'); connection.commit(); print('said');"
        "sys.exit(leaving_with(3))"
    )
    command = [sys.executable, "-c", program, f"sqlite:///{tmp_path / 'left.db'}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (3, "said\n", "")
    assert [path.name for path in tmp_path.iterdir()] == ["left.db"]
    with closing(sqlite3.connect(tmp_path / "left.db")) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchone() == ("t",)
