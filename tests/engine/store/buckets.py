"""What tests of a store in a bucket publish, and how long it waits for its service."""

import pytest
import torch

from engine.store import (
    Store,
)
from engine.store.bucket import Bucket

KEYS = [f"{number:032x}" for number in range(12)]


A = KEYS[0]


def publish(store: Store, key: str = A, value: float = 1.0, n_numbers: int = 6):
    with store.attempt(key) as attempt:
        attempt.write_tensors("weights", {"w": torch.full((n_numbers,), value)})
        attempt.write_json("result", {"error": value})
        return store.publish(attempt, {"history": [{"epoch": 1}], "spec": {"stage": "pretrain"}})


def be_patient_for(monkeypatch: pytest.MonkeyPatch, seconds: float, pause_s: float = 0.02) -> None:
    """Let stores that are opened from now on wait for some seconds, with short pauses."""
    make = Bucket.__init__

    def patient(self, address, *, patience_s=seconds):
        make(self, address, patience_s=patience_s)

    monkeypatch.setattr(Bucket, "__init__", patient)
    monkeypatch.setattr("engine.store.bucket._PAUSE_S", pause_s)
    monkeypatch.setattr("engine.store.bucket._N_RETRIES", 0)
