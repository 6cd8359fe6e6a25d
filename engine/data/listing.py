"""Which files of a folder are pictures of which class, and what is passed over.

The rule: a folder's sub-folders are its classes, by name; a class has every picture below it, at any depth, ordered by
its path. Folders that are linked are entered, except where that would lead round in a circle. Hidden files and folders
(".name", and "__MACOSX") are left out. A file is a picture if it has the suffix of a format that is read, or no suffix
and the first bytes of one. Whatever else lies there is passed over, and counted.

A file that should be a picture and can't be read is one here: the reader refuses it by name.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from engine.data.pictures import has_signature, suffixes
from engine.errors import InputError

HIDDEN = "hidden"
NO_CLASS = "in no class folder"
_NO_SUFFIX = "without suffix and no picture"
_NO_FILE = "no ordinary file"
_CIRCLE = "links that lead back"


@dataclass(frozen=True)
class Listing:
    """What lies in a folder of classes.

    Attributes:
        folder: the folder.
        classes: {class: its pictures, in order}, in the order of the names.
        passed_over: {why: how many files or folders}.
    """

    folder: Path
    classes: Mapping[str, list[Path]]
    passed_over: Counter[str] = field(default_factory=Counter)


def list_classes(folder: Path) -> Listing:
    """Return the classes of a folder and their pictures.

    Raises:
        InputError: a folder that can't be read, has no classes, or has classes without pictures: all are named.
    """
    passed_over: Counter[str] = Counter()
    classes: dict[str, list[Path]] = {}
    for entry in _visible(folder, passed_over):
        path = folder / entry.name
        if _is_folder(entry):
            classes[entry.name] = list(_pictures(path, passed_over, (path.resolve(),)))
        elif _is_picture(entry, Counter()):
            passed_over[NO_CLASS] += 1
    if not classes:
        raise InputError(f"folder has no classes (one folder each): {shown(folder)}")
    empty = [shown(folder / name) for name, pictures in classes.items() if not pictures]
    if empty:
        raise InputError(
            f"class folder{'s' * (len(empty) > 1)} without pictures: {', '.join(empty)}{told(passed_over, '; there: ')}"
        )
    return Listing(folder, classes, passed_over)


def class_names(folder: Path) -> list[str]:
    """Return the names of a folder's sub-folders that are not hidden, in order.

    Raises:
        InputError: the folder can't be read.
    """
    return [entry.name for entry in _visible(folder, Counter()) if _is_folder(entry)]


def told(passed_over: Mapping[str, int], before: str = "") -> str:
    """Return what was passed over in words, the most frequent first; "" if nothing was."""
    counts = sorted(passed_over.items(), key=lambda item: (-item[1], item[0]))
    return before + ", ".join(f"{count:,} {why}" for why, count in counts) if counts else ""


def shown(path: Path | str) -> str:
    """Return a path as text that can be printed, whatever bytes its names are made of."""
    return os.fsencode(path).decode(errors="replace")


def _pictures(folder: Path, passed_over: Counter[str], ancestors: tuple[Path, ...]) -> Iterator[Path]:
    """Yield the pictures below a folder, files and folders of one level together in the order of their names."""
    for entry in _visible(folder, passed_over):
        path = folder / entry.name
        if _is_folder(entry):
            real = path.resolve()
            if real in ancestors:
                passed_over[_CIRCLE] += 1
            else:
                yield from _pictures(path, passed_over, (*ancestors, real))
        elif _is_picture(entry, passed_over):
            yield path


def _visible(folder: Path, passed_over: Counter[str]) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(f"folder cannot be read: {shown(folder)} ({error.strerror})") from error
    visible = [entry for entry in found if not entry.name.startswith(".") and entry.name != "__MACOSX"]
    if len(visible) < len(found):
        passed_over[HIDDEN] += len(found) - len(visible)
    return visible


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, or to where one may not look
        return False


def _is_picture(entry: os.DirEntry[str], passed_over: Counter[str]) -> bool:
    """Return whether an entry that is no folder should be a picture; if not, it is counted."""
    suffix = Path(entry.name).suffix.lower()
    try:
        is_file = entry.is_file() or (entry.is_symlink() and not Path(entry.path).exists())  # a dead link should be one
    except OSError:
        is_file = True
    if not is_file:
        passed_over[_NO_FILE] += 1
    elif suffix in suffixes():
        return True
    elif suffix:
        passed_over[shown(suffix)] += 1
    elif _starts_as_picture(Path(entry.path)):
        return True
    else:
        passed_over[_NO_SUFFIX] += 1
    return False


def _starts_as_picture(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return has_signature(file.read(16))
    except OSError:
        return True
