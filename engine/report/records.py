"""What a study says as rows and as JSON, for other programs: numbers unrounded, errors as fractions."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from engine.corruption_kinds import CLEAN
from engine.metrics import MEASURES
from engine.metrics.flip_rates import SEQUENCE_COLUMNS
from engine.metrics.inference import evidence
from engine.report.groups import GroupSummary
from engine.report.over_corruptions import over_corruptions
from engine.report.results import Results
from engine.report.study_report import ended_lines, group_lines, left_out_lines, running_lines
from engine.report.text_tables import Part, Table
from engine.report.trial_results import TrialResult
from engine.report.verdicts import Finding, findings, verdict_lines

Row = dict[str, Any]

OF_A_CELL = ("corruption", "severity", "error", *MEASURES)
"""Columns of ``trial_rows`` that say what was measured: the calibration stands empty where an evaluation has none."""
TRIAL_COLUMNS = (
    "study",
    "trial",
    "purpose",
    "group",
    "seed",
    "state",
    "dead",
    "repeat_of",
    "objective",
    *OF_A_CELL,
    "reason",
)
"""Columns of ``trial_rows``, before those of the settings."""
FLIP_COLUMNS = ("study", "trial", "group", "seed", *SEQUENCE_COLUMNS)
"""Columns of ``sequence_rows``."""
GROUP_COLUMNS = ("study", "group", "errors", "n", "n_seeds", "failed", "missing", "dead", "mean", "std", "low", "high")


def trial_rows(results: Results) -> list[Row]:
    """Return a row for every trial, corruption and severity; one alone, without an error, for a trial that has none.

    ``corruption`` is "clean", and ``severity`` 0, where images are as they are. Behind ``TRIAL_COLUMNS`` there is a
    column for every setting that some trial varies; of a trial that has the base's value it is that.
    """
    base = results.space.base.flat()
    varied = list(dict.fromkeys(path for trial in results.trials for path in trial.settings))
    rows = []
    for trial in results.trials:
        settings = {path: _cell(trial.settings.get(path, base.get(path))) for path in varied}
        known = {
            "study": results.study,
            "trial": trial.number,
            "purpose": trial.slot.partition("/")[0],
            "group": trial.group,
            "seed": trial.seed,
            "state": trial.state,
            "dead": trial.dead,
            "repeat_of": trial.repeat_of,
            "objective": trial.objective,
            "reason": "" if trial.reason is None else str(trial.reason),
        }
        rows += [{**known, **cell, **settings} for cell in _cells(trial)]
    return rows


def _cells(trial: TrialResult) -> list[Row]:
    if trial.errors is None:
        return [dict.fromkeys(OF_A_CELL)]
    test = trial.test
    clean = {"corruption": CLEAN, "severity": 0, "error": test["clean"], **test.get("calibration", {})}
    return [{name: cell.get(name) for name in OF_A_CELL} for cell in (clean, *test["corrupted"])]


def sequence_rows(results: Results) -> list[Row]:
    """Return a row for every trial and perturbation sequence along which it was measured."""
    rows = []
    for trial in results.trials:
        known = {"study": results.study, "trial": trial.number, "group": trial.group, "seed": trial.seed}
        rows += [{**known, **row} for row in (trial.errors or {"test": {}})["test"].get("sequences", ())]
    return rows


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list | tuple | dict) else value


def group_rows(results: Results) -> list[Row]:
    """Return a row for every group and column of errors: mean, spread, 95 % interval, and the seeds that it is of."""
    rows = []
    for group in results.groups():
        for column, values in (group.errors or {CLEAN: ()}).items():
            found = evidence(values) if values else None
            mean, std = group.mean_and_std(column)
            low, high = (found.low, found.high) if found is not None else (math.nan, math.nan)
            spread = {"mean": mean, "std": std, "low": low, "high": high}
            rows.append({"study": results.study, "group": group.name, "errors": column, **_counts(group), **spread})
    return rows


def _counts(group: GroupSummary) -> Row:
    return {
        "n": len(group.trials),
        "n_seeds": group.n_seeds,
        "failed": len(group.failed),
        "missing": group.n_missing,
        "dead": len(group.dead),
    }


def as_csv(rows: Iterable[Row], columns: Iterable[str]) -> str:
    """Return rows as CSV, their own columns behind those given; what there is not is empty, and so is no number."""
    rows = list(rows)
    names = [*columns, *dict.fromkeys(name for row in rows for name in row)]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(names)), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _finite(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def table_csv(table: Table) -> str:
    """Return a table as CSV, its cells as they are shown."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([table.columns, *filter(None, table.rows)])
    return text.getvalue()


def as_json(results: Results, view: Sequence[Part] = ()) -> str:
    """Return everything that a study says as a JSON object; what is no number, or infinite, is null.

    Args:
        results: of the study.
        view: what its space shows beside what all do, its tables' cells as they are shown.
    """
    groups, found, best = results.groups(), findings(results), results.best()
    value = {
        "study": results.study,
        "running": results.is_running,
        "space": results.space.to_json(),
        "objectives": list(results.objectives),
        "measured": [line for measurement in results.measurements for line in measurement.sentences()],
        "verdicts": [_verdict(one) for one in found],
        "verdicts_in_words": verdict_lines(found),
        "groups": group_rows(results),
        "over_corruptions": _over_corruptions(results, groups),
        "best_proposal": None if best is None else {"trial": best.number, "settings": dict(best.settings)},
        "importances": None if results.importances is None else dataclasses.asdict(results.importances),
        "notes": [
            *running_lines(results),
            *group_lines(groups),
            *left_out_lines(results, merged=False),
            *ended_lines(results),
        ],
        "view": [part if isinstance(part, str) else dataclasses.asdict(part) for part in view],
        "trials": [_trial(trial) for trial in results.trials],
    }
    return json.dumps(_finite(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _over_corruptions(results: Results, groups: Sequence[GroupSummary]) -> Row | None:
    """Return what groups come to by one number over many corruptions, unrounded; None of few."""
    found = over_corruptions(results, groups)
    if found is None:
        return None
    return {
        "n_corruptions": found.n,
        "interquartile_means": [{"group": name, **dataclasses.asdict(of)} for name, of in found.means.items()],
        "probabilities_of_improvement": [
            {"group": one, "control": other, **dataclasses.asdict(of)} for (one, other), of in found.pairs.items()
        ],
    }


def _trial(trial: TrialResult) -> Row:
    return {
        "trial": trial.number,
        "purpose": trial.slot.partition("/")[0],
        "slot": trial.slot,
        "group": trial.group,
        "seed": trial.seed,
        "state": trial.state,
        "dead": trial.dead,
        "repeat_of": trial.repeat_of,
        "settings": dict(trial.settings),
        "values": dict(trial.values),
        "errors": trial.errors,
        "reason": None if trial.reason is None else str(trial.reason),
        "stages": dict(trial.stages),
    }


def _verdict(one: Finding) -> Row:
    """Return a finding; differences are of errors: below 0 there are fewer."""
    found = one.evidence
    numbers = ("mean", "low", "high", "t_p", "sign_flip_p", "effect_size")
    return {
        "comparison": one.contrast.name,
        "kind": one.contrast.kind,
        "ablation": one.contrast.ablation,
        "weights": dict(one.contrast.weights),
        "confused_with": list(one.contrast.confused),
        "errors": one.outcome,
        "n": one.n,
        "n_seeds": one.n_seeds,
        "n_family": one.n_family,
        "is_tested": one.is_final,
        "is_shown": one.is_starred,
        "holm_p": one.holm_p if one.is_final else None,
        "detectable": one.detectable,
        "bound": one.bound,
        "differences": list(found.values) if found is not None else [],
        **{name: None if found is None else getattr(found, name) for name in numbers},
    }


def _finite(value: Any) -> Any:
    """Return a value in which what is not finite is None."""
    if isinstance(value, Mapping):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
