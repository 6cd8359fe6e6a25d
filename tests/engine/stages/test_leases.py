import errno
import io
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from engine.stages import leases
from engine.stages.leases import FileLease, Heartbeat, Holder, find_live, live_leases

DEAD_CODE = "from engine.stages.leases import FileLease; import os, sys; from pathlib import Path; "
"""The beginning of a program that takes a lease."""


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "leases" / "a.json"


def take_and_die(path: Path) -> None:
    """Take a lease in another process, which is killed with it."""
    code = DEAD_CODE + "assert FileLease(Path(sys.argv[1]), {'of': 'the dead'}).acquire(); os.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", code, path], check=False).returncode == -9
    assert path.exists()


def write_as(path: Path, holder: Holder) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"holder": asdict(holder), "note": {}}))


def test_a_lease_is_held_by_one_until_it_is_released(path):
    first, second = FileLease(path, {"study": "s"}), FileLease(path)
    assert find_live(path) is None
    assert first.acquire()
    assert not second.acquire()
    found = find_live(path)
    assert found.note == {"study": "s"}
    assert found.holder.pid == os.getpid()
    assert [found for _, found in live_leases(path.parent)] == [found]
    second.release()
    assert find_live(path) is not None, "who does not hold it cannot release it"
    first.release()
    assert find_live(path) is None
    assert list(path.parent.iterdir()) == []
    assert second.acquire()
    second.release()


def test_a_killed_process_s_lease_is_taken_over_at_once(path):
    take_and_die(path)
    assert find_live(path) is None
    lease = FileLease(path, {"of": "the living"})
    assert lease.acquire()
    assert find_live(path).note == {"of": "the living"}
    lease.release()


def test_a_zombie_has_ended(path):
    code = DEAD_CODE + "FileLease(Path(sys.argv[1])).acquire(); os.kill(os.getpid(), 9)"
    process = subprocess.Popen([sys.executable, "-c", code, path])
    end = time.monotonic() + 60
    while not (path.exists() and find_live(path) is None):  # its parent, this process, has not asked for its end
        assert time.monotonic() < end
        time.sleep(0.05)
    process.wait()


def test_a_process_number_that_is_used_again_is_not_taken_for_the_holder(path):
    write_as(path, replace(Holder.this_process(), born="1"))
    assert find_live(path) is None


def test_a_holder_elsewhere_is_dead_once_its_heart_stops(path, monkeypatch):
    write_as(path, replace(Holder.this_process(), host="elsewhere", pid=1, born="1"))
    assert find_live(path) is not None
    assert not FileLease(path).acquire()
    long_ago = time.time() - leases.DEAD_S - 1
    os.utime(path, (long_ago, long_ago))
    assert find_live(path) is None
    lease = FileLease(path)
    assert lease.acquire()
    lease.release()


def test_a_held_lease_is_kept_fresh(path, monkeypatch):
    monkeypatch.setattr(leases, "BEAT_S", 0.05)
    lease = FileLease(path)
    lease.acquire()
    os.utime(path, (1, 1))
    end = time.monotonic() + 30
    while path.stat().st_mtime < 100:
        assert time.monotonic() < end
        time.sleep(0.02)
    lease.release()


def test_a_lease_that_was_taken_over_is_neither_refreshed_nor_released(path, monkeypatch):
    monkeypatch.setattr(leases, "BEAT_S", 0.05)
    lease = FileLease(path)
    lease.acquire()
    write_as(path, replace(Holder.this_process(), host="elsewhere"))
    os.utime(path, (1, 1))
    time.sleep(0.3)
    assert path.stat().st_mtime == 1
    lease.release()
    assert path.exists()


@pytest.mark.parametrize("content", ["", "[1]", '{"holder": 3}', "{"])
def test_a_file_that_cannot_be_read_counts_as_held_until_it_is_stale(path, content):
    path.parent.mkdir()
    path.write_text(content)
    assert find_live(path).holder is None
    assert not FileLease(path).acquire()
    os.utime(path, (1, 1))
    lease = FileLease(path)
    assert lease.acquire()
    lease.release()


def test_where_nothing_can_be_written_everybody_gets_the_lease(tmp_path):
    (tmp_path / "file").touch()
    lease = FileLease(tmp_path / "file" / "a.json")
    assert lease.acquire()
    lease.release()


def test_a_full_disk_leaves_no_lease_that_nobody_holds(path, monkeypatch):
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    def open_full(file: Path, mode: str = "r", *arguments, **options):
        if mode != "x":
            return open_file(file, mode, *arguments, **options)
        file.touch()
        return Full()

    open_file = Path.open
    monkeypatch.setattr(Path, "open", open_full)
    lease = FileLease(path)
    assert lease.acquire()
    monkeypatch.undo()
    assert not path.exists()


def test_a_heart_goes_on_after_a_beat_that_failed():
    beats = []

    def beat() -> None:
        beats.append(len(beats))
        if len(beats) == 1:
            raise OSError("away")

    heart = Heartbeat(beat, 0.01)
    end = time.monotonic() + 30
    while len(beats) < 3:
        assert time.monotonic() < end
        time.sleep(0.01)
    heart.stop()
    n_beats = len(beats)
    time.sleep(0.1)
    assert len(beats) == n_beats
