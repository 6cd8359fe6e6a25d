"""What a sweep answers: in short in the terminal, in full as the report's page, and both as files for the tracking."""

from __future__ import annotations

from rich.console import Console

from engine.errors import InputError
from engine.orchestration.options import sweep_command
from engine.orchestration.preparation import Prepared
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
