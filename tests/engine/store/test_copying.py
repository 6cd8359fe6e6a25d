import pytest
import torch

from engine.store import Store, open_store
from engine.store.attempts import StoreFaultError
from engine.store.copying import Copied, copy_artifacts

A, B, C = (letter * 32 for letter in "abc")


def publish(store: Store, key: str, inputs: tuple[str, ...] = ()) -> None:
    with store.attempt(key) as attempt:
        attempt.write_tensors("weights", {"w": torch.full((3,), 1.5)})
        attempt.write_json("result", {"key": key})
        spec = {"stage": "finetune", "inputs": {str(place): one for place, one in enumerate(inputs)}}
        store.publish(attempt, {"history": [{"epoch": 1}], "spec": spec, "seconds": 3.0, "environment": {"host": "x"}})


@pytest.fixture(params=["to a bucket", "from a bucket"])
def stores(request, s3, tmp_path) -> tuple[Store, Store]:
    """A store with three artifacts, the first to be listed made of the last, and one without any."""
    pair = open_store(tmp_path / "folder"), open_store(s3.address)
    source, target = pair if request.param == "to a bucket" else pair[::-1]
    publish(source, C)
    publish(source, B, (C,))
    publish(source, A, (B, "f" * 32))
    return source, target


def test_what_was_computed_here_is_found_there_whole_with_all_that_is_said_of_it(stores):
    source, target = stores
    n_bytes = sum(stored.n_bytes for stored in source.inventory())
    arrived, seen = [], []
    done = copy_artifacts(source, target, arrived=arrived.append, progress=lambda *place: seen.append(place))
    assert done == Copied(3, n_bytes, 0, ())
    assert [manifest["key"] for manifest in arrived] == [C, B, A], "what others are made of comes first"
    assert seen[-1] == (3, 3)
    for key in (A, B, C):
        before, after = source.look_at(key), target.look_at(key)
        after.verify()
        assert after.json("result") == {"key": key}
        assert {**before.manifest, "upload": 0} == {**after.manifest, "upload": 0}
    assert copy_artifacts(source, target) == Copied(0, 0, 3, ())
    assert [stored.artifact.manifest["seconds"] for stored in target.inventory()] == [3.0] * 3


def test_a_corrupt_artifact_is_named_and_left_out(stores, monkeypatch):
    source, target = stores
    real = type(source).look_at

    def damaged(self: Store, key: str):
        found = real(self, key)
        if found is not None and self is source and key == B:
            found.manifest["files"]["result.json"] = "0" * 64
        return found

    monkeypatch.setattr(type(source), "look_at", damaged)
    done = copy_artifacts(source, target)
    assert (done.n_copied, done.n_there) == (2, 0)
    (fault,) = done.faults
    assert f"artifact {B}: checksum of result.json differs from its manifest" in fault
    assert sorted(target.keys()) == [A, C]


def test_a_copy_that_was_interrupted_goes_on(stores, monkeypatch):
    source, target = stores
    publish_there, n_published = type(target).publish, []

    def then_refuse(self: Store, *arguments):
        if n_published:
            raise StoreFaultError("the disk is full")
        n_published.append(1)
        return publish_there(self, *arguments)

    with monkeypatch.context() as context:
        context.setattr(type(target), "publish", then_refuse)
        with pytest.raises(StoreFaultError, match="the disk is full"):
            copy_artifacts(source, target)
    assert list(target.keys()) == [C]
    done = copy_artifacts(source, target)
    assert (done.n_copied, done.n_there) == (2, 1)
    assert sorted(target.keys()) == [A, B, C]
