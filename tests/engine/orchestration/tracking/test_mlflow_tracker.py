import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from engine.errors import InputError
from engine.orchestration.tracking import MlflowWriter, Spool, SpoolWriter, TrackingEvents, spool_writer
from engine.orchestration.tracking.mlflow_database import check_tracking, prepare_environment
from engine.orchestration.tracking.mlflow_tracker import EXPERIMENT
from engine.orchestration.tracking.spool_writer import describe_error

ERRORS = {
    "objective": 0.25,
    "validation": {"clean": 0.1, "corrupted": []},
    "test": {
        "clean": 0.125,
        "tuned_distortion": None,
        "corrupted": [
            {"corruption": "gaussian_noise", "severity": 1, "error": 0.2},
            {"corruption": "gaussian_noise", "severity": 2, "error": 0.4},
        ],
    },
}
RANKING = {"conv1": {"points": [3, 0, 9], "order": [2, 0, 1], "rule": "borda", "n_images": 5}}


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """One folder for the module: making MLflow's tables takes seconds."""
    return tmp_path_factory.mktemp("tracking")


class Setup:
    def __init__(self, home: Path, study: str) -> None:
        self.uri = f"sqlite:///{home / 'mlflow.db'}"
        self.study = study
        self.home = home
        self.spool = Spool(home / f"{study}.jsonl")
        self.tracker = TrackingEvents(self.spool)

    def writer(self, uri: str | None = None) -> SpoolWriter:
        writer = MlflowWriter(uri or self.uri, self.study, artifacts=self.home / "mlartifacts")
        return SpoolWriter(writer, self.spool)

    def runs(self) -> dict[str, Any]:
        prepare_environment()
        from mlflow import MlflowClient

        client = MlflowClient(self.uri)
        experiment = client.get_experiment_by_name(EXPERIMENT)
        assert experiment is not None
        found = client.search_runs([experiment.experiment_id], f"tags.`robustune.study` = '{self.study}'")
        slots = [run.data.tags["robustune.slot"] for run in found]
        assert len(slots) == len(set(slots)), "a slot has two runs"
        return dict(zip(slots, found, strict=True))

    def steps(self, run: Any) -> list[int]:
        from mlflow import MlflowClient

        history = MlflowClient(self.uri).get_metric_history(run.info.run_id, "probe/error")
        return sorted(metric.step for metric in history)

    def start(self) -> None:
        self.tracker.start_sweep(self.study, {"space": "tiny"}, {"git_commit": "abc"})
        self.tracker.start_trial("proposal/0", 3, {"push_pull.h": 2.0}, {"stage.pretrain": "k1"})

    def epochs(self, *steps: int) -> None:
        self.tracker.epochs("proposal/0", [{"step": s, "probe_error": 1 / s, "loss": 1.0, "stage": "x"} for s in steps])

    def end(self) -> None:
        tags = {"state": "COMPLETE"}
        self.tracker.end_trial(
            "proposal/0", "FINISHED", tags=tags, step=3, errors=ERRORS, rankings=RANKING, filters={"conv1": [2]}
        )
        self.tracker.end_sweep("FINISHED", {"best_objective": 0.25}, {"answer.txt": "42"}, {})


def test_a_trial_is_a_child_run_with_everything_a_person_compares(home: Path) -> None:
    setup = Setup(home, "whole")
    setup.start()
    setup.epochs(1, 2)
    setup.epochs(3)
    setup.end()
    setup.writer().flush()
    runs = setup.runs()
    parent, child = runs["sweep"], runs["proposal/0"]
    assert (parent.info.status, child.info.status) == ("FINISHED", "FINISHED")
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert child.data.tags["stage.pretrain"] == "k1"
    assert child.data.params == {"push_pull.h": "2.0"}
    assert child.data.metrics["objective"] == 0.25
    assert child.data.metrics["test/gaussian_noise"] == pytest.approx(0.3)
    assert child.data.metrics["severity/gaussian_noise/2"] == 0.4
    assert setup.steps(child) == [1, 2, 3]
    artifacts = Path(child.info.artifact_uri.removeprefix("file://"))
    assert {path.name for path in artifacts.rglob("*.png")} == {
        "error_by_severity.png",
        "error_heat_map.png",
        "filter_ranking.png",
    }
    assert Path(parent.info.artifact_uri.removeprefix("file://"), "answer.txt").read_text() == "42"
    assert setup.spool.pending()[0] == []
    with closing(sqlite3.connect(home / "mlflow.db")) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert not list((home / "mlartifacts").rglob(".*"))


def test_an_interrupted_run_is_found_again_and_nothing_doubles(home: Path) -> None:
    setup = Setup(home, "interrupted")
    setup.start()
    setup.epochs(1, 2)
    setup.writer().flush()
    assert setup.runs()["proposal/0"].info.status == "RUNNING"
    setup.start()
    setup.epochs(1, 2, 3)
    setup.end()
    setup.writer().flush()
    runs = setup.runs()
    assert len(runs) == 2
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    assert setup.steps(runs["proposal/0"]) == [1, 2, 3]


def test_events_that_were_written_but_not_marked_do_not_double(home: Path) -> None:
    setup = Setup(home, "unmarked")
    setup.start()
    setup.epochs(1, 2)
    setup.end()
    before = setup.spool.pending()[0]
    setup.writer().flush()
    Spool(setup.spool.path).mark(0)
    setup.spool = Spool(setup.spool.path)
    assert setup.spool.pending()[0] == before
    setup.writer().flush()
    assert setup.steps(setup.runs()["proposal/0"]) == [1, 2]


def test_runs_that_a_resumed_sweep_did_not_come_back_to_are_ended(home: Path) -> None:
    setup = Setup(home, "leftover")
    setup.start()
    setup.tracker.start_trial("proposal/9", 9, {}, {})
    setup.end()
    setup.writer().flush()
    assert setup.runs()["proposal/9"].info.status == "KILLED"


def test_a_resumed_sweep_with_another_number_of_trials_goes_on(home: Path) -> None:
    setup = Setup(home, "extended")
    setup.tracker.start_sweep("extended", {"n_trials": 36}, {})
    setup.writer().flush()
    setup.tracker.start_sweep("extended", {"n_trials": 24, "slots": 2}, {})
    setup.end()
    setup.writer().flush()
    sweep = setup.runs()["sweep"]
    assert sweep.info.status == "FINISHED"
    assert sweep.data.params == {"n_trials": "36", "slots": "2"}


def test_an_interrupted_trial_that_is_proposed_anew_gets_a_run_of_its_own(home: Path) -> None:
    setup = Setup(home, "anew")
    setup.start()
    setup.epochs(1, 2)
    setup.writer().flush()
    setup.tracker.start_trial("proposal/0", 4, {"push_pull.h": 3.0}, {})
    setup.epochs(1)
    setup.end()
    setup.writer().flush()
    runs = setup.runs()
    assert runs["proposal/0"].data.params == {"push_pull.h": "3.0"}
    assert setup.steps(runs["proposal/0"]) == [1]
    assert runs["proposal/0 (interrupted, then proposed anew)"].info.status == "KILLED"
    assert len(runs) == 3


def test_an_outage_keeps_the_events_for_later(home: Path) -> None:
    setup = Setup(home, "outage")
    setup.start()
    setup.end()
    away = setup.writer("http://127.0.0.1:9")
    with pytest.raises(Exception, match=r"127\.0\.0\.1"):
        away.flush()
    assert len(setup.spool.pending()[0]) == 4
    setup.writer().flush()
    assert setup.runs()["proposal/0"].info.status == "FINISHED"


@pytest.mark.parametrize("uri", ["file:///tmp/mlruns", "./mlruns", "nonsense"])
def test_tracking_uris_that_cannot_work_are_refused(uri: str) -> None:
    with pytest.raises(InputError, match="tracking URI must be sqlite:///FILE"):
        check_tracking(uri, None)


@pytest.mark.parametrize("uri", ["http://", "https:///mlflow", "http://:5000", "http:host", "http://host:port"])
def test_a_tracking_server_without_a_host_is_refused(uri: str) -> None:
    with pytest.raises(InputError, match="a tracking server's address is like http://HOST:PORT, got"):
        check_tracking(uri, None)
    check_tracking("http://host/mlflow", None)


def test_a_tracking_folder_that_cannot_be_made_is_refused() -> None:
    with pytest.raises(InputError, match="tracking folder cannot be written: /proc/x"):
        check_tracking("sqlite:////proc/x/mlflow.db", None)


def test_events_whose_start_was_written_elsewhere_are_not_lost(home: Path) -> None:
    setup = Setup(home, "elsewhere")
    setup.start()
    setup.spool.mark(setup.spool.pending()[1])
    setup.epochs(1, 2)
    setup.end()
    setup.writer().flush()
    runs = setup.runs()
    assert set(runs) == {"proposal/0", "sweep"}
    assert setup.steps(runs["proposal/0"]) == [1, 2]
    assert {run.info.status for run in runs.values()} == {"FINISHED"}


def test_batches_come_to_the_same_as_one_write(home: Path, monkeypatch) -> None:
    monkeypatch.setattr(spool_writer, "_BATCH", 1)
    setup = Setup(home, "batches")
    setup.start()
    setup.epochs(1)
    setup.epochs(2)
    setup.end()
    assert setup.writer().flush() == 6
    runs = setup.runs()
    assert setup.steps(runs["proposal/0"]) == [1, 2]
    assert runs["proposal/0"].data.tags["mlflow.parentRunId"] == runs["sweep"].info.run_id
    assert {run.info.status for run in runs.values()} == {"FINISHED"}


def test_what_mlflow_refuses_is_named_on_the_run_and_holds_up_nothing(home: Path) -> None:
    setup = Setup(home, "refused")
    setup.tracker.start_sweep("refused", {"space": "tiny", "bad,name": 1}, {})
    setup.start()
    setup.epochs(1)
    setup.tracker.end_sweep("FINISHED", {"fine": 0.5, "bad,metric": 0.25}, {}, {})
    assert setup.writer().flush() == 5
    assert setup.spool.n_waiting() == 0
    sweep = setup.runs()["sweep"]
    assert sweep.data.params["space"] == "tiny"
    assert sweep.data.metrics == {"fine": 0.5}
    assert sweep.info.status == "FINISHED"
    refused = sweep.data.tags["robustune.refused"]
    assert "params bad,name" in refused
    assert "metrics bad,metric" in refused
    assert setup.steps(setup.runs()["proposal/0"]) == [1]


def test_long_settings_that_differ_look_different(home: Path) -> None:
    setup, long = Setup(home, "long"), "layer1.0.conv1," * 500
    setup.tracker.start_sweep("long", {}, {})
    for number, end in enumerate("ab"):
        setup.tracker.start_trial(f"arm/{end}/0", number, {"finetune.layers": long + end, "short": "x" * 600}, {})
    setup.writer().flush()
    runs = setup.runs()
    found = [runs[f"arm/{end}/0"].data.params for end in "ab"]
    assert found[0]["finetune.layers"] != found[1]["finetune.layers"]
    assert found[0]["finetune.layers"].startswith(long[:5000])
    assert found[0]["short"] == "x" * 600


def test_a_home_that_was_moved_keeps_its_artifacts_together(tmp_path: Path) -> None:
    setup = Setup(tmp_path / "before", "moved")
    setup.start()
    setup.end()
    setup.writer().flush()
    (tmp_path / "before").rename(tmp_path / "after")
    moved = Setup(tmp_path / "after", "moved")
    moved.tracker.start_trial("arm/plain/0", 4, {}, {})
    moved.tracker.end_trial("arm/plain/0", "FINISHED", tags={}, step=1, errors=ERRORS)
    moved.writer().flush()
    assert not (tmp_path / "before").exists(), "something was written to the old place"
    from mlflow import MlflowClient

    for slot, run in moved.runs().items():
        found = MlflowClient(moved.uri).list_artifacts(run.info.run_id)
        assert "errors.csv" in [file.path for file in found] or slot == "sweep"
        assert run.info.artifact_uri.startswith((tmp_path / "after" / "mlartifacts").as_uri())


def test_homes_that_share_a_database_keep_their_artifacts_each(tmp_path: Path) -> None:
    """As in PostgreSQL, or a SQLite file elsewhere: no home's artifacts are moved, or lost, by another's."""
    uri = f"sqlite:///{tmp_path / 'shared.db'}"
    setups = [Setup(tmp_path / name, name) for name in ("one", "two")]
    for setup in setups:
        setup.uri = uri
        setup.start()
        setup.end()
        setup.writer().flush()
    from mlflow import MlflowClient

    for setup in setups:
        for run in setup.runs().values():
            assert run.info.artifact_uri.startswith((setup.home / "mlartifacts").as_uri())
            assert MlflowClient(uri).list_artifacts(run.info.run_id)
        assert len(list((setup.home / "mlartifacts").rglob("errors.csv"))) == 1


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ValueError("short\nsecond line"), "ValueError: short"),
        (ValueError("<urllib3.connection.HTTPConnection object at 0x7f12>: Failed to connect"), "Failed to connect"),
        (ValueError("x" * 1000), "…"),
        (KeyError(), "KeyError"),
    ],
)
def test_an_error_is_told_in_a_short_line(error: Exception, sentence: str) -> None:
    found = describe_error(error)
    assert sentence in found
    assert "\n" not in found
    assert "0x7f12" not in found
    assert len(found) < 200


def test_of_an_error_with_a_cause_the_cause_is_told() -> None:
    def fail() -> None:
        try:
            raise ConnectionRefusedError(111, "Connection refused")
        except OSError as cause:
            raise RuntimeError("HTTPConnectionPool(host='127.0.0.1', port=5000): Max retries " + "x" * 400) from cause

    with pytest.raises(RuntimeError) as raised:
        fail()
    assert describe_error(raised.value) == "RuntimeError: [Errno 111] Connection refused"


def test_steps_of_another_trial_s_probe_do_not_double_either(home: Path) -> None:
    setup = Setup(home, "others")
    record = {"probe_error": 0.5, "loss": 1.0, "own_watch": False}
    for steps in ((1, 2), (1, 2, 3)):
        setup.start()
        setup.tracker.epochs("proposal/0", [{"step": step, **record} for step in steps])
        setup.writer().flush()
    from mlflow import MlflowClient

    run = setup.runs()["proposal/0"].info.run_id
    history = MlflowClient(setup.uri).get_metric_history(run, "other_probe/error")
    assert sorted(metric.step for metric in history) == [1, 2, 3]
