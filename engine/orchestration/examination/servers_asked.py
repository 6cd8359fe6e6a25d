"""The store, the study's database and the tracking, asked from this machine."""

from __future__ import annotations

import contextlib
import http.client
import socket
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from engine.errors import InputError
from engine.orchestration.cluster.inspection import StoreMark, leave_mark
from engine.orchestration.databases.addresses import check_folder, check_sqlite, sqlite_file
from engine.orchestration.databases.network_disks import warning_of
from engine.orchestration.databases.servers import check_driver, connection_options
from engine.orchestration.examination.findings import Finding
from engine.redaction import hide_credentials
from engine.report.commands import is_server
from engine.store import Store, open_store
from engine.store.attempts import StoreFaultError

_ANSWER_S = 10.0
"""How long a tracking server may take to answer."""
_SLOW_S = 1.0
"""A look-up that takes longer is worth a word."""


def ask_store(place: str) -> tuple[list[Finding], Store | None, StoreMark | None]:
    """Return what is found of a store from here, the store, and what was left in it for other machines to see."""
    try:
        store = open_store(place)
        began = time.monotonic()
        mark = leave_mark(store, store.address)
        published_s = time.monotonic() - began
        began = time.monotonic()
        seen = store.look_at(mark.key) is not None
        looked_s = time.monotonic() - began
    except (InputError, StoreFaultError, OSError) as error:
        return [Finding("store", hide_credentials(str(error)), "make it writable, or name another --store")], None, None
    said = f"{hide_credentials(place)}: written in {published_s:.2f} s, looked up in {looked_s * 1000:.0f} ms"
    remedy = "" if seen else "what is written there is not seen at once on the same machine: use another store"
    if seen and looked_s > _SLOW_S:
        remedy = "each stage looks up several times: use a store that is nearer"
    return [Finding("store", said, remedy)], store, mark


def ask_database(what: str, url: str, of: str, home: Path) -> Finding:
    """Return what is found of a database.

    Args:
        what: what it keeps, for people.
        url: its address.
        of: whose it is to be, "Optuna" or "MLflow".
        home: the sweep's folder, which is made for it.
    """
    import sqlalchemy

    shown = hide_credentials(url)
    try:
        check_sqlite(url, of)
        check_driver(url)
        file = sqlite_file(url)
        if file is not None and file.absolute().parent != home.absolute():
            check_folder(url)
    except InputError as error:
        return Finding(what, str(error), "name another, or mend it as the sentence says")
    if file is not None:
        state = "a database" if file.exists() else "will be made"
        said = warning_of(url)
        return Finding(what, said or f"{shown}: {state}", "use PostgreSQL, or a disk of this machine" if said else "")
    engine = sqlalchemy.create_engine(url, **connection_options(url))
    try:
        began = time.monotonic()
        with engine.connect() as connection:
            connected_s = time.monotonic() - began
            may_make = (
                not engine.name.startswith("postgresql")
                or connection.execute(
                    sqlalchemy.text("SELECT has_schema_privilege(current_schema(), 'CREATE')")
                ).scalar_one_or_none()
            )
    except Exception as error:  # whatever its driver raises
        said = hide_credentials(str(getattr(error, "orig", None) or error)).strip().partition("\n")[0]
        return Finding(what, f"{shown}: {said}", "start it, or mend address, user and password")
    finally:
        engine.dispose()
    remedy = "" if may_make else "give its user the right to make tables (GRANT CREATE ON SCHEMA public TO …)"
    return Finding(what, f"{shown}: answers in {connected_s * 1000:.0f} ms", remedy)


def ask_tracking(url: str, home: Path) -> Finding:
    """Return what is found of MLflow's address; a server that is away costs no sweep anything but its runs' place."""
    if not is_server(url):
        return ask_database("tracking", url, "MLflow", home)
    if not has_address(url):
        return Finding("tracking", f"{hide_credentials(url)}: not asked, MLflow finds its host when it logs in")
    began = time.monotonic()
    try:
        parsed = urlsplit(url)
        plain = urlunsplit(
            parsed._replace(netloc=parsed.netloc.rpartition("@")[2], path=f"{parsed.path.rstrip('/')}/health")
        )
        with contextlib.closing(urllib.request.urlopen(plain, timeout=_ANSWER_S)):
            pass
    except urllib.error.HTTPError as error:
        remedy = "see that it is MLflow's, and that MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD let you in"
        return Finding("tracking", f"{hide_credentials(url)}: answers with {error.code}", remedy)
    except (OSError, ValueError, http.client.HTTPException) as error:  # the last: what answers does not speak HTTP
        said = hide_credentials(str(getattr(error, "reason", error)).strip())
        remedy = "start it, or mend the address; a sweep runs without it, and pipelines.sync writes its runs later"
        return Finding("tracking", f"{hide_credentials(url)}: {said}", remedy)
    return Finding("tracking", f"{hide_credentials(url)}: answers in {(time.monotonic() - began) * 1000:.0f} ms")


def has_address(url: str) -> bool:
    """Return whether a tracking server's host is in its address; that of Databricks is in a profile of the user's."""
    return url.startswith(("http://", "https://"))


def listens(url: str, timeout_s: float) -> bool:
    """Return whether something listens at a server's address, or that cannot be known within a moment."""
    try:
        parsed = urlsplit(url)
        port = parsed.port or (443 if parsed.scheme == "https" else 80)
        socket.create_connection((parsed.hostname or "", port), timeout=timeout_s).close()
    except TimeoutError:
        return True
    except (OSError, ValueError):  # ValueError: no name of a host, such as one with two dots in a row
        return False
    return True
