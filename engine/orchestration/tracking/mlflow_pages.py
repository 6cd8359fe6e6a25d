"""What MLflow's own pages show in fields of their own: source, commit, data sets, and stored tables of runs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from engine.result_names import Metric, Tag

KIND_TAG, KIND = "mlflow.experimentKind", "custom_model_development"
"""The experiment's tag by which its page opens on runs, and not on the traces of language models."""
_VIEW_TAG = "mlflow.sharedViewState."
_CONTEXT_TAG = "mlflow.data.context"
_LONGEST_VIEW = 5000
"""Letters that MLflow takes of an experiment's tag."""
_TITLE_LETTER, _LETTER, _EDGES = 6.5, 7.3, 22
"""Pixels of a letter of a column's title and of a cell, and of what is beside their text."""


def page_tags(tags: Mapping[str, Any]) -> dict[str, str]:
    """Return the tags from which MLflow fills the columns Source and Version."""
    found = {}
    if tags.get(Tag.SOURCE):
        found = {"mlflow.source.name": str(tags[Tag.SOURCE]), "mlflow.source.type": "LOCAL"}
    commit = str(tags.get(Tag.GIT_COMMIT, "")).removesuffix("+")
    if re.fullmatch("[0-9a-f]{40,64}", commit):
        found["mlflow.source.git.commit"] = commit
    return found


def dataset_inputs(data: Iterable[Mapping[str, Any]]) -> list[Any]:
    """Return data sets, as ``Origin.data`` has them, as MLflow takes them."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    return [
        DatasetInput(
            Dataset(
                name=one["name"],
                digest=one["digest"],
                source_type="code",
                source=json.dumps({"uri": one["source"]}),
                profile=json.dumps(one["profile"]),
            ),
            [InputTag(_CONTEXT_TAG, one["context"])],
        )
        for one in data
    ]


def view_tag(key: str) -> str:
    """Return the experiment's tag that has a stored view."""
    return _VIEW_TAG + key


def answer_view(study: str, tags: Mapping[str, str]) -> str:
    """Return the table of a study's groups: a row each, the report's columns, the least error first.

    Args:
        study: its name.
        tags: of the groups' runs, as ``table_tags``: the columns, each with its longest cell.
    """
    widths = {
        _column("tags", name): round(_EDGES + max(_TITLE_LETTER * len(name), _LETTER * len(cell)))
        for name, cell in tags.items()
    }
    return _view(
        f"tags.`{Tag.STUDY}` = '{study}' and tags.`{Tag.PURPOSE}` = 'group'",
        [*widths, _column("attributes", "Models")],
        order=Metric.MEAN_CORRUPTED,
        widths=widths,
    )


def trials_view(study: str, varied: Sequence[str]) -> str:
    """Return the table of a study's trials, the least error first, with the settings by which they differ."""
    metrics = (Metric.OBJECTIVE, Metric.CLEAN, Metric.MEAN_CORRUPTED)
    columns = [
        _column("tags", Tag.STATE),
        *(_column("metrics", name) for name in metrics),
        *(_column("params", path) for path in varied),
    ]
    where = f"tags.`{Tag.STUDY}` = '{study}' and tags.`{Tag.TRIAL_NUMBER}` != ''"
    return _view(where, columns, order=Metric.OBJECTIVE)


def _column(kind: str, name: str) -> str:
    return f"{kind}.`{name}`"


def _view(where: str, columns: Sequence[str], order: str, widths: Mapping[str, int] | None = None) -> str:
    """Return a view as MLflow's page reads it; of more columns than it can keep, the first."""
    while True:
        text = json.dumps(
            {
                "searchFilter": where,
                "orderByKey": _column("metrics", order),  # by time, the page would fold the rows below other runs
                "orderByAsc": True,
                "startTime": "ALL",
                "lifecycleFilter": "Active",
                "datasetsFilter": [],
                "modelVersionFilter": "All Runs",
                "selectedColumns": list(columns),
                "columnOrder": list(columns),
                "columnWidths": {name: width for name, width in (widths or {}).items() if name in columns},
                "viewMaximized": True,
            },
            separators=(",", ":"),
        )
        if len(text) <= _LONGEST_VIEW or not columns:
            return text
        columns = columns[:-1]
