"""What a sweep says to a person: what begins, what there is to know of it before, and its answer in the end."""

from __future__ import annotations

from rich.console import Console

from engine.errors import InputError
from engine.extensions import parse_settings
from engine.orchestration.cluster.slots import SlotPlan
from engine.orchestration.options import SweepOptions, sweep_command
from engine.orchestration.preparation import Prepared
from engine.orchestration.search import search_notes
from engine.report.baseline_scores import arm_baseline, score_tables
from engine.report.commands import export_command, page_command, store_words, view_commands
from engine.report.notebook import in_notebook, show_answer
from engine.report.page.kept_page import keep_page, page_place
from engine.report.page.page_parts import Remake
from engine.report.results import Results
from engine.report.study_report import closing_report, study_report
from engine.report.terminal import as_text, say
from engine.report.text_tables import Part
from engine.result_names import RunArtifact
from engine.spaces import Space


def opening(prepared: Prepared, slots: SlotPlan, *, n_done: int, n_recovered: int) -> str:
    """Return what a sweep says before its trials run.

    Args:
        prepared: the sweep.
        slots: what its stages run on.
        n_done: trials that are done.
        n_recovered: trials that were interrupted and are run again.
    """
    planned = prepared.planned
    lines = [
        f"study {prepared.study_name}: {planned.n_total} trials ({kinds_of_trials(prepared)})"
        + (f"; {n_done} are done" if n_done else "")
        + (f", {n_recovered} were interrupted and run again" if n_recovered else ""),
        f"{setting_words(prepared)}; {slots.n_slots} slot{'s' * (slots.n_slots != 1)} on {slots.device}, in "
        f"{prepared.options.precision}",
    ]
    return "\n".join([*lines, *opening_notes(prepared)])


def kinds_of_trials(prepared: Prepared) -> str:
    """Return how many of a sweep's trials are of which kind, of those kinds that there are."""
    planned = prepared.planned
    counts = {
        "of the arms": planned.n_arm_trials,
        f"proposed by {prepared.options.sampler_name}": planned.n_proposals,
        "to compute the best again": planned.n_winner_trials,
    }
    return ", ".join(f"{n} {kind}" for kind, n in counts.items() if n)


def setting_words(prepared: Prepared) -> str:
    """Return which images there are, and which network learns for how long where no axis or arm says otherwise."""
    base = prepared.space.base
    start = f"{base.pretrain.epochs} epochs of pretraining" if base.model.weights is None else "given weights"
    return f"{prepared.info.in_words()}; {base.model.name}, {start}"


def opening_notes(prepared: Prepared) -> list[str]:
    """Return what a person should know of the data and of the search before it starts."""
    options, planned = prepared.options, prepared.planned
    notes = [*prepared.measurement.sentences(), *prepared.info.notes, *prepared.notes, *prepared.left_out]
    notes += overruled(options, prepared.space)
    if prepared.baseline is not None and (note := prepared.baseline.against(prepared.info.settings.name).note):
        notes.append(note)
    notes += search_notes(options.sampler_name, prepared.space) if planned.n_proposals else []
    if options.init is not None:
        notes.append(
            f"no trial is pretrained: all start from the weights of {options.init.name}, also those whose push–pull "
            "layers are not those that the weights were trained with"
        )
    if planned.n_total < planned.n_trials and options.n_trials is not None:
        of_axes = f"its axes allow {planned.max_proposals} proposals" if planned.space.axes else "it has arms alone"
        notes.append(f"{planned.n_trials} trials are asked for; the space has {planned.n_total}: {of_axes}")
    n_needed = len(planned.space.arms) * planned.space.n_seeds
    if planned.n_arm_trials < n_needed:
        untested = ": what is declared is not tested before they are run" if planned.space.family else ""
        notes.append(
            f"{planned.n_trials} trials are too few for all {planned.space.n_seeds} seeds of the arms, which need "
            f"{n_needed}{untested}"
        )
    if planned.n_proposals and not planned.n_winner_trials:
        notes.append(
            f"{planned.n_trials} trials are too few to compute the best proposal on the arms' seeds: from "
            f"{planned.least_with_a_winner} on it is"
        )
    if options.sampler_name == "grid" and planned.max_proposals is not None and planned.n_proposals:
        notes.append(
            f"all {planned.max_proposals} points of the grid are run"
            if planned.n_proposals == planned.max_proposals
            else f"of the grid's {planned.max_proposals} points {planned.n_proposals} are run, a random subset fixed "
            "by the seed: raise --n-trials for all"
        )
    if len(options.objective_names) > 1:
        asked = "" if options.pruner == "none" else f" (--pruner {options.pruner} has no effect)"
        notes.append(
            f"several objectives, {' and '.join(options.objective_names)} validation error: no trial is pruned{asked}; "
            "the winner is the front's point with the least corrupted error"
        )
    return notes


def overruled(options: SweepOptions, space: Space) -> list[str]:
    """Return a sentence on each setting of ``--set`` that axes or arms of the space give values of their own."""
    notes = []
    for path in parse_settings(options.settings):
        own = [
            f"axis {axis.label!r} gives proposals values of its own{' where it applies' if axis.when else ''}"
            for axis in space.axes
            if axis.setting == path
        ]
        n_arms = sum(path in arm.settings for arm in space.arms)
        own += [f"{n_arms} of {len(space.arms)} arms have their own"] if n_arms else []
        if own:
            notes.append(f"--set {path} is for the rest alone: {' and '.join(own)}")
    return notes


class SweepAnswer:
    """Says what a sweep's study says.

    Args:
        prepared: the sweep.
        console: where the answer is printed.
    """

    def __init__(self, prepared: Prepared, console: Console) -> None:
        self._prepared = prepared
        self._options = prepared.options
        self._console = console
        self._page_said = ""

    def show(self, results: Results) -> None:
        """Print what the study says in short, where its page is, and how else to look at it."""
        options = self._options
        answer = [*closing_report(results, by=options.by), *self._scores(results)]
        if in_notebook() and not self._console.is_terminal:
            show_answer(results, answer)
        else:
            say(self._console, *answer)
        if not self._page_said:
            self._page(results)
        say(self._console, self._page_said, "look closer:")
        tracking = options.tracking_url if options.tracks_by_mlflow else None
        for command in view_commands(results, storage=options.storage_url, tracking=tracking, home=options.home):
            say(self._console, f"  {command}")
        export = export_command(results, options.home, storage=options.storage, store=options.store)
        if export:
            say(self._console, f"the network to take home: {export}")

    def files(self, results: Results) -> dict[str, str]:
        """Return {name: content} of the whole answer and of the report's page, which is written beside; without the
        page where that cannot be.
        """
        answer = as_text([*study_report(results, by=self._options.by), *self._scores(results)])
        page = self._page(results)
        return {RunArtifact.ANSWER: answer} | ({RunArtifact.PAGE: page} if page else {})

    def _scores(self, results: Results) -> list[Part]:
        """Return the scores, if there is a baseline."""
        if self._options.baseline is None:
            return []
        try:
            baseline = self._prepared.baseline or arm_baseline(self._options.baseline, results)
            return score_tables(results, baseline)
        except InputError as error:  # such as a sweep that was stopped before the baseline's arm was run
            return [f"no scores: {error}"]

    def _page(self, results: Results) -> str:
        """Write the report's page and return it; "" where that cannot be, which ends no sweep but is said."""
        options = self._options
        place = page_place(options.home, self._prepared.study_name)
        output = page_command(results, options.home, storage=options.storage, store=options.store)
        stored = store_words(options.home, options.store)
        remake = Remake(output, results.command or sweep_command(options), stored)
        try:
            scores = self._scores(results)
            page = keep_page(results, self._prepared.store, place, scores=scores, remake=remake, by=options.by)
        except Exception as error:  # whatever it is: the answer is there without its page
            self._page_said = f"there is no page of the report: {error or type(error).__name__}"
            return ""
        self._page_said = f"the report's page: {place}"
        return page
