"""Sets that a process keeps on its device: made once, within a share of its memory, and the first to go."""

import pytest
import torch

from engine.data import device_sets as module
from engine.data.device_sets import DeviceSets, device_sets
from tests.engine.pretend_device import DEVICE, MEMORY, on_device, pretend_device

SHAPE = (2, 1, 16, 16)
N_BYTES = 512


@pytest.fixture(autouse=True)
def device(monkeypatch):
    monkeypatch.setenv("ROBUSTUNE_SETS_GB", "4")
    monkeypatch.setattr(module, "_of_device", {})
    with pretend_device():
        yield


def pixels(value: int = 1) -> torch.Tensor:
    return on_device(torch.full(SHAPE, value, dtype=torch.uint8))


def never() -> torch.Tensor:
    raise AssertionError("it is there already")


def have_free(monkeypatch, n_bytes: float, fraction: float = 1.0) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device=None: (n_bytes, MEMORY))
    monkeypatch.setattr(torch.cuda, "get_per_process_memory_fraction", lambda device=None: fraction)


def test_a_set_is_made_once_where_the_variable_is_set(monkeypatch):
    sets = device_sets(DEVICE)
    made = sets.made("a", SHAPE, pixels)
    assert sets.made("a", SHAPE, never) is made
    assert device_sets(DEVICE) is sets
    monkeypatch.delenv("ROBUSTUNE_SETS_GB")
    assert device_sets(DEVICE) is None, "never run on a real GPU: off unless it is asked for"


@pytest.mark.parametrize(
    ("free", "fraction", "gigabytes"),
    [(2.5 * N_BYTES / module.MEMORY_SHARE, 1, 4), (MEMORY, 2.5 * N_BYTES / 0.25 / MEMORY, 4), (MEMORY, 1, 1.3e-6)],
)
def test_no_more_is_kept_than_a_share_of_what_the_process_may_have(monkeypatch, free, fraction, gigabytes):
    monkeypatch.setenv("ROBUSTUNE_SETS_GB", str(gigabytes))
    sets, kept = DeviceSets(DEVICE), 0
    for key in "abc":
        have_free(monkeypatch, free - kept, fraction)
        monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device=None, kept=kept: kept)
        monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device=None, kept=kept: kept)
        sets.made(key, SHAPE, pixels)
        kept += N_BYTES
    for key in "ab":
        sets.made(key, SHAPE, never)
    assert torch.equal(sets.made("c", SHAPE, lambda: pixels(3)), pixels(3)), "it was not kept"
    monkeypatch.setattr(module, "RECENT_S", 0.0)
    sets.made("c", SHAPE, pixels)
    sets.made("c", SHAPE, never)
    sets.made("b", SHAPE, never)
    assert torch.equal(sets.made("a", SHAPE, lambda: pixels(3)), pixels(3)), "what was used longest ago has gone"


def test_sets_go_where_memory_lacks(monkeypatch):
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    sets, tries = DeviceSets(DEVICE), []

    def lacking_once() -> torch.Tensor:
        tries.append(1)
        if len(tries) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return pixels(2)

    sets.made("a", SHAPE, pixels)
    assert torch.equal(sets.made("b", SHAPE, lacking_once), pixels(2))
    for key in "ab":
        assert torch.equal(sets.made(key, SHAPE, lambda: pixels(3)), pixels(3)), "none is kept any more"
    tries.clear()
    with pytest.raises(torch.OutOfMemoryError):
        sets.made("c", SHAPE, lacking_once)
