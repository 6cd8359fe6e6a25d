"""Files of a bucket's artifacts on a machine: fetched once, bounded, never seen half."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.errors import InputError
from engine.store import CorruptArtifactError, Store, local_cache, open_store

ROOT = Path(__file__).parents[3]
KEYS = [letter * 32 for letter in "abcdef"]
A = KEYS[0]
OPEN = "import os, sys; from engine.store import open_store; store = open_store(sys.argv[1]); "


def publish(store: Store, key: str, n_bytes: int = 1000) -> None:
    with store.attempt(key) as attempt:
        attempt.write_json("filling", "x" * n_bytes)
        attempt.write_json("result", {"key": key})
        store.publish(attempt, {"history": [], "spec": {"stage": "pretrain"}})


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """Return the folder of a cache of another machine than the one that publishes."""
    folder = tmp_path / "elsewhere"
    monkeypatch.setenv("ROBUSTUNE_CACHE", str(folder))
    return folder


def files(cache: Path) -> list[str]:
    return sorted(path.parent.name[0] for path in cache.glob("*/files/*/*"))


def downloads(proxy) -> int:
    return sum("GET" in request and "/files/" in request for request in proxy.requests)


@pytest.fixture
def store(s3) -> Store:
    store = open_store(s3.address)
    for key in KEYS:
        publish(store, key)
    return store


def test_a_file_is_fetched_when_it_is_read_and_once(store, proxy, cache):
    elsewhere = open_store(store.address)
    found = elsewhere.find(A)
    assert downloads(proxy) == 0
    for _ in range(3):
        assert elsewhere.find(A).json("result") == {"key": A}
        assert open_store(store.address).find(A).json("result") == {"key": A}
    assert downloads(proxy) == 1
    found.verify()
    assert downloads(proxy) == 2


def test_a_large_file_comes_in_parts(s3, proxy, cache, monkeypatch):
    monkeypatch.setattr("engine.store.bucket._PART_BYTES", 1000)
    store = open_store(s3.address)
    publish(store, A, 12_345)
    monkeypatch.setenv("ROBUSTUNE_CACHE", str(cache / "another"))
    assert open_store(s3.address).find(A).json("filling") == "x" * 12_345
    assert downloads(proxy) == 13


def test_processes_of_a_machine_fetch_a_file_once_together(store, proxy, cache):
    proxy.latency_s = 0.2
    code = OPEN + "print(store.find(sys.argv[2]).json('result'))"
    started = [
        subprocess.Popen([sys.executable, "-c", code, store.address, A], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert [process.communicate(timeout=60)[0] for process in started] == [f"{ {'key': A} }\n"] * 3
    assert downloads(proxy) == 1


def test_what_was_not_used_for_longest_goes_beyond_the_bound(store, cache, monkeypatch):
    monkeypatch.setenv("ROBUSTUNE_CACHE_GB", "4.2e-6")
    monkeypatch.setattr(local_cache, "CHECK_S", 0.0)
    elsewhere = open_store(store.address)
    for key in KEYS[:3]:
        elsewhere.find(key).json("filling")
    assert files(cache) == ["a", "b", "c"]
    for path in cache.glob("*/files/*/*"):
        os.utime(path, (time.time() - 100,) * 2)
    elsewhere.find(A).json("filling")  # is used again
    elsewhere.find(KEYS[3]).json("filling")
    elsewhere.find(KEYS[4]).json("filling")
    left = files(cache)
    assert {"a", "d", "e"} <= set(left)
    assert len(left) == 3, "the one that was not used went"
    elsewhere.find(KEYS[5]).json("filling")
    assert len(files(cache)) == 4, "what was used in the last minute stays"
    assert elsewhere.find(KEYS[1]).json("filling") == "x" * 1000, "it comes again"


def test_a_copy_that_is_damaged_here_is_fetched_again(store, proxy, cache):
    elsewhere = open_store(store.address)
    elsewhere.find(A).json("result")
    (path,) = cache.glob("*/files/*/result.json")
    path.write_bytes(b"damaged")
    assert elsewhere.find(A).json("result") == {"key": A}
    path.unlink()
    path.symlink_to("/etc/hostname")
    assert elsewhere.find(A).json("result") == {"key": A}
    assert downloads(proxy) == 3


def test_two_stores_share_a_cache_and_are_not_mixed_up(store, s3, cache):
    other = open_store(f"s3://{s3.bucket}/another")
    with other.attempt(A) as attempt:
        attempt.write_json("result", {"key": "another"})
        other.publish(attempt, {})
    assert open_store(store.address).find(A).json("result") == {"key": A}
    assert other.find(A).json("result") == {"key": "another"}
    assert len(list(cache.iterdir())) == 2


def test_nobody_else_may_look_into_the_cache(store, cache):
    open_store(store.address).find(A).json("result")
    assert cache.stat().st_mode & 0o077 == 0


def test_what_a_killed_process_was_writing_is_removed(store, cache):
    code = OPEN + "(a := store.attempt(sys.argv[2])).__enter__(); "
    subprocess.run([sys.executable, "-c", code + "os.kill(os.getpid(), 9)", store.address, A], check=False, cwd=ROOT)
    assert len(list(cache.glob("*/attempts/*"))) == 1
    open_store(store.address)
    assert list(cache.glob("*/attempts/*")) == []


@pytest.mark.parametrize("is_empty", [False, True])
def test_a_folder_of_another_user_is_no_cache(s3, monkeypatch, tmp_path, is_empty):
    monkeypatch.delenv("ROBUSTUNE_CACHE")
    if is_empty:
        monkeypatch.setenv("ROBUSTUNE_CACHE", "")
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    made = tmp_path / f"robustune-cache-{os.getuid()}"
    open_store(s3.address)
    assert made.is_dir()
    uid = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: uid + 1)
    (tmp_path / f"robustune-cache-{uid + 1}").mkdir()
    with pytest.raises(InputError, match=r"the local cache is another user's: .*; ROBUSTUNE_CACHE names another"):
        open_store(s3.address)


def test_what_is_short_or_empty_there_is_no_file(s3, cache, monkeypatch):
    monkeypatch.setattr("engine.store.bucket._PART_BYTES", 1000)
    store = open_store(s3.address)
    publish(store, A, 3000)
    monkeypatch.setenv("ROBUSTUNE_CACHE", str(cache / "another"))
    (name,) = [name for name in s3.names("files/") if name.endswith("filling.json")]
    for content in (b"x" * 100, b""):
        s3.write(name, content)
        with pytest.raises(CorruptArtifactError, match=r"has no file filling.json|checksum of filling.json"):
            open_store(s3.address).find(A).json("filling")


def test_a_neighbour_that_finishes_its_fetch_meanwhile_does_no_harm(store, cache, monkeypatch):
    open_store(store.address)
    (attempts,) = cache.glob("*/attempts")
    (attempts / "fetch-1").write_bytes(b"")

    def finish(name: str) -> bool:
        (attempts / name).unlink()
        return False

    monkeypatch.setattr(local_cache, "is_of_the_dead", finish)
    open_store(store.address)
    assert list(attempts.iterdir()) == []
