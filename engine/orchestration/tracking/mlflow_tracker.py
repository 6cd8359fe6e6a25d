"""The tracker MLflow: a run for a sweep, below it one for each group of trials, below that one for each trial.

Runs are found again by their tags, so that nothing doubles that is written again after a crash.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from engine.digest import digest
from engine.orchestration.tracking.mlflow_database import (
    artifact_folder,
    check_tracking,
    follow_move,
    keep_artifacts,
    keep_model,
    lies_beside,
    prepare_environment,
    tracking_uri,
    write_quickly,
)
from engine.orchestration.tracking.mlflow_pages import (
    KIND,
    KIND_TAG,
    answer_view,
    dataset_inputs,
    page_tags,
    trials_view,
    view_tag,
)
from engine.orchestration.tracking.run_files import folder_of, write_files
from engine.orchestration.tracking.spool_writer import describe_error
from engine.orchestration.tracking.tracker_kinds import (
    SWEEP,
    Event,
    TrackerRequest,
    group_of,
    is_group,
    register_tracker,
)
from engine.result_names import Metric, Tag, View

EXPERIMENT = "robustune"
NAME = "mlflow"
"""The tracker's name."""

_AT_ONCE = {"params": 100, "metrics": 800, "tags": 100}
"""What MLflow takes in one request: 1,000 things in all."""
_LONGEST = {"params": 6000, "tags": 8000}
"""Letters that MLflow takes of a value."""
_REFUSALS = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST")
"""Codes of errors that come again however often the same thing is sent."""
_PASSING = ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED")
"""Codes of errors that pass; those of a server that is away among them."""


class MlflowWriter:
    """Writes a study's events to MLflow.

    Args:
        uri: MLflow tracking URI.
        study: the study's name; with what is run it identifies one of its runs.
        artifacts: folder of the artifacts for a database; None for a tracking server, which has its own.
        home: the sweep's folder, where the network lies that is logged; None where none is.
    """

    def __init__(self, uri: str, study: str, *, artifacts: Path | None, home: Path | None = None) -> None:
        self._home = home
        self._uri = uri
        self._study = study
        self._artifacts = artifacts
        self._client: Any = None
        self._experiment = ""
        self._runs: dict[str, str] = {}
        self._places: dict[str, str] = {}
        self._params: dict[str, dict[str, str]] = {}
        self._finished: set[str] = set()
        self._logged_steps: dict[str, set[int]] = {}
        self._views: dict[str, str] = {}
        self._cells: dict[str, str] = {}

    def connect(self) -> str:
        """Connect, unless that was done already; return the id of the experiment.

        Raises:
            Exception: whatever MLflow raises.
        """
        if self._client is None:
            self._connect()
        return self._experiment

    def drop(self) -> None:
        """Forget the connection: what the server has is looked up again at the next one."""
        self._client = None

    def prepare_end(self, *, with_network: bool) -> None:
        """Import what figures take and, where one is to be kept, a network: seconds each."""
        import engine.figures.of_runs  # noqa: F401

        if with_network:
            from engine.orchestration.tracking.mlflow_model import prepare

            prepare()

    def write(self, events: Sequence[Event]) -> None:
        """Write events.

        Raises:
            Exception: whatever MLflow raises.
        """
        runs = _by_run(events)
        of_sweep = runs.pop(SWEEP, [])
        self._write_run(SWEEP, [event for event in of_sweep if event["event"] == "start"])  # the runs' parent
        for planned, own in runs.items():
            self._write_run(planned, own)
        self._write_run(SWEEP, [event for event in of_sweep if event["event"] != "start"])

    def _connect(self) -> None:
        """Connect, and find the runs that the study has already."""
        prepare_environment()
        write_quickly(self._uri)
        from mlflow import MlflowClient

        client = MlflowClient(self._uri)
        experiment = client.get_experiment_by_name(EXPERIMENT)
        if experiment is None:
            location = self._artifacts.absolute().as_uri() if self._artifacts is not None else None
            self._experiment = client.create_experiment(EXPERIMENT, artifact_location=location)
            client.set_experiment_tag(self._experiment, KIND_TAG, KIND)
        else:
            self._experiment = experiment.experiment_id
            if KIND_TAG not in experiment.tags:  # whoever has chosen another keeps it
                client.set_experiment_tag(self._experiment, KIND_TAG, KIND)
            self._views = dict(experiment.tags)
            if self._artifacts is not None and lies_beside(self._uri, self._artifacts):
                follow_move(self._uri, self._experiment, self._artifacts)
        self._runs, token = {}, None
        while True:
            query = f"tags.`{Tag.STUDY}` = '{self._study}'"
            page = client.search_runs([self._experiment], query, max_results=1000, page_token=token)
            for run in page:
                planned = run.data.tags.get(Tag.SLOT, "")
                self._runs[planned] = run.info.run_id
                self._places[run.info.run_id] = run.info.artifact_uri
                self._params[planned] = dict(run.data.params)
                if run.info.status == "FINISHED":
                    self._finished.add(planned)
                else:
                    self._finished.discard(planned)
                    self._logged_steps[planned] = set() if _comes_again(planned) else _steps(client, run.info.run_id)
            token = page.token
            if not token:
                break
        self._client = client

    def _write_run(self, planned: str, events: Sequence[Event]) -> None:
        """Write a run's events: its start, then everything that it is told as one batch, then its end."""
        if not events or (planned in self._finished and not _comes_again(planned)):
            return  # the latter are read again after a crash
        from mlflow.entities import Metric, Param, RunTag

        batch: dict[str, list[Any]] = {"params": [], "metrics": [], "tags": []}
        for event in events:
            if event["event"] == "start":
                values = {name: shortened(str(value), _LONGEST["params"]) for name, value in event["params"].items()}
                known = self._params.get(planned, {})
                if planned != SWEEP and any(known.get(name, value) != value for name, value in values.items()):
                    self._retire(planned)
                self._open_run(planned, event)
                known = self._params.setdefault(planned, {})  # MLflow changes none: a resumed sweep's number of trials
                if "varied" in event:
                    self._store_view(self._runs[planned], View.TRIALS, trials_view(self._study, event["varied"]))
                batch["params"] += [Param(name, value) for name, value in values.items() if name not in known]
                known |= values
        if planned not in self._runs:  # its start was written elsewhere: to another server, or to one that forgot
            self._open_run(planned, {"name": planned, "tags": {}, "time_ms": events[0]["time_ms"]})
        logged = self._logged_steps.setdefault(planned, set())
        for event in events:
            if event["event"] == "metrics":
                for step, values in event["steps"]:
                    if step not in logged:
                        logged.add(step)
                        batch["metrics"] += [Metric(name, one, event["time_ms"], step) for name, one in values.items()]
            elif event["event"] == "end":
                values, step = event["metrics"], event.get("step", 0)
                batch["metrics"] += [Metric(name, value, event["time_ms"], step) for name, value in values.items()]
                tags = {name: shortened(str(value), _LONGEST["tags"]) for name, value in event["tags"].items()}
                batch["tags"] += [RunTag(name, value) for name, value in tags.items()]
        self._log(self._runs[planned], batch)
        for event in events:
            if event["event"] == "end":
                self._end_run(planned, event)

    def _log(self, run: str, batch: Mapping[str, list[Any]]) -> None:
        """Log a batch, in parts of what a server takes at once."""
        n_parts = max(-(-len(values) // _AT_ONCE[kind]) for kind, values in batch.items())
        for part in range(n_parts):
            some = {kind: values[part * _AT_ONCE[kind] : (part + 1) * _AT_ONCE[kind]] for kind, values in batch.items()}
            self._log_or_set_aside(run, some)

    def _log_or_set_aside(self, run: str, batch: Mapping[str, list[Any]]) -> None:
        """Log a batch; of one that is refused, all that is not refused by itself. A tag names what the run lacks."""
        from mlflow.exceptions import MlflowException

        try:
            self._client.log_batch(run, **batch)
        except MlflowException as error:
            if error.error_code not in _REFUSALS:
                raise
            entries = [(kind, entry) for kind, entries in batch.items() for entry in entries]
            if len(entries) > 1:
                for kind, entry in entries:
                    self._log_or_set_aside(run, {kind: [entry]})
                return
            [(kind, entry)] = entries
            self._note_refused(run, f"{kind} {entry.key}: {describe_error(error)}")

    def _retire(self, planned: str) -> None:
        """End the run of an interrupted trial in whose place the search has proposed another."""
        run = self._runs.pop(planned)
        self._client.set_tag(run, Tag.SLOT, f"{planned} (interrupted, then proposed anew)")
        self._client.set_terminated(run, status="KILLED")
        for known in (self._params, self._logged_steps):
            known.pop(planned, None)

    def _open_run(self, planned: str, event: Mapping[str, Any]) -> None:
        tags = {Tag.STUDY: self._study, Tag.SLOT: planned}
        tags |= {name: str(value) for name, value in event["tags"].items()}  # a server takes nothing else
        tags |= page_tags(event["tags"])
        parent = self._runs.get(event.get("parent", SWEEP)) or self._runs.get(SWEEP)
        if planned != SWEEP and parent is not None:
            tags["mlflow.parentRunId"] = parent
        if planned in self._runs:
            from mlflow.entities import RunTag

            self._client.update_run(self._runs[planned], status="RUNNING")
            self._client.log_batch(self._runs[planned], tags=[RunTag(name, str(value)) for name, value in tags.items()])
            self._log_data(self._runs[planned], event)
            return
        run = self._client.create_run(self._experiment, tags=tags, run_name=event["name"], start_time=event["time_ms"])
        self._runs[planned] = run.info.run_id
        self._places[run.info.run_id] = run.info.artifact_uri
        self._log_data(run.info.run_id, event)

    def _log_data(self, run: str, event: Mapping[str, Any]) -> None:
        if event.get("data"):
            inputs = dataset_inputs(event["data"])
            self._unless_refused(run, "data sets", lambda: self._client.log_inputs(run, inputs))

    def _store_view(self, run: str, view: str, text: str) -> None:
        """Keep a table of the study's runs beside them, where it is another than the one there."""
        tag = view_tag(View.key(self._study, view))
        if self._views.get(tag) != text:
            self._views[tag] = text
            self._unless_refused(
                run, f"view {view}", lambda: self._client.set_experiment_tag(self._experiment, tag, text)
            )

    def _unless_refused(self, run: str, what: str, call: Callable[[], object]) -> None:
        """Do what an older server may not know; a tag names what the run lacks."""
        from mlflow.exceptions import MlflowException

        try:
            call()
        except MlflowException as error:
            if error.error_code in _PASSING:
                raise
            self._note_refused(run, f"{what}: {describe_error(error)}")

    def _note_refused(self, run: str, refused: str) -> None:
        known = self._client.get_run(run).data.tags.get(Tag.REFUSED, "")
        if refused not in known:
            self._client.set_tag(run, Tag.REFUSED, shortened(f"{known}\n{refused}" if known else refused, 5000))

    def _end_run(self, planned: str, event: Mapping[str, Any]) -> None:
        run = self._runs[planned]
        texts, figures = event.get("texts", {}), event.get("figures", {})
        if texts or figures:
            self._keep_files(run, texts, figures)
        if event.get("network"):
            self._log_network(run, event["network"])
        self._client.set_terminated(run, status=event["status"], end_time=event["time_ms"])
        self._finished.add(planned)
        if any(name.startswith(Tag.error("")) for name in event["tags"]):
            for name, cell in event["tags"].items():  # a group may have a column that others lack
                self._cells[name] = max(self._cells.get(name, ""), cell, key=len)
            self._store_view(run, View.ANSWER, answer_view(self._study, self._cells))
        if planned == SWEEP:
            self._end_leftovers()

    def _keep_files(self, run: str, texts: Mapping[str, str], figures: Mapping[str, Any]) -> None:
        """Write a run's files: at once to where they belong, or by way of MLflow where that is a server's matter."""
        place = None
        if self._artifacts is not None and lies_beside(self._uri, self._artifacts):
            place = folder_of(self._places[run])
        elif self._artifacts is not None:
            place = folder_of(keep_artifacts(self._uri, run, self._artifacts))
        if place is not None:
            write_files(place, texts, figures)
            return
        with TemporaryDirectory(prefix="robustune-") as folder:  # all at once: each call asks for the run first
            write_files(Path(folder), texts, figures)
            self._client.log_artifacts(run, folder)

    def _log_network(self, run: str, network: Mapping[str, str]) -> None:
        """Log a network as a model of its group's run, or, of a proposal, of its own, and of the sweep's."""
        from mlflow.exceptions import MlflowException

        planned, purpose = network["slot"], network["slot"].partition("/")[0]
        own = self._runs.get(planned if purpose == "proposal" else group_of(planned))
        assert self._home is not None
        try:
            from engine.orchestration.tracking.mlflow_model import log_network  # here: torch is slow to import

            folder = self._home / network["folder"]
            runs = [run] if own is None else [own, run]
            log_network(self._client, self._experiment, runs, folder, settle=self._settle_model)
        except Exception as error:  # of a user's network the exporter says what it likes
            if isinstance(error, OSError) or (isinstance(error, MlflowException) and error.error_code in _PASSING):
                raise
            self._note_refused(run, f"network: {describe_error(error)}")

    def _settle_model(self, model: str) -> None:
        if self._artifacts is not None and not lies_beside(self._uri, self._artifacts):
            keep_model(self._uri, model, self._artifacts)

    def _end_leftovers(self) -> None:
        """End runs that a resumed sweep did not come back to."""
        for planned, run in self._runs.items():
            if planned not in self._finished:
                self._client.set_terminated(run, status="KILLED")
                self._finished.add(planned)


def _check(given: TrackerRequest) -> None:
    uri = tracking_uri(given.home, given.uri)
    check_tracking(uri, artifact_folder(given.home, uri))


@register_tracker(NAME, "a run for each trial below one for the sweep, in a database or on a server", check=_check)
def make_mlflow_writer(given: TrackerRequest) -> MlflowWriter:
    """Return what writes a study's events to MLflow."""
    uri = tracking_uri(given.home, given.uri)
    return MlflowWriter(uri, given.study, artifacts=artifact_folder(given.home, uri), home=given.home)


def shortened(text: str, most: int) -> str:
    """Return a text, or its beginning and a digest of it all: two that differ never look the same.

    Args:
        text: the text.
        most: letters that there may be, ≥ 40.
    """
    if len(text) <= most:
        return text
    end = f"… ({len(text)} letters, digest {digest(text)[:12]})"
    return text[: most - len(end)] + end


def _comes_again(planned: str) -> bool:
    """Return whether a run may be told its end more than once: a resumed sweep's, and a group's that grows."""
    return planned == SWEEP or is_group(planned)


def _steps(client: Any, run: str) -> set[int]:
    probes = (Metric.PROBE, Metric.OTHER_PROBE)
    return {metric.step for name in probes for metric in client.get_metric_history(run, name)}


def _by_run(events: Sequence[Event]) -> dict[str, list[Event]]:
    """Return the events of each run, in order."""
    runs: dict[str, list[Event]] = {}
    for event in events:
        runs.setdefault(event["slot"], []).append(event)
    return runs
