"""Sets that are made once on a machine: the same bits, whoever asks, whenever somebody dies."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from engine.data import machine_sets as module
from engine.data.machine_sets import MachineSets, machine_sets
from engine.errors import InputError

SHAPE = (10, 3, 8, 8)
N_BYTES = 10 * 3 * 8 * 8
KEY, OTHER, THIRD = "a" * 32, "b" * 32, "c" * 32


def pixels(value: int = 7) -> torch.Tensor:
    return torch.arange(N_BYTES).mul(value).to(torch.uint8).view(SHAPE)


def never() -> torch.Tensor:
    raise AssertionError("it is there already")


@pytest.fixture
def sets(tmp_path) -> MachineSets:
    return MachineSets(tmp_path / "sets", 1e9)


def files(folder: Path) -> list[str]:
    return sorted(path.name for place in ("kept", "making") for path in (folder / "sets" / place).iterdir())


def begin_process(folder: Path, code: str) -> subprocess.Popen:
    """Return a process that has the same sets, and ends with the code's end."""
    head = "import time, torch; from pathlib import Path; from engine.data.machine_sets import MachineSets\n"
    return subprocess.Popen(
        [sys.executable, "-c", f"{head}sets = MachineSets(Path({str(folder)!r}), 1e9)\n{code}"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(module.__file__).parents[2],
    )


def test_a_set_is_made_once_and_is_the_same(sets, tmp_path):
    made = sets.made(KEY, SHAPE, pixels)
    again = sets.made(KEY, SHAPE, never)
    of_another = MachineSets(tmp_path / "sets", 1e9).made(KEY, SHAPE, never)
    assert all(torch.equal(found, pixels()) and found.dtype == torch.uint8 for found in (made, again, of_another))
    assert not (tmp_path / "sets" / "kept").stat().st_mode & 0o077


def test_what_one_writes_nobody_else_sees(sets):
    sets.made(KEY, SHAPE, pixels).zero_()
    assert torch.equal(sets.made(KEY, SHAPE, never), pixels())


@pytest.mark.parametrize("damage", ["half", "byte", "longer", "folder"])
def test_what_is_damaged_is_made_anew(sets, tmp_path, damage):
    sets.made(KEY, SHAPE, pixels)
    path = tmp_path / "sets" / "kept" / KEY
    content = bytearray(path.read_bytes())
    path.unlink()
    if damage == "folder":
        path.mkdir()
    else:
        content[5] ^= 1
        path.write_bytes({"half": content[:40], "byte": content, "longer": content + b"x"}[damage])
    assert torch.equal(sets.made(KEY, SHAPE, lambda: pixels(3)), pixels(3))
    if damage != "folder":
        assert torch.equal(sets.made(KEY, SHAPE, never), pixels(3))


def test_what_was_used_longest_ago_goes_for_what_is_new(tmp_path):
    sets = MachineSets(tmp_path / "sets", 2.5 * N_BYTES)
    for key in (KEY, OTHER):
        sets.made(key, SHAPE, pixels)
    sets.made(THIRD, SHAPE, pixels)
    assert files(tmp_path) == [KEY, OTHER], "both were used just now"
    for key, age in ((KEY, 2 * module.RECENT_S), (OTHER, 3 * module.RECENT_S)):
        os.utime(tmp_path / "sets" / "kept" / key, (time.time() - age, 0))
    sets.made(THIRD, SHAPE, pixels)
    assert files(tmp_path) == [KEY, THIRD]
    os.utime(tmp_path / "sets" / "kept" / KEY, (time.time() - 2 * module.UNUSED_S, 0))
    MachineSets(tmp_path / "sets", 1e9)
    assert files(tmp_path) == [THIRD]


def test_what_is_mapped_stays_and_counts(tmp_path):
    sets = MachineSets(tmp_path / "sets", 1.5 * N_BYTES)
    mapped = sets.made(KEY, SHAPE, pixels)
    path = tmp_path / "sets" / "kept" / KEY
    os.utime(path, (0, 0))
    assert torch.equal(sets.made(OTHER, SHAPE, pixels), pixels())
    assert files(tmp_path) == [KEY]
    path.unlink()
    assert torch.equal(mapped, pixels()), "who has it mapped reads on"
    del mapped
    sets.made(KEY, SHAPE, pixels)
    os.utime(path, (0, 0))
    sets.made(OTHER, SHAPE, pixels)
    assert files(tmp_path) == [OTHER], "nobody has it mapped any more"


def test_without_room_all_is_made_as_ever(sets, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "reserve", lambda file, n_bytes: os.write(file, b"x") and os.open("/nowhere", 0))
    assert torch.equal(sets.made(KEY, SHAPE, pixels), pixels())
    monkeypatch.undo()
    assert files(tmp_path) == []
    monkeypatch.setattr(module, "FREE_SHARE", 1e-18)
    assert torch.equal(sets.made(KEY, SHAPE, pixels), pixels())
    assert files(tmp_path) == []


def test_of_two_that_want_a_set_one_makes_it(sets, tmp_path):
    code = (
        "def slow(): print('begun', flush=True); time.sleep(0.5); "
        f"return torch.arange({N_BYTES}).mul(7).to(torch.uint8).view({SHAPE})\n"
        f"sets.made({KEY!r}, {SHAPE}, slow)"
    )
    other = begin_process(tmp_path / "sets", code)
    assert other.stdout.readline() == "begun\n"
    assert torch.equal(sets.made(KEY, SHAPE, never), pixels())
    assert other.wait(30) == 0
    assert files(tmp_path) == [KEY]


def test_one_that_takes_too_long_is_not_waited_for(sets, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "WAIT_S", 0.0)

    def meanwhile() -> torch.Tensor:
        assert torch.equal(MachineSets(tmp_path / "sets", 1e9).made(KEY, SHAPE, lambda: pixels(3)), pixels(3))
        return pixels()

    assert torch.equal(sets.made(KEY, SHAPE, meanwhile), pixels())


def test_a_killed_maker_leaves_nothing_that_lasts(sets, tmp_path):
    other = begin_process(
        tmp_path / "sets", f"sets.made({KEY!r}, {SHAPE}, lambda: print('begun', flush=True) or time.sleep(60))"
    )
    assert other.stdout.readline() == "begun\n"
    assert files(tmp_path) == [KEY], "it has taken its room"
    MachineSets(tmp_path / "sets", 1e9)
    assert files(tmp_path) == [KEY], "it is at work"
    other.send_signal(signal.SIGKILL)
    other.wait(30)
    MachineSets(tmp_path / "sets", 1e9)
    assert files(tmp_path) == []


def test_what_a_dead_one_had_begun_is_no_hindrance(sets, tmp_path):
    (tmp_path / "sets" / "making" / KEY).write_bytes(b"x" * 10 * N_BYTES)
    sets.made(KEY, SHAPE, pixels)
    assert torch.equal(sets.made(KEY, SHAPE, never), pixels())


def test_what_fails_to_be_made_leaves_nothing(sets, tmp_path):
    with pytest.raises(AssertionError, match="there already"):
        sets.made(KEY, SHAPE, never)
    assert files(tmp_path) == []


def test_the_environment_says_where_and_how_much(tmp_path, monkeypatch):
    monkeypatch.setenv("ROBUSTUNE_CACHE", str(tmp_path / "mine"))
    monkeypatch.setenv(module.BOUND, "0")
    assert machine_sets() is None
    monkeypatch.setenv(module.BOUND, "0.001")
    assert machine_sets() is machine_sets()
    machine_sets().made(KEY, SHAPE, pixels)
    assert [path.name for path in (tmp_path / "mine" / "sets" / "kept").iterdir()] == [KEY]
    (tmp_path / "file").touch()
    monkeypatch.setenv("ROBUSTUNE_CACHE", str(tmp_path / "file" / "below"))
    assert machine_sets() is None
    monkeypatch.setenv("ROBUSTUNE_CACHE", "")
    monkeypatch.setattr("engine.machine_cache.tempfile.gettempdir", lambda: os.open("/nowhere", 0))
    assert machine_sets() is None
    monkeypatch.setenv(module.BOUND, "-1")
    with pytest.raises(InputError, match="ROBUSTUNE_SETS_GB must be a number of gigabytes of at least 0, got '-1'"):
        machine_sets()
