"""A disk that is full, read-only or slow, and links where folders should be."""

import contextlib
import errno
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from engine.errors import InputError
from engine.stages import StageSpec, find_whole, run_stage
from engine.store import CorruptArtifactError, Store, StoreFaultError, attempts
from tests.engine.orchestration import counting_stage

KEY = "0123456789abcdef" * 2
LARGE = {"w": torch.zeros(1_000_000)}
"""Four megabytes: more than the small disk has."""


def mount(folder: Path, *options: str) -> bool:
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", *options, "tmpfs", folder], capture_output=True, check=False)
    return done.returncode == 0


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A disk of one megabyte."""
    folder = tmp_path / "small"
    if not mount(folder, "-o", "size=1m"):
        pytest.skip("needs the right to mount")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.fixture
def small_store(small_disk: Path) -> Store:
    return Store(small_disk / "store")


def names(at: Store, kind: str) -> list[str]:
    return [path.name for path in (at.root / kind).rglob("*") if path.is_file()]


def write(at: Store, tensors: dict[str, torch.Tensor]) -> None:
    with at.attempt(KEY) as attempt:
        attempt.write_tensors("weights", tensors)
        at.publish(attempt, {"history": [], "spec": {}})


def test_a_full_disk_is_one_sentence_and_leaves_no_part(small_store):
    with pytest.raises(
        StoreFaultError, match=r"writing weights\.safetensors of 0123.*: No space left on device"
    ) as error:
        write(small_store, LARGE)
    assert str(small_store.root) in str(error.value)
    assert "\n" not in str(error.value)
    assert small_store.find(KEY) is None
    assert names(small_store, "attempts") == []
    write(small_store, {"w": torch.ones(3)})
    assert find_whole(small_store, KEY) is not None


def test_a_checkpoint_that_does_not_fit_leaves_the_one_before(small_store):
    small_store.save_checkpoint(KEY, 1, {"w": torch.ones(3)}, {"epoch": 1})
    with pytest.raises(StoreFaultError, match="No space left on device"):
        small_store.save_checkpoint(KEY, 2, LARGE, {"epoch": 2})
    assert small_store.latest_checkpoint(KEY)[1] == {"epoch": 1}
    assert names(small_store, "attempts") == []


def make_spec(folder: Path) -> StageSpec:
    assert counting_stage.counting is not None
    folder.mkdir(exist_ok=True)
    settings = {"folder": str(folder), "epochs": 1, "epoch_s": 0.0}
    return StageSpec("counting", 1, settings, {}, "0" * 32, 0, {"device": "cpu"})


def run(at: Store, spec: StageSpec):
    return run_stage(spec, at, lambda key: None, device=torch.device("cpu"))


def test_a_stage_on_a_full_disk_fails_with_the_reason_and_runs_once_there_is_room(small_store, tmp_path):
    spec, ballast = make_spec(tmp_path / "count"), small_store.root / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    with pytest.raises(StoreFaultError, match="No space left on device"):
        run(small_store, spec)
    assert names(small_store, "artifacts") == []
    ballast.unlink()
    assert run(small_store, spec).json("errors")["objective"] == 0.5


@pytest.fixture
def read_only_store(tmp_path) -> Iterator[tuple[Store, Callable[[], None]]]:
    """A store with an artifact, and what makes its disk read-only."""
    folder = tmp_path / "disk"
    if not mount(folder):
        pytest.skip("needs the right to mount")
    at = Store(folder / "store")
    write(at, {"w": torch.ones(3)})
    yield at, lambda: subprocess.run(["mount", "-o", "remount,ro", folder], check=True) and None
    subprocess.run(["umount", folder], check=True)


def test_a_store_that_becomes_read_only_can_be_read_and_fails_a_stage_with_the_reason(read_only_store, tmp_path):
    at, make_read_only = read_only_store
    make_read_only()
    assert find_whole(at, KEY).tensors("weights")["w"].tolist() == [1, 1, 1]
    with pytest.raises(StoreFaultError, match="Read-only file system"):
        run(at, make_spec(tmp_path / "count"))
    with pytest.raises(InputError, match=r"store cannot be written: .* \(Read-only file system\)"):
        Store(at.root)
    assert list(Store(at.root, read_only=True).keys()) == [KEY]


@pytest.mark.parametrize("part", ["write_text", "rename", "mkdir"])
def test_whatever_the_disk_refuses_is_named(tmp_path, monkeypatch, part):
    at = Store(tmp_path / "store")

    def refuse(*_, **__):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, part, refuse)
    with pytest.raises(StoreFaultError, match=r"the store failed while .*0123456789abcdef.*: Input/output error \(/"):
        write(at, {"w": torch.ones(3)})
    monkeypatch.undo()
    assert at.find(KEY) is None
    assert names(at, "attempts") == names(at, "artifacts") == []


def test_an_error_that_is_not_the_disk_s_stays_what_it_is(tmp_path):
    at = Store(tmp_path / "store")
    with at.attempt(KEY) as attempt, pytest.raises(ValueError, match="not JSON compliant"):
        attempt.write_json("x", float("nan"))


def test_a_reader_of_a_slow_store_sees_all_of_an_artifact_or_nothing(tmp_path, monkeypatch):
    at, seen = Store(tmp_path / "store"), []
    checksum = attempts.checksum

    def slowly(path: Path) -> str:
        time.sleep(0.2)
        return checksum(path)

    monkeypatch.setattr(attempts, "checksum", slowly)
    writer = threading.Thread(target=write, args=(at, {"w": torch.ones(3)}))
    writer.start()
    while writer.is_alive():
        artifact = at.find(KEY)
        seen.append(artifact is not None)
        if artifact is not None:
            artifact.verify()
        time.sleep(0.02)
    writer.join()
    assert seen[0] is False
    assert find_whole(at, KEY) is not None


def test_a_link_in_an_artifact_s_place_is_not_followed_and_is_replaced(tmp_path):
    elsewhere, at = Store(tmp_path / "elsewhere"), Store(tmp_path / "store")
    write(elsewhere, {"w": torch.ones(3)})
    place = at.artifact_folder(KEY)
    place.parent.mkdir(parents=True)
    place.symlink_to(elsewhere.look_at(KEY).folder)
    assert at.find(KEY) is None
    assert find_whole(at, KEY) is None
    write(at, {"w": torch.zeros(3)})
    assert not place.is_symlink()
    assert at.find(KEY).tensors("weights")["w"].tolist() == [0, 0, 0]
    assert elsewhere.find(KEY).tensors("weights")["w"].tolist() == [1, 1, 1]


def test_a_link_in_a_file_s_place_counts_as_corrupt(tmp_path):
    at = Store(tmp_path / "store")
    write(at, {"w": torch.ones(3)})
    path = at.look_at(KEY).folder / "weights.safetensors"
    (tmp_path / "same").write_bytes(path.read_bytes())
    path.unlink()
    path.symlink_to(tmp_path / "same")
    with pytest.raises(CorruptArtifactError, match=r"has no file weights\.safetensors"):
        at.find(KEY).verify()


@pytest.mark.parametrize("name", ["../../../etc/passwd", "/etc/passwd", ".."])
def test_a_manifest_cannot_name_files_outside_its_folder(tmp_path, name):
    at = Store(tmp_path / "store")
    write(at, {"w": torch.ones(3)})
    artifact = at.look_at(KEY)
    artifact.manifest["files"][name] = "0" * 64
    with pytest.raises(CorruptArtifactError, match=f"has no file {re.escape(name)}"):
        artifact.verify()


def test_a_broken_link_can_be_put_into_quarantine(tmp_path):
    at = Store(tmp_path / "store")
    place = at.artifact_folder(KEY)
    place.parent.mkdir(parents=True)
    place.symlink_to(tmp_path / "nowhere")
    at.quarantine(KEY)
    assert not place.is_symlink()
