"""What the tracking hears of a sweep itself: its beginning, and its end with what there is to keep of it."""

from dataclasses import replace
from pathlib import Path

import pytest

from engine.orchestration.databases.patience import Patience
from engine.orchestration.tracking import Spool
from engine.orchestration.tracking.origin import Origin
from engine.orchestration.tracking.spool_owner import SpoolOwner, owner_of, spool_path
from engine.orchestration.tracking.sweep_tracking import SweepTracking
from engine.report.results import Results
from engine.store import Store
from engine.store.folder_store import FolderStore
from tests.engine.orchestration.spaces import SPACE
from tests.engine.report.small_study import RESULTS

NOTHING = replace(RESULTS, trials=())


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return FolderStore(tmp_path / "store")


def make(home: Path, tracker: str = "mlflow") -> SweepTracking:
    return SweepTracking(
        "tiny", SPACE, home, SpoolOwner(tracker), baseline=None, patience=Patience(), origin=Origin("a test", "abc123")
    )


def events(home: Path) -> list[dict]:
    return Spool(spool_path(home, "tiny")).pending()[0]


def test_the_beginning_says_what_is_explored_and_whose_the_events_are(tmp_path: Path) -> None:
    make(tmp_path, "mine").begin({"n_trials": 4}, ())
    (begun,) = events(tmp_path)
    assert (begun["event"], begun["slot"], begun["name"]) == ("start", "sweep", "tiny")
    assert begun["params"] == {"space": SPACE.name, "data": SPACE.base.data.name, "n_trials": 4}
    assert begun["tags"]["git_commit"] == "abc123"
    assert {axis.setting for axis in SPACE.axes} <= set(begun["varied"])
    assert owner_of(spool_path(tmp_path, "tiny")) == SpoolOwner("mine")


@pytest.mark.parametrize(
    ("results", "status", "said"),
    [(RESULTS, "FINISHED", "FINISHED"), (RESULTS, "KILLED", "KILLED"), (NOTHING, "FINISHED", "FAILED")],
    ids=["all done", "some left", "nothing complete"],
)
def test_the_end_says_how_it_ended(tmp_path: Path, store: Store, results: Results, status: str, said: str) -> None:
    make(tmp_path).end(results, status, {"run": 3}, {"answer.txt": "all is well"}, store)
    (ended,) = events(tmp_path)
    assert ended["status"] == said
    assert ended["metrics"]["stages/run"] == 3.0
    assert ended["texts"] == {"answer.txt": "all is well"}
    assert bool(ended["figures"]) is bool(results.trials)


@pytest.mark.parametrize(("tracker", "why"), [("mlflow", "InputError"), ("mine", "")])
def test_a_winner_whose_weights_are_gone_is_why_there_is_no_network(
    tmp_path: Path, store: Store, tracker: str, why: str
) -> None:
    """No tracker but MLflow keeps one."""
    winner = replace(RESULTS.with_state("COMPLETE")[0], slot="winner/0")
    results = replace(RESULTS, trials=(*RESULTS.trials, winner))
    make(tmp_path, tracker).end(results, "FINISHED", {}, {}, store)
    (ended,) = events(tmp_path)
    assert "network" not in ended
    assert why in ended["tags"].get("network", "")
    assert bool(ended["tags"]) is bool(why)


def test_what_waits_is_said_with_the_command_that_writes_it(tmp_path: Path) -> None:
    tracking = make(tmp_path)
    assert tracking.close() == ""
    tracking.begin({}, ())
    said = tracking.close()
    assert said.startswith(f"tracking is behind (slow): 1 events wait in {spool_path(tmp_path, 'tiny')}; once")
    assert f"pipelines.sync --home {tmp_path}" in said
    assert tracking.experiment == ""
