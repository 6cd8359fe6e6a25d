"""Images in shards of a store: a machine fetches those of a bucket that it needs, and keeps them within its bound."""

import errno
import os

import numpy as np
import pytest
import torch

from engine.data import RawData, Split
from engine.data.streamed import StreamedImages
from engine.stages.prepared import _load_raw, _store_raw
from engine.stages.stored_shards import note_on_copies
from engine.store import StoreFaultError, local_cache, open_store
from tests.engine.store.conftest import proxy, s3  # noqa: F401

KEY = "a" * 32
A_SHARD, SHAPES = 10, {"train": (95, 3, 8, 8), "test": (20, 3, 8, 8)}


def pixels(part):
    return np.random.default_rng(len(part)).integers(0, 256, SHAPES[part], np.uint8)


class Pictures:
    """A reader that gives its images place by place."""

    is_mapped = True

    def read(self, allot):
        splits = []
        for part, shape in SHAPES.items():
            images = allot(part, shape)
            for place, image in enumerate(pixels(part)):
                images[place] = image
            splits.append(Split(StreamedImages.of(images), torch.arange(shape[0]) % 2, torch.arange(shape[0])))
        return RawData(*splits, ("a", "b"))


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch):
    monkeypatch.setattr("engine.data.shards.SHARD_BYTES", A_SHARD * 3 * 8 * 8)


@pytest.fixture
def elsewhere(s3, proxy, tmp_path, monkeypatch):  # noqa: F811
    """Return a function that opens the bucket's store, in which the images are, on another machine."""
    _store_raw(open_store(s3.address), KEY, Pictures())
    monkeypatch.setenv("ROBUSTUNE_CACHE", str(tmp_path / "elsewhere"))
    return lambda: open_store(s3.address)


def fetched(proxy):  # noqa: F811
    return sum("GET" in request and "-images-" in request for request in proxy.requests)


def test_a_machine_fetches_the_shards_that_it_needs(elsewhere, proxy):  # noqa: F811
    store = elsewhere()
    raw = _load_raw(store.find_whole(KEY), store)
    assert fetched(proxy) == 2  # the first images of both parts are looked at
    train = raw.train.images.take(torch.tensor([94, 3, 41, 90, 5, 41]))
    assert np.array_equal(train.whole().numpy(), pixels("train")[[94, 3, 41, 90, 5, 41]])
    assert fetched(proxy) == 4
    assert np.array_equal(raw.train.images.split(95).__next__().numpy(), pixels("train"))
    assert np.array_equal(raw.test.images[-1].numpy(), pixels("test")[-1])
    assert fetched(proxy) == 12
    again = _load_raw(elsewhere().find(KEY))
    assert np.array_equal(again.train.images[17].numpy(), pixels("train")[17])
    assert fetched(proxy) == 12


def test_copies_stay_within_the_bound_and_what_is_mapped_stays(elsewhere, proxy, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setenv("ROBUSTUNE_CACHE_GB", "12e-6")
    monkeypatch.setattr(local_cache, "CHECK_S", 0.0)
    store = elsewhere()
    raw = _load_raw(store.find(KEY), store)
    assert np.array_equal(raw.test.images[0].numpy(), pixels("test")[0])
    (mapped,) = (tmp_path / "elsewhere").rglob("test-images-00000.safetensors")
    os.utime(mapped, (0, 0))  # used before all others
    for start in range(0, 95, 10):
        found = raw.train.images[start : start + 10].numpy()
        assert np.array_equal(found, pixels("train")[start : start + 10])
        files = [path for path in (tmp_path / "elsewhere").glob("*/files/*/*") if path.is_file()]
        assert sum(path.stat().st_size for path in files) <= 12_000
        assert mapped in files
    assert len([path for path in files if "train-images" in path.name]) < 10
    raw.test.images.stored.close()
    raw.train.images[0]
    raw.train.images[10]
    raw.train.images[20]
    assert not mapped.exists(), "it is mapped no more, and was used before all others"
    assert np.array_equal(raw.test.images[0].numpy(), pixels("test")[0]), "it comes again"
    (note,) = note_on_copies(store.find(KEY))
    assert note.startswith("the images are 2.21e-05 GB, but a machine keeps 1.2e-05 GB of a bucket's files at most")


def test_a_shard_that_is_damaged_or_of_other_images_is_a_sentence(elsewhere, s3, monkeypatch, tmp_path):  # noqa: F811
    store = elsewhere()
    raw = _load_raw(store.find(KEY), store)
    (name,) = [name for name in s3.names("files/") if name.endswith("train-images-00004.safetensors")]
    s3.write(name, bytes(len(s3.read(name))))
    with pytest.raises(
        StoreFaultError,
        match=r"images in the store are damaged: .* checksum of train-images-00004.safetensors .* decodes them anew",
    ):
        raw.train.images[40]
    assert np.array_equal(raw.train.images[50].numpy(), pixels("train")[50])
    assert store.find(KEY) is None, "who asks for the data set next decodes it"
    with store.attempt(KEY) as attempt:
        for part, shape in SHAPES.items():
            count = torch.arange(shape[0])
            attempt.write_tensors(part, {"labels": count % 2, "indices": count})
            attempt.map_images(f"{part}-images-00000", (A_SHARD, 3, 4, 4))[:] = 7
        layout = {part: {"shape": shape, "a_shard": A_SHARD} for part, shape in SHAPES.items()}
        attempt.write_json("classes", {"names": ["a", "b"], "severity_table": "cifar-c", "shards": layout})
        other = store.publish(attempt, {})
    with pytest.raises(StoreFaultError, match=r"must have uint8 of the shape \(10, 3, 8, 8\), got torch.uint8 of the"):
        _load_raw(other, store)


def test_shards_of_a_folder_are_mapped_in_place_and_many_images_have_larger_ones(tmp_path, monkeypatch):
    monkeypatch.setattr("engine.data.shards.MOST_SHARDS", 5)
    store = open_store(tmp_path / "store")
    raw = _load_raw(_store_raw(store, KEY, Pictures()), store)
    assert np.array_equal(raw.train.images.whole().numpy(), pixels("train"))
    assert len(list((tmp_path / "store").rglob("train-images-*.safetensors"))) == 5
    assert note_on_copies(store.find(KEY)) == []


def test_a_disk_that_is_full_while_images_are_decoded_is_a_sentence(tmp_path, monkeypatch):
    store, reserved = open_store(tmp_path / "store"), []

    def nearly_full(_, start, n_bytes):
        reserved.append(start + n_bytes)
        if len(reserved) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", nearly_full, raising=False)
    with pytest.raises(
        StoreFaultError,
        match=r"writing train-images-00002.safetensors of a+: No space left on device: 0\.002\d* MB are wanted "
        rf"\({tmp_path}.*\); all images of 'train' take 1\.82e-05 GB",
    ):
        _store_raw(store, KEY, Pictures())
    assert all(n_bytes > A_SHARD * 3 * 8 * 8 for n_bytes in reserved)
    assert store.find(KEY) is None
