"""Whatever comes from outside is shown as it is: nothing in it is an instruction to the terminal."""

import ast
import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from engine.orchestration.search import SweepStudy
from engine.orchestration.search.planned_trials import PlannedTrials
from engine.orchestration.search.pruners import parse_pruner
from engine.report import terminal as printing
from engine.report.live_screen import LiveScreen
from engine.report.reasons import Reason
from engine.report.terminal import as_text, grid, literal, progress_bar, say
from engine.report.text_tables import Table
from engine.spaces import Arm, Choice, Space
from pipelines import report, sweep
from tests.engine.orchestration.spaces import TINY
from tests.engine.orchestration.studies import make_sweep_study

ROOT = Path(__file__).parents[3]
PATH, SHAPE, PICTURE, STYLE = "[/data/x]", "[batch, channels]", ":cat:", "[bold red]no[/bold red]"
OUTSIDE = (PATH, SHAPE, PICTURE, STYLE, "C:\\[x]\\", "[link=http://x]y[/link]")


def drawn(*renderables) -> str:
    """Return what a console as Rich makes it, which reads markup, shows."""
    console = Console(file=io.StringIO(), width=200, force_terminal=False)
    for renderable in renderables:
        console.print(renderable)
    return console.file.getvalue()


@pytest.mark.parametrize("text", OUTSIDE)
def test_text_is_shown_as_it_is_wherever_it_stands(text):
    console = Console(file=io.StringIO(), width=200)
    say(console, text, Table(text, (text, "number"), [(text, "1"), (), (f"second {text}", "2")], caption=text))
    assert console.file.getvalue().count(text) == 6
    assert as_text([text, Table(text, (text,), [(text,)], caption=text)]).count(text) == 5
    assert drawn(grid([(text, text)]), literal(text, style="yellow")).count(text) == 3


@pytest.mark.parametrize("text", OUTSIDE)
def test_the_bar_of_a_command_shows_its_description_as_it_is(text):
    console = Console(file=io.StringIO(), width=200, force_terminal=True, color_system=None)
    with progress_bar(console) as progress:
        progress.add_task(text, total=2)
    assert text in console.file.getvalue()


def test_signs_that_steer_a_terminal_are_shown_as_pictures():
    assert as_text(["a\x1b]0;title\x07b\x1b[2Jc\rd\ne"]) == "a␛]0;title␇b␛[2Jc␍d\ne\n"


def test_a_table_cuts_no_word():
    name = "a-name-that-is-longer-than-the-page" * 4
    text = as_text([Table("", ("name", "value"), [(name, "1")])], width=60)
    assert "…" not in text
    assert "".join(line.split("│")[1].strip() for line in text.splitlines() if line.startswith("│")) == name


def test_rows_that_are_empty_are_lines_and_none_ends_a_table():
    text = as_text([Table("", ("name",), [("one",), (), ("two",), ()])])
    assert [line[0] for line in text.splitlines()] == ["┏", "┃", "┡", "│", "├", "│", "└"]


DIFFERENCES = Table(
    "",
    ("", "seeds", *(f"column {i}" for i in range(5))),
    [("winner − placebo", "6 of 6", *["-31.7 [-37.5, -25.9] *"] * 5), ("short",)],
    align="lrrrrrr",
)


def test_intervals_stay_whole_where_the_page_is_wide_enough():
    text = as_text([DIFFERENCES], width=120)
    assert text.count("[-37.5, -25.9] *") == 5
    assert max(map(len, text.splitlines())) <= 120


def test_a_page_that_is_too_narrow_for_all_columns_has_the_others_below_and_breaks_no_number():
    text = as_text([DIFFERENCES], width=80)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert sum(line.startswith("┏") for line in lines) == 2
    cells = [cell.strip() for line in lines if line.startswith("│") for cell in line.split("│")[1:-1]]
    assert sum(cell.startswith("winner −") for cell in cells) == 2, "each part says whose its numbers are"
    assert text.count("-31.7") == text.count("[-37.5, -25.9] *") == 5
    heads = [cell.strip() for line in lines if line.startswith("┃") for cell in line.split("┃")[1:-1]]
    assert [head for head in heads if head] == ["seeds", *(f"column {i}" for i in range(5))]


def test_of_a_narrow_page_s_parts_each_has_all_that_names_the_rows():
    table = Table("title", ("", "by", "a", "b", "c"), [("x − y", "noise", *["1.23456"] * 3), ()], "llrrr", "caption")
    text = as_text([table], width=30)
    assert text.count("x − y") == text.count("noise") == text.count("1.23456") == 3
    assert text.startswith("title\n")
    assert text.endswith("caption\n")
    assert text.count("caption") == 1


def test_nothing_else_draws_or_prints_on_a_console():
    """Text reaches Rich through one file alone; elsewhere a console is only passed on."""
    passed_on = {"Console", "ConsoleRenderable", "Group", "Live", "ProgressBar"}
    found = []
    for folder in ("engine", "pipelines", "search_spaces"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if path == Path(printing.__file__):
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                where = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
                if isinstance(node, ast.Import) and any(alias.name.startswith("rich") for alias in node.names):
                    found.append(f"{where}: imports rich")
                if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "rich":
                    found += [f"{where}: imports {n.name}" for n in node.names if n.name not in passed_on]
                if isinstance(node, ast.Call):
                    called = ast.unparse(node.func)
                    if called == "Console" or called.endswith(("console.print", "console.log", "console.rule")):
                        found.append(f"{where}: calls {called}")
    assert not found, "print with engine.report.terminal: " + ", ".join(found)


SPACE = Space(
    name="outside",
    description=f"Is {PATH} {STYLE}?",
    base=TINY,
    axes=(Choice("pretrain.batch_size", (16, 32), label=f"axis {SHAPE}"),),
    arms=(Arm(PATH, {"push_pull.where": "none"}, control=True), Arm(PICTURE, {"push_pull.where": "first"})),
    n_seeds=2,
)


def make_study(path: Path) -> SweepStudy:
    return make_sweep_study(
        PlannedTrials(SPACE, 6, 0),
        storage=f"sqlite:///{path}",
        name="study",
        sampler="random",
        pruner=parse_pruner("none"),
    )


@pytest.fixture
def study(tmp_path) -> SweepStudy:
    """Return a study of which one arm is complete, and all else has failed for reasons with brackets in them."""
    made = make_sweep_study(
        PlannedTrials(SPACE, 6, 0),
        storage=f"sqlite:///{tmp_path / 'optuna.db'}",
        name="study",
        sampler="random",
        pruner=parse_pruner("none"),
    )
    row = {"corruption": "contrast", "severity": 1, "error": 0.3}
    errors = {
        "objective": 0.25,
        "validation": {"clean": 0.1, "corrupted": [row]},
        "test": {"clean": 0.1, "corrupted": [row], "tuned_distortion": None},
    }
    while (proposal := made.ask()) is not None:
        if proposal.planned.group == PICTURE:
            made.note(proposal.number, "errors", errors)
            made.complete(proposal.number, 0.25)
        else:
            made.fail(proposal.number, Reason("stage", "pretrain", text=f"OSError: {PATH} of {SHAPE} is {STYLE}"))
    return made


def test_a_report_shows_names_and_reasons_as_they_are(study, tmp_path, capsys):
    assert report.command_line(["--study", "study", "--home", str(tmp_path), "--baseline", f"arm:{PICTURE}"]) == 0
    printed = capsys.readouterr().out
    for text in OUTSIDE[:4]:
        assert text in printed
    assert report.command_line(["--study", "study", "--home", str(tmp_path), "--by", "corruption"]) == 0
    assert "Test error in %: digital" in capsys.readouterr().out
    assert report.command_line(["--study", "study", "--home", str(tmp_path), "--baseline", f"arm:{PATH}"]) == 2
    assert f"arm '{PATH}' has no complete trial yet" in capsys.readouterr().err


def test_a_dry_run_shows_names_and_settings_as_they_are(tmp_path, capsys):
    (tmp_path / "space.json").write_text(json.dumps(SPACE.to_json()))
    assert sweep.command_line(["--dry-run", "--space", str(tmp_path / "space.json"), "--home", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert f"arm {PATH}: push_pull.where=none" in printed
    assert f"arm {PICTURE}: " in printed
    assert f"axis axis {SHAPE}: 16, 32" in printed


def test_the_live_screen_shows_names_and_notes_as_they_are(tmp_path):
    console = Console(file=io.StringIO(), width=200, force_terminal=True, color_system=None)
    screen = LiveScreen(console, n_total=6, notes=lambda: [f"tracking waits: {STYLE}"])
    proposal = make_study(tmp_path / "other.db").ask()
    assert proposal is not None
    screen.asked(proposal.planned.name)
    screen.ended(proposal.planned.name, "complete", 0.25)
    for shown in (drawn(screen._screen()), drawn(literal(screen.line()))):
        assert f"(arm/{PATH}/0)" in shown
    screen.start()
    screen.stop()
    assert f"tracking waits: {STYLE}" in console.file.getvalue()


def test_a_dry_run_and_the_first_lines_say_what_decides(tmp_path, capsys):
    (tmp_path / "space.json").write_text(json.dumps(SPACE.to_json()))
    given = ["--dry-run", "--space", str(tmp_path / "space.json"), "--home", str(tmp_path)]
    assert sweep.command_line([*given, "--set", 'evaluate.corruptions=["gaussian_blur","contrast"]']) == 0
    printed = capsys.readouterr().out
    assert (
        "trials are compared by their mean error on 60 validation images under contrast and gaussian_blur, severities "
        "1 to 5; they are tested on 60 test images under contrast and gaussian_blur\n"
    ) in printed
    assert sweep.command_line(given) == 0
    assert "\nblur and digital have no part in the comparison of trials" in capsys.readouterr().out


def test_a_study_is_not_gone_on_with_by_trials_that_cannot_be_compared_with_its_own(study, tmp_path, capsys):
    (tmp_path / "space.json").write_text(json.dumps(SPACE.to_json()))
    given = ["--space", str(tmp_path / "space.json"), "--home", str(tmp_path), "--study", "study", "--n-trials", "7"]
    assert sweep.command_line(given) == 2
    refusal = capsys.readouterr().err
    assert refusal.startswith(
        "error: study 'study' has trials compared by contrast and tested on contrast, severity 1, "
    )
    assert "those to come would be compared by gaussian_noise and shot_noise and tested on" in refusal
