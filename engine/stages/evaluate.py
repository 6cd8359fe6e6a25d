"""The stage that tests a network on clean and corrupted images."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from engine.data import CorruptionFiles, Split
from engine.digest import digest
from engine.metrics import (
    Measured,
    by_cell,
    classification_error,
    measure,
    measured,
    predict,
)
from engine.metrics.classification import answered
from engine.metrics.scores import table_to_rows
from engine.stages.along_sequences import n_frames, sequence_rows
from engine.stages.context import StageContext
from engine.stages.corrupted_sets import corrupted_set, distorted_set
from engine.stages.folded import tested_network
from engine.stages.planning import Planning
from engine.stages.probe import TEST, VALIDATION, corruption_seed
from engine.stages.registration import register_stage

MeasuredTable = Mapping[tuple[str, int], Measured]
"""{(corruption, severity): what is measured there}."""


def _depends_on(planning: Planning) -> dict[str, Any]:
    """Return what a network is tested on and compared by, and what it was tuned on."""
    tuned_on = {"distortion": planning.distortion(with_images=False)} if planning.is_tuned else {}
    return {**planning.evaluation, **tuned_on}


@register_stage(
    "evaluate",
    version=6,
    follows=("finetune",),
    depends_on=_depends_on,
    tells_cells=True,
    gives_errors=True,
    seeded=False,
    sees_test_images=True,
)
def evaluate(context: StageContext) -> None:
    """Test a network: clean, by corruption and severity, and on the distortion that it was tuned on.

    Trials are compared by ``objective``, the mean error over the objective's corruptions of the validation images; the
    test images' errors are for the report only. The validation cells are told in batches, while they are measured.

    Files: ``errors.json``: {"objective", "validation": {"n_images", "clean", "calibration", "corrupted": rows}, "test":
    {"n_images", "clean", "calibration", "most_answered", "most_labelled", "tuned_distortion", "corrupted": rows},
    "labelled_noisy"}; with "sequences" under "test" where answers are to be steady along some. Each row has the
    calibration beside its error; "calibration" is that of the clean images. The shares of the clean images that have
    the most frequent answer and label show a network that is dead; "labelled_noisy" is the noisy images that the
    network was tuned or trained on and its epoch chosen by, as ``NoisyBudget.to_json`` has them, or None. "passes" says
    what of the network was folded, where that was asked for.
    """
    settings = context.spec.settings
    network, passes = tested_network(context)
    validation, test = context.data.validation, context.data.test
    on_validation = _tell_cells(context, network)
    on_test = by_cell(network, _watched(context, _corrupted_test(context)), measure)
    logits = predict(network, test.images)
    tuned = settings.get("distortion")
    tuned_error = None
    if tuned is not None:
        tuned_error = classification_error(network, distorted_set(test, tuned, seed=corruption_seed(TEST)))
    context.attempt.write_json(
        "errors",
        {
            "objective": sum(cell.error for cell in on_validation.values()) / len(on_validation),
            "validation": {
                "n_images": len(validation),
                **_of_clean(measure(network, validation)),
                "corrupted": measured_rows(on_validation),
            },
            "test": {
                "n_images": len(test),
                **_of_clean(measured(logits, test.labels)),
                "most_answered": _largest_share(answered(logits) + 1),  # 0: no answer at all
                "most_labelled": _largest_share(test.labels),
                "tuned_distortion": tuned_error,
                "corrupted": measured_rows(on_test),
                **_along_sequences(context, network),
            },
            "labelled_noisy": None if tuned is None else _labelled_noisy(context),
            **passes,
        },
    )


def _along_sequences(context: StageContext, network: nn.Module) -> dict[str, Any]:
    """Return {"sequences": rows} of the test images' perturbation sequences, or nothing where none is asked for."""
    asked = context.spec.settings.get("sequences")
    if asked is None:
        return {}
    done = _n_cells(context, "objective", "corruptions")

    def progress(n_frames: int) -> None:
        nonlocal done
        done += n_frames
        context.progress(done, _n_sets(context))

    return {"sequences": sequence_rows(network, context.data, asked, corruption_seed(TEST), progress)}


def _of_clean(clean: Measured) -> dict[str, Any]:
    return {"clean": clean.error, "calibration": clean.calibration.to_json()}


def _largest_share(classes: Tensor) -> float:
    """Return the share of the most frequent class, in (0, 1]."""
    return float(classes.bincount().max()) / len(classes)


def _labelled_noisy(context: StageContext) -> dict[str, Any] | None:
    """Return the noisy images that the stage that saw them notes: a fine-tuning, or a training on them alone."""
    results = [made.json("result") for made in context.networks if "result.json" in made.manifest["files"]]
    noted = [result["labelled_noisy"] for result in results if result.get("labelled_noisy") is not None]
    return noted[-1] if noted else None


def _corrupted_test(context: StageContext) -> Iterator[tuple[tuple[str, int], Split]]:
    """Yield ((corruption, severity), the test images under it), one set at a time, from files if they are given."""
    settings, data = context.spec.settings, context.data
    if "files" not in settings:
        for cell in itertools.product(settings["corruptions"], settings["severities"]):
            yield cell, corrupted_set(data.test, cell, seed=corruption_seed(TEST), table=settings["table"])
        return
    assert data.corruption_folder is not None
    files = CorruptionFiles(Path(data.corruption_folder), data.test, settings["corruptions"])
    for name, severity in itertools.product(settings["corruptions"], settings["severities"]):
        yield (name, severity), files.split(name, severity)


def _n_cells(context: StageContext, *names: str) -> int:
    """Return how many sets of images some of the settings' corruptions make."""
    settings = context.spec.settings
    return sum(len(settings[name]) for name in names) * len(settings["severities"])


def _n_sets(context: StageContext) -> int:
    """Return how many sets of images a network is tested on: cells, and frames of sequences."""
    return _n_cells(context, "objective", "corruptions") + n_frames(context.spec.settings)


def _watched(context: StageContext, splits: Iterator[tuple[tuple[str, int], Split]]) -> Iterator[Any]:
    """Yield the test's corrupted sets, and say after each how far the stage is."""
    before, total = _n_cells(context, "objective"), _n_sets(context)
    for n_done, split in enumerate(splits, start=1):
        yield split
        context.progress(before + n_done, total)


def _tell_cells(context: StageContext, network: nn.Module) -> MeasuredTable:
    """Return what is measured on the validation images; tell a batch of its cells' errors whenever they are there.

    A pruner that compares cells should soon have seen all kinds of corruptions: their order is shuffled, the same way
    for every trial.
    """
    settings, validation = context.spec.settings, context.data.validation
    cells = list(itertools.product(settings["objective"], settings["severities"]))
    shuffled = sorted(cells, key=lambda cell: digest(["cell", *cell]))
    n_batch = len(settings["severities"])
    found: dict[tuple[str, int], Measured] = {}
    for first in range(0, len(shuffled), n_batch):
        batch = shuffled[first : first + n_batch]
        seed = corruption_seed(VALIDATION)
        splits = ((cell, corrupted_set(validation, cell, seed=seed, table=settings["table"])) for cell in batch)
        found |= by_cell(network, splits, measure)
        rows = table_to_rows({cell: found[cell].error for cell in batch})
        context.progress(len(found), _n_sets(context))
        context.tell({"batch": first // n_batch + 1, "first": first + 1, "cells": rows})
    return {cell: found[cell] for cell in cells}


def measured_rows(table: MeasuredTable) -> list[dict[str, Any]]:
    """Return what is measured in each cell as raw rows, JSON: the error, and the calibration beside it."""
    rows = table_to_rows({cell: found.error for cell, found in table.items()})
    return [row | found.calibration.to_json() for row, found in zip(rows, table.values(), strict=True)]
