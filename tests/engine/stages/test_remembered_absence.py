"""Two machines on a network file system that remembers what was not there: what is done is never taken for absent."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from engine.stages import MissingInputError, StageSpec, find_whole, obtain_stage
from engine.stages.runner import find_anew
from engine.store import Store
from tests.engine.orchestration import counting_stage
from tests.engine.orchestration.disks import remembering

CPU = torch.device("cpu")
pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[tuple[Store, Store]]:
    """The store as the machine sees it that has its disk, and as another one does."""
    here = Store(tmp_path / "store")
    with remembering(here.root, tmp_path / "mount") as mount:
        yield here, Store(mount)


def make_spec(folder: Path, name: str, **inputs: str) -> StageSpec:
    folder.mkdir(exist_ok=True)
    settings = {"folder": str(folder), "epochs": 1, "epoch_s": 0.0, "name": name}
    return StageSpec(counting_stage.counting.__name__, 1, settings, inputs, "0" * 32, 0, {"device": "cpu"})


def compute(spec: StageSpec, store: Store, **options) -> str:
    return obtain_stage(spec, store, lambda key: None, device=CPU, **options)[1]


def test_an_artifact_that_was_looked_for_too_early_is_seen_when_it_is_looked_for_anew(machines, tmp_path) -> None:
    here, there = machines
    spec = make_spec(tmp_path / "count", "a")
    assert there.find(spec.key) is None
    compute(spec, here)
    assert there.find(spec.key) is None, "the file system of this test remembers nothing"
    assert find_anew(there, spec.key) is not None


def test_to_look_anew_for_what_is_not_there_leaves_nothing(machines, tmp_path) -> None:
    here, there = machines
    key = make_spec(tmp_path / "count", "a").key
    assert find_anew(there, key) is None
    assert list((here.root / "artifacts").rglob("*")) == []
    there.look_anew(key)
    there.artifact_folder(key).mkdir(parents=True)  # as a process leaves it that is killed while it looks
    assert find_whole(here, key) is None
    assert not (here.root / "quarantine").exists(), "nothing in it was corrupt"


def test_a_stage_that_another_machine_has_just_finished_is_not_computed_again(machines, tmp_path) -> None:
    here, there = machines
    spec = make_spec(tmp_path / "count", "a")
    assert find_whole(there, spec.key) is None
    compute(spec, here)
    assert compute(spec, there) == "elsewhere"
    assert len(list((tmp_path / "count").glob("start-*"))) == 1


def test_an_input_that_another_machine_has_just_finished_is_found(machines, tmp_path) -> None:
    here, there = machines
    first = make_spec(tmp_path / "count", "first")
    assert find_whole(there, first.key) is None
    compute(first, here)
    assert compute(make_spec(tmp_path / "count", "next", first=first.key), there) == "computed"


def test_an_input_that_is_known_to_be_done_and_may_be_there_is_waited_for(tmp_path, monkeypatch) -> None:
    store = Store(tmp_path / "store")
    monkeypatch.setattr(store, "look_anew", lambda key: True)  # as where this machine may not write
    first = make_spec(tmp_path / "count", "first")
    later = make_spec(tmp_path / "count", "later", first=first.key)
    timer = threading.Timer(1.0, compute, (first, Store(store.root)))
    timer.start()
    assert compute(later, store, recent={first.key: 20.0}) == "computed"
    timer.join()


@pytest.mark.parametrize("damage", ["cleaned up", "corrupt"])
def test_an_input_that_is_gone_is_missing_at_once_however_late_it_was_done(tmp_path, damage: str) -> None:
    store = Store(tmp_path / "store")
    first = make_spec(tmp_path / "count", "first")
    compute(first, store)
    if damage == "cleaned up":
        store.remove(first.key)
    else:
        (store.artifact_folder(first.key) / "errors.json").write_text("{}")
    began = time.monotonic()
    with pytest.raises(MissingInputError, match="not in the store"):
        compute(make_spec(tmp_path / "count", "later", first=first.key), store, recent={first.key: 20.0})
    assert time.monotonic() - began < 10
