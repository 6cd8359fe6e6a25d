"""Perturbation sequences of an evaluation: which of them, and how steady a network's answers are along them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from engine.corruptions.perturbed_frames import (
    FROM_THE_PICTURE,
    NOISES,
    perturbation_frames,
    sequence_constants,
    why_no_sequence,
    with_scored,
)
from engine.corruptions.sequence_tables import sequence_table
from engine.data import DataInfo, DataSet, Split
from engine.data.corruption_files import mapped
from engine.data.sequence_files import SequenceFiles
from engine.data.streamed import whole
from engine.errors import InputError
from engine.metrics.classification import predict
from engine.metrics.flips import Steadiness, steadiness_sums
from engine.settings import EvaluateSettings

_ELEMENTS_AT_A_TIME = {"cpu": 1 << 20, "cuda": 1 << 24}


def check_sequences(evaluate: EvaluateSettings, table: str, data: DataInfo) -> None:
    """Check the sequences that are asked for.

    Raises:
        InputError: an unknown one, one that has no meaning for the images, or a file that lacks or has another shape.
    """
    names = with_scored(evaluate.sequences)
    for name in names:
        why_not = why_no_sequence(name, sequence_table(table), data.channels, data.image_size)
        if why_not is not None:
            raise InputError(f"perturbation sequence {name!r} cannot be had of these images: {why_not}")
    if data.sequence_folder is not None:
        files = [file_of(name, evaluate.difficulty) for name in names]
        missing = [f"{file}.npy" for file in files if file not in data.sequence_files]
        if missing:
            raise InputError(f"folder of perturbation sequences {data.sequence_folder} lacks {', '.join(missing)}")
        for name, file in zip(names, files, strict=True):
            count = sequence_constants(name, sequence_table(table)).n_frames
            shape = None, count, data.image_size, data.image_size, data.channels
            mapped(Path(data.sequence_folder) / f"{file}.npy", shape)


def plan_sequences(evaluate: EvaluateSettings, table: str, data: DataInfo) -> dict[str, Any]:
    """Return {"sequences": what answers are to be steady along}, JSON, or nothing where none is asked for."""
    names = with_scored(evaluate.sequences)
    if not names:
        return {}
    files = {name: data.sequence_files[file_of(name, evaluate.difficulty)] for name in names if data.sequence_files}
    asked = {"names": list(names), "table": sequence_table(table), "difficulty": evaluate.difficulty}
    return {"sequences": {**asked, **({"files": files} if files else {})}}


def file_of(name: str, difficulty: int) -> str:
    """Return the file, without its ending, that has a sequence: a noise's greater difficulties have their own."""
    return f"{name}_{difficulty}" if name in NOISES and difficulty > 1 else name


def begins_with_the_picture(file: str) -> bool:
    """Return whether the first frame of a file's sequences is the picture itself."""
    return file.removesuffix("_2").removesuffix("_3") in FROM_THE_PICTURE


def n_frames(settings: Mapping[str, Any]) -> int:
    """Return how many frames a planned evaluation's sequences have together."""
    asked = settings.get("sequences", {"names": []})
    return sum(sequence_constants(name, asked["table"]).n_frames for name in asked["names"])


def sequence_rows(
    network: nn.Module, data: DataSet, asked: Mapping[str, Any], seed: int, progress: Callable[[int], None]
) -> list[dict[str, Any]]:
    """Return a row for each sequence, JSON: "sequence", "frames", "difficulty", and what ``Steadiness`` has.

    Args:
        network: float images in [0, 1] in, logits out.
        data: whose test images are perturbed.
        asked: of ``plan_sequences``.
        seed: what the sequences' randomness is drawn from.
        progress: told after each sequence how many frames it had.
    """
    rows = []
    for name in asked["names"]:
        parts = _frames_of(name, data, asked, seed)
        sums, n_compared = torch.zeros(3, dtype=torch.float64, device=data.test.labels.device), 0
        for frames in parts:
            logits = torch.stack([predict(network, frame) for frame in frames], 1)
            found, n = steadiness_sums(logits, from_first=name in NOISES, difficulty=asked["difficulty"])
            sums, n_compared = sums + found, n_compared + n
        count = sequence_constants(name, asked["table"]).n_frames
        means = Steadiness(*(sums / n_compared).tolist())
        rows.append({"sequence": name, "frames": count, "difficulty": asked["difficulty"], **asdict(means)})
        progress(count)
    return rows


def _frames_of(name: str, data: DataSet, asked: Mapping[str, Any], seed: int) -> Iterator[Iterator[Tensor]]:
    """Yield the frames of some test images after the other: as many as a device takes easily, wherever they lie."""
    test = data.test
    size = _images_at_a_time(test)
    if "files" in asked:
        assert data.sequence_folder is not None
        file = file_of(name, asked["difficulty"])
        counts = {file: sequence_constants(name, asked["table"]).n_frames}
        files = SequenceFiles(Path(data.sequence_folder), test, counts)
        for start in range(0, len(test), size):
            yield files.frames(file, start, start + size)
        return
    for start in range(0, len(test), size):
        some = test.take(torch.arange(start, min(start + size, len(test))))
        yield perturbation_frames(
            whole(some.images),
            name,
            seed=seed,
            difficulty=asked["difficulty"],
            indices=some.indices,
            table=asked["table"],
        )


def _images_at_a_time(test: Split) -> int:
    kind = test.labels.device.type
    return max(1, _ELEMENTS_AT_A_TIME.get(kind, _ELEMENTS_AT_A_TIME["cpu"]) // test.images.shape[1:].numel())
