import json
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from engine.store import Store
from engine.store import size_limit as module
from engine.store.folder_store import FolderStore
from engine.store.holders import Holder
from engine.store.leases import sweep_lease
from engine.store.leftovers import tree_bytes
from engine.store.size_limit import SizeLimit, living_on

KEYS = [letter * 32 for letter in "abcdef"]
MAX_GB = 4e-6
"""Four kilobytes: three of the artifacts, and a little."""


@pytest.fixture
def store(tmp_path) -> Store:
    store = Store(tmp_path / "store")
    for key in KEYS:
        publish(store, key)
    return store


def publish(store: Store, key: str) -> None:
    with store.attempt(key) as attempt:
        attempt.write_json("filling", "x" * 900)
        store.publish(attempt, {"history": [], "spec": {"stage": "pretrain"}})


@pytest.fixture
def said() -> list[str]:
    return []


def make_limit(store: Store, said: list[str], needed=(), max_gb: float = MAX_GB, lease: str = "none"):
    return SizeLimit(store, max_gb, needed=lambda: needed, lease=lease, say=said.append)


def test_a_store_that_is_small_enough_is_left_alone(store, said):
    limit = make_limit(store, said, max_gb=tree_bytes(store.root) / 1e9)
    limit.check()
    limit.close()
    assert list(store.keys()) == KEYS
    assert said == []


def test_a_store_that_is_too_large_is_cleaned_up_and_that_is_said_at_the_end(store, said):
    limit = make_limit(store, said, needed=KEYS[:1])
    limit.check()
    assert KEYS[0] in list(store.keys())
    assert tree_bytes(store.root) <= module.LOW * MAX_GB * 1e9
    assert said == []
    n_removed = len(KEYS) - len(list(store.keys()))
    limit.close()
    (sentence,) = said
    assert sentence.startswith(f"the store was kept below 4e-06 GB: {n_removed} artifacts (")


def test_what_is_needed_stays_and_that_is_said_once(store, said):
    with sweep_lease(store.root, "mine", KEYS) as lease:
        limit = make_limit(store, said, needed=KEYS, lease=lease.name)
        for _ in range(3):
            limit.check()
        limit.close()
    assert list(store.keys()) == KEYS
    (sentence,) = said
    assert sentence.startswith("the store stays larger than --store-max-gb 4e-06: ")
    assert sentence.endswith("are needed by the live sweeps (mine); they go on")


def test_a_sweep_that_begins_removes_the_leases_of_the_dead(store, said):
    folder = store.root / "leases" / "sweeps"
    folder.mkdir(parents=True)
    holder = replace(Holder.this_process(), born="1")
    (folder / f"{holder.token}.json").write_text(json.dumps({"holder": asdict(holder), "note": {}}))
    living = living_on(store, "mine", lambda: KEYS, max_gb=None, say=said.append)
    with sweep_lease(store.root, "other", []) as other, living:
        assert other.path.exists()
        assert len(list(folder.iterdir())) == 2
    assert list(folder.iterdir()) == []


def test_a_disk_that_refuses_is_said_once_and_ends_nothing(store, said, monkeypatch):
    def refuse(self, target):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "rename", refuse)
    limit = make_limit(store, said)
    for _ in range(2):
        limit.check()
    limit.close()
    (sentence,) = said
    assert sentence.startswith("the store cannot be cleaned up: the store failed while removing aaaa")
    assert "Read-only file system" in sentence


def test_it_looks_again_and_again_until_it_is_closed(store, said, monkeypatch):
    monkeypatch.setattr(module, "CHECK_S", 0.01)
    limit = make_limit(store, said)
    limit.start()
    for key in ("1" * 32, "2" * 32):
        until_small(store)
        for other in "3456":
            publish(store, key[:31] + other)
    until_small(store)
    limit.close()
    for key in KEYS:
        publish(store, key)
    time.sleep(0.1)
    assert tree_bytes(store.root) > MAX_GB * 1e9


def until_small(store: Store) -> None:
    end = time.monotonic() + 30
    while tree_bytes(store.root) > MAX_GB * 1e9:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_after_a_look_it_rests_for_longer_than_that_took(store, said, monkeypatch):
    looks = []

    def look_slowly(store: Store) -> int:
        looks.append(time.monotonic())
        time.sleep(0.05)
        return 0

    monkeypatch.setattr(module, "CHECK_S", 0.001)
    monkeypatch.setattr(FolderStore, "n_bytes", look_slowly)
    limit = make_limit(store, said)
    limit.start()
    end = time.monotonic() + 30
    while len(looks) < 2:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert looks[1] - looks[0] > 0.05 * module.REST
    limit.close()
