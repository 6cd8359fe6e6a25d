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

from engine.store import claims, leases
from engine.store.holders import Heartbeat, Holder
from engine.store.leases import FileLease, find_live, left_leases, live_leases, remove_left

DEAD_CODE = "from engine.store.leases import FileLease; import os, sys; from pathlib import Path; "
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
    long_ago = time.time() - claims.DEAD_S - 1
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


def test_it_is_known_whether_a_lease_was_taken_over(path):
    first, second = FileLease(path), FileLease(path)
    assert not first.is_held
    assert first.acquire()
    assert first.is_held
    os.utime(path, (1, 1))
    assert second.acquire()
    assert [first.is_held, second.is_held] == [False, True]
    assert not first.acquire()
    second.release()
    assert first.acquire()
    assert first.is_held
    first.release()
    assert not first.is_held
    assert list(path.parent.iterdir()) == []


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


def refuse_links(monkeypatch) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)


def fill_disk(monkeypatch) -> None:
    """Have files made, but not what is to be in them."""

    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    def open_full(file: Path, mode: str = "r", *arguments, **options):
        if mode not in ("x", "w"):
            return open_file(file, mode, *arguments, **options)
        Path(file).touch()
        return Full()

    open_file = io.open
    monkeypatch.setattr(io, "open", open_full)


def test_a_full_disk_leaves_no_lease_that_nobody_holds(path, monkeypatch):
    fill_disk(monkeypatch)
    lease = FileLease(path)
    assert lease.acquire()
    monkeypatch.undo()
    assert list(path.parent.iterdir()) == []


def test_a_lease_can_be_given_back_on_a_disk_that_has_become_full(path, monkeypatch):
    lease = FileLease(path)
    assert lease.acquire()
    fill_disk(monkeypatch)
    lease.release()
    monkeypatch.undo()
    assert list(path.parent.iterdir()) == []


def test_a_disk_without_links_does_as_well(path, monkeypatch):
    refuse_links(monkeypatch)
    take_and_die(path)
    lease = FileLease(path, {"of": "the living"})
    assert lease.acquire()
    assert not FileLease(path).acquire()
    assert find_live(path).note == {"of": "the living"}
    lease.release()
    assert list(path.parent.iterdir()) == []


def test_a_full_disk_without_links_leaves_no_lease_that_nobody_holds(path, monkeypatch):
    refuse_links(monkeypatch)
    make = claims._copy

    def copy(scratch: Path, place: Path) -> bool:
        fill_disk(monkeypatch)
        return make(scratch, place)

    monkeypatch.setattr(claims, "_copy", copy)
    assert FileLease(path).acquire()
    monkeypatch.undo()
    assert list(path.parent.iterdir()) == []


def test_a_lease_that_was_deleted_is_shown_again(path, monkeypatch):
    monkeypatch.setattr(leases, "BEAT_S", 0.02)
    lease = FileLease(path, {"of": "the living"})
    lease.acquire()
    path.unlink()
    wait_for(lambda: find_live(path) is not None)
    assert find_live(path).note == {"of": "the living"}
    lease.release()
    assert list(path.parent.iterdir()) == []


def wait_for(condition) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_the_age_of_a_lease_is_that_of_the_file_that_was_read(path, monkeypatch):
    write_as(path, replace(Holder.this_process(), host="elsewhere"))
    os.utime(path, (1, 1))
    fstat = os.fstat

    def replaced_meanwhile(descriptor: int):
        monkeypatch.undo()
        path.unlink()
        write_as(path, replace(Holder.this_process(), token="f" * 32))
        return fstat(descriptor)

    monkeypatch.setattr(os, "fstat", replaced_meanwhile)
    assert not FileLease(path).acquire(), "the one that was read is stale, the one that is there now is not"
    assert find_live(path).holder.token == "f" * 32


def test_a_token_that_is_a_path_leads_nowhere(path, tmp_path):
    outside = tmp_path / "outside"
    outside.touch()
    write_as(path, replace(Holder.this_process(), born="1", token="../outside"))
    os.utime(path, (1, 1))
    lease = FileLease(path)
    assert lease.acquire()
    lease.release()
    assert outside.exists()


def test_what_the_dead_left_is_found_and_removed_and_what_lives_stays(path, tmp_path):
    path = path.with_name("b" * 32 + ".json")
    take_and_die(path)
    dead_right = path.with_name("." + "a" * 32)
    write_as(dead_right, replace(Holder.this_process(), born="1"))
    with FileLease(path.parent / "live" / "b.json") as live:
        left = list(left_leases(path.parent))
        assert sorted(left) == sorted([path, dead_right])
        for one in [*left, live.path]:
            remove_left(one)
        assert [one for one in path.parent.rglob("*") if one.is_file()] == [live.path]


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


@pytest.mark.parametrize("function", ["look", "written"])
def test_a_beat_that_hangs_does_not_bring_back_a_lease_that_was_released_meanwhile(path, monkeypatch, function):
    lease = FileLease(path)
    assert lease.acquire()
    lease._heartbeat.stop()
    path.unlink()
    hanging = getattr(leases, function)

    def hang(*arguments):
        lease.release()
        return hanging(*arguments)

    monkeypatch.setattr(leases, function, hang)
    lease._beat()
    assert not path.exists()
