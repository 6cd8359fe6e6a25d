"""The benchmarks of large images in their smallest form, and that they do not compare what is not the same."""

import re

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import decoding, photographs


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


def test_crops_are_the_same_each_time(tmp_path):
    for name in ("one", "other"):
        photographs.write_crops(tmp_path / name, {"train": 4, "val": 3})
    one, other = ({p.relative_to(f): p.read_bytes() for p in f.rglob("*.jpg")} for f in tmp_path.iterdir())
    assert one == other
    assert len(one) == 7
