"""What optuna-dashboard shows of a study: what it reads for its pages is what the report says."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.artifacts import get_all_artifact_meta
from optuna_dashboard import get_note, save_note
from optuna_dashboard._custom_plot_data import get_plotly_graph_objects

from engine.orchestration.search import SweepStudy, dashboard, read_results
from engine.orchestration.search.dashboard_plots import figures_of
from engine.orchestration.search.optuna_internals import NoteStorage, noted_trial, storage_of, study_id, trial_id
from engine.orchestration.search.planned_trials import PlannedTrials
from engine.orchestration.search.pruners import parse_pruner
from engine.report.columns import kind_columns
from engine.report.comparisons import error_table
from engine.report.markdown import escaped
from engine.report.reasons import Reason
from engine.report.results import Importances, Results
from engine.result_names import OfTrial
from engine.spaces import Arm, Comparison, Space
from tests.engine.orchestration.spaces import SPACE
from tests.engine.orchestration.studies import make_sweep_study
from tests.engine.report.studies import complete
from tests.engine.report.studies import study as study_of

N_TRIALS = 14


def run_all(study: SweepStudy) -> None:
    """Complete every trial with errors of its own; one fails."""
    while not study.exhausted:
        proposal = study.ask()
        assert proposal is not None
        if proposal.planned.name == "proposal/1":
            study.fail(proposal.number, Reason("stage", "pretrain", text="loss *became* nan"))
            continue
        error = 0.1 + 0.01 * ((7 * proposal.number) % N_TRIALS)
        errors = dict(complete(0, "", 0, error, blur=error / 2).errors or {})
        study.note(proposal.number, OfTrial.ERRORS, errors)
        study.complete(proposal.number, errors["objective"])


class Shown:
    """A study and what the dashboard has of it."""

    def __init__(self, folder: Path) -> None:
        self.storage = f"sqlite:///{folder / 'optuna.db'}"
        self.artifacts = folder / "dashboard"
        self.sweep = make_sweep_study(
            PlannedTrials(SPACE, N_TRIALS, 0),
            storage=self.storage,
            name="shown",
            sampler="random",
            pruner=parse_pruner("none"),
        )
        self.sweep.name_metrics()
        run_all(self.sweep)
        self.show()

    def show(self) -> None:
        self.sweep.show_results(self.results, self.artifacts)

    @property
    def study(self) -> optuna.Study:
        return optuna.load_study(storage=self.storage, study_name="shown")

    @property
    def results(self) -> Results:
        return read_results(self.storage, "shown")

    def figures(self) -> dict[str, Any]:
        attributes = storage_of(self.study).get_study_system_attrs(study_id(self.study))
        return {name: json.loads(text) for name, text in get_plotly_graph_objects(attributes).items()}


@pytest.fixture(scope="module")
def shown(tmp_path_factory) -> Shown:
    return Shown(tmp_path_factory.mktemp("dashboard"))


def test_objectives_have_names(shown: Shown) -> None:
    assert shown.study.metric_names == ["corrupted validation error"]


def test_the_study_s_note_has_question_verdict_table_and_how_to_read_it(shown: Shown) -> None:
    note = get_note(shown.study)
    assert SPACE.description in note
    assert "## How to read these pages" in note
    table = error_table(shown.results.groups(), kind_columns(shown.results.tested))
    for name, *cells in table.rows:
        assert "| " + " | ".join([name, *cells]) + " |" in note


def test_trials_that_people_ask_about_have_a_note(shown: Shown) -> None:
    study = shown.study
    storage = NoteStorage(study)
    notes = {
        trial.user_attrs[OfTrial.SLOT]: get_note(noted_trial(study, storage, trial_id(trial)))  # type: ignore[arg-type]
        for trial in study.get_trials()
    }
    assert "arm **plain**" in notes["arm/plain/0"]
    assert "test error: clean 2.0%" in notes["arm/plain/0"]
    assert r"loss \*became\* nan" in notes["proposal/1"]
    best = shown.results.best()
    assert best is not None
    assert "the best of the proposals" in notes[best.slot]


def test_what_the_database_has_is_not_read_for_every_note(tmp_path, monkeypatch) -> None:
    """Each reading takes all notes there are, so that the last of many would take longest."""
    reads, spent = [0], []
    read, note_trials = optuna.storages.RDBStorage.get_study_system_attrs, dashboard._note_trials

    def counted(storage: optuna.storages.RDBStorage, study: int) -> dict[str, Any]:
        reads[0] += 1
        return read(storage, study)

    def measured(*arguments: Any) -> None:
        before = reads[0]
        note_trials(*arguments)
        spent.append(reads[0] - before)

    monkeypatch.setattr(optuna.storages.RDBStorage, "get_study_system_attrs", counted)
    monkeypatch.setattr(dashboard, "_note_trials", measured)
    study = Shown(tmp_path).study
    noted = storage_of(study).get_study_system_attrs(study_id(study))
    assert len([name for name in noted if name.endswith(":note_ver")]) >= N_TRIALS
    assert spent == [1]


def test_its_figures_show_what_the_report_says(shown: Shown) -> None:
    figures = shown.figures()
    names = {"groups", "corruptions", "severities", "importance"}
    assert {name.removeprefix("robustune-") for name in figures} == names
    groups = shown.results.groups()
    heat = figures["robustune-corruptions"]["data"][0]
    assert heat["reversescale"], "plotly's scale is palest where it is highest"
    assert heat["y"] == [group.name for group in groups]
    for group, row in zip(groups, heat["z"], strict=True):
        assert row == pytest.approx([100 * group.mean_and_std(name)[0] for name in heat["x"]])
    dots = figures["robustune-groups"]["data"][0]
    assert sorted(dots["x"]) == pytest.approx(sorted(100 * v for group in groups for v in group.values("all")))
    assert "complete proposals alone" in figures["robustune-importance"]["layout"]["title"]["text"]


def test_the_heat_map_s_numbers_are_rounded_once() -> None:
    """44.552 is 44.6 as in the tables; rounded to 44.55 first, it is 44.5."""
    results = study_of(Space(name="s", arms=(Arm("plain", {}),)), {"plain": [0.44552, 0.44552]})
    heat = json.loads(figures_of(results)["robustune-corruptions"].to_json())["data"][0]
    assert heat["text"] == [["44.6"]]
    assert heat["texttemplate"] == "%{text}"


def test_each_declared_comparison_has_a_row_of_its_own() -> None:
    """On one row intervals hide each other."""
    space = Space(
        name="s",
        arms=(Arm("plain", {}), Arm("push-pull", {"push_pull.where": "first"})),
        comparisons=(Comparison("push-pull", "plain", ("noise", "clean")),),
    )
    results = study_of(space, {"plain": [0.4, 0.5, 0.6], "push-pull": [0.2, 0.3, 0.3]})
    traces = json.loads(figures_of(results)["robustune-declared"].to_json())["data"]
    assert [name for trace in traces for name in trace["y"]] == ["push-pull − plain, noise", "push-pull − plain, clean"]


def test_the_importance_is_the_report_s(shown: Shown) -> None:
    found = shown.results.importances
    assert found is not None
    bars = shown.figures()["robustune-importance"]["data"][0]
    shares = dict(zip(bars["y"], bars["x"], strict=True))
    assert shares == pytest.approx(dict(found.shares["corrupted"]))


def test_shown_again_it_replaces_what_was_there_and_keeps_a_person_s_note(shown: Shown) -> None:
    before = get_all_artifact_meta(shown.study)
    assert {meta.filename for meta in before} == {f"errors-{name}.png" for name in ("plain", "push-pull", "winner")}
    assert all((shown.artifacts / meta.artifact_id).read_bytes().startswith(b"\x89PNG") for meta in before)
    ours = get_note(shown.study)
    save_note(shown.study, "mine")
    shown.show()
    assert get_all_artifact_meta(shown.study) == before
    kept = get_note(shown.study)
    save_note(shown.study, ours)
    assert kept == "mine"
    assert len(list(shown.artifacts.iterdir())) == len(before)


def test_every_group_has_a_heat_map_of_its_own_whatever_it_is_called(tmp_path) -> None:
    names = ["a/b", "a|b", "very " * 60 + "long", "very " * 60 + "longer"]
    arms = tuple(Arm(name, {"push_pull.alpha": 1.5 + place}) for place, name in enumerate(names))
    results = study_of(Space(name="s", arms=arms, n_seeds=2), {name: [0.4, 0.5] for name in names})
    study = optuna.create_study()
    study.add_trials([optuna.trial.create_trial(value=0.4) for _ in results.trials])
    dashboard.show_results(study, results, tmp_path)
    files = [meta.filename for meta in get_all_artifact_meta(study)]
    assert len(set(files)) == len(files) == len(names)
    dashboard.show_results(study, results, tmp_path)
    assert [meta.filename for meta in get_all_artifact_meta(study)] == files


def test_names_of_users_are_shown_word_for_word() -> None:
    assert escaped("a_b|c <i>*x*</i>") == r"a\_b\|c \<i\>\*x\*\</i\>"
    assert escaped("&amp; http://a.b www.c.d e@f.g") == r"\&amp; http\://a.b www\.c.d e\@f.g"
    assert escaped("- a\n1. b\n+ c\n===\n---") == "\\- a\n1\\. b\n\\+ c\n\\===\n\\---"
    assert escaped("-0.5 to 1.5: a - b") == "-0.5 to 1.5: a - b"


def test_plotly_takes_no_name_for_a_tag() -> None:
    """It draws "<b>a</b>" bold, and "<a href=…>" as a link."""
    bold, link = "<b>a</b> & b", '<a href="x">b</a>'
    space = Space(
        name="s",
        arms=(Arm(bold, {}), Arm(link, {"push_pull.where": "first"})),
        comparisons=(Comparison(link, bold, ("noise",)),),
    )
    results = study_of(space, {bold: [0.4, 0.5, 0.6], link: [0.2, 0.3, 0.3]})
    results = replace(results, importances=Importances(4, {"corrupted": {"<i>h</i>": 1.0}}))
    figures = {name: figure.to_json() for name, figure in figures_of(results).items()}
    assert len(figures) == 5
    for name, text in figures.items():
        assert "&lt;" in text, name
        assert not {"<", ">"} & set(text), name
