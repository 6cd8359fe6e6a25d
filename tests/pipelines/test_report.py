"""The report of a study, printed and written; studies are made by hand, nothing is run."""

import csv
import json
import os
import shlex
import time
from dataclasses import asdict, replace
from html import unescape

import optuna
import pytest

from engine.orchestration.options import SweepOptions
from engine.report.results import Results
from engine.result_names import OfStudy, OfTrial
from engine.spaces import Arm, Comparison, Space
from engine.store.holders import Holder
from pipelines.report import command_line
from tests.engine.orchestration.spaces import TINY
from tests.engine.report.studies import study

SPACE = Space(
    name="s",
    base=TINY,
    arms=(Arm("plain", {}, control=True), Arm("push-pull", {"push_pull.where": "first"})),
    comparisons=(Comparison("push-pull", "plain", ("noise",)),),
)
PLAIN = [0.40, 0.52, 0.45, 0.38, 0.47, 0.41]
LESS = [0.20, 0.28, 0.22, 0.21, 0.24, 0.22]
VERDICT = "push-pull against plain helps under noise by 21.0 points ["


def kept(results: Results, home) -> optuna.Study:
    """Write a study into a sweep's folder, as a sweep would."""
    home.mkdir(exist_ok=True)
    storage = SweepOptions(home=home).storage_url
    found = optuna.create_study(storage=storage, study_name=results.study, load_if_exists=True)
    found.set_user_attr(OfStudy.SPACE, results.space.to_json())
    for trial in results.trials:
        notes = {OfTrial.SLOT: trial.slot, OfTrial.SEED: trial.seed, OfTrial.GROUP: trial.group}
        if trial.errors is not None:
            notes[OfTrial.ERRORS] = trial.errors
        if trial.reason is not None:
            notes[OfTrial.REASON] = trial.reason.to_json()
        state = optuna.trial.TrialState[trial.state]
        found.add_trial(optuna.trial.create_trial(state=state, value=trial.objective, user_attrs=notes))
    return found


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


def report(home, *words: str) -> int:
    return command_line(["--home", str(home), "--study", "study", *words])


def test_the_report_begins_with_the_verdicts_and_has_a_table_of_them(home, capsys):
    kept(study(SPACE, {"plain": PLAIN, "push-pull": LESS}), home)
    assert report(home) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("* is shown: p ≤ 0.05 by t test and ≤ 0.05 by sign flips")
    assert VERDICT in lines[1]
    assert "Declared comparisons" in lines[2]


def test_the_report_is_written_in_every_form(home, tmp_path, capsys):
    kept(study(SPACE, {"plain": PLAIN, "push-pull": LESS}), home)
    for form in ("csv", "json", "latex", "text", "page"):
        assert report(home, "--format", form, "--output", str(tmp_path / f"study.{form}")) == 0
    assert capsys.readouterr().out.count("written: ") == 6
    with (tmp_path / "study.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12 * 2
    with (tmp_path / "study-groups.csv").open() as file:
        assert {row["group"] for row in csv.DictReader(file)} == {"plain", "push-pull"}
    assert json.loads((tmp_path / "study.json").read_text())["verdicts"][0]["is_shown"] is True
    assert VERDICT in (tmp_path / "study.text").read_text()
    assert r"\begin{tabular}" in (tmp_path / "study.latex").read_text()
    assert VERDICT in (tmp_path / "study.page").read_text()


def test_one_file_can_be_printed(home, capsys):
    kept(study(SPACE, {"plain": PLAIN, "push-pull": LESS}), home)
    assert report(home, "--format", "json") == 0
    assert json.loads(capsys.readouterr().out)["study"] == "study"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--format", "pag"), "error: unknown format of the report 'pag' (did you mean 'page'?)"),
        (("--format", "csv"), "error: `--format csv` writes more than one file: say where, with `--output FILE`"),
        (("--output", "missing/x.txt"), "error: `--output`: there is no folder missing to write x.txt into"),
        (("--output", "/proc/x.txt"), "error: `--output` cannot be written: /proc/x.txt (No such file or directory)"),
    ],
)
def test_a_wrong_form_or_file_is_one_sentence_before_anything_is_read(home, capsys, words, sentence):
    assert report(home, *words) == 2
    assert capsys.readouterr().err.startswith(sentence)


def test_a_page_without_a_store_says_so_and_how_it_is_made_again(home, tmp_path, capsys):
    kept(study(SPACE, {"plain": PLAIN, "push-pull": LESS}), home)
    file = tmp_path / "a b.html"
    assert report(home, "--format", "page", "--output", str(file)) == 0
    text = unescape(file.read_text())
    assert f"there is no store in {home}/store" in text
    command = f"python -m pipelines.report --home {home} --study study --format page --output '{file}'"
    assert command in text
    assert command_line(shlex.split(command)[3:]) == 0
    assert unescape(file.read_text()) == text


@pytest.mark.parametrize("words", [(), ("--format", "page")])
def test_a_store_that_is_named_must_be_there(home, tmp_path, capsys, words):
    kept(study(SPACE, {"plain": PLAIN, "push-pull": LESS}), home)
    assert report(home, "--store", str(tmp_path / "nowhere"), *words) == 2
    assert capsys.readouterr() == ("", f"error: there is no store in {tmp_path / 'nowhere'}\n")


def test_what_is_written_is_of_the_only_study_and_of_several_one_is_to_be_named(home, tmp_path, capsys):
    first = study(SPACE, {"plain": PLAIN, "push-pull": LESS})
    kept(first, home)
    words = ["--home", str(home), "--format", "page", "--output", str(tmp_path / "x.html")]
    assert command_line(words) == 0
    kept(replace(first, study="other"), home)
    capsys.readouterr()
    assert command_line(words) == 2
    assert capsys.readouterr().err == "error: which study? Say `--study NAME`, one of: other, study\n"
    assert command_line(["--home", str(home)]) == 0
    assert capsys.readouterr().out == "other\nstudy\n"


def test_a_file_that_is_there_stays_as_it_is_where_nothing_can_be_written(home, tmp_path, capsys):
    kept(study(SPACE, {"plain": [None] * 6, "push-pull": [None] * 6}), home)
    file = tmp_path / "x.html"
    file.write_text("before")
    assert report(home, "--format", "page", "--output", str(file)) == 2
    assert "has no complete trial (12 have ended)" in capsys.readouterr().err
    assert [(path.name, path.read_text()) for path in tmp_path.glob("x*")] == [("x.html", "before")]


def test_a_study_without_complete_trials_says_so(home, capsys):
    kept(study(SPACE, {"plain": [None] * 6, "push-pull": [None] * 6}), home)
    assert report(home) == 0
    text = capsys.readouterr().out
    assert "no trial completed: there is nothing to compare" in text
    assert "failed: 12 × loss became nan" in text
    assert report(home, "--format", "json") == 2
    assert "has no complete trial (12 have ended): there are no errors to write" in capsys.readouterr().err


def test_a_study_that_is_running_says_so_and_one_whose_driver_died_does_not(home, capsys):
    found = kept(study(SPACE, {"plain": PLAIN, "push-pull": LESS[:4]}), home)
    found.set_user_attr(OfStudy.DRIVER, {"holder": asdict(Holder.this_process()), "beat": time.time()})
    assert report(home) == 0
    first, *others = capsys.readouterr().out.splitlines()
    assert first == "study study is still running: what follows is of the 10 trials that have ended"
    assert "so far, not tested before all seeds are run (4 of 6 seeds; not run: push-pull 2)" in others[1]
    gone = {**asdict(Holder.this_process()), "pid": 2**22 + os.getpid()}
    found.set_user_attr(OfStudy.DRIVER, {"holder": gone, "beat": time.time()})
    assert report(home) == 0
    assert "still running" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda space: space.pop("n_seeds"), "it has no 'n_seeds'"),
        (
            lambda space: space.update(axes=[{"kind": "choice", "setting": "push_pull.strength", "values": [1]}]),
            "unknown",
        ),
        (lambda space: space.update(ablations=[{"kind": "leave-two-out"}]), "unknown kind of ablation"),
    ],
)
def test_a_study_of_another_version_s_space_is_one_sentence(home, capsys, change, what):
    found = kept(study(SPACE, {"plain": PLAIN, "push-pull": LESS}), home)
    space = SPACE.to_json()
    change(space)
    found.set_user_attr(OfStudy.SPACE, space)
    assert report(home, "--format", "page") == 2
    error = capsys.readouterr().err
    assert error.startswith("error: study 'study' was made by another version, whose space this one cannot read (")
    assert what in error
    assert len(error.splitlines()) == 1
