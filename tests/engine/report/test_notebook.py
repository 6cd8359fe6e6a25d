import dataclasses
import os
import sys
import types

import pytest
from rich.console import Console

from engine.errors import InputError
from engine.orchestration.cluster.connection import variables_of_ray
from engine.report import notebook
from engine.report.live_screen import LiveScreen
from engine.report.notebook import as_html, in_notebook, show_answer, was_shown
from engine.report.study_results import StudyResults
from engine.report.terminal import as_text, make_console
from engine.report.text_tables import Table
from engine.spaces import Arm
from tests.engine.report import small_study

RESULTS, FAILING = (StudyResults.of(one) for one in (small_study.RESULTS, small_study.FAILING))

EVIL = "<img src=x onerror=alert(1)>&\x1b[2J"


class Kernel:
    """A notebook's shell, and what it was told to show: {display: [HTML, …]}, the last one being seen."""

    def __init__(self) -> None:
        self.kernel, self.execution_count = object(), 1
        self.shown: list[list[str]] = []

    def display(self, thing: str, display_id: bool) -> types.SimpleNamespace:
        assert display_id
        versions = [thing]
        self.shown.append(versions)
        return types.SimpleNamespace(update=versions.append)


@pytest.fixture
def kernel(monkeypatch):
    shell = Kernel()
    shown = types.SimpleNamespace(HTML=str, display=shell.display)
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell, display=shown))
    monkeypatch.setitem(sys.modules, "IPython.display", shown)
    monkeypatch.setattr(notebook._Shown, "last", None)
    return shell


def test_a_text_for_elsewhere_is_not_shown_in_the_cell(monkeypatch):
    """Rich would show what it is to write down, where it finds a kernel."""
    shown: list[object] = []
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    monkeypatch.setattr("rich.jupyter.display", lambda *given: shown.append(given))
    assert "a line\n" in as_text(["a line", Table("", ("name",), [("one",)])])
    assert not shown


def test_a_script_is_no_notebook_and_neither_is_a_terminal_s_ipython(monkeypatch, kernel):
    assert in_notebook()
    kernel.kernel = None
    assert not in_notebook()
    monkeypatch.delitem(sys.modules, "IPython")
    assert not in_notebook()


def test_results_show_their_main_table_with_all_that_is_missing_of_it():
    html = RESULTS._repr_html_()
    assert html is not None
    assert html.count("<table>") == 1
    assert "40.0 ±14.1" in html or "±" in html
    for words in ("study study", "push-pull", "pruned: 1", "failed"):
        assert words in html
    assert "no trial completed" in dataclasses.replace(FAILING, trials=FAILING.trials[:1])._repr_html_()
    assert "no trial has ended yet" in dataclasses.replace(RESULTS, trials=())._repr_html_()


def test_names_cannot_leave_their_place():
    html = as_html([EVIL, Table(EVIL, ("", EVIL), [(EVIL, "1")], "lr", EVIL)])
    assert "<img" not in html
    assert "\x1b" not in html
    assert html.count("&lt;img src=x onerror=alert(1)&gt;&amp;␛[2J") == 5
    space = dataclasses.replace(RESULTS.space, description=EVIL, arms=(Arm(EVIL[:-4], {}), *RESULTS.space.arms[1:]))
    assert "<img" not in dataclasses.replace(RESULTS, study=EVIL, space=space)._repr_html_()


def test_the_answer_is_shown_once_in_a_cell_and_again_in_another(kernel):
    show_answer(RESULTS, ["the answer"])
    assert len(kernel.shown) == 1
    assert "the answer" in kernel.shown[0][-1]
    assert was_shown(RESULTS)
    assert RESULTS._repr_html_() is None  # a cell that ends with it: one line, by __repr__
    assert dataclasses.replace(RESULTS)._repr_html_() is not None
    kernel.execution_count += 1
    assert RESULTS._repr_html_() is not None


def test_progress_is_one_display_that_changes(kernel):
    screen = LiveScreen(Console(quiet=True), n_total=8)
    screen.start()
    screen.asked("arm/plain/0")
    screen.ended("arm/plain/0", "complete", 0.25)
    screen.stop()
    (versions,) = kernel.shown
    assert "0/8 trials" in versions[0]
    assert "1/8 trials (1 complete" in versions[-1]


def test_a_cell_is_no_terminal_although_kernels_ask_for_colours(kernel, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert not make_console().is_terminal
    assert LiveScreen(make_console(), n_total=8)._in_notebook


def test_a_terminal_keeps_its_screen_in_a_kernel(kernel):
    assert not LiveScreen(Console(force_terminal=True), n_total=8)._in_notebook


def test_wrong_input_is_one_line_where_errors_are_rendered():
    assert InputError("`h` must be ≥ 1, got 0.5")._render_traceback_() == ["error: `h` must be ≥ 1, got 0.5"]


def test_ray_s_variables_are_gone_and_those_of_a_person_stay(monkeypatch):
    monkeypatch.setenv("RAY_TMPDIR", "/short")
    monkeypatch.setenv("RAY_AIR_NEW_OUTPUT", "1")
    before = dict(os.environ)
    with variables_of_ray():
        assert os.environ["RAY_USAGE_STATS_ENABLED"] == before.get("RAY_USAGE_STATS_ENABLED", "0")
        assert os.environ["RAY_AIR_NEW_OUTPUT"] == "1"
        os.environ["RAY_OF_ITS_OWN"] = "1"
        os.environ["RAY_TMPDIR"] = "/other"
    assert dict(os.environ) == before
