"""Streamed images are the images that they stand for, whatever is asked for, in memory that does not grow with them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from engine.data import Split
from engine.data.streamed import (
    PIXELS_A_BATCH,
    StreamedImages,
    batch_size,
    channel_statistics,
    in_batches,
    like,
    whole,
)


@pytest.fixture
def pixels():
    return torch.randint(0, 256, (23, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def add_index(images, indices):
    return images + indices.to(torch.uint8)[:, None, None, None]


def test_a_part_is_what_the_tensor_has_there(pixels):
    images = StreamedImages.of(pixels)
    assert (images.shape, len(images), images.ndim, images.dtype) == (pixels.shape, 23, 4, torch.uint8)
    assert torch.equal(images[3:9], pixels[3:9])
    assert torch.equal(images[5], pixels[5])
    assert torch.equal(images[-1], pixels[-1])
    positions = torch.tensor([7, 0, 7])
    assert torch.equal(images[positions], pixels[positions])
    assert [len(batch) for batch in images.split(10)] == [10, 10, 3]
    assert torch.equal(torch.cat(list(images.split(10))), pixels)
    taken = images.take(torch.tensor([4, 2, 9])).take(torch.tensor([2, 0]))
    assert torch.equal(taken.whole(), pixels[torch.tensor([9, 4])])
    assert torch.equal(taken.resident("cpu").whole(), taken.whole())


def test_a_change_is_made_of_whatever_is_read(pixels):
    indices = torch.arange(100, 123)
    split = Split(StreamedImages.of(pixels), torch.zeros(23, dtype=torch.int64), indices)
    expected = Split(pixels, split.labels, indices).changed(add_index)
    found = split.changed(add_index)
    assert torch.equal(whole(found.images), expected.images)
    positions = torch.tensor([22, 1])
    assert torch.equal(whole(found.take(positions).images), expected.images[positions])
    assert torch.equal(found.images.resident("cpu").whole(), expected.images)
    assert torch.equal(found.take(positions).images.resident("cpu").whole(), expected.images[positions])
    assert isinstance(like(split.images, pixels), StreamedImages)


def test_batches_are_read_ahead_in_their_order(pixels):
    order = torch.randperm(23, generator=torch.Generator().manual_seed(1)).split(5)
    read = list(in_batches(StreamedImages.of(pixels), order))
    assert all(torch.equal(one, other) for one, other in zip(read, in_batches(pixels, order), strict=True))
    assert len(read) == 5


def test_a_batch_has_so_many_pixels():
    images = StreamedImages.of(torch.zeros(1, 3, 224, 224, dtype=torch.uint8))
    assert batch_size(images, 256) == PIXELS_A_BATCH // 224**2 == 41
    assert batch_size(images, 16) == 16
    assert batch_size(images.whole(), 256) == 256


def test_statistics_are_the_pixels_own(pixels):
    mean, std = channel_statistics(StreamedImages.of(pixels))
    values = pixels.double() / 255
    torch.testing.assert_close(mean.double(), values.mean((0, 2, 3)), rtol=1e-6, atol=0)
    torch.testing.assert_close(std.double(), values.std((0, 2, 3)), rtol=1e-6, atol=0)


BOUNDED = """
import re
from pathlib import Path
import torch
from engine.corruptions import distort
from engine.data import Split
from engine.data.streamed import StreamedImages
from engine.metrics import classification_error, corrupted_split
from engine.models import build_model
from engine.ranking import paired_distances
from engine.settings import TrainingSettings
from engine.training import Trainer

torch.set_num_threads(1)
n, side = 140_000, 224
with open("images", "wb") as file:
    file.truncate(n * 3 * side**2)  # 21 GB, none of them on the disk
stored = torch.from_file("images", size=n * 3 * side**2, dtype=torch.uint8).view(n, 3, side, side)
everything = Split(StreamedImages.of(stored), torch.arange(n) % 10, torch.arange(n))
order = torch.randperm(n, generator=torch.Generator().manual_seed(0))
train, few = everything.take(order[:100_000]), everything.take(order[100_000:100_024])
network = build_model("cnn-2", num_classes=10, image_size=side)
some = train.take(torch.arange(16))
settings = TrainingSettings(epochs=1, batch_size=8)
judge = lambda module: {"validation_error": classification_error(module, few)}
Trainer(network, some, settings, seed=0, judge=judge).train_epoch()
corrupted_error = classification_error(network, corrupted_split(few, ("contrast", 3), seed=0, table="cifar-c"))
noisy = few.changed(lambda images, indices: distort(images, "awgn", 25.0, seed=0, indices=indices))
paired_distances(network, few.images.whole(), noisy.images.whole(), ["conv1"], batch_size=8)
# Not getrusage: its peak includes what the process that started this one held then.
print("peak", int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the peak of a process")
def test_of_more_images_than_memory_a_process_holds_what_it_works_on(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", BOUNDED],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(re.search(r"peak (\d+)", done.stdout)[1]) < 2000
