"""What ``--help`` prints: whole paragraphs, no inner words of the parser."""

import itertools

import pytest

from pipelines import (
    corrupt,
    disparity,
    doctor,
    evaluate,
    export,
    profile,
    rankings,
    report,
    responses,
    store,
    sweep,
    sync,
    trial,
)

COMMANDS = (
    corrupt,
    disparity,
    doctor,
    evaluate,
    export,
    profile,
    rankings,
    report,
    responses,
    store,
    sweep,
    sync,
    trial,
)


def help_of(command, capsys, monkeypatch, *arguments: str, width: int) -> str:
    monkeypatch.setenv("COLUMNS", str(width))
    with pytest.raises(SystemExit) as ended:
        command.command_line([*arguments, "--help"])
    assert ended.value.code in (0, None)
    return capsys.readouterr().out


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.__name__)
def test_no_default_is_shown_where_there_is_none(command, width, capsys, monkeypatch):
    text = help_of(command, capsys, monkeypatch, width=width)
    flat = " ".join(text.replace("│", " ").split())
    assert "None" not in flat
    assert "(default: )" not in flat
    assert all(len(line) <= width for line in text.splitlines() if line.startswith("│"))


def test_an_option_is_one_paragraph_with_its_default(capsys, monkeypatch):
    """A line of a docstring that the next one goes on from is filled like any other."""
    text = help_of(sweep, capsys, monkeypatch, width=80)
    lines = [line.strip("│ ") for line in text.splitlines()]
    start = next(n for n, line in enumerate(lines) if line.startswith("--n-trials"))
    end = next(n for n, line in enumerate(lines) if line.startswith("--sampler"))
    words = [line.removeprefix("--n-trials N").split() for line in lines[start:end]]
    room = max(sum(map(len, line)) + len(line) - 1 for line in words)
    for line, following in itertools.pairwise(words):
        assert sum(map(len, line)) + len(line) + len(following[0]) > room, f"{' '.join(line)} is cut short"
    assert "(default: push-pull)" in " ".join(" ".join(lines).split())


def test_commands_of_a_command_have_help_too(capsys, monkeypatch):
    text = help_of(store, capsys, monkeypatch, "prune", width=80)
    assert "--max-gb" in text
    assert "(required)" in text
    assert "None" not in text


@pytest.mark.parametrize(
    ("command", "flag", "word"),
    [
        (sweep, "--set", "PATH=VALUE"),
        (sweep, "--import", "MODULE"),
        (sweep, "--objectives", "NAME"),
        (trial, "--set", "PATH=VALUE"),
        (corrupt, "--corruptions", "NAME"),
        (responses, "--levels", "X"),
        (rankings, "--distances", "NAME"),
        (disparity, "--which", "NAME"),
    ],
)
def test_an_option_without_its_words_is_refused(command, flag, word, capsys, tmp_path, monkeypatch):
    """Taken for the default, a line broken after ``--set`` would run for hours."""
    monkeypatch.chdir(tmp_path)
    harmless = {sweep: ["--dry-run"], corrupt: ["--device", "none", "--output", "x"]}.get(command, ["--device", "none"])
    assert command.command_line([flag, *harmless]) == 2
    assert capsys.readouterr().err == f"error: {flag} needs a value, {word}, or several; leave it out for its default\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("command", "words", "said"),
    [
        (sweep, ["--n-trails", "5"], "unknown option '--n-trails' (did you mean '--n-trials'?)"),
        (sweep, ["--spce=tiny"], "unknown option '--spce' (did you mean '--space'?)"),
        (corrupt, ["--datset", "digits"], "unknown option '--datset' (did you mean '--dataset'?)"),
        (evaluate, ["--netwrok", "x"], "unknown option '--netwrok' (did you mean '--network'?)"),
        (export, ["--study", "x", "--ouput", "y"], "unknown option '--ouput' (did you mean '--output'?)"),
        (store, ["lst"], "unknown command 'lst' (did you mean 'list'?)"),
        (store, ["prune", "--mx-gb", "3"], "unknown option '--mx-gb' (did you mean '--max-gb'?)"),
        (store, ["copy", "a", "b", "--force"], "unknown option '--force'; known: none"),
    ],
)
def test_a_misspelt_option_is_told_the_nearest_whatever_else_is_missing(command, words, said, capsys):
    """Left alone, the parser names none where an option that must be given is missing too."""
    assert command.command_line(words) == 2
    assert capsys.readouterr().err.startswith(f"error: {said}")


@pytest.mark.parametrize("command", [sweep, evaluate])
def test_a_setting_without_its_option_is_told_it(command, capsys):
    assert command.command_line(["evaluate.severities=[1, 5]", "--dataset", "digits"]) == 2
    said = capsys.readouterr().err
    assert said == (
        "error: a setting stands behind --set, got 'evaluate.severities=[1, 5]': --set 'evaluate.severities=[1, 5]'\n"
    )


def test_an_option_may_be_typed_with_underscores_and_an_equals_sign(capsys):
    assert sweep.command_line(["--n_trials=3", "--list", "recipes"]) == 0


def test_the_list_of_spaces_says_on_which_data_sets_each_is_one(capsys):
    assert sweep.command_line(["--list", "spaces"]) == 0
    (row,) = [line for line in capsys.readouterr().out.splitlines() if "push-pull-table-4" in line]
    assert "cifar10, digits" in row
