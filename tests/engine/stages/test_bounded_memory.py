"""What is made of streamed images takes no more memory for more of them, and comes to what tensors come to."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from engine.data import DataSet, Split, scratch, streamed
from engine.data.streamed import StreamedImages, whole
from engine.metrics import as_input, classification_error
from engine.models import build_model
from engine.ranking import euclidean, find_exemplar, map_features, paired_distances, pixel_features
from engine.stages.network import set_input_statistics
from engine.stages.noisy import noisy_and_clean
from engine.stages.probe import make_probe
from engine.training.frozen import cut_network

SIDE, BATCH = 16, 8
DISTORTION = {"name": "awgn", "level": 25.0}
PROBE = {"table": "cifar-c", "corruptions": ["contrast", "fog"], "severities": [1, 5]}


@pytest.fixture(autouse=True)
def _in_small_parts(monkeypatch, tmp_path):
    monkeypatch.setattr(streamed, "PIXELS_A_BATCH", BATCH * SIDE**2)
    monkeypatch.setattr(scratch, "IN_MEMORY_BYTES", 2 * BATCH * 3 * SIDE**2)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


class LargestInMemory(TorchDispatchMode):
    """Notes the largest tensor that operations come to; what lies in a file does not count."""

    def __init__(self, given, monkeypatch):
        super().__init__()
        self.n_bytes, self._in_files = 0, {given.untyped_storage().data_ptr()}
        frombuffer = torch.frombuffer

        def noted(*arguments, **options):
            made = frombuffer(*arguments, **options)
            self._in_files.add(made.untyped_storage().data_ptr())
            return made

        monkeypatch.setattr(torch, "frombuffer", noted)

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        found = function(*arguments, **(options or {}))
        for value in found if isinstance(found, list | tuple) else [found]:
            if isinstance(value, torch.Tensor):
                storage = value.untyped_storage()
                if storage.data_ptr() not in self._in_files:
                    self.n_bytes = max(self.n_bytes, storage.nbytes())
        return found


def data_set(n, *, in_memory=False):
    pixels = torch.randint(
        0, 256, (2 * n, 3, SIDE, SIDE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    images = pixels if in_memory else StreamedImages.of(pixels)
    everything = Split(images, torch.arange(2 * n) % 4, torch.arange(2 * n))
    train, others = everything.take(torch.arange(n)), everything.take(torch.arange(n, 2 * n))
    return DataSet("some", train, others, others, tuple("abcd"), "cifar-c"), pixels


def make_everything(data, n):
    """Return what the stages make of images before they train: {what: result}."""
    torch.manual_seed(0)
    network = build_model("cnn-2", num_classes=4, image_size=SIDE).eval()
    set_input_statistics(network, data)
    noisy, clean, _ = noisy_and_clean(data, {**DISTORTION, "n_images": n}, seed=0)
    cut = cut_network(network, ["conv2.weight"], as_input(clean.images[:2]))
    assert cut is not None
    return {
        "noisy": noisy.images,
        "probe": make_probe(data, {**PROBE, "n_probe": n}).images,
        "distances": paired_distances(network, clean.images, noisy.images, ["conv1"], batch_size=BATCH)["conv1"],
        "pixels": pixel_features(noisy.images),
        "maps": map_features(network, noisy.images, "conv2", batch_size=BATCH),
        "features": cut.features(noisy).images,
        "error": torch.tensor(classification_error(network, noisy)),
    }


def test_parts_come_to_what_the_whole_comes_to():
    n = 30
    expected, found = make_everything(data_set(n, in_memory=True)[0], n), make_everything(data_set(n)[0], n)
    for what, value in expected.items():
        if what in ("noisy", "probe", "pixels", "error"):
            assert torch.equal(whole(found[what]), value), what
        else:
            torch.testing.assert_close(whole(found[what]), value, msg=what)


def test_memory_does_not_grow_with_the_images(monkeypatch):
    peaks = []
    for n in (40, 160):
        data, pixels = data_set(n)
        with LargestInMemory(pixels, monkeypatch) as largest:
            make_everything(data, n)
        peaks.append(largest.n_bytes)
    assert peaks[0] == peaks[1]


def test_distances_of_long_features_are_computed_in_parts(monkeypatch):
    points = torch.rand(300, 50, generator=torch.Generator().manual_seed(0))
    expected = euclidean.euclidean_distances(points)
    one, several = find_exemplar(points), find_exemplar(points, n_exemplars=3)
    monkeypatch.setattr(euclidean, "_VALUES_AT_ONCE", 100 * 50)
    with LargestInMemory(points, monkeypatch) as largest:
        found = euclidean.euclidean_distances(points)
    assert largest.n_bytes == found.nbytes
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found, torch.cdist(points.double(), points.double()), rtol=1e-9, atol=1e-6)
    assert torch.equal(find_exemplar(points), one)
    assert torch.equal(find_exemplar(points, n_exemplars=3), several)
