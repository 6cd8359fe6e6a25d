"""Where MLflow keeps its runs, checked before a sweep starts, and what is done to its database by hand."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from urllib.parse import urlsplit

from engine.errors import InputError
from engine.orchestration.databases.addresses import check_sqlite, sqlite_file, sqlite_url
from engine.orchestration.databases.network_disks import network_file_system
from engine.orchestration.databases.servers import check_driver
from engine.orchestration.databases.write_ahead import write_ahead
from engine.redaction import hide_credentials
from engine.report.commands import TRACKING_SERVERS, is_server


def prepare_environment() -> None:
    """Keep MLflow quiet and quick to fail: an outage is the spool's matter, not a four-minute wait."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    os.environ.setdefault("PGCONNECT_TIMEOUT", "10")  # PostgreSQL's own library would wait for minutes
    for name in ("alembic", "urllib3.connectionpool"):  # the latter says each failed attempt, with its address
        logging.getLogger(name).setLevel(logging.ERROR)


def write_quickly(uri: str) -> None:
    """Have this process write a SQLite file of MLflow's with a write-ahead log, before it opens it.

    Making its tables takes MLflow a hundred commits, and each run some eight. On a network file system the file stays
    as it is: MLflow's pages may be served by another machine.
    """
    file = None if is_server(uri) else sqlite_file(uri)
    if file is not None and network_file_system(file.parent) is None:
        write_ahead(uri)


def tracking_uri(home: Path, given: str | None) -> str:
    """Return the MLflow tracking URI: the one that is given, or a database in the sweep's folder."""
    return given or sqlite_url(home.absolute() / "mlflow.db")


def artifact_folder(home: Path, uri: str) -> Path | None:
    """Return where artifacts go with a database; None for a tracking server, which has a place of its own."""
    return None if is_server(uri) else home.absolute() / "mlartifacts"


def check_tracking(uri: str, artifacts: Path | None) -> None:
    """Make sure that a tracking database can be written, before anything starts. A server may be away: it is not asked.

    Raises:
        InputError: the URI's kind is unknown, a server's address names none, or its folder cannot be written.
    """
    prepare_environment()
    scheme = uri.split(":", 1)[0]
    if scheme not in ("sqlite", "postgresql", "mysql", "mssql", *TRACKING_SERVERS) and "+" not in scheme:
        raise InputError(
            "tracking URI must be sqlite:///FILE, a database or http(s)://HOST, got "
            f"{hide_credentials(uri)!r} (no file store)"
        )
    if scheme in ("http", "https") and not _names_a_server(uri):
        raise InputError(f"a tracking server's address is like http://HOST:PORT, got {hide_credentials(uri)!r}")
    file = None if is_server(uri) else sqlite_file(uri)
    for folder in (file.parent if file is not None else None, artifacts):
        if folder is not None:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise InputError(f"tracking folder cannot be written: {folder} ({error.strerror})") from error
            if not os.access(folder, os.W_OK):
                raise InputError(f"tracking folder cannot be written: {folder}")
    if not is_server(uri):
        check_driver(uri)
        check_sqlite(uri, "MLflow")


def _names_a_server(address: str) -> bool:
    """Return whether an address has a host, and a port that can be one if it has any."""
    try:
        parsed = urlsplit(address)
        return bool(parsed.hostname) and parsed.port != 0
    except ValueError:  # brackets without an address in them, a port that is no number
        return False


def lies_beside(uri: str, artifacts: Path) -> bool:
    """Return whether a database is the file beside the artifacts' folder: both are of one home, and move with it."""
    file = sqlite_file(uri)
    return file is not None and os.path.realpath(file.parent) == os.path.realpath(artifacts.parent)


def keep_artifacts(uri: str, run: str, artifacts: Path) -> str:
    """Have a run's artifacts lie in a home's folder, and return its address: the experiment's is that of the home which
    came first.

    Args:
        uri: a database that several homes may share.
        run: the run's id.
        artifacts: where the home's artifacts lie.
    """
    place = f"{artifacts.absolute().as_uri()}/{run}/artifacts"
    _execute(uri, "UPDATE runs SET artifact_uri = :place WHERE run_uuid = :id", place=place, id=run)
    return place


def keep_model(uri: str, model: str, artifacts: Path) -> None:
    """Have a logged model lie in a home's folder, as ``keep_artifacts`` does with a run's."""
    place = f"{artifacts.absolute().as_uri()}/models/{model}/artifacts"
    _execute(uri, "UPDATE logged_models SET artifact_location = :place WHERE model_id = :id", place=place, id=model)


def _execute(uri: str, statement: str, **values: str) -> None:
    import sqlalchemy

    engine = sqlalchemy.create_engine(uri)
    try:
        with engine.begin() as connection:
            connection.execute(sqlalchemy.text(statement), values)
    finally:
        engine.dispose()


def follow_move(uri: str, experiment: str, artifacts: Path) -> None:
    """Have an experiment's artifacts lie in a folder: MLflow notes whole paths, which are old once a home was moved.

    Args:
        uri: the home's own database.
        experiment: the experiment's id.
        artifacts: where its artifacts lie now.
    """
    import sqlalchemy

    engine, new = sqlalchemy.create_engine(uri), artifacts.absolute().as_uri()
    try:
        with engine.begin() as connection:
            find = sqlalchemy.text("SELECT artifact_location FROM experiments WHERE experiment_id = :experiment")
            old = connection.execute(find, {"experiment": experiment}).scalar_one()
            if old == new:
                return
            moved = {"experiment": experiment, "new": new, "old": old, "n": len(old) + 1}
            for statement in (
                "UPDATE experiments SET artifact_location = :new WHERE experiment_id = :experiment",
                "UPDATE runs SET artifact_uri = :new || substr(artifact_uri, :n) "
                "WHERE experiment_id = :experiment AND substr(artifact_uri, 1, :n - 1) = :old",
                "UPDATE logged_models SET artifact_location = :new || substr(artifact_location, :n) "
                "WHERE experiment_id = :experiment AND substr(artifact_location, 1, :n - 1) = :old",
            ):
                used = {name: value for name, value in moved.items() if f":{name}" in statement}
                connection.execute(sqlalchemy.text(statement), used)
    finally:
        engine.dispose()
