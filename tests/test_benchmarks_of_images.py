"""The benchmarks of large images in their smallest form, and that they do not compare what is not the same."""

import contextlib
import io
import re

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import decoding, large_images, large_set, photographs, streaming
from engine.data.streamed import StreamedImages
from tests.registered import taken_back


@pytest.fixture(autouse=True)
def threads():
    """Leave the process with the threads it had."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def shots(monkeypatch):
    """Have noise in the place of photographs, which are another package's."""
    draws = np.random.default_rng(0)
    coarse = {name: Image.fromarray(draws.integers(0, 256, (30, 40, 3), dtype=np.uint8)) for name in ("a", "b", "c")}
    made = {name: image.resize((400, 300)) for name, image in coarse.items()}
    monkeypatch.setattr(photographs, "photographs", lambda: made)


def test_decoding_compares_with_a_loader_and_tells_what_both_share(capsys, monkeypatch):
    monkeypatch.setattr(decoding, "n_threads", lambda: 2)
    decoding.main(["--images", "14", "--workers", "0", "--rounds", "1"])
    printed = capsys.readouterr().out
    assert "same bytes of 14 images" in printed
    assert re.search(
        r"best: [0-9.]+ of the engine's time, [0-9.]+ of its processor's \(DataLoader, 0 workers\)", printed
    )
    assert re.search(r"engine: libjpeg \d+% of its processor's seconds, resizing \d+%", printed)
    assert re.search(
        r"libjpeg's halving, of 1000×750: [0-9.]+ times as quick on one core, but [1-9]\d?% of the b", printed
    )


def test_decoding_compares_no_ways_to_other_pixels():
    with pytest.raises(SystemExit, match="the ways decode to other pixels"):
        decoding.check_equal([torch.zeros(2, 3)], [torch.ones(2, 3)])


def run_here(main):
    """Return what runs a command's main in this process, which has its imports done."""

    def run(command):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), pytest.MonkeyPatch.context() as undone:
            undone.setattr(
                StreamedImages, "to", StreamedImages.to
            )  # which the benchmark replaces in a process of its own
            main(command[3:])
        return printed.getvalue()

    return run


@pytest.mark.slow
def test_a_trial_at_any_size_is_the_same_streamed_and_from_memory(capsys, monkeypatch):
    monkeypatch.setattr(large_images, "in_own_process", run_here(large_images.main))
    monkeypatch.setattr(large_images, "CORRUPTIONS", "contrast,gaussian_noise")
    large_images.main(["--crops", "24", "--side", "32", "--epochs", "1", "--threads", "1"])
    printed = capsys.readouterr().out
    assert re.search(
        r"streamed +[0-9.]+ s end to end, [0-9.]+ s of the p.*; at most [0-9.]+ GB of memory of its own", printed
    )
    assert re.search(r"same errors in all 11 cells; streamed at [0-9.]+ of the speed from memory", printed)


def test_trials_with_other_errors_are_not_compared():
    with pytest.raises(SystemExit, match="streamed images come to other errors"):
        large_images.compare({}, "a,1,0.5", "a,1,0.6")


@pytest.mark.slow
def test_a_set_of_any_size_is_prepared_trained_on_and_ranked(capsys, monkeypatch):
    monkeypatch.setattr(large_set, "in_own_process", run_here(large_set.main))
    with taken_back():
        large_set.main(["--gigabytes", "0.004", "--noisy", "10", "--side", "32", "--threads", "1"])
    printed = capsys.readouterr().out
    for what in large_set.WHAT.values():
        assert re.search(rf"{what}: \d+ s; at most [0-9.]+ GB of memory of its own, [0-9.]+% of the 0.0 GB", printed)


def test_streaming_compares_with_memory(capsys):
    streaming.main(["--images", "6", "--batch-size", "4", "--side", "32", "--threads", "1", "--rounds", "1"])
    printed = capsys.readouterr().out
    assert len(re.findall(r"streamed: [0-9.]+ of the speed from memory", printed)) == 2
    assert len(re.findall(r"streamed, read anew: [0-9.]+ of the speed from memory", printed)) == 2


def test_streaming_compares_no_ways_to_other_numbers():
    ways = {"engine": lambda: 1.0, streaming.MEMORY: lambda: 2.0}
    with pytest.raises(SystemExit, match="the ways come to other numbers"):
        streaming.compare(ways, 1)


def test_crops_are_the_same_each_time(tmp_path):
    for name in ("one", "other"):
        photographs.write_crops(tmp_path / name, {"train": 4, "val": 3})
    one, other = ({p.relative_to(f): p.read_bytes() for p in f.rglob("*.jpg")} for f in tmp_path.iterdir())
    assert one == other
    assert len(one) == 7
