"""What optuna-dashboard shows of a study beside its numbers: names, notes, the report's figures, heat maps."""

from __future__ import annotations

import re
import statistics
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial

from engine.digest import digest
from engine.orchestration.search.dashboard_plots import figures_of
from engine.orchestration.search.optuna_internals import NoteStorage, noted_trial, storage_of, trial_id
from engine.report.columns import kind_columns
from engine.report.comparisons import error_table
from engine.report.groups import GroupSummary
from engine.report.markdown import escaped
from engine.report.results import Results
from engine.report.text_tables import Table
from engine.report.trial_results import CORRUPTED, TrialResult, describe_settings
from engine.report.verdicts import findings, verdict_lines
from engine.spaces import Space
from engine.spaces.arms import WINNER

METRICS = {CORRUPTED: "corrupted validation error", "clean": "clean validation error"}
"""{objective: what the dashboard calls it}."""
MOST_NOTES = 60
"""Trials that get a note, at most: the database is written to four times for each."""
_LONGEST = 60
"""Letters of a group's name that a file's name has, at most."""
_OURS = "*This note is written by the sweep; it keeps out of one that somebody else has written.*"


def name_metrics(study: optuna.Study, objectives: Sequence[str]) -> None:
    """Give a study's objectives names, unless it has some."""
    if study.metric_names is None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            study.set_metric_names([METRICS.get(name, name) for name in objectives])


def show_results(study: optuna.Study, results: Results, artifacts: Path) -> None:
    """Write what a study has come to where the dashboard shows it; written again it replaces what was there.

    Args:
        study: that the sweep has made.
        results: what it says.
        artifacts: the folder of the dashboard's artifacts.

    Raises:
        Exception: whatever database or disk say.
    """
    from optuna_dashboard import get_note, save_note, save_plotly_graph_object

    trials = study.get_trials(deepcopy=False)
    for name, figure in figures_of(results).items():
        save_plotly_graph_object(study, figure, graph_object_id=name)
    _keep_heat_maps(study, results, artifacts)
    body = study_note(results)
    known = get_note(study)
    if (not known or _OURS in known) and known != body:
        save_note(study, body)
    _note_trials(study, results, trials)


def study_note(results: Results) -> str:
    """Return what a study's note says, as Markdown: question, verdicts, errors, and how to read the pages."""
    groups = results.groups()
    parts = _question(results.study, results.space)
    verdicts = verdict_lines(findings(results))
    if verdicts:
        parts.append("## Verdicts\n\n" + "\n".join(f"- {escaped(line.strip())}" for line in verdicts))
    if groups:
        parts.append("## Errors\n\n" + _as_markdown(error_table(groups, kind_columns(results.tested))))
    best = results.best()
    if best is not None and best.objective is not None:
        settings = escaped(describe_settings(best.settings))
        parts.append(f"Best proposal: trial {best.number}, {best.objective:.2%} ({settings}).")
    parts += [_how_to_read(results), _OURS]
    return "\n\n".join(parts)


def _question(study: str, space: Space) -> list[str]:
    arms = [
        f"- **{escaped(arm.name)}**: {escaped(describe_settings(arm.settings) or 'the base as it is')}"
        for arm in space.arms
    ]
    asked = [f"# {escaped(study)}", escaped(space.description)]
    return [*asked, f"Arms, each on {space.n_seeds} seeds:\n\n" + "\n".join(arms)] if arms else asked


def _how_to_read(results: Results) -> str:
    names = ", ".join(f"*{METRICS.get(name, name)}*" for name in results.objectives)
    return (
        "## How to read these pages\n\n"
        f"- A trial is compared by its {names}: one training on one seed, a fraction. Test errors are in this note.\n"
        "- The attribute `slot` says what a trial is for: `arm/NAME/REPEAT`, `proposal/N` of the search, or "
        "`winner/…/REPEAT`, the best proposal computed again on the arms' seeds.\n"
        "- **The dashboard's own importances and best trial count arms and the winner's repeats like proposals**, "
        "several times the same settings. The figure *Importance … in the proposals alone* leaves them out.\n"
        "- Arms and repeats are never pruned; a pruned or failed trial's attribute `reason` says why.\n"
        "- Heat maps of the arms are the study's artifacts, where the dashboard was started with `--artifact-dir`."
    )


def trial_note(trial: TrialResult, *, is_best: bool = False) -> str:
    """Return what a trial's note says, as Markdown."""
    purpose, _, _ = trial.slot.partition("/")
    what = {"arm": f"arm **{escaped(trial.group)}**", WINNER: "the **winner** again"}.get(purpose, "a **proposal**")
    lines = [
        f"{what}, seed {trial.seed}{': the best of the proposals' * is_best}",
        escaped(describe_settings(trial.settings)),
    ]
    if trial.errors is not None:
        errors = trial.test_errors()
        columns = [column for column in kind_columns({name for name, _ in trial.table}) if column in errors]
        lines.append("test error: " + ", ".join(f"{escaped(column)} {errors[column]:.1%}" for column in columns))
    if trial.dead:
        lines.append("**dead**: the network answers (nearly) every image alike")
    if trial.reason is not None:
        lines.append(f"{trial.state.lower()}: {escaped(str(trial.reason))}")
    if trial.repeat_of is not None:
        lines.append(f"it equals trial {trial.repeat_of}: nothing was computed for it")
    return "\n\n".join(line for line in lines if line)


def _note_trials(study: optuna.Study, results: Results, trials: Sequence[FrozenTrial]) -> None:
    """Give the trials that a person asks about a note: the best, repeats, arms, failed and pruned ones."""
    from optuna_dashboard import get_note, save_note

    best = results.best()
    rank = {"winner": 1, "arm": 2}

    def order(trial: TrialResult) -> tuple[int, int]:
        if best is not None and trial.number == best.number:
            return 0, trial.number
        return rank.get(trial.slot.partition("/")[0], 3 if trial.state != "COMPLETE" else 4), trial.number

    ids = {trial.number: trial_id(trial) for trial in trials}
    storage = NoteStorage(study)
    for trial in sorted(results.trials, key=order)[:MOST_NOTES]:
        noted: Any = noted_trial(study, storage, ids[trial.number])
        body = trial_note(trial, is_best=best is not None and trial.number == best.number)
        if not get_note(noted):
            save_note(noted, body)


def _keep_heat_maps(study: optuna.Study, results: Results, folder: Path) -> None:
    """Keep a heat map for each group as an artifact of the study, in the place of the one before."""
    from optuna.artifacts import FileSystemArtifactStore, get_all_artifact_meta, upload_artifact

    from engine.figures.error_heat_map import error_heat_map  # here: matplotlib is slow to import

    groups = [group for group in results.groups() if group.trials and results.tested]
    if not groups:
        return
    folder.mkdir(parents=True, exist_ok=True)
    store = FileSystemArtifactStore(folder)
    known = {meta.filename: meta.artifact_id for meta in get_all_artifact_meta(study)}
    with TemporaryDirectory(prefix="robustune-") as scratch:
        for group in groups:
            path = Path(scratch) / f"errors-{_as_file_name(group.name)}.png"
            title = f"{group.name}: mean error over {group.count} seeds"
            error_heat_map(_mean_rows(group, results.tested), title=title).save(path)
            if path.name in known:
                with path.open("rb") as file:
                    store.write(known[path.name], file)
            else:
                upload_artifact(
                    artifact_store=store, file_path=str(path), study_or_trial=study, storage=storage_of(study)
                )


def _as_file_name(name: str) -> str:
    """Return a group's name as a file can have it, of groups whose names differ another one each."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", name)[:_LONGEST]
    return plain if plain == name else f"{plain}-{digest(name)[:8]}"


def _mean_rows(group: GroupSummary, tested: Sequence[str]) -> list[Mapping[str, Any]]:
    tables = [trial.table for trial in group.trials]
    return [
        {"corruption": name, "severity": severity, "error": statistics.fmean(table[name, severity] for table in tables)}
        for name, severity in tables[0]
        if name in tested
    ]


def _as_markdown(table: Table) -> str:
    """Return a table as Markdown."""
    lines = [table.columns, ["---", *["--:"] * (len(table.columns) - 1)], *table.rows]
    rows = ["| " + " | ".join(cell if cell.startswith("--") else escaped(cell) for cell in row) + " |" for row in lines]
    return f"{escaped(table.title)}\n\n" + "\n".join(rows)
