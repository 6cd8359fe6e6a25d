"""Checkpoints in a bucket: no epoch waits for its upload, and a half one is never seen."""

import threading
import time

import torch

from engine.store import (
    Store,
    bucket_checkpoints,
    open_store,
)
from engine.store.bucket import Bucket
from tests.engine.store.buckets import KEYS, A, publish


def save(store: Store, epoch: int, key: str = A) -> None:
    store.save_checkpoint(key, epoch, {"w": torch.full((2,), float(epoch))}, {"epoch": epoch, "history": []})


def test_an_epoch_does_not_wait_for_its_upload_and_the_last_one_wins(s3, proxy, monkeypatch):
    store = open_store(s3.address)
    monkeypatch.setattr(bucket_checkpoints, "DELAY_S", 0.0)
    pass_on, may_go_on = proxy._pass_on, threading.Event()

    def hold_up(request, body):
        may_go_on.wait(60)
        return pass_on(request, body)

    monkeypatch.setattr(proxy, "_pass_on", hold_up)
    for epoch in range(1, 11):
        save(store, epoch)  # nothing is answered meanwhile
    may_go_on.set()
    assert store.latest_checkpoint(A)[1]["epoch"] == 10
    puts = [request for request in proxy.requests if "PUT" in request and "/epoch-" in request]
    uploaded = {request.split("/epoch-")[1][:5] for request in puts}
    assert "00010" in uploaded
    assert len(uploaded) <= 2, "what had waited was replaced by what came later"
    assert {name.split("epoch-")[1][:5] for name in s3.names("checkpoints/")} == {"00010"}


def test_epochs_that_take_a_moment_are_not_all_uploaded_and_the_last_one_arrives_by_itself(s3, proxy, monkeypatch):
    monkeypatch.setattr(bucket_checkpoints, "DELAY_S", 0.5)
    store = open_store(s3.address)
    n_before = len(proxy.requests)
    for epoch in range(1, 6):
        save(store, epoch)
    assert len(proxy.requests) == n_before
    end = time.monotonic() + 20
    while f"checkpoints/{A}/epoch-00005.json" not in s3.names("checkpoints/"):
        assert time.monotonic() < end
        time.sleep(0.05)
    assert not any("epoch-00001" in request for request in proxy.requests)


def test_a_publication_waits_for_no_checkpoint(s3, proxy, monkeypatch):
    store = open_store(s3.address)
    pass_on, may_go_on = proxy._pass_on, threading.Event()

    def hold_up(request, body):
        if "/checkpoints/" in request.path and request.command == "PUT":
            may_go_on.wait(60)
        return pass_on(request, body)

    monkeypatch.setattr(proxy, "_pass_on", hold_up)
    monkeypatch.setattr(bucket_checkpoints, "DELAY_S", 0.0)
    save(store, 1)
    while not any("PUT" in request and "/checkpoints/" in request for request in proxy.requests):
        time.sleep(0.01)
    publish(store)
    store.drop_checkpoints(A)
    save(store, 1, KEYS[1])
    assert store.find(A) is not None
    may_go_on.set()
    assert store.latest_checkpoint(A) is None
    assert store.latest_checkpoint(KEYS[1])[1]["epoch"] == 1


def test_a_checkpoint_that_was_not_wholly_uploaded_is_none(s3, monkeypatch):
    store = open_store(s3.address)
    save(store, 1)
    assert store.latest_checkpoint(A)[1]["epoch"] == 1
    put = Bucket.put
    monkeypatch.setattr(Bucket, "put", lambda self, name, *rest, **more: None if "epoch-" in name else put(self, name))
    save(store, 2)  # as if it had been killed before its manifest was there
    assert store.latest_checkpoint(A) is None or store.latest_checkpoint(A)[1]["epoch"] == 1
    monkeypatch.undo()


def test_a_checkpoint_that_is_damaged_there_is_passed_over(s3):
    store = open_store(s3.address)
    save(store, 1)
    store.latest_checkpoint(A)
    (tensors,) = [name for name in s3.names("checkpoints/") if name.endswith("state.safetensors")]
    s3.write(tensors, b"x" * len(s3.read(tensors)))
    assert store.latest_checkpoint(A) is None
    (manifest,) = [name for name in s3.names("checkpoints/") if name.endswith("epoch-00001.json")]
    s3.write(manifest, b"[3]")
    assert store.latest_checkpoint(A) is None
    assert store.checkpointed_history(A) == []
