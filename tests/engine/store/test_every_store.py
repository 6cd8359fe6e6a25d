"""What holds for every store, whether it lies in a folder or in a bucket."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from engine.stages import find_whole
from engine.stages.families import longest_prefix, remember
from engine.store import CorruptArtifactError, Store, leases, open_store
from engine.store.cleaning import clean, entries
from tests.engine.store.test_cleaning import make_pretraining

A, B, C, D = (letter * 32 for letter in "abcd")
ROOT = Path(__file__).parents[3]


@pytest.fixture(params=["folder", "bucket"])
def place(request, tmp_path) -> str:
    """Return where a store is to be."""
    return str(tmp_path / "store") if request.param == "folder" else request.getfixturevalue("s3").address


@pytest.fixture
def store(place) -> Store:
    return open_store(place)


@pytest.fixture
def overwrite(place, tmp_path, request) -> Callable[[str, str, bytes | None], None]:
    """Return what writes over a file of an artifact past the store, on no machine's cache; None removes it."""

    def in_folder(key: str, name: str, content: bytes | None) -> None:
        path = Path(place, "artifacts", key[:2], key, name)
        path.unlink() if content is None else path.write_bytes(content)

    def in_bucket(key: str, name: str, content: bytes | None) -> None:
        s3 = request.getfixturevalue("s3")
        if name == "manifest.json":
            found = f"artifacts/{key}.json"
        else:
            (found,) = [one for one in s3.names(f"files/{key}-") if one.endswith(f"/{name}")]
        s3.remove(found) if content is None else s3.write(found, content)
        for path in (tmp_path / "cache").glob(f"*/files/{key}-*/*"):
            path.unlink()

    return in_bucket if place.startswith("s3:") else in_folder


def publish(store: Store, key: str, value: float = 1.0, *, inputs: tuple[str, ...] = (), stage: str = "pretrain"):
    with store.attempt(key) as attempt:
        attempt.write_tensors("weights", {"w": torch.full((2, 3), value), "i": torch.tensor(7)})
        attempt.write_json("result", {"error": value})
        spec = {"stage": stage, "inputs": {str(place): key for place, key in enumerate(inputs)}}
        return store.publish(attempt, {"history": [{"epoch": 1}], "spec": spec, "seconds": 2.0})


def run_python(code: str, *arguments: str) -> None:
    subprocess.run([sys.executable, "-c", code, *arguments], check=False, cwd=ROOT)


def until(is_so: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_published_artifact_is_found_by_who_opens_the_address(store):
    assert store.find(A) is None
    publish(store, A)
    for found in (store.find(A), store.look_at(A), open_store(store.address, read_only=True).find(A)):
        assert torch.equal(found.tensors("weights")["w"], torch.ones(2, 3))
        assert found.json("result") == {"error": 1.0}
        assert found.history == [{"epoch": 1}]
        assert sorted(found.manifest["files"]) == ["result.json", "weights.safetensors"]
        found.verify()
    assert list(store.keys()) == [A]
    assert find_whole(store, A) is not None


def test_another_machine_s_cache_is_filled_from_the_store(store, tmp_path, monkeypatch):
    publish(store, A)
    monkeypatch.setenv("ROBUSTUNE_CACHE", str(tmp_path / "elsewhere"))
    found = open_store(store.address).find(A)
    assert int(found.tensors("weights")["i"]) == 7
    found.verify()


def test_of_two_attempts_at_one_key_the_first_stays(store):
    with store.attempt(A) as slow, store.attempt(A) as fast:
        fast.write_json("result", {"error": 1.0})
        slow.write_json("result", {"error": 2.0})
        assert store.publish(fast, {}).json("result") == {"error": 1.0}
        assert store.publish(slow, {}).json("result") == {"error": 1.0}
    assert store.find(A).json("result") == {"error": 1.0}
    assert list(store.keys()) == [A]
    (entry,) = entries(store)
    assert clean(store, 10**9).leftovers == ()
    assert store.n_bytes() == entry.n_bytes, "what lost the race is gone"


def test_an_interrupted_attempt_leaves_nothing(store):
    def interrupted() -> None:
        with store.attempt(A) as attempt:
            attempt.write_json("result", {"error": 1.0})
            raise KeyboardInterrupt("by hand")

    with pytest.raises(KeyboardInterrupt, match="by hand"):
        interrupted()
    assert store.find(A) is None
    assert list(store.keys()) == []
    assert store.n_bytes() == 0


@pytest.mark.parametrize("name", ["weights.safetensors", "result.json"])
@pytest.mark.parametrize("content", [b"changed", b"", None])
def test_a_damaged_file_is_noticed_put_aside_and_replaced(store, overwrite, name, content, caplog):
    publish(store, A)
    overwrite(A, name, content)
    for check in (store.look_at(A).verify, lambda: store.check(A)):
        with pytest.raises(CorruptArtifactError, match=r"checksum of|has no file"):
            check()
    assert find_whole(store, A) is None
    assert "was put into quarantine" in caplog.text
    assert store.find(A) is None
    publish(store, A, value=2.0)
    assert find_whole(store, A).json("result") == {"error": 2.0}
    assert [name.partition("/")[0] for name in clean(store, 10**9).leftovers] == ["quarantine"]
    assert find_whole(store, A) is not None


@pytest.mark.parametrize("content", [b"", b"[1]", b'{"key": "ffffffffffffffff", "files": {}}', b"[" * 100_000])
def test_a_damaged_manifest_counts_as_absent_and_is_replaced(store, overwrite, content):
    publish(store, A)
    overwrite(A, "manifest.json", content)
    assert store.find(A) is None
    publish(store, A, value=3.0)
    assert store.find(A).json("result") == {"error": 3.0}


def test_what_is_checked_is_what_the_store_has_and_not_a_copy(store, overwrite, monkeypatch):
    publish(store, A)
    store.find(A).verify()
    store.check(A)
    with monkeypatch.context() as context:
        context.setattr(Path, "unlink", lambda self, *_, **__: None)  # this machine keeps its copy
        overwrite(A, "result.json", b"1")
    with pytest.raises(CorruptArtifactError, match=r"artifact a+: checksum of result.json"):
        store.check(A)
    with pytest.raises(CorruptArtifactError, match=r"artifact b+ "):
        store.check(B)


def test_a_whole_artifact_is_not_put_aside(store):
    publish(store, A)
    assert store.quarantine(A) is None
    assert store.quarantine(B) is None
    assert find_whole(store, A) is not None


def test_what_is_removed_is_gone_for_who_has_looked(store, tmp_path, monkeypatch):
    publish(store, A)
    monkeypatch.setenv("ROBUSTUNE_CACHE", str(tmp_path / "elsewhere"))
    found = open_store(store.address).find(A)
    store.remove(A)
    assert store.find(A) is None
    with pytest.raises(CorruptArtifactError, match="has no file"):
        found.json("result")
    assert store.n_bytes() == 0


@pytest.mark.parametrize("key", ["", "..", "../../etc", "0123", "0123456789abcdeg", A.upper(), f"{A}/x"])
def test_keys_are_hexadecimal(store, key):
    with pytest.raises(ValueError, match="a key is 16 to 64 hexadecimal digits"):
        store.find(key)
    with pytest.raises(ValueError, match="a key is 16 to 64"), store.attempt(key):
        pass
    with pytest.raises(ValueError, match="a key is 16 to 64"):
        store.save_checkpoint(key, 1, {}, {})


def checkpoint(store: Store, epoch: int, key: str = A) -> None:
    state = {"epoch": epoch, "history": [{"epoch": number} for number in range(1, epoch + 1)]}
    store.save_checkpoint(key, epoch, {"w": torch.full((2,), float(epoch))}, state)


def test_the_last_checkpoint_is_kept_alone(store):
    assert store.latest_checkpoint(A) is None
    for epoch in (1, 2, 10):
        checkpoint(store, epoch)
    tensors, state = store.latest_checkpoint(A)
    assert tensors["w"].tolist() == [10, 10]
    assert state["epoch"] == 10
    assert len(store.checkpointed_history(A)) == 10
    assert open_store(store.address).latest_checkpoint(A)[1] == state
    assert store.latest_checkpoint(B) is None
    assert store.find(A) is None
    store.drop_checkpoints(A)
    assert store.latest_checkpoint(A) is None
    assert store.n_bytes() == 0


def test_a_checkpoint_of_the_same_epoch_is_replaced(store):
    checkpoint(store, 3)
    assert store.latest_checkpoint(A)[1]["epoch"] == 3
    store.save_checkpoint(A, 3, {"w": torch.zeros(2)}, {"epoch": 3, "again": True})
    assert store.latest_checkpoint(A)[1] == {"epoch": 3, "again": True}
    (left,) = store.unfinished()
    assert (left.key, left.abandoned) == (A, False)


def test_a_stage_that_nobody_wants_is_said_to_be_so(store):
    store.abandon_checkpoints(A)
    assert list(store.unfinished()) == []
    checkpoint(store, 1)
    store.latest_checkpoint(A)  # it is there
    store.abandon_checkpoints(A)
    assert [left.abandoned for left in store.unfinished()] == [True]
    store.take_up_checkpoints(A)
    assert [left.abandoned for left in store.unfinished()] == [False]
    with store.stage_lease(A, {}):
        assert list(store.unfinished()) == []
    assert store.latest_checkpoint(A)[1]["epoch"] == 1


def test_what_a_finished_stage_has_left_of_its_checkpoints_is_a_leftover(store):
    publish(store, A)
    checkpoint(store, 1)  # as if who was to remove it had been killed, or the service been away
    store.latest_checkpoint(A)  # it is there
    assert list(store.unfinished()) == []
    (name,) = clean(store, 10**9).leftovers
    assert (name.partition("/")[0], name.rpartition("/")[2]) == ("checkpoints", A)
    assert store.latest_checkpoint(A) is None
    assert store.find(A) is not None


def test_one_of_two_gets_a_stage_and_the_other_sees_who(store):
    other = open_store(store.address)
    lease = store.stage_lease(A, {"pretrain": B})
    assert other.stage_holder(A) is None
    assert lease.acquire()
    assert not other.stage_lease(A, {}).acquire()
    assert lease.is_held
    holder = other.stage_holder(A)
    assert holder.holder.pid == os.getpid()
    assert holder.note == {"key": A, "inputs": [B]}
    assert [found.note["key"] for found in other.live_stages()] == [A]
    lease.release()
    assert other.stage_holder(A) is None
    second = other.stage_lease(A, {})
    assert second.acquire()
    assert not lease.is_held
    second.release()


def test_of_many_threads_one_gets_a_stage(store):
    barrier, got = threading.Barrier(8), []

    def contend() -> None:
        lease = store.stage_lease(A, {})
        barrier.wait(30)
        if lease.acquire():
            got.append(lease)

    threads = [threading.Thread(target=contend) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(got) == 1
    got[0].release()


KILL = "import os, sys; from engine.store import open_store; store = open_store(sys.argv[1]); "


def test_the_lease_of_a_process_that_was_killed_here_is_free_at_once(store):
    run_python(KILL + "store.stage_lease(sys.argv[2], {}).acquire(); os.kill(os.getpid(), 9)", store.address, A)
    assert store.stage_holder(A) is None
    lease = store.stage_lease(A, {})
    assert lease.acquire()
    lease.release()


def test_what_killed_processes_left_among_the_leases_is_removed(store):
    code = "store.stage_lease(sys.argv[2], {}).acquire(); store.sweep_presence('dead', []).__enter__(); "
    run_python(KILL + code + "os.kill(os.getpid(), 9)", store.address, A)
    with store.stage_lease(B, {}), store.sweep_presence("alive", []):
        planned = clean(store, 10**9, dry_run=True)
        assert sorted(name.rpartition("/")[0] for name in planned.leftovers) == ["leases/stages", "leases/sweeps"]
        assert f"leases/stages/{A}.json" in planned.leftovers
        assert planned.sweeps == ("alive",)
        store.remove_left_leases()
        assert clean(store, 10**9).leftovers == ()
        assert [name.note["key"] for name in store.live_stages()] == [B]


def test_the_lease_of_who_is_known_to_be_dead_can_be_ended(store):
    lease = store.stage_lease(A, {})
    assert not store.end_stage_lease(A, "0" * 32)
    assert lease.acquire()
    assert not store.end_stage_lease(A, "0" * 32)
    assert store.end_stage_lease(A, store.stage_holder(A).holder.token)
    assert store.stage_holder(A) is None
    lease.release()


def test_a_lease_is_kept_fresh_and_shown_again_when_it_was_removed(store, monkeypatch):
    monkeypatch.setattr(leases, "BEAT_S", 0.05)
    lease = store.stage_lease(A, {})
    assert lease.acquire()
    assert store.end_stage_lease(A, store.stage_holder(A).holder.token)
    until(lambda: store.stage_holder(A) is not None)
    assert lease.is_held
    lease.release()
    assert store.stage_holder(A) is None


def test_a_sweep_names_what_it_needs_at_every_beat(store, monkeypatch):
    monkeypatch.setattr(leases, "BEAT_S", 0.05)
    needed = {B, A}

    def named() -> list[str]:
        return [key for _, lease in store.live_sweeps() for key in lease.note["keys"]]

    with store.sweep_presence("mine", lambda: needed) as presence:
        assert named() == [A, B]
        assert [name for name, _ in store.live_sweeps()] == [presence.name]
        needed.add(C)
        until(lambda: named() == [A, B, C])
    assert list(store.live_sweeps()) == []


def test_trainings_that_others_could_start_from_are_found(store):
    short, long = make_pretraining(2), make_pretraining(4)
    assert longest_prefix(store, long) is None
    with store.attempt(short.key) as attempt:
        history = [{"epoch": epoch, "validation_error": 1.0} for epoch in (1, 2)]
        store.publish(attempt, {"history": history, "spec": short.to_json()})
    remember(store, short)
    assert longest_prefix(store, long).manifest["key"] == short.key
    store.remove(short.key)
    assert longest_prefix(store, long) is None
    assert longest_prefix(store, long) is None, "its note is gone"


def test_an_input_stays_as_long_as_what_was_made_from_it_and_the_rest_goes(store):
    publish(store, A)
    publish(store, B, inputs=(A,))
    publish(store, C)
    assert clean(store, 10**9).artifacts == ()
    planned = clean(store, 0, [B], dry_run=True)
    assert [entry.key for entry in planned.artifacts] == [C]
    assert planned.n_kept == 2
    size = store.n_bytes()
    done = clean(store, 0, [B])
    assert (done.artifacts, done.left_bytes) == (planned.artifacts, store.n_bytes())
    assert size - done.freed_bytes == store.n_bytes()
    assert sorted(store.keys()) == [A, B]
    assert [entry.key for entry in clean(store, 0).artifacts] == [B, A]
    assert store.n_bytes() == 0


def test_what_live_stages_and_sweeps_need_stays(store):
    for key in (A, B, C, D):
        publish(store, key, stage="rank")
    with store.stage_lease("e" * 32, {"pretrain": A}):
        assert [entry.key for entry in clean(store, 0, [B], dry_run=True).artifacts] == [C, D]
        with store.sweep_presence("mine", [D]) as mine:
            done = clean(store, 0, [C], own_lease=mine.name)
            assert [entry.key for entry in done.artifacts] == [B, D]
            assert done.sweeps == ("mine",)
    assert sorted(store.keys()) == [A, C]


def test_an_attempt_of_a_process_that_has_ended_is_removed(store):
    code = "(a := store.attempt(sys.argv[2])).__enter__().write_json('part', 1); "
    run_python(KILL + code + "os.kill(os.getpid(), 9)", store.address, A)
    open_store(store.address)
    clean(store, 10**9)
    assert store.n_bytes() == 0


def test_the_checkpoints_of_a_finished_stage_are_removed(store):
    publish(store, A)
    checkpoint(store, 1, A)
    checkpoint(store, 1, B)
    assert store.latest_checkpoint(A) is not None
    assert store.latest_checkpoint(B) is not None
    (name,) = clean(store, 10**9).leftovers
    assert name.startswith("checkpoints/")
    assert name.endswith(A)
    assert store.latest_checkpoint(A) is None
    assert store.latest_checkpoint(B) is not None
    with store.stage_lease(B, {}):
        assert clean(store, 0, dry_run=True).leftovers == ()
    assert [entry.key for entry in clean(store, 0).artifacts] == [A]
    assert store.n_bytes() == 0


def test_a_lease_that_another_program_wrote_does_no_harm(store, place, request):
    content = json.dumps({"holder": None, "note": 3}).encode()
    if place.startswith("s3:"):
        request.getfixturevalue("s3").write(f"leases/stages/{A}.json", content)
    else:
        path = Path(place, "leases", "stages", f"{A}.json")
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    publish(store, B)
    assert not store.stage_lease(A, {}).acquire(), "it is fresh, whoever it is of"
    assert list(clean(store, 10**9).artifacts) == []


def test_it_must_be_there_to_be_looked_at(place):
    with pytest.raises(ValueError, match=r"there is no store in .*"):
        open_store(place, read_only=True)
