"""Commands for a person to go on with after a sweep."""

from __future__ import annotations

import shlex
import socket
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote, urlsplit

from engine.redaction import hide_credentials
from engine.report.results import Results
from engine.result_names import Metric, Tag
from engine.store.places import place_of

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def sync_command(home: Path, tracking: str | None, tracker: str, imports: Sequence[str]) -> str:
    """Return the command that writes what the tracking server did not take.

    Args:
        home: the sweep's folder.
        tracking: the address of the tracking; None if it is the folder's own.
        tracker: its kind; MLflow needs no word.
        imports: the user's modules, one of which may register it.
    """
    words = ["python", "-m", "pipelines.sync", "--home", str(home)]
    if tracking is not None:
        words += ["--tracking-uri", hide_credentials(tracking)]
    if tracker != "mlflow":
        words += ["--tracker", tracker, *(["--import", *imports] if imports else [])]
    return shlex.join(words)


def export_command(results: Results, home: Path, *, storage: str | None, store: Path | None) -> str:
    """Return the command that writes the winner's network into a folder; "" without a complete proposal.

    Args:
        results: of the sweep.
        home: the sweep's folder.
        storage: address of its study; None if it is the folder's own.
        store: place of its store; None if it is the folder's own.
    """
    if results.best() is None:
        return ""
    words = ["python", "-m", "pipelines.export", *_whereabouts(results, home, storage, store)]
    return shlex.join([*words, "--output", f"{results.study}-network"])


def page_command(
    results: Results, home: Path, *, storage: str | None, store: Path | None, output: str | None = None
) -> str:
    """Return the command that writes the report's page, as of ``export_command``; to a file if one is named."""
    words = ["python", "-m", "pipelines.report", *_whereabouts(results, home, storage, store), "--format", "page"]
    return shlex.join([*words, "--output", output or f"{results.study}.html"])


def _whereabouts(results: Results, home: Path, storage: str | None, store: Path | None) -> list[str]:
    words = ["--home", str(home), "--study", results.study]
    words += [] if storage is None else ["--storage", hide_credentials(storage)]
    return words + ([] if store is None else ["--store", hide_credentials(place_of(store))])


def watching_commands(*, storage: str, tracking: str | None) -> list[str]:
    """Return how to watch a sweep on a cluster from one's own machine: all that listens does so on the head alone.

    Args:
        storage: address of its study.
        tracking: address of its runs in MLflow; None if they are elsewhere.
    """
    commands = [f"  optuna-dashboard {shlex.quote(hide_credentials(storage))} --port 8080"]
    ports = [("8080", "optuna-dashboard")]
    if tracking is not None:
        server = tracking.startswith("http")
        if not server:
            shown = shlex.quote(hide_credentials(tracking))
            commands.insert(0, f"  mlflow ui --backend-store-uri {shown} --port 5000")
        if not server or urlsplit(tracking).hostname in _LOOPBACK:
            port = urlsplit(tracking).port or 80 if server else 5000
            ports.insert(0, (str(port), "MLflow"))
    forwards = " ".join(f"-L {port}:127.0.0.1:{port}" for port, _ in ports)
    opened = ", ".join(f"{name} at http://127.0.0.1:{port}" for port, name in ports)
    if tracking is not None and len(ports) == 1:
        opened = f"MLflow at {hide_credentials(tracking)}, {opened}"
    forwarded = " ".join(f"--port-forward {port}" for port, _ in ports)
    return [
        "to watch it, on this machine, unless they run already:",
        *commands,
        f"and on your own: ray exec CLUSTER.yaml {forwarded} 'sleep infinity'",
        f"  or: ssh -N {forwards} USER@{socket.gethostname()}; then {opened}",
    ]


def view_commands(results: Results, *, storage: str, tracking: str | None) -> list[str]:
    """Return the commands that open MLflow and optuna-dashboard, and the address of the trials side by side.

    Args:
        results: of the sweep.
        storage: address of its study.
        tracking: address of its runs in MLflow; None if they are elsewhere.
    """
    dashboard = f"optuna-dashboard {shlex.quote(hide_credentials(storage))} --port 8080"
    if tracking is None:
        return [dashboard]
    tracking = hide_credentials(tracking)
    server = tracking if tracking.startswith("http") else "http://127.0.0.1:5000"
    commands = []
    if server != tracking:
        commands.append(f"mlflow ui --backend-store-uri {shlex.quote(tracking)} --port 5000")
    if results.experiment:
        query = f"tags.`{Tag.STUDY}` = '{results.study}' and tags.`{Tag.PURPOSE}` != ''"
        order = f"orderByKey=metrics.%60{Metric.OBJECTIVE}%60&orderByAsc=true"
        page = f"{server}/#/experiments/{results.experiment}/runs?searchFilter={quote(query)}&{order}"
        commands.append(f"  trials side by side: {page}")
    return [*commands, dashboard]
