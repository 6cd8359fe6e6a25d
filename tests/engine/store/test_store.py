import hashlib
import json
import os
import pickle
import shutil
import stat
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from engine.errors import InputError
from engine.stages import find_whole
from engine.store import CorruptArtifactError, Store

KEY = "0123456789abcdef" * 2
OTHER = "f" * 32


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store")


def publish(store: Store, key: str = KEY, value: float = 1.0):
    with store.attempt(key) as attempt:
        attempt.write_tensors("weights", {"w": torch.full((2, 3), value), "i": torch.tensor(7)})
        attempt.write_json("result", {"error": value})
        return store.publish(attempt, {"history": [{"epoch": 1}], "spec": {}})


def leftovers(store: Store) -> list[Path]:
    return list((store.root / "attempts").iterdir())


def test_a_published_artifact_is_found_with_what_was_written(store):
    assert store.find(KEY) is None
    publish(store)
    found = store.find(KEY)
    tensors = found.tensors("weights")
    assert torch.equal(tensors["w"], torch.ones(2, 3))
    assert int(tensors["i"]) == 7
    assert found.json("result") == {"error": 1.0}
    assert found.history == [{"epoch": 1}]
    assert sorted(found.manifest["files"]) == ["result.json", "weights.safetensors"]
    assert list(store.keys()) == [KEY]
    assert leftovers(store) == []
    found.verify()


def test_whoever_may_read_one_file_of_it_may_read_all(store):
    """Of a store that several people share: each file has the rights that the writer's umask leaves."""
    before = os.umask(0o002)
    try:
        publish(store)
    finally:
        os.umask(before)
    folder = store.find(KEY).folder
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == dict.fromkeys(
        ("manifest.json", "result.json", "weights.safetensors"), 0o664
    )
    assert stat.S_IMODE(folder.stat().st_mode) == 0o775


def test_another_store_object_over_the_folder_finds_it_too(store):
    publish(store)
    assert Store(store.root).find(KEY).json("result") == {"error": 1.0}


def test_tensors_keep_their_types_and_values_whatever_their_layout(store):
    tensors = {
        "last": torch.rand(2, 3, 4, 4).contiguous(memory_format=torch.channels_last),
        "turned": torch.rand(3, 2).T,
        "bytes": torch.tensor([0, 255], dtype=torch.uint8),
        "half": torch.rand(3).bfloat16(),
        "parameter": torch.nn.Parameter(torch.rand(2)),
    }
    with store.attempt(KEY) as attempt:
        attempt.write_tensors("t", tensors)
        found = store.publish(attempt, {}).tensors("t")
    assert all(torch.equal(found[name], value) and found[name].dtype == value.dtype for name, value in tensors.items())


@pytest.mark.parametrize("name", ["weights.safetensors", "result.json"])
def test_a_changed_file_is_noticed_and_put_into_quarantine(store, name):
    artifact = publish(store)
    path = artifact.folder / name
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    read = {"weights.safetensors": lambda: artifact.tensors("weights"), "result.json": lambda: artifact.json("result")}
    with pytest.raises(CorruptArtifactError, match=f"checksum of {name} differs from its manifest"):
        read[name]()
    with pytest.raises(CorruptArtifactError, match=f"artifact {KEY}: checksum of {name}"):
        artifact.verify()
    assert find_whole(store, KEY) is None
    assert store.find(KEY) is None
    assert [path.name[:32] for path in (store.root / "quarantine").iterdir()] == [KEY]
    publish(store, value=2.0)
    assert find_whole(store, KEY).json("result") == {"error": 2.0}


def test_a_missing_file_is_noticed(store):
    artifact = publish(store)
    (artifact.folder / "result.json").unlink()
    with pytest.raises(CorruptArtifactError, match=r"has no file result\.json"):
        artifact.json("result")
    with pytest.raises(CorruptArtifactError, match=r"has no file more\.json"):
        artifact.json("more")
    assert find_whole(store, KEY) is None


@pytest.mark.parametrize("content", ["", '{"key": ', '{"key": "ffffffffffffffff", "files": {}}'])
def test_a_damaged_manifest_counts_as_absent_and_is_replaced(store, content):
    artifact = publish(store)
    (artifact.folder / "manifest.json").write_text(content)
    assert store.find(KEY) is None
    publish(store, value=3.0)
    assert store.find(KEY).json("result") == {"error": 3.0}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "its manifest is not JSON"),
        ("[" * 100_000, "its manifest is not JSON"),
        ("\udcff", "its manifest is not JSON"),
        ("[]", "its manifest has no fields"),
        ("[1, 2]", "its manifest has no fields"),
        ("3", "its manifest has no fields"),
        ("null", "its manifest has no fields"),
        ('"key"', "its manifest has no fields"),
        ("{}", "its manifest has no key of its own"),
    ],
)
def test_a_manifest_that_is_none_is_put_aside_and_said(store, caplog, content, reason):
    manifest = publish(store).folder / "manifest.json"
    manifest.write_bytes(content.encode(errors="surrogateescape"))
    was_put_aside(store, caplog, reason)


@pytest.mark.parametrize(
    ("field", "value", "lacks"),
    [
        ("key", 3, "key of its own"),
        ("key", OTHER, "key of its own"),
        ("files", ["result.json"], "list of files"),
        ("files", None, "list of files"),
        ("files", {"result.json": 7}, "list of files"),
        ("history", None, "history"),
        ("history", {"epoch": 1}, "history"),
        ("history", [1, 2], "history"),
        ("spec", [], "spec"),
        ("spec", None, "spec"),
        ("spec", {"inputs": ["a"]}, "spec"),
        ("spec", {"inputs": {"pretrain": 1}}, "spec"),
        ("seconds", "long", "times"),
        ("seconds", None, "times"),
        ("finished_at", [0], "times"),
    ],
)
def test_a_manifest_s_field_of_another_type_is_put_aside_and_said(store, caplog, field, value, lacks):
    artifact = publish(store)
    (artifact.folder / "manifest.json").write_text(json.dumps({**artifact.manifest, field: value}))
    was_put_aside(store, caplog, f"its manifest has no {lacks}")


def was_put_aside(store: Store, caplog, reason: str) -> None:
    assert store.find(KEY) is None
    assert find_whole(store, KEY) is None
    (aside,) = (store.root / "quarantine").iterdir()
    assert f"artifact {KEY}: {reason}" in caplog.text
    assert f"it was put into quarantine ({aside}), and what is needed of it is computed again" in caplog.text
    publish(store, value=2.0)
    assert find_whole(store, KEY).json("result") == {"error": 2.0}


@pytest.mark.parametrize("content", ["[]", "3", "null", '{"files": 3}'])
def test_a_checkpoint_s_manifest_that_is_none_is_passed_over(store, content):
    checkpoint(store, 1)
    (store.root / "checkpoints" / KEY[:2] / KEY / "epoch-00001" / "manifest.json").write_text(content)
    assert store.latest_checkpoint(KEY) is None
    assert store.checkpointed_history(KEY) == []


def test_nothing_is_said_of_what_is_not_there(store, caplog):
    assert find_whole(store, KEY) is None
    assert caplog.text == ""
    assert not (store.root / "quarantine").exists()


def test_a_colon_in_a_folder_s_name_makes_no_address(tmp_path):
    assert Store(tmp_path / "a:b" / "s3:").root.is_dir()


def test_an_interrupted_attempt_leaves_nothing(store):
    def interrupted() -> None:
        with store.attempt(KEY) as attempt:
            attempt.write_json("result", {"error": 1.0})
            raise KeyboardInterrupt("by hand")

    with pytest.raises(KeyboardInterrupt, match="by hand"):
        interrupted()
    assert store.find(KEY) is None
    assert list(store.keys()) == []
    assert leftovers(store) == []


def test_an_attempt_that_was_killed_is_no_artifact(store):
    never_left = store.attempt(KEY)  # a process that dies leaves its folder behind
    attempt = never_left.__enter__()
    attempt.write_json("result", {"error": 1.0})
    attempt.seal({})
    assert store.find(KEY) is None
    assert list(store.keys()) == []
    publish(store)
    assert store.find(KEY) is not None


def test_of_two_attempts_at_one_key_the_first_stays(store):
    with store.attempt(KEY) as slow, store.attempt(KEY) as fast:
        assert slow.folder != fast.folder
        fast.write_json("result", {"error": 1.0})
        slow.write_json("result", {"error": 2.0})
        assert store.publish(fast, {}).json("result") == {"error": 1.0}
        assert store.publish(slow, {}).json("result") == {"error": 1.0}
    assert store.find(KEY).json("result") == {"error": 1.0}
    assert list(store.keys()) == [KEY]
    assert leftovers(store) == []


@pytest.mark.parametrize(
    "key", ["", "..", "../../etc", "0123", "0123456789abcdeg", "0" * 65, KEY.upper(), f"{KEY}/x", f"{KEY}\n"]
)
def test_keys_are_hexadecimal(store, key):
    with pytest.raises(ValueError, match="a key is 16 to 64 hexadecimal digits"):
        store.find(key)
    with pytest.raises(ValueError, match="a key is 16 to 64"), store.attempt(key):
        pass


@pytest.mark.parametrize("name", ["../escape", "a/b", "", ".hidden", "a\0b", "a b"])
def test_file_names_stay_in_their_folder(store, name):
    with store.attempt(KEY) as attempt:
        with pytest.raises(ValueError, match="an artifact's file name has letters"):
            attempt.write_json(name, {})
        with pytest.raises(ValueError, match="an artifact's file name has letters"):
            attempt.write_tensors(name, {})


def test_json_that_is_no_number_is_refused(store):
    with store.attempt(KEY) as attempt, pytest.raises(ValueError, match="not JSON compliant"):
        attempt.write_json("result", {"error": float("nan")})


class Payload:
    """What runs when it is unpickled."""

    path = ""

    def __reduce__(self):
        return Path(self.path).touch, ()


def test_a_pickle_in_a_safetensors_file_s_place_is_not_loaded(store, tmp_path):
    artifact = publish(store)
    payload = Payload()
    payload.path = str(tmp_path / "it ran")
    path = artifact.folder / "weights.safetensors"
    path.write_bytes(pickle.dumps(payload))
    with pytest.raises(CorruptArtifactError, match=r"checksum of weights.safetensors"):
        artifact.tensors("weights")
    manifest = dict(artifact.manifest)  # even if its checksum is put into the manifest
    manifest["files"]["weights.safetensors"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (artifact.folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(SafetensorError, match="Error while deserializing header"):
        store.find(KEY).tensors("weights")
    assert not (tmp_path / "it ran").exists()
    pickle.loads(path.read_bytes())
    assert (tmp_path / "it ran").exists()  # so the payload would have shown itself


def test_a_store_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"store cannot be written: .*file/store \(Not a directory\)"):
        Store(tmp_path / "file" / "store")

    def refuse(*_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(InputError, match=r"store cannot be written: .*there \(Read-only file system\)"):
        Store(tmp_path / "there")


def checkpoint(store: Store, epoch: int, key: str = KEY) -> None:
    store.save_checkpoint(key, epoch, {"w": torch.full((2,), float(epoch))}, {"epoch": epoch})


def test_the_last_checkpoint_is_kept_alone(store):
    assert store.latest_checkpoint(KEY) is None
    for epoch in (1, 2, 10):
        checkpoint(store, epoch)
    tensors, state = store.latest_checkpoint(KEY)
    assert tensors["w"].tolist() == [10, 10]
    assert state == {"epoch": 10}
    assert [path.name for path in (store.root / "checkpoints" / KEY[:2] / KEY).iterdir()] == ["epoch-00010"]
    assert store.latest_checkpoint(OTHER) is None
    assert store.find(KEY) is None
    store.drop_checkpoints(KEY)
    assert store.latest_checkpoint(KEY) is None
    assert leftovers(store) == []


@pytest.mark.parametrize("damage", ["truncated", "changed", "no manifest", "bad manifest"])
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(store, damage):
    checkpoint(store, 1)
    folder = store.root / "checkpoints" / KEY[:2] / KEY
    shutil.copytree(folder / "epoch-00001", folder.parent / "kept")
    checkpoint(store, 2)
    shutil.move(folder.parent / "kept", folder / "epoch-00001")  # as if the process had died before it was dropped
    newest = folder / "epoch-00002"
    if damage == "truncated":
        (newest / "state.safetensors").write_bytes((newest / "state.safetensors").read_bytes()[:-4])
    elif damage == "changed":
        (newest / "state.json").write_text('{"epoch": 7}')
    elif damage == "no manifest":
        (newest / "manifest.json").unlink()
    else:
        (newest / "manifest.json").write_text("{")
    tensors, state = store.latest_checkpoint(KEY)
    assert state == {"epoch": 1}
    assert tensors["w"].tolist() == [1, 1]


def test_a_checkpoint_of_the_same_epoch_is_replaced(store):
    checkpoint(store, 3)
    store.save_checkpoint(KEY, 3, {"w": torch.zeros(2)}, {"epoch": 3, "again": True})
    assert store.latest_checkpoint(KEY)[1] == {"epoch": 3, "again": True}
