"""A person's folder of images is read, and nothing else."""

import os
from pathlib import Path

from PIL import Image

from engine.settings import DataSettings
from engine.stages import find_whole, prepare_data
from engine.store import Store

CLASSES = ("cat", "dog..", "a'b;c")


def test_a_folder_of_images_is_not_written_to_whatever_its_names_are(tmp_path) -> None:
    root = tmp_path / "pictures"
    for part in ("train", "test"):
        for shade, name in enumerate(CLASSES):
            (root / part / name).mkdir(parents=True)
            for number in range(4):
                Image.new("RGB", (16, 16), (50 * shade, number, 0)).save(root / part / name / f"{number}..png")
    before = state(tmp_path)
    store = Store(tmp_path / "store")
    info, _ = prepare_data(DataSettings(name=f"folder:{root}/../pictures"), store)
    assert info.n_classes == len(CLASSES)
    assert find_whole(store, info.raw_key) is not None
    after = state(tmp_path)
    assert {path: value for path, value in after.items() if not path.startswith("store")} == before


def state(folder: Path) -> dict[str, tuple[int, int]]:
    """Return time and size of everything below a folder, by its path."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = os.lstat(path)
        found[str(path.relative_to(folder))] = (status.st_mtime_ns, status.st_size)
    return found
