"""Where baselines come from: papers' AlexNets by name, or a file of errors that were measured."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.errors import InputError, unknown_name
from engine.metrics.flip_rates import SEQUENCE_COLUMNS, checked_rows
from engine.metrics.scores import MEASURES, Baseline, ErrorTable, mean_by_corruption

_COLUMNS = ["corruption", "severity", "error"]
_MORE = list(MEASURES)
"""Columns that may follow; a baseline is made of errors alone."""

NAMED_BASELINES = {
    # Push–pull paper, appendix 2: AlexNet trained on CIFAR-10, tested on CIFAR-10-C; in %.
    "alexnet-paper": (
        {
            "gaussian_noise": 38.44,
            "shot_noise": 31.82,
            "impulse_noise": 46.13,
            "defocus_blur": 23.53,
            "glass_blur": 40.97,
            "motion_blur": 29.32,
            "zoom_blur": 26.89,
            "snow": 26.94,
            "frost": 28.26,
            "fog": 30.31,
            "brightness": 17.84,
            "contrast": 46.77,
            "elastic_transform": 22.25,
            "pixelate": 18.36,
            "jpeg_compression": 18.48,
            "speckle_noise": 31.26,
            "gaussian_blur": 27.78,
            "spatter": 25.19,
            "saturate": 22.15,
        },
        13.87,
        (1, 2, 3, 4, 5),
    ),
    # The AlexNet that ImageNet-C's authors normalise by, on their published files of 224 pixels; in %.
    "alexnet-imagenet-c": (
        {
            "gaussian_noise": 88.6428,
            "shot_noise": 89.4468,
            "impulse_noise": 92.264,
            "defocus_blur": 81.988,
            "glass_blur": 82.6268,
            "motion_blur": 78.5948,
            "zoom_blur": 79.836,
            "snow": 86.6816,
            "frost": 82.6572,
            "fog": 81.9324,
            "brightness": 56.4592,
            "contrast": 85.3204,
            "elastic_transform": 64.6056,
            "pixelate": 71.784,
            "jpeg_compression": 60.65,
            "speckle_noise": 84.5388,
            "gaussian_blur": 78.7108,
            "spatter": 71.7512,
            "saturate": 65.8248,
        },
        43.5,
        (1, 2, 3, 4, 5),
    ),
}

_MEASURED_ON = {"alexnet-paper": ("CIFAR-10-C", "cifar10"), "alexnet-imagenet-c": ("ImageNet-C", "imagefolder")}
"""{named baseline: (what it was measured on, what that is called as a data set)}."""


def load_baseline(name: str | os.PathLike[str]) -> Baseline:
    """Return a baseline.

    Args:
        name: of `NAMED_BASELINES`; or a file: .csv as ``errors.csv`` of a trial, or .json as ``errors.json`` of an
            evaluation or {"clean": error, "errors": {corruption: mean error over the severities}}; all fractions. Flip
            probabilities are in an evaluation's .json alone.

    Raises:
        InputError: no such name or file, or what is wrong in the file.
    """
    name = os.fspath(name)
    if name in NAMED_BASELINES:
        errors, clean, severities = NAMED_BASELINES[name]
        fractions = {corruption: error / 100 for corruption, error in errors.items()}
        measured_on, dataset = _MEASURED_ON[name]
        return Baseline(
            f"baseline {name}", fractions, clean / 100, severities, measured_on=measured_on, dataset=dataset
        )
    path = Path(name)
    if not path.exists() and path.suffix not in (".csv", ".json"):
        raise unknown_name("baseline (or a .csv or .json file of errors)", name, NAMED_BASELINES)
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"baseline file cannot be read: {path} ({error})") from error
    source = f"baseline {path}"
    return _from_csv(text, source) if path.suffix == ".csv" else _from_json(text, source)


def table_baseline(errors: ErrorTable, clean_error: float, source: str) -> Baseline:
    """Return the baseline that a measured table is."""
    severities = tuple(sorted({severity for _, severity in errors}))
    try:
        means = mean_by_corruption(errors)
    except InputError as error:
        raise InputError(f"{source}: {error}") from error
    for cell, value in errors.items():
        if not 0 <= value <= 1:
            raise InputError(f"{source}: errors are fractions in 0…1, got {value} for {cell[0]}, severity {cell[1]}")
    return Baseline(source, means, clean_error, severities)


def errors_as_csv(
    rows: Iterable[Mapping[str, Any]], clean_error: float, calibration: Mapping[str, Any] | None = None
) -> str:
    """Return a raw table of errors as text; the clean images are severity 0 of no corruption.

    Args:
        rows: of an evaluation; behind the errors is their calibration, where it was measured.
        clean_error: on the clean images.
        calibration: {"ece", "nll", "brier"} of the clean images, where it was measured.
    """
    clean = {"corruption": "", "severity": 0, "error": clean_error, **(calibration or {})}
    rows = [clean, *rows]
    columns = [*_COLUMNS, *(name for name in _MORE if any(name in row for row in rows))]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def flips_as_csv(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return an evaluation's rows of perturbation sequences as text."""
    text = io.StringIO()
    writer = csv.DictWriter(text, SEQUENCE_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _from_csv(text: str, source: str) -> Baseline:
    lines = csv.reader(text.splitlines())
    first = next(lines, None) or []
    if first[: len(_COLUMNS)] != _COLUMNS or not set(first[len(_COLUMNS) :]) <= set(_MORE):
        may = f", which {','.join(_MORE)} may follow"
        raise InputError(f"{source}: the first line must be {','.join(_COLUMNS)}{may}")
    errors: ErrorTable = {}
    for number, line in enumerate(lines, start=2):
        try:
            corruption, severity, error = line[: len(_COLUMNS)]
            if len(line) != len(first):
                raise ValueError(f"it has {len(line)} values, the first line {len(first)}")
            cell = corruption, int(severity)
            if cell in errors:
                raise ValueError(f"{corruption or 'clean'}, severity {severity} is there twice")
            errors[cell] = float(error)
        except ValueError as error:
            raise InputError(f"{source}, line {number}: {error}") from error
    if ("", 0) not in errors:
        raise InputError(f"{source}: there is no line of clean images, such as ,0,0.1387")
    clean = errors.pop(("", 0))
    return table_baseline(errors, clean, source)


def _from_json(text: str, source: str) -> Baseline:
    try:
        content = json.loads(text)
        if "test" in content:
            test = content["test"]
            table = {(row["corruption"], int(row["severity"])): float(row["error"]) for row in test["corrupted"]}
            found = table_baseline(table, float(test["clean"]), source)
            name = str(content.get("dataset") or "")  # which the store's own files do not say
            sequences = checked_rows(test.get("sequences", ()), source)
            return replace(found, sequences=sequences, measured_on=name, dataset=name.partition(":")[0])
        errors = {str(name): float(error) for name, error in content["errors"].items()}
        return Baseline(source, errors, float(content["clean"]))
    except json.JSONDecodeError as error:
        raise InputError(f"{source} is no JSON ({error})") from error
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f'{source} must be an evaluation\'s errors.json or {{"clean": error, "errors": {{corruption: error}}}} '
            f"({type(error).__name__}: {error})"
        ) from error
