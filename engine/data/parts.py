"""Which pictures of a folder are for training and which for testing: its own ``train/`` and ``test/``, or drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from engine.data.listing import Listing, class_names, list_classes, shown, told
from engine.errors import InputError, unknown_name
from engine.seeds import generator
from engine.settings import DataSettings

PARTS = ("train", "test")
_USUAL = {"train", "training", "val", "valid", "validation", "dev", "test", "testing"}


@dataclass(frozen=True)
class Part:
    """The pictures that serve one purpose.

    Attributes:
        paths: of their files, class by class.
        places: their paths below the folder of the classes, the class's name first.
        labels: the place of each one's class among the names.
        indices: each one's position in its source: ``train/`` or ``test/``, or the whole of a folder without them.
    """

    paths: tuple[Path, ...]
    places: tuple[str, ...]
    labels: tuple[int, ...]
    indices: tuple[int, ...]


@dataclass(frozen=True)
class Parts:
    """A folder's pictures.

    Attributes:
        class_names: in the order of the labels.
        train: the training pictures.
        test: the test pictures.
        notes: what a person should know of how they were found, a sentence each.
    """

    class_names: tuple[str, ...]
    train: Part
    test: Part
    notes: tuple[str, ...]

    def __iter__(self) -> Iterator[tuple[str, Part]]:
        """Yield both parts, each with its name before it."""
        yield from zip(PARTS, (self.train, self.test), strict=True)


def find_parts(root: Path, settings: DataSettings) -> Parts:
    """Return the training and the test pictures of a folder.

    Args:
        root: the folder: with ``train/`` and ``test/`` and a folder per class in each; or with a folder per class, if
            ``test_fraction`` of them is to be set apart.
        settings: ``test_fraction``, and ``split_seed``, by which it is drawn; ``classes``, if not all are used.

    Raises:
        InputError: a folder of another form, classes that differ, or fewer than two.
    """
    found = class_names(root)
    if settings.test_fraction is None:
        return _own_parts(root, found, settings.classes)
    return _drawn_parts(root, found, settings)


def train_and_val(root: Path, classes: Sequence[str] | None = None) -> Parts:
    """Return the pictures of ``train/`` and of ``val/``, which has the test pictures.

    Args:
        root: the folder.
        classes: names of those that are used; None for all. ``val/`` need not have them.

    Raises:
        InputError: a folder of another form, a class of ``val/`` that ``train/`` lacks, or fewer than two classes.
    """
    found = class_names(root)
    missing = [part for part in ("train", "val") if part not in found]
    if missing:
        has = f"it has {', '.join(f'{shown(name)}/' for name in found[:5])}" if found else "it has no folders"
        raise InputError(
            f"{shown(root)} has no folder {' or '.join(map(repr, missing))} ({has}); expected "
            f"{shown(root)}/train/CLASS/IMAGE and {shown(root)}/val/CLASS/IMAGE; with test/ in the place of val/ it is "
            f"folder:{shown(root)}"
        )
    train, val = list_classes(root / "train"), list_classes(root / "val")
    if classes is not None:
        train, val = _only(train, classes), _only(val, [name for name in classes if name in val.classes])
    _check_classes(root, train)
    if not val.classes:
        raise InputError(f"{shown(root)}: val/ has none of the classes that are wanted: {', '.join(classes or ())}")
    unknown = [shown(name) for name in val.classes if name not in train.classes]
    if unknown:
        more = f", and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        raise InputError(
            f"{shown(root)}: classes of val/ that train/ lacks, so that nothing could learn them: "
            f"{', '.join(unknown[:5])}{more}"
        )
    notes = _note_passed_over(root, train.passed_over + val.passed_over)
    untested = [shown(name) for name in train.classes if name not in val.classes]
    if untested:
        notes += (f"{shown(root)}: val/ has no pictures of {len(untested):,} of {len(train.classes):,} classes",)
    labels = {name: label for label, name in enumerate(train.classes)}
    return Parts(tuple(train.classes), _whole(train), _whole(val, labels), notes)


def _only(listing: Listing, classes: Sequence[str] | None) -> Listing:
    """Return a listing of some classes alone; of all where none are named.

    Raises:
        InputError: a class that is not there.
    """
    if classes is None:
        return listing
    for name in classes:
        if name not in listing.classes:
            raise unknown_name("class", name, map(shown, listing.classes), of=shown(listing.folder))
    kept = {name: pictures for name, pictures in listing.classes.items() if name in classes}
    return replace(listing, classes=kept)


def _own_parts(root: Path, found: Sequence[str], classes: Sequence[str] | None) -> Parts:
    missing = [part for part in PARTS if part not in found]
    if missing:
        raise InputError(_what_is_missing(root, found, missing))
    train, test = (_only(list_classes(root / part), classes) for part in PARTS)
    if list(train.classes) != list(test.classes):
        differ = [
            f"only in {part}/: {', '.join(map(shown, sorted(set(own.classes) - set(other.classes))))}"
            for part, own, other in (("train", train, test), ("test", test, train))
            if set(own.classes) - set(other.classes)
        ]
        raise InputError(f"{shown(root)}: train/ and test/ must have the same classes; {'; '.join(differ)}")
    _check_classes(root, train)
    notes = _note_passed_over(root, train.passed_over + test.passed_over)
    others = [f"{shown(name)}/" for name in found if name not in PARTS]
    if others:
        notes += (f"{shown(root)}: only train/ and test/ are used, not {', '.join(others)}",)
    return Parts(tuple(train.classes), _whole(train), _whole(test), notes)


def _drawn_parts(root: Path, found: Sequence[str], settings: DataSettings) -> Parts:
    fraction, seed = settings.test_fraction, settings.split_seed
    assert fraction is not None
    if set(PARTS) <= set(found):
        raise InputError(
            f"{shown(root)} has train/ and test/ of its own: `data.test_fraction` must be None, got {fraction}"
        )
    if found and set(found) <= _USUAL:
        raise InputError(
            f"{shown(root)} has {', '.join(f'{name}/' for name in found)}, which are no classes: to set test images "
            f"apart from one of them, name it (folder:{shown(root / found[0])})"
        )
    listing = _only(list_classes(root), settings.classes)
    _check_classes(root, listing)
    train, test, small = [], [], []
    start = 0
    for label, pictures in enumerate(listing.classes.values()):
        order = torch.randperm(len(pictures), generator=generator(seed, "test images", label)).tolist()
        n_test = round(fraction * len(pictures))
        if not 0 < n_test < len(pictures):
            small.append(f"{shown(list(listing.classes)[label])} ({len(pictures)})")
        test += [start + position for position in sorted(order[:n_test])]
        train += [start + position for position in sorted(order[n_test:])]
        start += len(pictures)
    if small:
        raise InputError(
            f"{shown(root)}: classes too small to set {fraction:.3g} of their pictures apart as test images: "
            f"{', '.join(small)}"
        )
    whole = _whole(listing)
    note = (
        f"{shown(root)} has no train/ and test/: {len(test):,} of its {start:,} pictures, {fraction:.3g} of each "
        f"class, are the test images, drawn by seed {seed} (data.split_seed)"
    )
    notes = (note, *_note_passed_over(root, listing.passed_over))
    return Parts(tuple(listing.classes), _taken(whole, train), _taken(whole, test), notes)


def _what_is_missing(root: Path, found: Sequence[str], missing: Sequence[str]) -> str:
    form = f"expected {shown(root)}/train/CLASS/IMAGE and {shown(root)}/test/CLASS/IMAGE"
    if len(missing) == 1 and "train" in found:
        others = [f"{shown(name)}/" for name in found if name != "train"]
        has = f" (it has {', '.join(others)})" if others else ""
        return (
            f"{shown(root)} has no folder 'test'{has}; {form}; to set test images apart from train/: "
            f"folder:{shown(root / 'train')} with data.test_fraction=0.2"
        )
    names = [f"{shown(name)}/" for name in found if name not in PARTS]
    several = f"{', '.join(names[:5])}{', …' if len(names) > 5 else ''}"
    split = f"; if its classes are {several}: data.test_fraction=0.2 sets a fifth apart as test images"
    lacks = " or ".join(repr(part) for part in missing)
    return f"{shown(root)} has no folder {lacks}; {form}{split if len(names) > 1 else ''}"


def _check_classes(root: Path, listing: Listing) -> None:
    if len(listing.classes) < 2:
        raise InputError(f"{shown(root)}: at least 2 classes are needed, got {', '.join(map(shown, listing.classes))}")


def _whole(listing: Listing, known: Mapping[str, int] | None = None) -> Part:
    """Return all pictures of a listing; their labels are the classes' places in it, or those that are given."""
    paths = tuple(path for pictures in listing.classes.values() for path in pictures)
    known = known or {name: label for label, name in enumerate(listing.classes)}
    labels = tuple(known[name] for name, pictures in listing.classes.items() for _ in pictures)
    places = tuple(path.relative_to(listing.folder).as_posix() for path in paths)
    return Part(paths, places, labels, tuple(range(len(paths))))


def _taken(part: Part, positions: Sequence[int]) -> Part:
    return Part(
        tuple(part.paths[position] for position in positions),
        tuple(part.places[position] for position in positions),
        tuple(part.labels[position] for position in positions),
        tuple(positions),
    )


def _note_passed_over(root: Path, passed_over: Counter[str]) -> tuple[str, ...]:
    return (told(passed_over, f"{shown(root)}: passed over: "),) if passed_over else ()
