import io
import re
from types import SimpleNamespace

import pytest
from rich.console import Console

from engine import signs_of_life
from pipelines._progress import stage_bar, waiting
from pipelines.trial import command_line

SPECS = [SimpleNamespace(key=str(place), stage=stage) for place, stage in enumerate(("pretrain", "evaluate"))]


def shown(*, is_terminal: bool) -> str:
    file = io.StringIO()
    console = Console(file=file, force_terminal=is_terminal, width=100)
    with waiting(console, "reading [the] data"):
        pass
    with stage_bar(console) as show:
        for spec in SPECS:
            for done in range(3):
                show(spec, done, 2)
    return file.getvalue()


def test_a_terminal_shows_what_runs_and_how_far_it_is():
    text = shown(is_terminal=True)
    assert "reading [the] data" in text
    assert "pretrain" in text
    assert "evaluate" in text


def test_a_file_is_told_nothing_of_it_at_once():
    assert shown(is_terminal=False) == ""


def test_where_there_is_no_terminal_a_trial_says_now_and_then_how_far_it_is(tmp_path, capsys, monkeypatch):
    """A log, or a pipe, was told nothing while an evaluation took minutes."""
    monkeypatch.setattr(signs_of_life, "SILENT_S", 0.02)
    small = ["data.n_train=600", "data.n_test=20", "pretrain.epochs=12", "model.width=4", "evaluate.severities=1"]
    assert command_line(["--home", str(tmp_path), "--set", *small]) == 0
    captured = capsys.readouterr()
    assert re.search(r"^pretrain: \d+ of 12 \(\d+ s\)$", captured.err, re.MULTILINE)
    assert "of 12 (" not in captured.out


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_trial_shows_its_stages_on_a_terminal_alone(tmp_path, capsys, monkeypatch, is_terminal):
    monkeypatch.setattr("pipelines.trial.make_console", lambda: Console(force_terminal=is_terminal, width=200))
    small = [
        "data.n_train=64",
        "data.n_test=20",
        "pretrain.epochs=1",
        "finetune.training.epochs=1",
        "distortion.n_images=8",
    ]
    small += ["model.width=2", 'evaluate.corruptions=["contrast"]', "evaluate.severities=[1]"]
    assert command_line(["--home", str(tmp_path), "--set", *small]) == 0
    printed = capsys.readouterr().out
    assert ("0/1" in printed) is is_terminal
    assert "done in" in printed
