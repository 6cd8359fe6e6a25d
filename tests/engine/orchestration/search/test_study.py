from collections.abc import Callable

import optuna
import pytest
from optuna.trial import TrialState

from engine.errors import InputError
from engine.orchestration.search import SAMPLERS, Identities, SweepStudy, check_reproduces, read_results
from engine.orchestration.search.planned_trials import PlannedTrials
from engine.orchestration.search.pruners import parse_pruner
from engine.orchestration.search.remaining_trials import remaining_trials
from engine.report.reasons import Reason
from engine.settings import TrialConfig
from engine.spaces import Choice, Space
from tests.engine.orchestration.spaces import INHIBITED, SPACE
from tests.engine.orchestration.studies import make_sweep_study

LOSS = Reason("stage", "pretrain", text="loss became nan")


@pytest.fixture
def storage(tmp_path) -> str:
    return f"sqlite:///{tmp_path / 'optuna.db'}"


def make_study(
    storage: str, n_trials: int = 12, *, space: Space = SPACE, sampler: str = "random", **changes
) -> SweepStudy:
    settings = {"storage": storage, "name": "study", "sampler": sampler, "pruner": "median", **changes}
    return make_sweep_study(
        PlannedTrials(space, n_trials, 0), **{**settings, "pruner": parse_pruner(settings["pruner"])}
    )


def finish_all(study: SweepStudy) -> list[dict]:
    """Complete every trial with an objective that depends on its settings only."""
    asked = []
    while not study.exhausted:
        proposal = study.ask()
        assert proposal is not None
        asked.append(dict(proposal.settings))
        study.complete(proposal.number, len(str(proposal.settings)) / 1000)
    return asked


@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name != "grid"])
def test_study_fills_every_slot_once(storage: str, sampler: str) -> None:
    study = make_study(storage, sampler=sampler)
    asked = finish_all(study)
    assert len(asked) == study.n_finished == 12
    results = read_results(storage, "study")
    slots = [trial.slot for trial in results.trials]
    assert slots[:4] == ["arm/plain/0", "arm/push-pull/0", "arm/plain/1", "arm/push-pull/1"]
    assert slots[4:10] == [f"proposal/{index}" for index in range(6)]
    assert [slot.split("/")[0] for slot in slots[10:]] == ["winner", "winner"]
    best = results.best()
    assert best is not None
    assert results.trials[10].settings == best.settings


def test_a_finished_study_is_exhausted_and_can_be_extended(storage: str) -> None:
    finish_all(make_study(storage))
    again = make_study(storage)
    assert again.exhausted
    assert again.ask() is None
    longer = make_study(storage, 15)
    assert not longer.exhausted
    finish_all(longer)
    assert {trial.slot for trial in read_results(storage, "study").trials} >= {
        f"proposal/{index}" for index in range(9)
    }


def test_an_extended_study_has_the_new_winners_repeats_to_start(storage: str) -> None:
    study = make_study(storage)
    while not study.exhausted:
        proposal = study.ask()
        assert proposal is not None
        study.complete(proposal.number, 0.5)
    longer = make_study(storage, 15)
    assert (longer.n_finished, longer.n_left) == (10, 3 + 2)  # what repeats the winner so far may count again or not
    for _ in range(3):
        proposal = longer.ask()
        assert proposal is not None
        longer.complete(proposal.number, 0.1)
    assert (longer.n_finished, longer.n_left) == (13, 2)
    again = make_study(storage, 15)  # interrupted
    assert (again.n_finished, again.n_left, again.exhausted) == (13, 2, False)
    finish_all(again)
    assert (again.n_finished, again.n_left, again.exhausted) == (15, 0, True)
    results = read_results(storage, "study")
    best = results.best()
    assert best is not None
    winners = [trial for trial in results.trials if trial.group == "winner"]
    assert [trial.settings == best.settings for trial in winners] == [False, False, True, True]


def test_a_winner_that_stays_is_not_computed_again(storage: str) -> None:
    study = make_study(storage)
    while not study.exhausted:
        proposal = study.ask()
        assert proposal is not None
        study.complete(proposal.number, 0.1)
    longer = make_study(storage, 15)
    for _ in range(3):
        proposal = longer.ask()
        assert proposal is not None
        longer.complete(proposal.number, 0.5)
    assert (longer.n_finished, longer.n_left, longer.exhausted) == (15, 0, True)


def test_random_proposals_depend_on_seed_and_index_alone(storage: str, tmp_path) -> None:
    in_order = finish_all(make_study(storage))
    other = make_study(f"sqlite:///{tmp_path / 'other.db'}")
    held = [other.ask() for _ in range(10)]
    for proposal in reversed(held):
        assert proposal is not None
        other.complete(proposal.number, len(str(proposal.settings)) / 1000)
    assert [dict(proposal.settings) for proposal in held if proposal] == in_order[:10]


def test_what_a_dead_driver_left_is_interrupted_and_asked_again(storage: str) -> None:
    study = make_study(storage)
    first, second = study.ask(), study.ask()
    assert first is not None
    assert second is not None
    study.complete(first.number, 0.5)
    resumed = make_study(storage)
    assert resumed.n_recovered == 1
    left = optuna.load_study(storage=storage, study_name="study").trials[second.number]
    assert left.state == TrialState.FAIL
    assert left.user_attrs["interrupted"] is True
    again = resumed.ask()
    assert again is not None
    assert again.planned == second.planned
    resumed.complete(again.number, 0.5)
    finish_all(resumed)
    states = [trial.state for trial in optuna.load_study(storage=storage, study_name="study").trials]
    assert states.count(TrialState.COMPLETE) == 12
    assert states.count(TrialState.FAIL) == 1
    assert not {TrialState.RUNNING, TrialState.WAITING} & set(states)


def test_a_trial_that_was_enqueued_but_never_asked_for_does_not_take_anothers_place(storage: str) -> None:
    make_study(storage)
    optuna.load_study(storage=storage, study_name="study").enqueue_trial({"push_pull.where": "first"})
    resumed = make_study(storage)
    assert resumed.n_recovered == 1
    proposal = resumed.ask()
    assert proposal is not None
    assert proposal.planned.name == "arm/plain/0"


def test_failures_count_as_done_and_keep_their_reason(storage: str) -> None:
    study = make_study(storage, 4)
    proposal = study.ask()
    assert proposal is not None
    study.fail(proposal.number, LOSS)
    assert make_study(storage, 4).n_finished == 1
    (failed,) = read_results(storage, "study").with_state("FAIL")
    assert failed.reason == LOSS
    assert str(failed.reason) == "loss became nan"


def report_epochs(study: SweepStudy, number: int, value: float, *, own: bool) -> Reason | None:
    for step in range(1, 6):
        reason = study.report(number, {step: value}, own=own)
        if reason is not None:
            return reason
    return None


def test_a_hopeless_proposal_is_pruned_with_its_reason_and_arms_are_not(storage: str) -> None:
    study = make_study(storage)
    for _ in range(4):
        arm = study.ask()
        assert arm is not None
        assert report_epochs(study, arm.number, 0.1 if arm.planned.repeat else 0.9, own=True) is None
        study.complete(arm.number, 0.1)
    proposal = study.ask()
    assert proposal is not None
    reason = report_epochs(study, proposal.number, 0.95, own=True)
    assert reason is not None
    assert reason == Reason("pruner", pruner="median", step=2, value=0.95, bound=0.5, number=50, n_compared=4)
    study.prune(proposal.number, reason)
    pruned = optuna.load_study(storage=storage, study_name="study").trials[proposal.number]
    assert pruned.state == TrialState.PRUNED
    assert pruned.intermediate_values == {1: 0.95, 2: 0.95}
    assert Reason.from_json(pruned.user_attrs["reason"]) == reason


def test_a_stage_that_others_share_is_not_pruned_on(storage: str) -> None:
    study = make_study(storage)
    for _ in range(4):
        arm = study.ask()
        assert arm is not None
        report_epochs(study, arm.number, 0.1, own=True)
        study.complete(arm.number, 0.1)
    proposal = study.ask()
    assert proposal is not None
    assert report_epochs(study, proposal.number, 0.95, own=False) is None


def test_the_winner_waits_for_the_last_proposal(storage: str) -> None:
    study = make_study(storage)
    open_trials = [study.ask() for _ in range(10)]
    assert study.ask() is None
    assert not study.exhausted
    for proposal in open_trials:
        assert proposal is not None
        study.complete(proposal.number, 0.5)
    winner = study.ask()
    assert winner is not None
    assert winner.planned.purpose == "winner"


def test_a_study_of_another_space_is_refused(storage: str) -> None:
    make_study(storage)
    other = Space(name="other", base=INHIBITED, axes=(Choice("push_pull.h", (1.0, 2.0)),))
    with pytest.raises(InputError, match=r"study 'study' exists with another space \(tiny, digest .*this one: other"):
        make_study(storage, space=other)


def test_a_study_of_another_seed_is_refused(storage: str) -> None:
    make_study(storage)
    with pytest.raises(InputError, match="exists with seed 0, got 1"):
        make_sweep_study(
            PlannedTrials(SPACE, 4, 1), storage=storage, name="study", sampler="random", pruner=parse_pruner("none")
        )


def test_a_study_of_other_code_or_images_is_refused(storage: str) -> None:
    """What its trials came to would stand beside what the same settings come to now."""

    def of_version(version: int) -> Callable[[TrialConfig], str]:
        return lambda config: f"{config.digest} of version {version if config.push_pull.where != 'none' else 0}"

    study = make_study(storage, resolve=of_version(1))
    for n_failed in (0, 0, 0, 1):
        proposal = study.ask()
        assert proposal is not None
        if n_failed:
            study.fail(proposal.number, LOSS)
        else:
            study.complete(proposal.number, 0.5)
    results = read_results(storage, "study")
    check_reproduces(results, Identities(SPACE, of_version(1)))
    with pytest.raises(
        InputError,
        match=r"other code or images: 1 of its 3 finished trials \(first trial 1\) would come to other numbers",
    ):
        check_reproduces(results, Identities(SPACE, of_version(2)))


def test_a_study_whose_proposals_ran_on_a_seed_of_the_comparison_is_refused(storage: str, monkeypatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Space, "search_seed", lambda space, study_seed: space.seeds(study_seed)[0])
        finish_all(make_study(storage))
    with pytest.raises(InputError, match=r"^study 'study' is an earlier version's, whose proposals ran on a seed that"):
        make_study(storage)
    assert len(read_results(storage, "study").trials) == 12, "it can be looked at"


def test_a_study_of_arms_alone_goes_on_whoever_made_it(storage: str, monkeypatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Space, "search_seed", lambda space, study_seed: space.seeds(study_seed)[0])
        finish_all(make_study(storage, 4))
    assert make_study(storage, 12).n_finished == 4


def test_a_study_that_no_sweep_made_is_refused(storage: str) -> None:
    foreign = optuna.create_study(storage=storage, study_name="study")
    foreign.tell(foreign.ask(), 1.0)
    with pytest.raises(InputError, match="was not made by a sweep"):
        make_study(storage)


@pytest.mark.parametrize("url", ["sqlite:////proc/nowhere/optuna.db", "nonsense://x"])
def test_storage_that_cannot_be_used_is_one_sentence(url: str) -> None:
    with pytest.raises(InputError, match="study storage cannot be used"):
        make_study(url)


def test_passwords_in_storage_urls_are_not_repeated() -> None:
    with pytest.raises(InputError) as caught:
        make_study("postgresql://user:hunter2@localhost:1/x")
    assert "hunter2" not in str(caught.value)


def test_reading_an_unknown_study_names_the_nearest(storage: str) -> None:
    make_study(storage)
    with pytest.raises(InputError, match=r"unknown study 'studi' \(did you mean 'study'"):
        read_results(storage, "studi")


@pytest.mark.parametrize("pruner", ["successive-halving", "hyperband"])
def test_a_trial_without_values_at_a_rung_is_not_judged_there_by_later_ones(storage: str, pruner: str) -> None:
    """An epoch of fine-tuning, placed at the rung of pretraining's second epoch, would have everybody else pruned."""
    study = make_study(storage, pruner=pruner)
    with_gap, other = study.ask(), study.ask()
    assert with_gap is not None
    assert other is not None
    study.pass_over(with_gap.number)
    assert study.report(with_gap.number, {4: 0.1}, own=True) is None
    trials = optuna.load_study(storage=storage, study_name="study").trials
    assert trials[with_gap.number].intermediate_values == {4: 0.1}
    study.complete(with_gap.number, 0.1)
    report_epochs(study, other.number, 0.5, own=True)
    study.complete(other.number, 0.5)
    noted = [set(trial.system_attrs) for trial in optuna.load_study(storage=storage, study_name="study").trials[:2]]
    assert not any(name.startswith("completed_rung_") for name in noted[0])
    assert any(name.startswith("completed_rung_") for name in noted[1])


def test_an_open_study_says_what_is_read_of_it(storage: str) -> None:
    study = make_study(storage)
    for _ in range(5):
        proposal = study.ask()
        assert proposal is not None
        study.note(proposal.number, "errors", {"objective": 0.25})
        study.complete(proposal.number, 0.25)
    proposal = study.ask()
    assert proposal is not None
    study.fail(proposal.number, Reason("process"))
    study.ask()  # is under way
    study.note_experiment("7")
    assert study.results() == read_results(storage, study.name)
    assert [trial.state for trial in study.results().trials] == ["COMPLETE"] * 5 + ["FAIL"]


OUTAGE = Reason("infrastructure", "pretrain", text="pretrain: StoreFaultError: the store failed while reading")


def run_all(study: SweepStudy, fail: Callable[[str], Reason | None] = lambda slot: None) -> dict[str, dict]:
    """Run every trial; return {slot: settings} of what was run."""
    asked = {}
    while not study.exhausted:
        proposal = study.ask()
        assert proposal is not None
        slot = proposal.planned.name
        asked[slot] = dict(proposal.settings)
        reason = fail(slot)
        if reason is None:
            study.complete(proposal.number, len(str(proposal.settings)) / 1000)
        else:
            study.fail(proposal.number, reason)
    return asked


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_what_the_machines_ended_is_no_result_and_runs_again_with_the_next_command(storage: str, sampler: str) -> None:
    study = make_study(storage, sampler=sampler)
    first = run_all(study, lambda slot: OUTAGE if slot in ("arm/plain/1", "proposal/3") else None)
    assert (len(first), study.n_finished, study.n_set_aside) == (10, 8, 2)
    assert not any(slot.startswith("winner/") for slot in first), "who it is, the proposal that lacks may decide"
    results = read_results(storage, "study")
    left = remaining_trials(study.planned, results)
    assert [trial.name for trial in left.trials] == ["arm/plain/1", "proposal/3"]
    assert (left.n_done, left.winner) == (8, None)
    assert [trial.slot for trial in results.trials if not trial.is_result] == ["arm/plain/1", "proposal/3"]
    again = run_all(make_study(storage, sampler=sampler))
    assert [slot for slot in again if not slot.startswith("winner/")] == ["arm/plain/1", "proposal/3"]
    assert again["proposal/3"] == first["proposal/3"]
    assert len(again) == 4
    results = read_results(storage, "study")
    assert len(results.trials) == len(results.with_state("COMPLETE")) == 12
    assert make_study(storage, sampler=sampler).exhausted


def test_what_failed_by_itself_is_run_again_on_demand(storage: str) -> None:
    first = run_all(make_study(storage), lambda slot: LOSS if slot == "proposal/2" else None)
    assert make_study(storage).exhausted
    retried = make_study(storage, retry_failed=True)
    assert retried.n_left == 1 + 2, "the winner may be another then"
    again = run_all(retried)
    assert again["proposal/2"] == first["proposal/2"]
    assert {slot.partition("/")[0] for slot in again} <= {"proposal", "winner"}
    results = read_results(storage, "study")
    assert results.with_state("FAIL") == []
    assert len({trial.slot for trial in results.trials}) == len(results.trials)


def test_what_fails_again_is_one_failure(storage: str) -> None:
    for retry_failed in (False, True):
        run_all(make_study(storage, retry_failed=retry_failed), lambda slot: LOSS if slot == "arm/plain/0" else None)
    (failed,) = read_results(storage, "study").with_state("FAIL")
    assert failed.slot == "arm/plain/0"
    assert failed.number >= 12
    assert make_study(storage).exhausted
