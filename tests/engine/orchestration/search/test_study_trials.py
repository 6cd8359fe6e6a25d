from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import optuna
import pytest
import sqlalchemy
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState

from engine.orchestration.databases import patience
from engine.orchestration.search.study_storage import open_storage
from engine.orchestration.search.study_trials import StudyTrials

RATE = {"rate": FloatDistribution(0.0, 1.0)}


@pytest.fixture
def storage(tmp_path) -> str:
    return f"sqlite:///{tmp_path / 'optuna.db'}"


def make_trials(storage: str, pruner: optuna.pruners.BasePruner | None = None) -> StudyTrials:
    study = optuna.create_study(storage=open_storage(storage), study_name="study", load_if_exists=True)
    return StudyTrials(study, pruner or optuna.pruners.NopPruner())


def on_disk(storage: str) -> list[optuna.trial.FrozenTrial]:
    """Return the trials as another process sees them."""
    return optuna.load_study(storage=storage, study_name="study").get_trials()


def test_every_change_is_on_disk_at_once_and_the_same_in_memory(storage: str) -> None:
    trials = make_trials(storage)
    number = trials.open({"rate": 0.25}, RATE, notes={"slot": "proposal/0"}, memory={"sampler": [1]})
    assert number == 0
    (running,) = on_disk(storage)
    assert (running.state, running.params, running.distributions) == (TrialState.RUNNING, {"rate": 0.25}, RATE)
    assert (running.user_attrs, running.system_attrs) == ({"slot": "proposal/0"}, {"sampler": [1]})
    trials.report(0, 1, 0.5)
    trials.report(0, 2, 0.375)
    trials.note(0, "reason", "why not")
    assert on_disk(storage)[0].intermediate_values == {1: 0.5, 2: 0.375}
    assert on_disk(storage)[0].user_attrs["reason"] == "why not"
    ended = trials.end(0, TrialState.COMPLETE, (0.125,))
    assert ended.state == TrialState.COMPLETE
    (found,) = on_disk(storage)
    assert (found.state, found.value) == (TrialState.COMPLETE, 0.125)
    assert found.datetime_start is not None
    assert found.datetime_complete is not None
    for name in ("number", "params", "values", "user_attrs", "system_attrs", "intermediate_values", "state"):
        assert getattr(trials[0], name) == getattr(found, name)


def test_it_goes_on_from_the_trials_that_are_there(storage: str) -> None:
    first = make_trials(storage)
    first.end(first.open({"rate": 0.5}, RATE, notes={}), TrialState.COMPLETE, (0.5,))
    first.open({"rate": 0.75}, RATE, notes={})
    second = make_trials(storage)
    assert len(second) == 2
    assert [trial.number for trial in second.trials((TrialState.RUNNING,))] == [1]
    second.report(1, 1, 0.25)
    second.end(1, TrialState.PRUNED)
    assert second.open({}, {}, notes={}) == 2
    assert [trial.state for trial in on_disk(storage)] == [
        TrialState.COMPLETE,
        TrialState.PRUNED,
        TrialState.RUNNING,
    ]


def test_a_pruned_trial_has_its_last_value_and_one_without_any_has_none(storage: str) -> None:
    trials = make_trials(storage)
    for values in ((0.5, 0.25), ()):
        number = trials.open({}, {}, notes={})
        for step, value in enumerate(values, start=1):
            trials.report(number, step, value)
        trials.end(number, TrialState.PRUNED)
    assert [trial.value for trial in on_disk(storage)] == [0.25, None]


def test_the_first_value_of_a_step_counts(storage: str) -> None:
    trials = make_trials(storage)
    trials.open({}, {}, notes={})
    trials.report(0, 1, 0.5)
    trials.report(0, 1, 0.75)
    assert on_disk(storage)[0].intermediate_values == trials[0].intermediate_values == {1: 0.5}


def test_rungs_survive_the_driver(storage: str) -> None:
    pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=2)
    trials = make_trials(storage, pruner)
    for value in (0.1, 0.2):
        number = trials.open({}, {}, notes={})
        trials.report(number, 1, value)
        trials.should_prune(number)
        trials.end(number, TrialState.COMPLETE, (value,))
    rungs = [trial.system_attrs for trial in on_disk(storage)]
    assert rungs[0]["completed_rung_0"] == 0.1
    resumed = make_trials(storage, pruner)
    hopeless = resumed.open({}, {}, notes={})
    resumed.report(hopeless, 1, 0.9)
    assert resumed.should_prune(hopeless)


def test_sqlite_gets_a_write_ahead_log(storage: str) -> None:
    storage_of_study = open_storage(storage)
    assert isinstance(storage_of_study, optuna.storages.RDBStorage)
    with storage_of_study.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 1


def test_programs_that_open_an_empty_database_together_all_get_its_tables(tmp_path):
    for attempt in range(5):
        url = f"sqlite:///{tmp_path / str(attempt)}.db"
        together = Barrier(4)

        def make(name: int, url: str = url, together: Barrier = together) -> str:
            together.wait(10)
            return optuna.create_study(storage=open_storage(url), study_name=str(name)).study_name

        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(make, range(4))) == ["0", "1", "2", "3"]
        assert sorted(optuna.get_all_study_names(url)) == ["0", "1", "2", "3"]


class Forgetful:
    """A call that is done, once or more often without an answer: the connection breaks after the commit."""

    def __init__(self, call, n_times: int) -> None:
        self.call, self.n_left = call, n_times

    def __call__(self, *arguments, **named):
        answer = self.call(*arguments, **named)
        if self.n_left:
            self.n_left -= 1
            cause = sqlalchemy.exc.OperationalError("COMMIT", {}, Exception("server closed the connection"))
            raise optuna.exceptions.StorageInternalError from cause
        return answer


@pytest.fixture
def _no_pauses(monkeypatch) -> None:
    monkeypatch.setattr(patience, "PAUSE_S", 0.0)


@pytest.mark.usefixtures("_no_pauses")
@pytest.mark.parametrize("n_times", [1, 2])
def test_a_trial_that_was_made_without_an_answer_is_not_doubled(storage: str, monkeypatch, n_times: int) -> None:
    trials = make_trials(storage)
    first = trials.open({"rate": 0.25}, RATE, notes={"slot": "proposal/0"})
    monkeypatch.setattr(trials._storage, "create_new_trial", Forgetful(trials._storage.create_new_trial, n_times))
    second = trials.open({"rate": 0.5}, RATE, notes={"slot": "proposal/1"})
    third = trials.open({"rate": 0.75}, RATE, notes={"slot": "proposal/2"})
    assert (first, second, third) == (0, 1 + n_times, 2 + n_times)
    for number, value in ((third, 0.3), (second, 0.2), (first, 0.1)):
        trials.report(number, 1, value)
        trials.end(number, TrialState.COMPLETE, (value,))
    found = on_disk(storage)
    counted = [trial for trial in found if not trial.user_attrs.get("interrupted")]
    assert [(trial.user_attrs["slot"], trial.value) for trial in counted] == [
        ("proposal/0", 0.1),
        ("proposal/1", 0.2),
        ("proposal/2", 0.3),
    ]
    assert [trial.state for trial in found if trial not in counted] == [TrialState.FAIL] * n_times
    assert [trial.number for trial in trials.trials()] == [trial.number for trial in found]
    assert [trial.state for trial in trials.trials()] == [trial.state for trial in found]


@pytest.mark.usefixtures("_no_pauses")
def test_an_end_that_was_taken_without_an_answer_is_the_end(storage: str, monkeypatch) -> None:
    trials = make_trials(storage)
    number = trials.open({}, {}, notes={})
    monkeypatch.setattr(trials._storage, "set_trial_state_values", Forgetful(trials._storage.set_trial_state_values, 1))
    trials.end(number, TrialState.COMPLETE, (0.5,))
    assert on_disk(storage)[0].value == 0.5
    with pytest.raises(optuna.exceptions.UpdateFinishedTrialError):
        trials.end(number, TrialState.FAIL)


def test_a_trial_of_somebody_else_stays_as_it_is(storage: str) -> None:
    trials = make_trials(storage)
    other = optuna.load_study(storage=storage, study_name="study").ask()
    number = trials.open({}, {}, notes={"slot": "proposal/0"})
    assert (other.number, number) == (0, 1)
    trials.end(number, TrialState.COMPLETE, (0.5,))
    assert [trial.state for trial in on_disk(storage)] == [TrialState.RUNNING, TrialState.COMPLETE]
