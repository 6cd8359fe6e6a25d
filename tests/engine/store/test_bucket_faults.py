"""A store in a bucket whose service is slow, refuses, or is away; and what half-done work leaves there."""

import contextlib
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from engine.store import (
    CorruptArtifactError,
    Store,
    StoreFaultError,
    bucket_checkpoints,
    bucket_leases,
    open_store,
)
from engine.store.bucket import Bucket, _client
from engine.store.cleaning import clean
from engine.store.places import Address
from tests.engine.store.buckets import KEYS, A, be_patient_for, publish

ROOT = Path(__file__).parents[3]


def test_a_share_of_requests_that_are_refused_loses_and_doubles_nothing(s3, proxy, monkeypatch):
    be_patient_for(monkeypatch, 60)
    monkeypatch.setattr(bucket_checkpoints, "DELAY_S", 0.0)
    store = open_store(s3.address)
    proxy.refused = 0.3
    for number, key in enumerate(KEYS):
        lease = store.stage_lease(key, {})
        assert lease.acquire(), "it is nobody else's, whatever answers were lost"
        assert store.find(key) is None
        store.save_checkpoint(key, 1, {"w": torch.zeros(2)}, {"epoch": 1, "history": []})
        assert publish(store, key, number).json("result") == {"error": number}
        store.drop_checkpoints(key)
        lease.release()
    store.latest_checkpoint(A)  # waits for what is removed
    proxy.refused = 0.0
    assert proxy.n_refused > 20
    assert sorted(store.keys()) == KEYS
    for number, key in enumerate(KEYS):
        found = store.find(key)
        found.verify()
        assert found.json("result") == {"error": number}
    assert len(s3.names("files/")) == 2 * len(KEYS), "each was uploaded once"
    assert s3.names("leases/") == []


def test_what_is_published_once_although_the_answer_was_lost_is_one_s_own(s3, proxy, monkeypatch):
    be_patient_for(monkeypatch, 60)
    store = open_store(s3.address)
    pass_on, lost = proxy._pass_on, []

    def lose_the_first_answer(request, body):
        answer = pass_on(request, body)
        if request.command == "PUT" and "If-None-Match" in request.headers and not lost:
            lost.append(request.path)
            return 503, {}, b""
        return answer

    monkeypatch.setattr(proxy, "_pass_on", lose_the_first_answer)
    assert publish(store, A, 5.0).json("result") == {"error": 5.0}
    assert lost
    lost.clear()
    lease = store.stage_lease(A, {})
    assert lease.acquire()
    assert lost
    assert lease.is_held
    lease.release()
    store.find(A).verify()


def test_a_service_that_is_away_for_a_while_is_waited_for(s3, proxy, monkeypatch):
    be_patient_for(monkeypatch, 60)
    store = open_store(s3.address)
    publish(store, KEYS[1])
    proxy.is_away = True
    timer = threading.Timer(2.0, setattr, (proxy, "is_away", False))
    timer.start()
    started = time.monotonic()
    assert publish(store).json("result") == {"error": 1.0}
    assert time.monotonic() - started >= 1.5
    assert sorted(store.keys()) == sorted([A, KEYS[1]])


def test_an_address_that_has_the_word_latest_is_waited_for_as_any_other(s3, proxy, monkeypatch):
    be_patient_for(monkeypatch, 60)
    store = open_store(f"s3://{s3.bucket}/latest/run")
    proxy.is_away = True
    threading.Timer(0.5, setattr, (proxy, "is_away", False)).start()
    assert publish(store).json("result") == {"error": 1.0}
    assert proxy.n_refused > 0


def test_credentials_that_cannot_be_renewed_for_a_moment_are_waited_for_once_there_were_some(s3, monkeypatch, tmp_path):
    be_patient_for(monkeypatch, 60)
    bucket, new = Bucket(Address.parse(s3.address)), Bucket(Address.parse(s3.address))
    s3.write("there", b"1")
    assert bucket.get("there").content == b"1"
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1")
    known = bucket._store
    bucket._store = new._store = _client(bucket.address, timeout_s=1.0)
    with pytest.raises(StoreFaultError, match=rf"no credentials were found for {s3.address}: AWS_ACCESS_KEY_ID"):
        new.get("there")
    threading.Timer(0.5, setattr, (bucket, "_store", known)).start()
    assert bucket.get("there").content == b"1"


def test_one_that_stays_away_is_said_and_nothing_counts_as_absent(s3, proxy, monkeypatch, tmp_path):
    be_patient_for(monkeypatch, 0.5)
    for module in ("bucket_store", "bucket_artifacts", "bucket_checkpoints"):
        monkeypatch.setattr(f"engine.store.{module}.NOTE_S", 0.1)
    store = open_store(s3.address)
    publish(store)
    proxy.is_away = True
    for call in (
        lambda: store.find(A),
        lambda: store.look_at(KEYS[1]),
        lambda: publish(store, KEYS[1]),
        lambda: store.stage_holder(A),
        lambda: store.stage_lease(A, {}).acquire(),
        lambda: store.latest_checkpoint(A),
        lambda: list(store.keys()),
    ):
        with pytest.raises(StoreFaultError, match=rf"^the store failed while .*: the service .*{s3.address}") as error:
            call()
        assert "hunter2" not in str(error.value)
    store.abandon_checkpoints(A)
    store.join_family(A, A)
    store._notes.flush()
    proxy.is_away = False
    assert [name.partition("/")[0] for name in s3.names()] == ["artifacts", "files", "files"]
    monkeypatch.setenv("ROBUSTUNE_CACHE", str(tmp_path / "elsewhere"))
    found = open_store(s3.address).find(A)
    proxy.is_away = True
    with pytest.raises(StoreFaultError, match="the service does not answer"):
        found.json("result")


def test_who_is_killed_while_it_uploads_leaves_no_artifact_and_what_it_left_is_removed(s3, proxy):
    code = """
import os, sys, threading
from engine.store import open_store
store = open_store(sys.argv[1])
store._artifacts._put_manifest = lambda key, text: os.kill(os.getpid(), 9)
with store.attempt(sys.argv[2]) as attempt:
    attempt.write_json("result", 1)
    store.publish(attempt, {})
"""
    subprocess.run([sys.executable, "-c", code, s3.address, A], check=False, cwd=ROOT)
    store = open_store(s3.address)
    assert len(s3.names("files/")) == 1, "it had come so far"
    assert store.find(A) is None
    assert list(store.keys()) == []
    publish(store, KEYS[1])
    (left,) = clean(store, 10**9).leftovers
    assert left.startswith(f"files/{A}-")
    assert all(name.startswith(f"files/{KEYS[1]}-") for name in s3.names("files/"))
    store.find(KEYS[1]).verify()


def test_an_attempt_elsewhere_is_left_for_a_day_and_for_who_is_at_it(s3, monkeypatch):
    store = open_store(s3.address)
    s3.write(f"files/{A}-00000000.1.2-0123456789ab/part.json", b"1")
    assert clean(store, 10**9).leftovers == (), "whether that process lives is not known here"
    monkeypatch.setattr("engine.store.bucket_leftovers.LEFT_S", -10.0)
    with store.stage_lease(A, {}):
        assert clean(store, 10**9).leftovers == ()
    assert clean(store, 10**9, [A]).leftovers == ()
    assert clean(store, 10**9).leftovers == (f"files/{A}-00000000.1.2-0123456789ab",)
    assert s3.names() == []


def test_a_probe_of_the_clock_that_could_not_be_removed_is_a_leftover_after_a_day(s3, monkeypatch):
    store = open_store(s3.address)
    name = f"probes/probe-{os.urandom(16).hex()}"
    s3.write(name, b"probe")
    assert clean(store, 10**9).leftovers == ()
    monkeypatch.setattr("engine.store.bucket_leftovers.LEFT_S", -10.0)
    assert clean(store, 10**9).leftovers == (name,)
    assert s3.names() == []


def test_the_clock_of_a_machine_that_slept_is_measured_again(s3, monkeypatch):
    store, other = open_store(s3.address), open_store(s3.address)
    wall, clock = time.time, other._bucket.clock
    with store.stage_lease(A, {}) as lease:
        lease._heartbeat.stop()
        (name,) = s3.names("leases/")
        modified = other._bucket.get(name).modified
        time.sleep(2.5)
        clock._ahead_s -= 7200.0  # the processor's time stood still, and the service's did not
        monkeypatch.setattr(time, "time", lambda: wall() + 7200.0)
        assert not clock.is_measured
        assert other.stage_holder(A) is not None
        assert clock.is_measured
        assert clock.now() >= modified + 1.5


def test_who_cannot_remove_what_he_ended_leaves_it_to_who_takes_its_place(s3, proxy, monkeypatch):
    be_patient_for(monkeypatch, 60)
    monkeypatch.setattr(bucket_leases, "_ENDING_S", 0.2, raising=False)
    monkeypatch.setattr("engine.store.bucket_artifacts.DEAD_S", 1.0)
    store, other = open_store(s3.address), open_store(s3.address)
    publish(store)
    pass_on, may_go_on = proxy._pass_on, threading.Event()

    def refuse(request, body):
        is_removal = request.command == "DELETE" or "?delete" in request.path
        if is_removal and f"artifacts/{A}" in f"{request.path} {body.decode()}" and not may_go_on.is_set():
            proxy.n_refused += 1
            return 503, {}, b""
        return pass_on(request, body)

    monkeypatch.setattr(proxy, "_pass_on", refuse)
    removal = threading.Thread(target=store.remove, args=(A,))
    removal.start()
    while proxy.n_refused == 0:
        time.sleep(0.01)
    publish(other, A, 2.0)
    may_go_on.set()
    removal.join(60)
    assert other.find(A).json("result") == {"error": 2.0}


def test_threads_that_publish_find_and_remove_one_artifact_see_all_of_it_or_nothing(s3):
    end, errors = time.monotonic() + 1.5, []

    def again_and_again(doing) -> None:
        store = open_store(s3.address)
        try:
            while time.monotonic() < end:
                doing(store)
        except Exception as error:
            errors.append(error)

    def look(store: Store) -> None:
        found = store.find(A)
        if found is not None:
            with contextlib.suppress(CorruptArtifactError):  # removed in this moment
                assert found.json("result") == {"error": 1.0}

    doings = [publish, publish, look, look, lambda store: store.remove(A), lambda store: clean(store, 0)]
    threads = [threading.Thread(target=again_and_again, args=(doing,)) for doing in doings]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    store = open_store(s3.address)
    publish(store)
    store.find(A).verify()
    clean(store, 10**9)
    assert len(s3.names("files/")) == 2, "what lost a race is gone"
