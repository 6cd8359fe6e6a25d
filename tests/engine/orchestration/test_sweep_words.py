"""What a sweep says to a person, above all its answer in the end: in the terminal, and beside it as a page."""

import io
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from engine.orchestration.options import SweepOptions
from engine.orchestration.preparation import Prepared, prepare
from engine.orchestration.sweep_words import SweepAnswer
from engine.report.results import Results
from engine.report.study_report import closing_report, study_report
from engine.result_names import RunArtifact
from tests.engine.orchestration.spaces import SPACE
from tests.engine.report.small_study import RESULTS


def prepared(tmp_path: Path, **options) -> Prepared:
    return prepare(SweepOptions(**{"home": tmp_path / "home", "n_trials": 4, **options}), SPACE)


def test_a_baseline_s_file_is_read_once(tmp_path: Path) -> None:
    """Whoever moves or changes it while the sweep runs changes no score of it."""
    file = tmp_path / "errors.csv"
    rows = [f"{name},{severity},0.5\n" for name in ("gaussian_noise", "contrast") for severity in (1, 2)]
    file.write_text("corruption,severity,error\n,0,0.1\n" + "".join(rows))
    tested = ("evaluate.corruptions=gaussian_noise,contrast", "evaluate.severities=1,2")
    sweep = prepared(tmp_path, baseline=str(file), settings=tested)
    file.unlink()
    console = Console(file=io.StringIO(), width=200)
    SweepAnswer(sweep, console).show(RESULTS)
    assert "mCE" in console.file.getvalue()
    assert "no scores" not in console.file.getvalue()


def printed(sweep: Prepared, results: Results = RESULTS) -> str:
    console = Console(file=io.StringIO(), width=200)
    SweepAnswer(sweep, console).show(results)
    return console.file.getvalue()


def test_a_sweep_ends_with_a_short_answer_and_its_page(tmp_path: Path) -> None:
    """What it prints is a part of the whole answer: no table of its own."""
    sweep = prepared(tmp_path)
    said = printed(sweep)
    place = tmp_path / "home" / "reports" / f"{sweep.study_name}.html"
    assert f"the report's page: {place}\n" in said
    assert place.read_text().startswith("<!DOCTYPE html>")
    short, whole = closing_report(RESULTS), study_report(RESULTS)
    assert [part for part in short if part not in whole] == []
    assert len(short) < len(whole)


def test_a_page_that_fails_is_one_sentence(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "reports").write_text("a file in its way")
    said = printed(prepared(tmp_path))
    assert said.count("there is no page of the report: ") == 1
    assert "reports" in said.partition("there is no page of the report: ")[2].splitlines()[0]
    assert "look closer:" in said
    monkeypatch.setattr("engine.report.page.kept_page.as_page", lambda *_, **__: 1 / 0)
    (tmp_path / "home" / "reports").unlink()
    assert "there is no page of the report: division by zero\n" in printed(prepared(tmp_path))
    nothing = replace(RESULTS, trials=())
    assert "has no complete trial\n" in printed(prepared(tmp_path), nothing)


def test_the_tracking_gets_the_whole_answer_and_the_page_which_is_made_once(tmp_path: Path, monkeypatch) -> None:
    console = Console(file=io.StringIO(), width=200)
    sweep = prepared(tmp_path)
    answer = SweepAnswer(sweep, console)
    files = answer.files(RESULTS)
    page = (tmp_path / "home" / "reports" / f"{sweep.study_name}.html").read_text()
    assert files[RunArtifact.PAGE] == page
    assert all(str(part) in files[RunArtifact.ANSWER] for part in study_report(RESULTS) if isinstance(part, str))
    monkeypatch.setattr("engine.report.page.kept_page.as_page", lambda *_, **__: 1 / 0)
    answer.show(RESULTS)
    assert "the report's page: " in console.file.getvalue()
    assert list(SweepAnswer(sweep, console).files(RESULTS)) == [RunArtifact.ANSWER]
