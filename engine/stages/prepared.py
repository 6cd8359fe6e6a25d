"""Data sets in the store: decoded once, found by every process by their key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from engine.conversion import build
from engine.data import CorruptionFiles, DataInfo, DataSet, RawData, Split, open_reader, split_data, split_key
from engine.data.checks import notes_on_values
from engine.data.reading import Reader
from engine.data.sequence_files import sequence_hashes
from engine.data.streamed import StreamedImages, whole
from engine.errors import InputError
from engine.settings import DataSettings
from engine.stages.along_sequences import begins_with_the_picture
from engine.stages.runner import find_anew, find_whole
from engine.stages.stored_shards import allotted, layouts, note_on_copies, shard_files, shards_of
from engine.store.artifact import Artifact, CorruptArtifactError
from engine.store.store import Store


class MissingDataError(LookupError):
    """The store has no images of a data set (any more)."""


def prepare_data(settings: DataSettings, store: Store, *, download: bool = False) -> tuple[DataInfo, DataSet]:
    """Return a data set and what planning needs to know of it; its decoded images are put into the store.

    Args:
        settings: which, and how it is set apart.
        store: where the images go.
        download: whether its files are fetched first, unless they are there.

    Raises:
        InputError: whatever is wrong with the data set: its name, its folder, an unreadable image, a damaged file of
            corrupted images.
    """
    reader = open_reader(settings, download=download)
    raw_key = reader.fingerprint()
    artifact = find_whole(store, raw_key) or _store_raw(store, raw_key, reader)
    raw = _load_raw(artifact, store)
    data = split_data(raw, settings)
    folder, sequences = _absolute(settings.corruption_files), _absolute(settings.sequence_files)
    files = {} if folder is None else CorruptionFiles(Path(folder), data.test).content_hashes()
    info = DataInfo(
        key=split_key(raw_key, data, settings),
        training_key=split_key(raw_key, data, settings, with_test=False),
        raw_key=raw_key,
        settings=settings,
        n_classes=data.n_classes,
        channels=data.channels,
        image_size=data.image_size,
        severity_table=data.severity_table,
        n_train=len(data.train),
        n_validation=len(data.validation),
        n_test=len(data.test),
        corruption_folder=folder,
        corruption_files=files,
        sequence_folder=sequences,
        sequence_files={} if sequences is None else sequence_hashes(sequences, data.test, begins_with_the_picture),
        notes=(*getattr(reader, "notes", ()), *raw.notes, *note_on_copies(artifact)),
    )
    return info, replace(data, corruption_folder=folder, sequence_folder=sequences)


def data_from_store(info: DataInfo, store: Store) -> DataSet:
    """Return a prepared data set.

    Raises:
        MissingDataError: the store does not have it.
    """
    artifact = find_anew(store, info.raw_key)
    if artifact is None:
        raise MissingDataError(f"the store has no data set {info.raw_key} ({info.settings.name})")
    data = split_data(_load_raw(artifact, store), info.settings)
    return replace(data, corruption_folder=info.corruption_folder, sequence_folder=info.sequence_folder)


def data_getter(info: DataInfo, store: Store, device: torch.device) -> Callable[[str], DataSet]:
    """Return what gives a process its data set by key: loaded at the first call, resident on the device then."""
    resident: list[DataSet] = []

    def get(key: str) -> DataSet:
        if key not in (info.key, info.training_key):
            raise LookupError(f"this process has the data set {info.key}, not {key}")
        if not resident:
            resident.append(data_from_store(info, store).to(device))
        return resident[0]

    return get


def stored_class_names(settings: DataSettings, training_key: str, store: Store) -> tuple[str, ...] | None:
    """Return the names of a data set's classes, of its images in a store; None where these are not there any more.

    Nothing is changed in the store.

    Args:
        settings: of the data set.
        training_key: of its splits.
        store: that has its images.
    """
    for stored in store.inventory():
        if stored.artifact is not None and stored.artifact.manifest["spec"].get("stage") == "data":
            try:
                raw = _load_raw(stored.artifact)
                data = split_data(raw, settings)
            except (CorruptArtifactError, InputError):  # InputError: images of another data set
                continue
            if split_key(stored.key, data, settings, with_test=False) == training_key:
                return raw.class_names
    return None


def _absolute(folder: str | None) -> str | None:
    return None if folder is None else str(Path(folder).expanduser().absolute())


def info_to_json(info: DataInfo) -> dict[str, Any]:
    """Return what is known of a data set as a JSON value."""
    return asdict(info)


def info_from_json(value: dict[str, Any]) -> DataInfo:
    """Return the value of ``info_to_json``."""
    settings = build(DataSettings, value["settings"], "data.")
    return DataInfo(**{**value, "settings": settings, "notes": tuple(value["notes"])})


def _store_raw(store: Store, key: str, reader: Reader) -> Artifact:
    is_mapped = getattr(reader, "is_mapped", False)
    if not is_mapped:
        raw = reader.read()  # what is wrong with the images is said before anything is begun
    with store.attempt(key) as attempt:
        if is_mapped:
            raw = reader.read(partial(allotted, attempt))  # type: ignore[call-arg]
        for part, split in (("train", raw.train), ("test", raw.test)):
            pixels = {} if is_mapped else {"images": whole(split.images)}
            attempt.write_tensors(part, {**pixels, "labels": split.labels, "indices": split.indices})
        notes = [*raw.notes, *notes_on_values(raw.train.images, raw.test.images)]
        shards = layouts(raw) if is_mapped else {}
        classes = {"names": list(raw.class_names), "severity_table": raw.severity_table, "notes": notes}
        balanced = {"are_limits_balanced": True} if raw.are_limits_balanced else {}
        attempt.write_json("classes", {**classes, **balanced, **({"shards": shards} if shards else {})})
        named = {"shards": shard_files(shards)} if shards else {}
        return store.publish(attempt, {"history": [], "spec": {"stage": "data"}, **named})


def _load_raw(artifact: Artifact, store: Store | None = None) -> RawData:
    """Return a data set's images; those in files of their own are mapped, and read when they are asked for.

    Args:
        artifact: of the data set.
        store: where it is put aside if a file turns out to be damaged; None where that is nobody's business.
    """
    classes = artifact.json("classes")
    if "shards" in classes:
        train, test = (
            Split(StreamedImages.of(shards_of(artifact, classes["shards"], part, store)), **artifact.tensors(part))
            for part in ("train", "test")
        )
    elif classes.get("is_mapped"):  # of before there were shards
        train, test = (
            Split(StreamedImages.of(artifact.tensors(f"{part}-images")["images"]), **artifact.tensors(part))
            for part in ("train", "test")
        )
    else:
        train, test = (Split(**artifact.tensors(part)) for part in ("train", "test"))
    notes = tuple(classes.get("notes", ()))
    balanced = classes.get("are_limits_balanced", False)
    return RawData(train, test, tuple(classes["names"]), classes["severity_table"], notes, balanced)
