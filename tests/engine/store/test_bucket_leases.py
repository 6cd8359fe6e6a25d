"""Leases in a bucket: who lives keeps his, whatever clocks and the service do, and who is gone loses it."""

import os
import threading
import time
from dataclasses import replace

import pytest

from engine.store import (
    StoreFaultError,
    bucket_leases,
    claims,
    leases,
    open_store,
)
from engine.store.holders import Holder
from tests.engine.store.buckets import A, be_patient_for


@pytest.fixture
def elsewhere(monkeypatch):
    """Let this process's leases be of a machine whose processes cannot be looked up, and be stale after two seconds."""
    there = replace(Holder.this_process(), place="another machine", host="elsewhere")
    monkeypatch.setattr(Holder, "this_process", lambda: replace(there, token=os.urandom(16).hex()))
    monkeypatch.setattr(claims, "DEAD_S", 2.0)
    monkeypatch.setattr(leases, "BEAT_S", 0.3)
    monkeypatch.setattr(bucket_leases, "CONFIRM_S", 1.0)


def until_held(lease, seconds: float) -> float:
    started = time.monotonic()
    while not lease.acquire():
        assert time.monotonic() - started < seconds
        time.sleep(0.1)
    return time.monotonic() - started


@pytest.mark.slow
def test_who_lives_keeps_a_lease_whatever_machines_clocks_say_and_who_is_gone_loses_it(s3, elsewhere, monkeypatch):
    store, other = open_store(s3.address), open_store(s3.address)
    lease, wanted = store.stage_lease(A, {}), other.stage_lease(A, {})
    assert lease.acquire()
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 7200.0)
    end = time.monotonic() + 4.0
    while time.monotonic() < end:
        assert not wanted.acquire()
        assert other.stage_holder(A) is not None
        time.sleep(0.1)
    lease._heartbeat.stop()  # as if its machine were gone
    assert until_held(wanted, 15) > 1.0
    assert not lease.is_held
    lease.release()
    assert wanted.is_held, "who comes back from a sleep does not give back another's lease"
    wanted.release()
    assert store.stage_holder(A) is None


@pytest.mark.slow
def test_who_could_not_reach_the_service_because_it_was_away_keeps_its_lease(s3, proxy, elsewhere, monkeypatch):
    be_patient_for(monkeypatch, 30)
    store, other = open_store(s3.address), open_store(s3.address)
    lease = store.stage_lease(A, {})
    assert lease.acquire()
    assert other.stage_holder(A) is not None
    proxy.is_away = True
    threading.Timer(4.0, setattr, (proxy, "is_away", False)).start()
    fresh = time.monotonic() + 7.0
    while time.monotonic() < fresh:
        assert other.stage_holder(A) is not None
        newcomer = open_store(s3.address, read_only=True, patient=True)
        assert not newcomer.stage_lease(A, {}).acquire()
        time.sleep(0.05)
    assert lease.is_held
    lease.release()


@pytest.mark.slow
def test_an_old_lease_is_watched_for_a_while_before_it_counts_as_left(s3, elsewhere):
    lease = open_store(s3.address).stage_lease(A, {})
    assert lease.acquire()
    lease._heartbeat.stop()
    time.sleep(3.2)
    wanted = open_store(s3.address).stage_lease(A, {})
    assert [wanted.acquire() for _ in range(5)] == [False] * 5
    lease._beat()  # it was only cut off
    time.sleep(1.2)
    assert not wanted.acquire()
    lease.release()


@pytest.mark.slow
def test_what_was_not_answered_meanwhile_was_not_watched(s3, proxy, elsewhere, monkeypatch):
    be_patient_for(monkeypatch, 0.1)
    lease = open_store(s3.address).stage_lease(A, {})
    assert lease.acquire()
    lease._heartbeat.stop()
    time.sleep(3.2)
    other = open_store(s3.address)
    wanted = other.stage_lease(A, {})
    assert not wanted.acquire()
    proxy.is_away = True
    time.sleep(1.2)
    with pytest.raises(StoreFaultError, match="the service does not answer"):
        wanted.acquire()
    proxy.is_away = False
    assert not wanted.acquire()
    assert until_held(wanted, 15) > 0.9
    wanted.release()


@pytest.mark.parametrize("hangs", [1, 2])
def test_a_beat_that_hangs_does_not_bring_back_a_lease_that_was_released_meanwhile(s3, monkeypatch, hangs):
    store = open_store(s3.address)
    lease = store.stage_lease(A, {})
    assert lease.acquire()
    lease._heartbeat.stop()
    (name,) = s3.names("leases/")
    if hangs == 2:
        s3.remove(name)
    put_if, calls = store._bucket.put_if, []

    def put(*arguments, **options):
        calls.append(arguments)
        if len(calls) == hangs:
            lease.release()
        return put_if(*arguments, **options)

    monkeypatch.setattr(store._bucket, "put_if", put)
    lease._beat()
    assert len(calls) > hangs
    assert s3.names("leases/") == []


def test_what_a_dead_machine_left_is_cleared_by_who_looks_so_that_others_need_not_watch_it_again(s3, elsewhere):
    store = open_store(s3.address)
    lease = store.stage_lease(A, {})
    assert lease.acquire()
    lease._heartbeat.stop()
    end = time.monotonic() + 15
    while store.stage_holder(A) is not None:
        assert time.monotonic() < end
        time.sleep(0.1)
    assert s3.names("leases/") == []
    again = open_store(s3.address).stage_lease(A, {})
    assert again.acquire()
    again.release()
