"""The one writer to MLflow: a thread that turns spooled events into runs, in batches.

Training never waits for it. While the server is away, events stay on disk; after a crash they are read again, and runs
are found by their tags, so that nothing is lost and nothing doubles.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.errors import InputError
from engine.orchestration.tracking.spool import Spool

STUDY_TAG = "robustune.study"
SLOT_TAG = "robustune.slot"
SWEEP_SLOT = "sweep"
EXPERIMENT = "robustune"

_FLUSH_S = 2.0
_BACK_OFF_S = (2.0, 5.0, 15.0, 60.0)


def prepare_environment() -> None:
    """Keep MLflow quiet and quick to fail: an outage is the spool's matter, not a four-minute wait."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    logging.getLogger("alembic").setLevel(logging.ERROR)


class TrackingWriter:
    """Writes a study's events to MLflow.

    Args:
        uri: MLflow tracking URI.
        study: the study's name; with a slot it identifies a run.
        spool: where the events are.
        artifacts: folder of the artifacts for a database on this machine; None for a server, which has its own.

    Attributes:
        experiment: id of the MLflow experiment; "" until the first connection.
        last_error: why the last attempt failed; "" if it did not.
    """

    def __init__(self, uri: str, study: str, spool: Spool, *, artifacts: Path | None) -> None:
        self._uri = uri
        self._study = study
        self._spool = spool
        self._artifacts = artifacts
        self._client: Any = None
        self.experiment = ""
        self._runs: dict[str, str] = {}
        self._finished: set[str] = set()
        self._logged_steps: dict[str, set[int]] = {}
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._failures = 0
        self.last_error = ""
        self._thread = threading.Thread(target=self._loop, name="tracking", daemon=True)

    def start(self) -> None:
        """Begin to write in the background."""
        self._thread.start()

    def close(self, timeout_s: float) -> bool:
        """Write what is left, for a while; return whether everything was written."""
        self._closing.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        return not self._spool.pending()[0]

    def _loop(self) -> None:
        while True:
            self._wake.wait(_FLUSH_S if not self._failures else _BACK_OFF_S[min(self._failures, 4) - 1])
            self._wake.clear()
            closing = self._closing.is_set()
            try:
                self.flush()
                self._failures, self.last_error = 0, ""
            except Exception as error:
                self._failures += 1
                self.last_error = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
                logging.getLogger(__name__).debug("tracking failed", exc_info=True)
                self._client = None
            if closing and (not self._failures or self._failures > 2):
                return

    def flush(self) -> None:
        """Write all pending events.

        Raises:
            Exception: whatever MLflow raises; what was not written stays in the spool.
        """
        events, offset = self._spool.pending()
        if not events:
            if self._client is None:
                self._connect()
            return
        if self._client is None:
            self._connect()
        slots = _by_slot(events)
        of_sweep = slots.pop(SWEEP_SLOT, [])
        self._write_slot(SWEEP_SLOT, [event for event in of_sweep if event["event"] == "start"])  # the runs' parent
        for slot, own in slots.items():
            self._write_slot(slot, own)
        self._write_slot(SWEEP_SLOT, [event for event in of_sweep if event["event"] != "start"])
        self._spool.mark(offset)

    def _connect(self) -> None:
        """Connect, and find the runs that the study has already."""
        prepare_environment()
        from mlflow import MlflowClient

        client = MlflowClient(self._uri)
        experiment = client.get_experiment_by_name(EXPERIMENT)
        if experiment is None:
            location = self._artifacts.absolute().as_uri() if self._artifacts is not None else None
            self.experiment = client.create_experiment(EXPERIMENT, artifact_location=location)
        else:
            self.experiment = experiment.experiment_id
        self._runs, token = {}, None
        while True:
            query = f"tags.`{STUDY_TAG}` = '{self._study}'"
            page = client.search_runs([self.experiment], query, max_results=1000, page_token=token)
            for run in page:
                slot = run.data.tags.get(SLOT_TAG, "")
                self._runs[slot] = run.info.run_id
                if run.info.status == "FINISHED":
                    self._finished.add(slot)
                else:
                    self._finished.discard(slot)
                    self._logged_steps[slot] = _steps(client, run.info.run_id) if slot != SWEEP_SLOT else set()
            token = page.token
            if not token:
                break
        self._client = client

    def _write_slot(self, slot: str, events: list[dict[str, Any]]) -> None:
        """Write a run's events: its start, its epochs as one batch, its end."""
        if slot in self._finished and slot != SWEEP_SLOT:
            return  # read again after a crash
        from mlflow.entities import Metric, Param

        for event in events:
            if event["event"] == "start":
                self._open_run(slot, event)
                params = [Param(name, str(value)[:500]) for name, value in event["params"].items()]
                for first in range(0, len(params), 100):
                    self._client.log_batch(self._runs[slot], params=params[first : first + 100])
        if slot not in self._runs:
            return
        run = self._runs[slot]
        logged = self._logged_steps.setdefault(slot, set())
        metrics = []
        for event in events:
            if event["event"] == "metrics":
                for step, values in event["steps"]:
                    if step not in logged:
                        logged.add(step)
                        metrics += [Metric(name, value, event["time_ms"], step) for name, value in values.items()]
        for first in range(0, len(metrics), 1000):
            self._client.log_batch(run, metrics=metrics[first : first + 1000])
        for event in events:
            if event["event"] == "end":
                self._end_run(slot, event)

    def _open_run(self, slot: str, event: Mapping[str, Any]) -> None:
        tags = {STUDY_TAG: self._study, SLOT_TAG: slot, **event["tags"]}
        if slot != SWEEP_SLOT and SWEEP_SLOT in self._runs:
            tags["mlflow.parentRunId"] = self._runs[SWEEP_SLOT]
        if slot in self._runs:
            from mlflow.entities import RunTag

            self._client.update_run(self._runs[slot], status="RUNNING")
            self._client.log_batch(self._runs[slot], tags=[RunTag(name, str(value)) for name, value in tags.items()])
            return
        run = self._client.create_run(self.experiment, tags=tags, run_name=event["name"], start_time=event["time_ms"])
        self._runs[slot] = run.info.run_id

    def _end_run(self, slot: str, event: Mapping[str, Any]) -> None:
        from mlflow.entities import Metric, RunTag

        run, step = self._runs[slot], event.get("step", 0)
        metrics = [Metric(name, value, event["time_ms"], step) for name, value in event["metrics"].items()]
        tags = [RunTag(name, str(value)[:5000]) for name, value in event["tags"].items()]
        self._client.log_batch(run, metrics=metrics, tags=tags)
        for path, text in event.get("texts", {}).items():
            self._client.log_text(run, text, path)
        for path, figure in event.get("figures", {}).items():
            self._client.log_figure(run, draw(figure), path)
        self._client.set_terminated(run, status=event["status"], end_time=event["time_ms"])
        self._finished.add(slot)
        if slot == SWEEP_SLOT:
            self._end_leftovers()

    def _end_leftovers(self) -> None:
        """End runs of slots that a resumed sweep did not come back to."""
        for slot, run in self._runs.items():
            if slot not in self._finished:
                self._client.set_terminated(run, status="KILLED")
                self._finished.add(slot)


def draw(figure: Mapping[str, Any]) -> Any:
    """Return the figure that an event describes: {"kind": a function of ``figures``, and its arguments}."""
    from engine.orchestration.tracking import figures

    arguments = dict(figure)
    return getattr(figures, arguments.pop("kind"))(**arguments)


def check_tracking(uri: str, artifacts: Path | None) -> None:
    """Make sure that a tracking database can be written, before anything starts. A server may be away: it is not asked.

    Raises:
        InputError: the URI's kind is unknown, or its folder cannot be written.
    """
    prepare_environment()
    scheme = uri.split(":", 1)[0]
    if scheme not in ("sqlite", "postgresql", "mysql", "mssql", "http", "https", "databricks") and "+" not in scheme:
        raise InputError(
            f"tracking URI must be sqlite:///FILE, a database or http(s)://HOST, got {uri!r} (no file store)"
        )
    for folder in (Path(uri.removeprefix("sqlite:///")).parent if scheme == "sqlite" else None, artifacts):
        if folder is not None:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise InputError(f"tracking folder cannot be written: {folder} ({error.strerror})") from error
            if not os.access(folder, os.W_OK):
                raise InputError(f"tracking folder cannot be written: {folder}")


def now_ms() -> int:
    """Return the time as MLflow counts it."""
    return int(time.time() * 1000)


def _steps(client: Any, run: str) -> set[int]:
    return {metric.step for metric in client.get_metric_history(run, "probe/error")}


def _by_slot(events: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return the events of each slot, in order."""
    slots: dict[str, list[dict[str, Any]]] = {}
    for event in events:
        slots.setdefault(event["slot"], []).append(event)
    return slots
