"""What a stage tells of its epochs, its cells and itself, checked before anybody hears of it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

import numpy as np
from torch import Tensor

from engine.errors import InputError
from engine.result_names import PROBE_ERROR, CellsRecord, EpochRecord
from engine.stages.spec import StageSpec

LONGEST_METRIC = 160
"""Of a metric's name: with the stage's before it MLflow takes it."""
_METRIC = re.compile(rf"(?!\.{{1,2}}$)[\w.-]{{1,{LONGEST_METRIC}}}")
_ADDED = {"watch", "stage", "step", "value", "own", "own_watch"}
"""Fields of records that are added to what a stage tells."""
_OF_EPOCHS = tuple(name for name in EpochRecord.__annotations__ if name not in _ADDED)
_OF_CELLS = tuple(name for name in CellsRecord.__annotations__ if name not in _ADDED)
_OF_A_CELL = {"corruption", "severity", "error"}


def checked_metrics(metrics: Any, stage: str, where: str = "") -> dict[str, float]:
    """Return {name: finite number} of what a stage measured.

    Args:
        metrics: numbers of Python's or NumPy's, or tensors without dimensions.
        stage: its name.
        where: when it was told, for the sentence (" in epoch 3").

    Raises:
        InputError: a name that MLflow would not take, or what is no finite number.
    """
    if not isinstance(metrics, Mapping):
        raise InputError(f"metrics of stage {stage!r}{where} must be {{name: number}}, got {metrics!r}")
    for name in metrics:
        if not isinstance(name, str) or not _METRIC.fullmatch(name):
            raise InputError(
                f"a metric's name has letters, digits, '_', '-' and '.', at most {LONGEST_METRIC}, "
                f"got {name!r} of stage {stage!r}{where}"
            )
    return {name: _number(value, f"metric {name!r} of stage {stage!r}{where}") for name, value in metrics.items()}


def checked_epoch(record: Any, spec: StageSpec, history: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the record of an epoch with plain numbers.

    Args:
        record: an ``EpochRecord`` as far as a stage tells it.
        spec: the stage's.
        history: what it has told before.

    Raises:
        InputError: a field that is unknown, lacks or is no finite number, or an epoch that is not the next one.
    """
    _check_fields(record, _OF_EPOCHS, spec, "epoch")
    last = next((told["epoch"] for told in reversed(history) if "epoch" in told), 0)
    epoch = _next(record, "epoch", last, spec)
    if spec.most_epochs == 0:
        raise InputError(f"stage {spec.stage!r} tells epochs, but its `epochs` names no setting with their number")
    if spec.most_epochs is not None and epoch > spec.most_epochs:
        raise InputError(
            f"stage {spec.stage!r} tells at most {spec.most_epochs} epochs by the setting that its `epochs` names, "
            f"got epoch {epoch}"
        )
    if "probe" in spec.watch and PROBE_ERROR not in record:
        raise InputError(
            f"stage {spec.stage!r} must tell {PROBE_ERROR!r} in epoch {epoch}, by which trials are pruned, "
            f"got {', '.join(map(repr, record))}"
        )
    told: dict[str, Any] = {}
    for name, value in record.items():
        if name == "metrics":
            told[name] = checked_metrics(value, spec.stage, f" in epoch {epoch}")
        elif name != "epoch":
            told[name] = _number(value, f"{name!r} of stage {spec.stage!r} in epoch {epoch}")
    return {"epoch": epoch, **told}


def checked_cells(record: Any, spec: StageSpec, history: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the record of a batch of cells with plain numbers.

    Args:
        record: a ``CellsRecord`` as far as a stage tells it.
        spec: the stage's.
        history: what it has told before.

    Raises:
        InputError: a field that is unknown, lacks or is not what it should be, or a batch that is not the next one.
    """
    _check_fields(record, _OF_CELLS, spec, "batch")
    batch = _next(record, "batch", next((told["batch"] for told in reversed(history) if "batch" in told), 0), spec)
    where = f"of stage {spec.stage!r} in batch {batch}"
    first, cells = record.get("first"), record.get("cells")
    if not _is_whole(first) or first < 1:
        raise InputError(f"'first' {where} must be the number of its first cell, ≥ 1, got {first!r}")
    if not isinstance(cells, list | tuple) or not all(isinstance(cell, Mapping) for cell in cells):
        raise InputError(f"'cells' {where} must be a list of cells, got {cells!r}")
    return {"batch": batch, "first": int(first), "cells": [_cell(cell, where) for cell in cells]}


def _cell(cell: Mapping[str, Any], where: str) -> dict[str, Any]:
    name, severity = cell.get("corruption"), cell.get("severity")
    if set(cell) != _OF_A_CELL or not isinstance(name, str) or not _is_whole(severity):
        raise InputError(f"a cell {where} must have a 'corruption', a 'severity' and an 'error', got {dict(cell)!r}")
    return {"corruption": name, "severity": int(severity), "error": _number(cell["error"], f"an 'error' {where}")}


def _check_fields(record: Any, known: Sequence[str], spec: StageSpec, of: str) -> None:
    if not isinstance(record, Mapping):
        raise InputError(f"what stage {spec.stage!r} tells of its {of} must be {{field: value}}, got {record!r}")
    for name in record:
        if name not in known:
            own = "; numbers of its own stand under 'metrics'" if "metrics" in known else ""
            fields = ", ".join(known)
            raise InputError(
                f"what stage {spec.stage!r} tells of its {of} may have the fields {fields}, got {name!r}{own}"
            )


def _next(record: Mapping[str, Any], of: str, last: int, spec: StageSpec) -> int:
    """Return a record's number, which must come after that of the last one."""
    number = record.get(of)
    if not _is_whole(number) or number != last + 1:
        raise InputError(f"the next {of!r} that stage {spec.stage!r} tells must be {last + 1}, got {number!r}")
    return int(number)


def _is_whole(value: Any) -> TypeGuard[int | np.integer[Any]]:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _number(value: Any, what: str) -> float:
    """Return a finite number as one of Python's."""
    plain = value.item() if isinstance(value, Tensor | np.ndarray) and value.ndim == 0 else value
    if isinstance(plain, int | float | np.integer | np.floating) and not isinstance(plain, bool):
        try:
            number = float(plain)
        except OverflowError:  # a whole number of more than 308 digits
            number = math.inf
        if math.isfinite(number):
            return number
    raise InputError(f"{what} must be a finite number, got {plain!r}")
