"""Data sets in the store: decoded once, found by every process by their key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.conversion import build
from engine.data import CorruptionFiles, DataInfo, DataSet, RawData, Split, open_reader, split_data, split_key
from engine.data.checks import notes_on_values
from engine.data.machine_sets import MachineSets, machine_sets
from engine.data.reading import Reader
from engine.data.sequence_files import sequence_hashes
from engine.data.streamed import Images, StreamedImages, whole
from engine.digest import digest
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


def data_from_store(info: DataInfo, store: Store, sets: MachineSets | None = None) -> DataSet:
    """Return a prepared data set.

    Args:
        info: which.
        store: where its images are.
        sets: where the images as they are set apart are kept for all processes of this machine; None for nowhere.

    Raises:
        MissingDataError: the store does not have it.
    """
    artifact = find_anew(store, info.raw_key)
    if artifact is None:
        raise MissingDataError(f"the store has no data set {info.raw_key} ({info.settings.name})")
    data = _set_apart(_load_raw(artifact, store), info, artifact.manifest["files"], sets)
    return replace(data, corruption_folder=info.corruption_folder, sequence_folder=info.sequence_folder)


def _set_apart(raw: RawData, info: DataInfo, checksums: Mapping[str, str], sets: MachineSets | None) -> DataSet:
    """Return what ``split_data`` does; of images that are in memory, the splits have their origin."""
    if isinstance(raw.train.images, StreamedImages):
        return split_data(raw, info.settings)
    data = split_data(replace(raw, train=_unread(raw.train), test=_unread(raw.test)), info.settings)
    train, test = checksums["train.safetensors"], checksums["test.safetensors"]
    return replace(
        data,
        train=_read(data.train, train, sets),
        validation=_read(data.validation, train, sets),
        test=_read(data.test, test, sets),
    )


def _unread(split: Split) -> Split:
    """Return a split of which nothing is read before it is set apart."""
    assert isinstance(split.images, Tensor)
    return replace(split, images=StreamedImages.of(split.images))


def _read(split: Split, source: str, sets: MachineSets | None) -> Split:
    """Return a split in memory, that of this process or of all that this machine has.

    Args:
        split: unread.
        source: checksum of the file that it is from.
        sets: where it is kept.
    """
    images = split.images
    assert isinstance(images, StreamedImages)
    origin = digest(["split", source, sha256(images.rows.numpy().tobytes()).hexdigest()])[:32]
    made = images.whole() if sets is None else sets.made(origin, images.shape, images.whole)
    return replace(split, images=made, origin=origin)


def data_getter(info: DataInfo, store: Store, device: torch.device) -> Callable[[str], DataSet]:
    """Return what gives a process its data set by key: loaded at the first call, resident on the device then."""
    resident: list[DataSet] = []

    def get(key: str) -> DataSet:
        if key not in (info.key, info.training_key):
            raise LookupError(f"this process has the data set {info.key}, not {key}")
        if not resident:
            sets = machine_sets() if device.type == "cpu" else None
            resident.append(data_from_store(info, store, sets).to(device))
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
    parts = {part: artifact.tensors(part) for part in ("train", "test")}
    images: dict[str, Images] = {}
    for part, tensors in parts.items():
        if "shards" in classes:
            images[part] = StreamedImages.of(shards_of(artifact, classes["shards"], part, store))
        elif classes.get("is_mapped"):  # of before there were shards
            images[part] = StreamedImages.of(artifact.tensors(f"{part}-images")["images"])
        else:
            images[part] = tensors["images"]
    train, test = (Split(images[part], of["labels"], of["indices"]) for part, of in parts.items())
    notes = tuple(classes.get("notes", ()))
    balanced = classes.get("are_limits_balanced", False)
    return RawData(train, test, tuple(classes["names"]), classes["severity_table"], notes, balanced)
