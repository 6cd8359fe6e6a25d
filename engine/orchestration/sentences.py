"""What a sweep says of itself besides its results: notes before it starts, and commands for afterwards."""

from __future__ import annotations

import shlex
from urllib.parse import quote

from engine.orchestration.options import SweepOptions
from engine.orchestration.preparation import Prepared
from engine.orchestration.search import search_notes
from engine.redaction import hide_credentials
from engine.report.results import Results


def opening_notes(prepared: Prepared) -> list[str]:
    """Return what a person should know of the data and of the search before it starts."""
    options, agenda = prepared.options, prepared.agenda
    notes = [*prepared.yardstick.sentences(), *prepared.info.notes, *prepared.notes, *prepared.left_out]
    notes += search_notes(options.sampler_name, prepared.space) if agenda.n_proposals else []
    if options.init is not None:
        notes.append(
            f"no trial is pretrained: all start from the weights of {options.init.name}, also those whose push–pull "
            "layers are not those that the weights were trained with"
        )
    if agenda.n_proposals and not agenda.n_winner_trials:
        notes.append(
            f"{agenda.n_trials} trials are too few to compute the best proposal on the arms' seeds: from "
            f"{agenda.least_with_a_winner} on it is"
        )
    if options.sampler_name == "grid" and agenda.max_proposals is not None and agenda.n_proposals:
        notes.append(
            f"all {agenda.max_proposals} points of the grid are run"
            if agenda.n_proposals == agenda.max_proposals
            else f"of the grid's {agenda.max_proposals} points {agenda.n_proposals} are run, a random subset fixed by "
            "the seed: raise --n-trials for all"
        )
    if len(options.objective_names) > 1:
        asked = "" if options.pruner == "none" else f" (--pruner {options.pruner} has no effect)"
        notes.append(
            f"several objectives, {' and '.join(options.objective_names)} validation error: no trial is pruned{asked}; "
            "the winner is the front's point with the least corrupted error"
        )
    return notes


def sync_command(options: SweepOptions) -> str:
    """Return the command that writes what the tracking server did not take."""
    words = ["python", "-m", "pipelines.sync", "--home", str(options.home)]
    if options.tracking_uri is not None:
        words += ["--tracking-uri", hide_credentials(options.tracking_uri)]
    return shlex.join(words)


def view_commands(options: SweepOptions, results: Results) -> list[str]:
    """Return the commands that open MLflow and optuna-dashboard, and the address of the trials side by side."""
    tracking = hide_credentials(options.tracking_url)
    server = tracking if tracking.startswith("http") else "http://127.0.0.1:5000"
    commands = []
    if server != tracking:
        commands.append(f"mlflow ui --backend-store-uri {shlex.quote(tracking)} --port 5000")
    if results.experiment:
        query = f"tags.`robustune.study` = '{results.study}' and tags.`robustune.purpose` != ''"
        order = "orderByKey=metrics.%60objective%60&orderByAsc=true"
        page = f"{server}/#/experiments/{results.experiment}/runs?searchFilter={quote(query)}&{order}"
        commands.append(f"  trials side by side: {page}")
    return [*commands, f"optuna-dashboard {shlex.quote(hide_credentials(options.storage_url))} --port 8080"]
