"""Commands for a person to go on with after a sweep."""

from __future__ import annotations

import shlex
import shutil
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from engine.explanation import set_words
from engine.redaction import hide_credentials
from engine.report.results import Results
from engine.report.trial_results import TrialResult
from engine.result_names import View
from engine.settings import TrialConfig
from engine.store.places import place_of

DASHBOARD_ARTIFACTS = "dashboard"
"""Folder in the sweep's home that has the pictures of optuna-dashboard."""
TRACKING_SERVERS = ("http", "https", "databricks")
"""The kinds of addresses behind which a tracking server keeps runs and artifacts."""
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def typed(program: str) -> str:
    """Return how a program of this environment is called in the shell that the command was given in.

    That is its name where the environment is active, or has no such program; else its file, since the shell would find
    another one by that name, or none.
    """
    own = Path(sys.executable).parent / program
    found = shutil.which(program)
    if not own.exists() or (found is not None and Path(found).parent.samefile(own.parent)):
        return program
    return str(own.relative_to(Path.cwd()) if own.is_relative_to(Path.cwd()) else own)


def sync_command(home: Path, tracking: str | None, tracker: str, imports: Sequence[str]) -> str:
    """Return the command that writes what the tracking server did not take.

    Args:
        home: the sweep's folder.
        tracking: the address of the tracking; None if it is the folder's own.
        tracker: its kind; MLflow needs no word.
        imports: the user's modules, one of which may register it.
    """
    words = [typed("python"), "-m", "pipelines.sync", "--home", str(home)]
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
    words = [typed("python"), "-m", "pipelines.export", *_whereabouts(results, home, storage, store)]
    return shlex.join([*words, "--output", f"{results.study}-network"])


def page_command(
    results: Results, home: Path, *, storage: str | None, store: Path | None, output: str | None = None
) -> str:
    """Return the command that writes the report's page, as of ``export_command``; to a file if one is named."""
    words = ["python", "-m", "pipelines.report", *_whereabouts(results, home, storage, store), "--format", "page"]
    return shlex.join([*words, "--output", output or f"{results.study}.html"])


def network_command(name: str, results: Results, trial: TrialResult, words: Sequence[str] = ()) -> str:
    """Return the command of a name for the network of a trial, told by its seed and settings.

    Args:
        name: of the command.
        results: of the trial's study.
        trial: whose network it is.
        words: that come before the settings.
    """
    config, plain = results.space.config(trial.settings, seed=trial.seed).flat(), TrialConfig().flat()
    settings = {path: value for path, value in config.items() if path != "seed" and value != plain.get(path)}
    always = ["python", "-m", f"pipelines.{name}", *words, "--seed", str(trial.seed)]
    return f"{shlex.join(always)} {set_words(settings)}" if settings else shlex.join(always)


def store_words(home: Path, store: Path | None) -> tuple[str, ...]:
    """Return the words by which a command finds the artifacts of a sweep."""
    return ("--home", str(home), *(() if store is None else ("--store", hide_credentials(place_of(store)))))


def _whereabouts(results: Results, home: Path, storage: str | None, store: Path | None) -> list[str]:
    words = ["--home", str(home), "--study", results.study]
    words += [] if storage is None else ["--storage", hide_credentials(storage)]
    return words + ([] if store is None else ["--store", hide_credentials(place_of(store))])


def dashboard_command(storage: str, home: Path) -> str:
    """Return the command that opens optuna-dashboard, with the pictures that the sweep has made for it."""
    words = [hide_credentials(storage), "--artifact-dir", str(home / DASHBOARD_ARTIFACTS), "--port", "8080"]
    return shlex.join([typed("optuna-dashboard"), *words])


def _mlflow_ui(tracking: str) -> str:
    return shlex.join([typed("mlflow"), "ui", "--backend-store-uri", tracking, "--port", "5000"])


def is_server(tracking: str) -> bool:
    """Return whether an address of MLflow's is a tracking server's, or Databricks', and not a database's."""
    return tracking.split(":", 1)[0] in TRACKING_SERVERS


def watching_commands(*, storage: str, tracking: str | None, home: Path) -> list[str]:
    """Return how to watch a sweep on a cluster from one's own machine: all that listens does so on the head alone.

    Args:
        storage: address of its study.
        tracking: address of its runs in MLflow; None if they are elsewhere.
        home: the sweep's folder.
    """
    commands = [f"  {dashboard_command(storage, home)}"]
    ports = [("8080", "optuna-dashboard")]
    if tracking is not None:
        server = is_server(tracking)
        if not server:
            commands.insert(0, f"  {_mlflow_ui(hide_credentials(tracking))}")
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


def view_commands(results: Results, *, storage: str, tracking: str | None, home: Path) -> list[str]:
    """Return the commands that open MLflow and optuna-dashboard, and the addresses of the study's tables in MLflow.

    Args:
        results: of the sweep.
        storage: address of its study.
        tracking: address of its runs in MLflow; None if they are elsewhere.
        home: the sweep's folder.
    """
    dashboard = dashboard_command(storage, home)
    if tracking is None:
        return [dashboard]
    tracking = hide_credentials(tracking)
    if is_server(tracking) and not tracking.startswith("http"):  # its pages have addresses that nobody here knows
        return [f"MLflow: study {results.study} in the workspace of {tracking}", dashboard]
    server = tracking if is_server(tracking) else "http://127.0.0.1:5000"
    commands = []
    if server != tracking:
        commands.append(_mlflow_ui(tracking))
    if results.experiment:
        page = f"{server.rstrip('/')}/#/experiments/{results.experiment}/runs?workflowType=machine_learning"
        for what, view in (("arms", View.ANSWER), ("trials", View.TRIALS)):
            commands.append(f"  {what} side by side: {page}&viewStateShareKey={View.key(results.study, view)}")
    return [*commands, dashboard]
