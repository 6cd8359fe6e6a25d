"""Processes that publish, look for, damage, put aside and remove one artifact at the same time."""

import contextlib
import multiprocessing
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.stages import find_whole
from engine.store import CorruptArtifactError, Store
from engine.store.artifact import MANIFEST, why_corrupt
from engine.store.cleaning import clean

KEY = "0123456789abcdef" * 2
CONTENT = list(range(3000))
SECONDS = 1.0
PROCESSES = multiprocessing.get_context("fork")


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store")


def publish(store: Store, key: str = KEY) -> None:
    with store.attempt(key) as attempt:
        attempt.write_json("content", CONTENT)
        store.publish(attempt, {"history": [{"epoch": 1}], "spec": {"stage": "pretrain"}, "seconds": 1.0})


def look(store: Store) -> bool:
    """Return whether the artifact is there, and whole."""
    artifact = find_whole(store, KEY)
    if artifact is None:
        return False
    assert artifact.history == [{"epoch": 1}]
    with contextlib.suppress(CorruptArtifactError):  # removed in this moment
        assert artifact.json("content") == CONTENT
    return True


def damage(store: Store) -> None:
    """Write nonsense over the manifest of what is there, if anything is."""
    with contextlib.suppress(OSError), (store.artifact_folder(KEY) / MANIFEST).open("r+") as file:
        file.truncate()
        file.write("[1]")
    time.sleep(0.003)


def clean_up(store: Store) -> None:
    clean(store, 0)


def quarantine(store: Store) -> None:
    store.quarantine(KEY)


def at_once(store: Store, *doings: Callable[[Store], object]) -> None:
    """Do each in a process of its own, again and again for a while; show what any of them raises."""

    def repeat(doing: Callable[[Store], object], place: int) -> None:
        report = store.root.parent / f"report-{place}"
        n_done, end = 0, time.monotonic() + SECONDS
        try:
            while time.monotonic() < end:
                doing(store)
                n_done += 1
            report.write_text("" if n_done > 5 else f"{doing.__name__} was done {n_done} times only")
        except BaseException:
            report.write_text(traceback.format_exc())

    processes = [PROCESSES.Process(target=repeat, args=(doing, place)) for place, doing in enumerate(doings)]
    for process in processes:
        process.start()
    for place, process in enumerate(processes):
        process.join(60)
        report = (store.root.parent / f"report-{place}").read_text()
        if report:
            pytest.fail(report)


def remains(store: Store, kind: str) -> list[Path]:
    folder = store.root / kind
    return [path for path in folder.iterdir() if path.is_dir()] if folder.exists() else []


def test_of_processes_that_publish_the_same_key_a_reader_sees_one_artifact_that_stays(store):
    keys = [f"{number:032x}" for number in range(200)]
    barrier = PROCESSES.Barrier(4)

    def publish_all() -> None:
        for key in keys:
            barrier.wait(30)
            publish(store, key)

    def follow_all() -> None:
        for key in keys:
            barrier.wait(30)
            found = None
            while found is None:
                found = store.find(key)
            identity = found.folder.stat().st_ino
            for _ in range(3):
                found.verify()
                assert store.find(key).folder.stat().st_ino == identity

    processes = [PROCESSES.Process(target=doing) for doing in (publish_all, publish_all, publish_all, follow_all)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0, 0, 0]
    assert remains(store, "attempts") == remains(store, "quarantine") == []


def test_what_is_published_while_others_put_it_aside_stays(store):
    publish(store)

    def see(store: Store) -> None:
        assert look(store), "a whole artifact was put aside"

    at_once(store, publish, quarantine, quarantine, see)
    assert remains(store, "attempts") == remains(store, "quarantine") == []


def test_a_damaged_artifact_is_put_aside_and_a_whole_one_in_its_place_never(store):
    at_once(store, publish, publish, look, look, damage)
    publish(store)
    assert look(store)
    aside = remains(store, "quarantine")
    assert aside, "something was damaged"
    assert all(why_corrupt(folder, KEY) for folder in aside)
    assert remains(store, "attempts") == []


def test_what_is_taken_for_damaged_and_turns_out_whole_is_put_back(store, monkeypatch):
    publish(store)
    place, rename = store.look_at(KEY).folder, Path.rename
    whole = (place / MANIFEST).read_text()
    (place / MANIFEST).write_text("{")

    def be_late(path: Path, target: Path) -> Path:
        if path == place:  # another process has put it aside meanwhile, and published it again
            (place / MANIFEST).write_text(whole)
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", be_late)
    assert store.quarantine(KEY) is None
    assert look(store)
    assert remains(store, "quarantine") == []


def test_artifacts_come_and_go_whole_while_the_store_is_cleaned_up(store):
    at_once(store, publish, publish, look, clean_up, clean_up)
    publish(store)
    assert look(store)
    assert remains(store, "attempts") == []


def test_a_checkpoint_is_kept_while_others_keep_and_drop_it(store):
    import torch

    def keep(store: Store) -> None:
        for epoch in (1, 2):
            store.save_checkpoint(KEY, epoch, {"w": torch.full((9,), epoch)}, {"epoch": epoch, "history": []})

    def drop(store: Store) -> None:
        store.drop_checkpoints(KEY)
        time.sleep(0.002)

    def load(store: Store) -> None:
        found = store.latest_checkpoint(KEY)
        if found is not None:
            assert found[0]["w"].tolist() == [found[1]["epoch"]] * 9

    at_once(store, keep, keep, drop, load)
    keep(store)
    assert store.latest_checkpoint(KEY)[1]["epoch"] == 2
    assert remains(store, "attempts") == []
