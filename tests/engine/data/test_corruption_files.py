"""Folders of corrupted images: written in the published format, read back, refused where they are damaged."""

import errno
import json
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from engine.data import CorruptionFiles, Split, write_corruption_files
from engine.errors import InputError

NAMES = ("contrast", "fog")
N = 7


def clean_split(n: int = N, channels: int = 3) -> Split:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (n, channels, 8, 8), generator=generator, dtype=torch.uint8)
    return Split(images, torch.arange(n) % 3, torch.arange(n) + 100)


def shifted(images, name, severity, indices):
    """Stand in for a corruption: what comes out says which name, severity and index went in."""
    return images + (10 * NAMES.index(name) + severity + indices % 100).to(torch.uint8).view(-1, 1, 1, 1)


def write(folder: Path, clean: Split | None = None, corrupt=shifted, **about) -> list[tuple[str, int, int]]:
    about = {"seed": 0, **about}
    return list(write_corruption_files(folder, clean or clean_split(), NAMES, corrupt, about=about))


@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_written_is_the_published_format_and_reads_back(tmp_path: Path, channels: int) -> None:
    clean = clean_split(channels=channels)
    write(tmp_path / "c", clean)
    assert sorted(path.name for path in (tmp_path / "c").glob("*.npy")) == ["contrast.npy", "fog.npy", "labels.npy"]
    array, labels = np.load(tmp_path / "c" / "fog.npy"), np.load(tmp_path / "c" / "labels.npy")
    assert (array.dtype, array.shape) == (np.uint8, (5 * N, 8, 8, channels))
    assert (labels.dtype, labels.shape) == (np.uint8, (5 * N,))
    assert (tmp_path / "c" / "fog.npy").stat().st_size == 128 + 5 * N * 64 * channels  # the header of numpy's own files
    files = CorruptionFiles(tmp_path / "c", clean, NAMES)
    for name in NAMES:
        for severity in (1, 3, 5):
            split = files.split(name, severity)
            torch.testing.assert_close(split.images, shifted(clean.images, name, severity, clean.indices))
            assert torch.equal(split.labels, clean.labels)
            assert split.images.is_contiguous()


def test_a_file_that_was_not_filled_to_its_end_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "c")
    pixels = np.load(tmp_path / "c" / "fog.npy", mmap_mode="r+")
    pixels[4 * N + 1 :] = 0  # the first image of the last severity is there
    pixels.flush()
    CorruptionFiles(tmp_path / "c", clean_split(), NAMES).content_hashes()
    pixels[4 * N] = 0
    pixels.flush()
    with pytest.raises(InputError, match=r"fog.npy has 7 images of severity 5 that are all the same"):
        CorruptionFiles(tmp_path / "c", clean_split(), NAMES).content_hashes()


def test_an_interrupted_folder_is_gone_on_with(tmp_path: Path) -> None:
    corrupted = []

    def breaks(images, name, severity, indices):
        if len(corrupted) == 7:
            raise KeyboardInterrupt
        corrupted.append((name, severity))
        return shifted(images, name, severity, indices)

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "c", corrupt=breaks)
    assert not (tmp_path / "c" / "fog.npy").exists()
    corrupted.append(("fog", 0))  # past the break
    steps = write(tmp_path / "c", corrupt=breaks)
    assert corrupted.count(("contrast", 1)) == corrupted.count(("fog", 1)) == corrupted.count(("fog", 2)) == 1
    assert steps[0] == ("contrast", 5 * N, 5 * N)
    assert steps[1] == ("fog", 2 * N, 5 * N)
    write(tmp_path / "other")
    for name in NAMES:
        np.testing.assert_array_equal(
            np.load(tmp_path / "c" / f"{name}.npy"), np.load(tmp_path / "other" / f"{name}.npy")
        )
    assert write(tmp_path / "c", corrupt=breaks) == [(name, 5 * N, 5 * N) for name in NAMES]


def interrupt(folder: Path, clean: Split | None = None) -> None:
    def breaks(images, name, severity, indices):
        if (name, severity) == ("fog", 3):
            raise KeyboardInterrupt
        return shifted(images, name, severity, indices)

    with pytest.raises(KeyboardInterrupt):
        write(folder, clean, corrupt=breaks)


def cut(path: Path, n_bytes: int) -> None:
    path.write_bytes(path.read_bytes()[:n_bytes])


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (
            lambda c: cut(c / ".fog.npy.part", 1000),
            r"\.fog\.npy\.part cannot be read: it is truncated .*; remove it to",
        ),
        (lambda c: cut(c / ".fog.npy.part", 20), r"\.fog\.npy\.part cannot be read: .*; remove it to begin it anew"),
        (lambda c: np.save((c / ".fog.npy.part").open("wb"), np.zeros(3)), r"\.part must be uint8 .*; remove it to"),
        (lambda c: cut(c / "contrast.npy", 1000), r"contrast\.npy cannot be read: .*; remove it to begin it anew"),
        (lambda c: (c / "robustune.json").write_text("[]"), r"robustune\.json is damaged"),
        (lambda c: (c / "robustune.json").write_text('{"about": {"seed": 0}}'), r"robustune\.json is damaged"),
        (lambda c: (c / "robustune.json").write_text('{"about": {"seed": 0}, "images": {"fog": "x"}}'), r"is damaged"),
    ],
)
def test_what_was_damaged_since_is_not_gone_on_with(tmp_path: Path, spoil, sentence) -> None:
    interrupt(tmp_path / "c")
    spoil(tmp_path / "c")
    with pytest.raises(InputError, match=sentence):
        write(tmp_path / "c")


def test_a_part_that_was_removed_is_begun_anew(tmp_path: Path) -> None:
    interrupt(tmp_path / "c")
    (tmp_path / "c" / ".fog.npy.part").unlink()
    assert ("fog", 0, 5 * N) in write(tmp_path / "c")
    write(tmp_path / "other")
    assert (tmp_path / "c" / "fog.npy").read_bytes() == (tmp_path / "other" / "fog.npy").read_bytes()


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    write(tmp_path / "c")
    with pytest.raises(InputError, match=r"corrupted otherwise \(seed is 0 there, 1 here\); give another folder"):
        write(tmp_path / "c", seed=1)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="holds files that were not written by this command"):
        write(tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
    (tmp_path / "c" / "robustune.json").write_text("{")
    with pytest.raises(InputError, match=r"robustune\.json is damaged"):
        write(tmp_path / "c")


def test_a_disk_without_room_is_refused_before_anything_is_written(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=4096))
    with pytest.raises(InputError, match=r"needs 0.00 GB of space, its disk has 0.00 GB"):
        write(tmp_path / "c", clean_split(40))
    assert not list((tmp_path / "c").glob("*.npy*"))


def test_a_disk_that_fills_up_meanwhile_is_a_sentence_and_what_is_written_stays(tmp_path: Path, monkeypatch) -> None:
    reserved = []

    def full_for_the_second(_, start, n_bytes):
        reserved.append(n_bytes)
        if len(reserved) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full_for_the_second, raising=False)
    with pytest.raises(
        InputError, match=rf"^{tmp_path}/c cannot be written: No space left on device: 0.00685 MB are w"
    ):
        write(tmp_path / "c")
    assert reserved == [128 + 5 * N * 64 * 3] * 2
    assert (tmp_path / "c" / "contrast.npy").is_file()
    assert write(tmp_path / "c")[0] == ("contrast", 5 * N, 5 * N)


def test_labels_that_the_format_cannot_hold_are_refused(tmp_path: Path) -> None:
    clean = clean_split()
    with pytest.raises(InputError, match="labels from 0 to 255, these go to 302"):
        write(tmp_path / "c", Split(clean.images, clean.labels + 300, clean.indices))
    assert not (tmp_path / "c").exists()


def spoil_labels(folder: Path) -> None:
    labels = np.load(folder / "labels.npy")
    labels[2 * N + 4] = 2
    np.save(folder / "labels.npy", labels)


def truncate(folder: Path) -> None:
    path = folder / "fog.npy"
    path.write_bytes(path.read_bytes()[:-1])


def pickle_it(folder: Path) -> None:
    np.save(folder / "fog.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda folder: (folder / "fog.npy").unlink(), r"lacks fog.npy"),
        (lambda folder: (folder / "labels.npy").unlink(), r"lacks labels.npy"),
        (truncate, r"fog.npy cannot be read: it is truncated or no array"),
        (pickle_it, r"fog.npy cannot be read"),
        (lambda folder: np.savez((folder / "fog.npy").open("wb"), a=np.zeros(3)), r"fog.npy must be one array"),
        (lambda folder: np.save(folder / "fog.npy", np.zeros((35, 8, 8))), r"must be uint8 of .*got float64"),
        (
            lambda folder: np.save(folder / "fog.npy", np.zeros((7, 8, 8, 3), np.uint8)),
            r"\(35, 8, 8, 3\), got uint8 of",
        ),
        (spoil_labels, r"at severity 3, image 4 has 2, not 1 \(1 of 7 differ\)"),
    ],
)
def test_damaged_folders_are_refused(tmp_path: Path, spoil, sentence) -> None:
    write(tmp_path / "c")
    spoil(tmp_path / "c")
    with pytest.raises(InputError, match=sentence):
        CorruptionFiles(tmp_path / "c", clean_split(), NAMES)


def test_what_a_folder_is_not_asked_for(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="folder of corrupted images does not exist"):
        CorruptionFiles(tmp_path / "c", clean_split(), NAMES)
    write(tmp_path / "c")
    files = CorruptionFiles(tmp_path / "c", clean_split(), ("fog",))
    with pytest.raises(InputError, match="unknown corruption of the folder 'contrast'"):
        files.split("contrast", 1)
    for severity in (0, 6):
        with pytest.raises(InputError, match="severity must be from 1 to 5"):
            files.split("fog", severity)


def test_some_of_the_test_images_are_found_by_their_indices(tmp_path: Path) -> None:
    clean = clean_split()
    clean = Split(clean.images, clean.labels, torch.arange(N))
    write(tmp_path / "c", clean)
    some = clean.take(torch.tensor([1, 4, 6]))
    whole, part = CorruptionFiles(tmp_path / "c", clean), CorruptionFiles(tmp_path / "c", some)
    assert whole.names == NAMES
    assert torch.equal(part.split("fog", 2).images, whole.split("fog", 2).images[[1, 4, 6]])
    beyond = Split(some.images, some.labels, some.indices + 1)
    with pytest.raises(InputError, match="has 7 images a severity, too few: test image 7 is wanted"):
        CorruptionFiles(tmp_path / "c", beyond)


def test_images_of_a_set_s_own_indices_are_found_by_what_the_note_has(tmp_path: Path) -> None:
    clean = clean_split()
    subset = Split(clean.images, clean.labels, torch.tensor([3, 17, 4, 90, 91, 40, 8]))
    interrupt(tmp_path / "c", subset)  # what was written of before indices were noted is gone on with
    note = json.loads((tmp_path / "c" / "robustune.json").read_text())
    (tmp_path / "c" / "robustune.json").write_text(json.dumps({**note, "indices": None}))
    write(tmp_path / "c", subset)
    whole = CorruptionFiles(tmp_path / "c", subset)
    some = subset.take(torch.tensor([6, 1, 3]))
    part = CorruptionFiles(tmp_path / "c", some)
    assert torch.equal(whole.split("fog", 2).images, shifted(subset.images, "fog", 2, subset.indices))
    assert torch.equal(part.split("fog", 2).images, whole.split("fog", 2).images[[6, 1, 3]])
    with pytest.raises(InputError, match=r"of 7 test images, and 2 of the 3 .* the first of these is test image 9"):
        CorruptionFiles(tmp_path / "c", Split(some.images, some.labels, torch.tensor([9, 17, 91 + 1])))
    for wrong in ("{", '{"indices": [1, 2]}', '{"indices": 7}'):
        (tmp_path / "c" / "robustune.json").write_text(wrong)
        with pytest.raises(InputError, match=r"robustune\.json, which says of which 7 test images .* is damaged"):
            CorruptionFiles(tmp_path / "c", subset)
    (tmp_path / "c" / "robustune.json").unlink()
    assert torch.equal(CorruptionFiles(tmp_path / "c", subset).split("fog", 2).images, whole.split("fog", 2).images)


def test_content_hashes_follow_the_pixels(tmp_path: Path) -> None:
    write(tmp_path / "c")
    before = CorruptionFiles(tmp_path / "c", clean_split()).content_hashes()
    array = np.load(tmp_path / "c" / "fog.npy")
    array[0, 0, 0, 0] ^= 1
    np.save(tmp_path / "c" / "fog.npy", array)
    after = CorruptionFiles(tmp_path / "c", clean_split()).content_hashes()
    assert after["contrast"] == before["contrast"]
    assert after["fog"] != before["fog"]


def test_the_note_says_what_the_images_are(tmp_path: Path) -> None:
    write(tmp_path / "c", seed=3)
    assert json.loads((tmp_path / "c" / "robustune.json").read_text())["about"] == {"seed": 3}
