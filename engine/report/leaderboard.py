"""What RobustBench's leaderboard against corruptions takes of a network: its entry, and its row of errors by cell.

An entry is what lies in its repository as ``model_info/DATASET/corruptions/NAME.json``, the row a line of
``unaggregated_results.csv`` beside it. What was measured is filled in, what was not is null until somebody says it.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.data import DataInfo
from engine.data.corruption_files import N_SEVERITIES, NOTE
from engine.errors import InputError, unknown_name, writing

CORRUPTIONS = (
    "shot_noise",
    "motion_blur",
    "snow",
    "pixelate",
    "gaussian_noise",
    "defocus_blur",
    "brightness",
    "fog",
    "zoom_blur",
    "frost",
    "glass_blur",
    "impulse_noise",
    "contrast",
    "jpeg_compression",
    "elastic_transform",
)
"""The benchmark's fifteen, in the order of the leaderboard's table."""
DATASETS = ("cifar10", "cifar100")
"""Whose published corrupted images can be read: ImageNet-C's are folders of JPEG files."""
N_TEST, SIDE, CHANNELS = 10_000, 32, 3
SEVERITIES = tuple(range(1, N_SEVERITIES + 1))

TOLD = ("link", "name", "authors", "additional_data", "venue", "architecture", "reported", "footnote")
"""Fields that nothing here measures."""
MEASURED = ("number_forward_passes", "dataset", "eps", "clean_acc", "corruptions_acc")
_ORDER = (
    *("link", "name", "authors", "additional_data", "number_forward_passes", "dataset", "venue", "architecture"),
    *("eps", "clean_acc", "reported", "corruptions_acc", "footnote"),
)
_OPTIONAL = "footnote"
_FLAGS = {"true": True, "false": False}
FORMATS = (".json", ".csv")


def read_fields(given: Sequence[str]) -> dict[str, Any]:
    """Return {field: value} of what a person says of an entry, as FIELD=VALUE.

    Raises:
        InputError: an unknown field, one that is measured, or a value that it cannot have.
    """
    fields: dict[str, Any] = {}
    for text in given:
        name, has_value, value = text.partition("=")
        if not has_value:
            raise InputError(f"a field of the leaderboard's entry must be FIELD=VALUE, got {text!r}")
        if name in MEASURED:
            raise InputError(
                f"the field {name!r} of the leaderboard's entry is measured; given can be {', '.join(TOLD)}"
            )
        if name not in TOLD:
            raise unknown_name("field of the leaderboard's entry", name, TOLD)
        fields[name] = _read(name, value.strip())
    return fields


def _read(name: str, value: str) -> Any:
    if name == "additional_data":
        if value.lower() not in _FLAGS:
            raise InputError(f"`additional_data` must be true or false, got {value!r} (images of other data sets)")
        return _FLAGS[value.lower()]
    if name == "reported" and value:
        try:
            share = float(value)
        except ValueError:
            share = -1
        if not 0 <= share <= 100:
            raise InputError(f"`reported` must be the accuracy in % that a paper reports, in 0…100, got {value!r}")
        return f"{share:.2f}"
    return value


def check_files(files: Sequence[Path]) -> None:
    """Check what is to be written: an entry (.json), a row (.csv), or one of each.

    Raises:
        InputError: a file of another kind, or two of one.
    """
    for file in files:
        if file.suffix not in FORMATS:
            raise InputError(f"`--leaderboard` must end in {' or '.join(FORMATS)}, got {file}")
    if len({file.suffix for file in files}) < len(files):
        raise InputError(f"`--leaderboard` takes one file of each kind, got {', '.join(map(str, files))}")


def check_tested(info: DataInfo, evaluation: Mapping[str, Any]) -> None:
    """Check that a network is tested on all that the leaderboard is about, and on nothing of one's own making.

    Args:
        info: the data set.
        evaluation: what the stage that tests is asked for: "corruptions" and "severities".

    Raises:
        InputError: it is not; all that is amiss is said.
    """
    dataset = info.settings.name.partition(":")[0]
    if dataset not in DATASETS:
        raise InputError(
            f"RobustBench's leaderboard is about {' and '.join(DATASETS)} (the files of its third, imagenet, cannot be "
            f"tested here), got {dataset}"
        )
    faults = []
    if info.n_test != N_TEST:
        faults.append(f"{info.n_test:,} of the {N_TEST:,} test images (data.n_test)")
    if (info.channels, info.image_size) != (CHANNELS, SIDE):
        shape = f"{info.channels}×{info.image_size}×{info.image_size}"
        faults.append(f"images of {shape} instead of {CHANNELS}×{SIDE}×{SIDE} (data.channels, data.image_size)")
    missing = [name for name in CORRUPTIONS if name not in evaluation["corruptions"]]
    if missing:
        faults.append(f"no {', '.join(missing)} (evaluate.corruptions)")
    if tuple(evaluation["severities"]) != SEVERITIES:
        listed = ", ".join(map(str, evaluation["severities"]))
        faults.append(f"severities {listed} instead of 1 to {N_SEVERITIES} (evaluate.severities)")
    published = f"the published {dataset.upper()}-C".replace("CIFAR", "CIFAR-")
    if info.corruption_folder is None:
        faults.append(f"corrupted images made here instead of {published} (data.corruption_files=FOLDER)")
    elif (Path(info.corruption_folder) / NOTE).exists():
        faults.append(f"{info.corruption_folder}, whose images were made here, instead of {published}")
    if faults:
        raise InputError(f"no entry for RobustBench's leaderboard can be made of this: {'; '.join(faults)}")


def entry(info: DataInfo, test: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entry, as JSON.

    Args:
        info: the data set, which ``check_tested`` has seen.
        test: "clean", the error on clean images, and the rows "corrupted".
        fields: what a person says, as of ``read_fields``.
    """
    cells = _cells(test)
    measured = {
        "number_forward_passes": 1,
        "dataset": info.settings.name.partition(":")[0],
        "clean_acc": _percent(1 - test["clean"]),
        "corruptions_acc": _percent(1 - sum(cells.values()) / len(cells)),
    }
    values = {**fields, **measured}
    return {name: values.get(name) for name in _ORDER if name in values or name != _OPTIONAL}


def left_empty(made: Mapping[str, Any]) -> list[str]:
    """Return the fields of an entry that somebody has yet to fill in."""
    return [name for name in TOLD if name != _OPTIONAL and made[name] is None]


def row(name: str, test: Mapping[str, Any]) -> str:
    """Return the row of accuracies by corruption and severity, under the table's two lines of heads, as CSV."""
    cells = _cells(test)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["", *(corruption for corruption, _ in cells)])
    writer.writerow(["", *(severity for _, severity in cells)])
    writer.writerow([name, *(f"{1 - error:.10g}" for error in cells.values())])
    return text.getvalue()


def write_leaderboard(
    files: Sequence[Path], info: DataInfo, test: Mapping[str, Any], fields: Mapping[str, Any]
) -> list[str]:
    """Write what is asked for; return the sentences to be said of it.

    Raises:
        InputError: a file cannot be written.
    """
    made = entry(info, test, fields)
    said = []
    for file in files:
        is_entry = file.suffix == ".json"
        text = json.dumps(made, indent=2, ensure_ascii=False) + "\n" if is_entry else row(file.stem, test)
        with writing("the leaderboard's file", file):
            file.write_text(text, "utf-8")
        empty = left_empty(made) if is_entry else []
        said.append(f"wrote {file}" + (f"; --entry FIELD=VALUE fills in {', '.join(empty)}" if empty else ""))
    return said


def _cells(test: Mapping[str, Any]) -> dict[tuple[str, int], float]:
    """Return {(corruption, severity): error} of the fifteen, in the table's order."""
    errors = {(cell["corruption"], cell["severity"]): cell["error"] for cell in test["corrupted"]}
    return {(name, severity): errors[name, severity] for name in CORRUPTIONS for severity in SEVERITIES}


def _percent(share: float) -> str:
    return f"{100 * share:.2f}"
