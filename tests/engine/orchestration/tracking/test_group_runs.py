"""The runs of groups: MLflow alone has the report's table, to the last digit shown, and the rest in its place."""

import dataclasses
import json
import re
import statistics
from pathlib import Path
from typing import Any

import pytest

from engine.corruption_kinds import CLEAN
from engine.metrics import Baseline
from engine.orchestration.tracking import MlflowWriter, Spool, SpoolWriter, TrackingEvents
from engine.orchestration.tracking.group_runs import group_metrics
from engine.orchestration.tracking.mlflow_database import prepare_environment
from engine.orchestration.tracking.mlflow_pages import KIND_TAG, view_tag
from engine.orchestration.tracking.mlflow_tracker import EXPERIMENT
from engine.orchestration.tracking.origin import Origin
from engine.report.columns import kind_columns
from engine.report.comparisons import error_table
from engine.report.records import group_rows
from engine.report.results import Results
from engine.report.trial_results import TrialResult
from engine.result_names import Metric, View
from tests.engine.orchestration.spaces import SPACE
from tests.engine.report.studies import complete, failed

DATA = {"name": "digits", "digest": "a" * 32, "source": "digits", "context": "train, test", "profile": {"training": 9}}
ORIGIN = Origin("pipelines.sweep", "b" * 40 + "+", (DATA,))


def proposal(trial: TrialResult, place: int) -> TrialResult:
    return dataclasses.replace(trial, slot=f"proposal/{place}", group="")


def repeat(trial: TrialResult, winner: str, place: int) -> TrialResult:
    return dataclasses.replace(trial, slot=f"winner/{winner}/{place}", group="winner")


TRIALS = (
    complete(0, "plain", 11, 0.3131, clean=0.0234, blur=0.21),
    complete(1, "push-pull", 11, 0.1077, clean=0.0311, blur=0.2),
    complete(2, "plain", 12, 0.3559, clean=0.0287, blur=0.25),
    failed(3, "push-pull", 12),
    proposal(complete(4, "", 13, 0.0999, blur=0.3), 0),
    repeat(complete(5, "", 11, 0.1234, clean=0.0101, blur=0.19), "first", 0),
    repeat(complete(6, "", 12, 0.1301, clean=0.0104, blur=0.18), "first", 1),
)
RESULTS = Results("grouped", SPACE, TRIALS)


def tell(events: TrackingEvents, results: Results) -> None:
    """Tell the tracking of a sweep as its driver does."""
    events.start_sweep(results.study, {"space": "tiny"}, {}, varied=["push_pull.h"])
    for trial in results.trials:
        config = {"seed": trial.seed, "push_pull.h": 2.0}
        events.start_group(trial.slot, trial.group, config, trial.settings)
        events.start_trial(trial.slot, trial.number, config, {"robustune.trial_number": trial.number})
        status = "FAILED" if trial.state == "FAIL" else "FINISHED"
        events.end_trial(trial.slot, status, tags={"state": trial.state}, step=1, errors=trial.errors)
    events.end_groups(results)
    events.end_sweep("FINISHED", {}, {}, {})


class Told:
    """A sweep that MLflow has been told of."""

    def __init__(self, home: Path, study: str) -> None:
        self.uri = f"sqlite:///{home / 'mlflow.db'}"
        self.study = study
        self.spool = Spool(home / f"{study}.jsonl")
        self.home = home

    def events(self) -> TrackingEvents:
        return TrackingEvents(self.spool, origin=ORIGIN)

    def flush(self) -> None:
        SpoolWriter(MlflowWriter(self.uri, self.study, artifacts=self.home / "mlartifacts"), self.spool).flush()

    @property
    def client(self) -> Any:
        prepare_environment()
        from mlflow import MlflowClient

        return MlflowClient(self.uri)

    def experiment(self) -> Any:
        return self.client.get_experiment_by_name(EXPERIMENT)

    def runs(self) -> dict[str, Any]:
        found = self.client.search_runs([self.experiment().experiment_id], f"tags.`robustune.study` = '{self.study}'")
        slots = [run.data.tags["robustune.slot"] for run in found]
        assert len(set(slots)) == len(slots), "a slot has two runs"
        return dict(zip(slots, found, strict=True))


@pytest.fixture(scope="module")
def told(tmp_path_factory) -> Told:
    found = Told(tmp_path_factory.mktemp("groups"), RESULTS.study)
    tell(found.events(), RESULTS)
    found.flush()
    return found


def groups(told: Told) -> dict[str, Any]:
    return {
        run.data.tags["robustune.group"]: run
        for run in told.runs().values()
        if run.data.tags.get("robustune.purpose") == "group"
    }


def test_mlflow_alone_shows_the_report_s_table(told: Told) -> None:
    runs = groups(told)
    table = error_table(RESULTS.groups(), kind_columns(RESULTS.tested))
    assert [row[0] for row in table.rows] == ["plain", "push-pull", "winner"]
    for name, seeds, *cells in table.rows:
        data = runs[name].data
        assert data.tags["seeds"] == seeds
        for column, cell in zip(table.columns[2:], cells, strict=True):
            assert data.tags[f"error/{column}"] == cell
            mean = Metric.of_column(column)
            shown = [float(number) for number in cell.split(" ±")]
            exact = [100 * data.metrics[name] for name in (mean, Metric.std(mean)) if name in data.metrics]
            assert shown == pytest.approx(exact, abs=0.05 + 1e-9), "rounded to the digit shown"


def test_a_group_is_written_once_unless_it_changes(tmp_path) -> None:
    spool = Spool(tmp_path / "grouped.jsonl")
    events = TrackingEvents(spool)

    def ends() -> list[str]:
        return [event["slot"] for event in spool.all_events() if event["event"] == "end"]

    first = dataclasses.replace(RESULTS, trials=TRIALS[:2])
    events.end_group(first.group("plain"), first)
    events.end_groups(first)
    assert ends() == ["group/arm/plain", "group/arm/push-pull"]
    events.end_groups(dataclasses.replace(RESULTS, trials=TRIALS[:3]))
    assert ends()[2:] == ["group/arm/plain"], "it has a seed more"


def test_a_winner_that_is_displaced_and_comes_back_is_written_again(tmp_path) -> None:
    spool = Spool(tmp_path / "grouped.jsonl")
    events = TrackingEvents(spool)
    better = dataclasses.replace(proposal(complete(7, "", 13, 0.05, blur=0.1), 1), settings={"push_pull.h": 3.0})
    for trials in (TRIALS, (*TRIALS, better), TRIALS):
        events.end_groups(dataclasses.replace(RESULTS, trials=trials))
    winner = [event["tags"] for event in spool.all_events() if event["slot"] == "group/winner/first"]
    assert [tags.get("robustune.purpose") for tags in winner if "seeds" in tags or len(tags) == 1] == [
        None,
        "displaced",
        None,
    ]


def test_every_mean_has_its_spread_and_the_seeds_that_it_is_of(told: Told) -> None:
    runs, rows = groups(told), group_rows(RESULTS)
    assert {row["group"] for row in rows} == set(runs)
    for row in rows:
        metrics, name = runs[row["group"]].data.metrics, Metric.of_column(row["errors"])
        counts = (Metric.N, Metric.FAILED, Metric.MISSING, Metric.DEAD)
        assert [metrics[count] for count in counts] == [row[key] for key in ("n", "failed", "missing", "dead")]
        spread = {Metric.std(name): row["std"], Metric.low(name): row["low"], Metric.high(name): row["high"]}
        assert metrics[name] == pytest.approx(row["mean"])
        known = {key: value for key, value in spread.items() if value == value}
        assert {key: metrics[key] for key in spread if key in metrics} == pytest.approx(known)
    assert runs["plain"].data.metrics[Metric.OBJECTIVE] == pytest.approx((0.3131 + 0.3559) / 2)
    assert runs["plain"].data.metrics[Metric.std(Metric.OBJECTIVE)] > 0


def test_single_severities_and_scores_by_corruption_have_their_spread_too(told: Told) -> None:
    (plain,) = (group for group in RESULTS.groups() if group.name == "plain")
    name, severity = next(iter(plain.trials[0].table))
    values = [trial.table[name, severity] for trial in plain.trials]
    metrics, cell = groups(told)["plain"].data.metrics, Metric.cell(name, severity)
    assert metrics[cell] == pytest.approx(statistics.fmean(values))
    assert metrics[Metric.std(cell)] == pytest.approx(statistics.stdev(values))
    assert metrics[Metric.low(cell)] < metrics[cell] < metrics[Metric.high(cell)]
    scored = group_metrics(plain, Baseline("another", {"gaussian_noise": 0.5, "gaussian_blur": 0.5}, 0.1))
    ratios = [value / 0.5 for value in values]
    assert scored[Metric.std(Metric.ce("gaussian_noise"))] == pytest.approx(statistics.stdev(ratios))


def test_trials_are_below_their_groups_and_these_below_the_sweep(told: Told) -> None:
    runs = told.runs()
    parents = {slot: run.data.tags.get("mlflow.parentRunId") for slot, run in runs.items()}
    ids = {slot: run.info.run_id for slot, run in runs.items()}
    assert parents["sweep"] is None
    for slot in ("group/arm/plain", "group/arm/push-pull", "group/proposals", "group/winner/first"):
        assert parents[slot] == ids["sweep"]
    below = {"arm/plain/11": "group/arm/plain", "proposal/0": "group/proposals", "winner/first/1": "group/winner/first"}
    for slot, group in below.items():
        assert parents[slot] == ids[group]
    assert {run.info.status for slot, run in runs.items() if slot != "arm/push-pull/12"} == {"FINISHED"}
    assert runs["group/proposals"].data.tags["seeds"] == "1 complete, 0 pruned, 0 failed"
    assert runs["group/arm/plain"].data.params == {"push_pull.h": "2.0"}, "no seed is a group's"


def test_source_commit_and_data_sets_are_in_fields_of_their_own(told: Told) -> None:
    for run in told.runs().values():
        assert run.data.tags["mlflow.source.name"] == "pipelines.sweep"
        assert run.data.tags["mlflow.source.type"] == "LOCAL"
        assert run.data.tags["mlflow.source.git.commit"] == "b" * 40
        (used,) = run.inputs.dataset_inputs
        assert (used.dataset.name, used.dataset.digest) == ("digits", "a" * 32)
        assert json.loads(used.dataset.profile) == {"training": 9}
        assert [(tag.key, tag.value) for tag in used.tags] == [("mlflow.data.context", "train, test")]


def test_the_experiment_opens_as_model_training_unless_somebody_has_said_otherwise(told: Told) -> None:
    assert told.experiment().tags[KIND_TAG] == "custom_model_development"
    told.client.set_experiment_tag(told.experiment().experiment_id, KIND_TAG, "regression")
    other = Told(told.home, "other")
    other.events().start_sweep("other", {}, {})
    other.flush()
    kept = told.experiment().tags[KIND_TAG]
    told.client.set_experiment_tag(told.experiment().experiment_id, KIND_TAG, "custom_model_development")
    assert kept == "regression"


def test_stored_views_name_columns_that_the_runs_have(told: Told) -> None:
    runs = told.runs()
    for view, slots in ((View.ANSWER, "group/arm/"), (View.TRIALS, "arm/")):
        state = json.loads(told.experiment().tags[view_tag(View.key("grouped", view))])
        shown = told.client.search_runs([told.experiment().experiment_id], state["searchFilter"])
        assert any(run.data.tags["robustune.slot"].startswith(slots) for run in shown)
        assert {run.data.tags["robustune.slot"].startswith("group/") for run in shown} == {view == View.ANSWER}
        data = runs[slots + ("plain" if view == View.ANSWER else "plain/11")].data
        for column in state["selectedColumns"]:
            kind, name = re.fullmatch(r"(\w+)\.`(.*)`", column).groups()  # type: ignore[union-attr]
            assert kind == "attributes" or name in getattr(data, kind), column


def test_a_column_that_one_group_alone_has_is_in_the_stored_table(told: Told) -> None:
    first, *others = TRIALS
    assert first.errors is not None
    tuned = {**first.errors, "test": {**first.errors["test"], "tuned_distortion": 0.07}}
    trials = (dataclasses.replace(first, errors=tuned), others[0])
    study = Told(told.home, "tuned")
    tell(study.events(), dataclasses.replace(RESULTS, study="tuned", trials=trials))
    study.flush()
    state = json.loads(study.experiment().tags[view_tag(View.key("tuned", View.ANSWER))])
    assert "tags.`error/tuned on`" in state["selectedColumns"]


def test_a_winner_that_a_better_proposal_displaces_is_no_row_any_more(told: Told) -> None:
    displacing = Told(told.home, "displacing")
    results = dataclasses.replace(RESULTS, study="displacing")
    tell(displacing.events(), results)
    displacing.flush()
    assert groups(displacing)["winner"].data.tags["robustune.slot"] == "group/winner/first"
    better = dataclasses.replace(proposal(complete(7, "", 13, 0.05, blur=0.1), 1), settings={"push_pull.h": 3.0})
    again = dataclasses.replace(repeat(complete(8, "", 11, 0.06, blur=0.1), "second", 0), settings={"push_pull.h": 3.0})
    tell(displacing.events(), dataclasses.replace(results, trials=(*TRIALS, better, again)))
    displacing.flush()
    assert displacing.runs()["group/winner/first"].data.tags["robustune.purpose"] == "displaced"
    winner = groups(displacing)["winner"]
    assert winner.data.tags["seeds"] == "1 of 2"
    assert winner.data.metrics[Metric.of_column(CLEAN)] == pytest.approx(0.02)
    assert winner.info.status == "KILLED", "a seed is missing"
