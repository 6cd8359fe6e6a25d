"""How many images' maps are made at a time, on the CPU and on a pretend GPU that has too little memory."""

import pytest
import torch

from engine.data.streamed import StreamedImages
from engine.errors import InputError
from engine.models import build_model
from engine.ranking import DISTANCES, map_features, paired_distances
from engine.ranking import batches as sizes
from engine.ranking.batches import Batches, ranking_batches
from engine.settings import TrialConfig
from engine.stages import data_getter, plan_trial, prepare_data, run_chain
from engine.store import Store
from tests.engine.pretend_device import DEVICE, on_device, pretend_device
from tests.engine.stages.conftest import TINY

MAPS_OF_AN_IMAGE = 4 * 16 * 16 * 4
"""Bytes of four filters' maps of 16×16 in 32 bits."""


def make_network() -> torch.nn.Module:
    return build_model("resnet-8", num_classes=10, image_size=16, width=4)


def make_images(n: int) -> torch.Tensor:
    return torch.randint(0, 256, (n, 3, 16, 16), generator=torch.Generator().manual_seed(n)).byte()


def test_a_batch_on_the_cpu_follows_from_the_images_alone():
    network, images = make_network(), make_images(3)
    assert ranking_batches(network, images, ["conv1"], at="activation").size == 256
    wide = StreamedImages.of(torch.zeros(2, 3, 512, 512, dtype=torch.uint8))
    assert ranking_batches(network, wide, ["conv1"], at="activation").size == 8


def test_a_batch_on_a_gpu_follows_from_its_maps_and_not_from_what_is_free(monkeypatch):
    with pretend_device():
        network, images = on_device(make_network()), on_device(make_images(3))
        for free, room, size in (
            (2**30, 2**30, sizes.MOST_ON_GPU),
            (2**30, 70 * MAPS_OF_AN_IMAGE, 64),
            (1, 70 * MAPS_OF_AN_IMAGE, 64),
            (2**30, MAPS_OF_AN_IMAGE // 2, 1),
        ):
            monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device=None, free=free: (free, free))
            monkeypatch.setattr(sizes, "MAPS_BYTES", room)
            assert ranking_batches(network, images, ["conv1"], at="activation").size == size
        monkeypatch.setattr(sizes, "MAPS_BYTES", 70 * MAPS_OF_AN_IMAGE)
        assert ranking_batches(network, images, ["conv1", "layer1.0.conv1"], at="activation").size == 32


@pytest.fixture
def room(monkeypatch) -> list[int]:
    """Register a distance for whose maps there is memory for three images, and return the batches that it was given."""
    monkeypatch.setattr(DISTANCES, "_entries", dict(DISTANCES._entries))
    given: list[int] = []

    def distance(clean: torch.Tensor, noisy: torch.Tensor) -> torch.Tensor:
        given.append(len(clean))
        if len(clean) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB")
        return (clean - noisy).abs().mean(dim=(2, 3))

    DISTANCES.register("greedy")(distance)
    return given


def test_what_memory_does_not_take_is_halved_and_comes_to_the_same(room):
    network, clean, noisy = make_network(), make_images(14), make_images(14).flip(0)
    batches = Batches(8, halves=True)
    with pytest.warns(UserWarning, match="memory takes no 8 images' maps: 4 are tried"):
        found = paired_distances(network, clean, noisy, ["conv1"], distance="greedy", batch_size=batches)
    assert room == [8, 4, 2, 2, 2, 2, 2, 2, 2]
    assert (batches.size, batches.n_halved) == (2, 2)
    expected = paired_distances(network, clean, noisy, ["conv1"], distance="greedy", batch_size=2)
    assert torch.equal(found["conv1"], expected["conv1"])


def test_features_survive_a_lack_of_memory(monkeypatch):
    network, images = make_network(), make_images(7)
    expected = map_features(network, images, "conv1", batch_size=2)
    run = type(network).forward

    def greedy(self, images: torch.Tensor) -> torch.Tensor:
        if len(images) > 2:
            raise RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")
        return run(self, images)

    monkeypatch.setattr(type(network), "forward", greedy)
    batches = Batches(5, halves=True)
    with pytest.warns(UserWarning, match="memory takes no 5"):
        assert torch.equal(map_features(network, images, "conv1", batch_size=batches), expected)
    assert batches.n_halved == 1


@pytest.mark.parametrize(
    ("batches", "error"),
    [
        (Batches(4), torch.OutOfMemoryError("CUDA out of memory")),  # as on a CPU
        (Batches(1, halves=True), torch.OutOfMemoryError("CUDA out of memory")),
        (Batches(4, halves=True), ValueError("anything else")),
    ],
    ids=["not allowed", "one image", "another error"],
)
def test_other_errors_are_raised(batches, error):
    def fail(start: int, end: int) -> None:
        raise error

    with pytest.raises(type(error)):
        batches.over(4, fail)
    assert batches.n_halved == 0


def test_a_size_below_one_is_refused():
    with pytest.raises(InputError, match="`batch_size` must be ≥ 1, got 0"):
        Batches(0)


def test_a_ranking_that_had_to_halve_its_batches_notes_it(room, tmp_path):
    settings = {**TINY, "rank.distance": "greedy", "distortion.n_images": 5, "pretrain.epochs": 1}
    config, store = TrialConfig().with_settings(settings), Store(tmp_path)
    with pretend_device():
        info, _ = prepare_data(config.data, store)
        plan = plan_trial(config, info, device="cuda")
        stages = run_chain(plan, store, data_getter(info, store, DEVICE), device=DEVICE)
        with pytest.warns(UserWarning, match="memory takes no 5 images' maps"):
            ranked = next(one.artifact for one in stages if one.spec.stage == "rank")
    assert ranked.json("memory") == {"batch_size": 2, "halvings": 1}
