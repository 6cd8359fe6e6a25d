"""What a study proposes: no configuration twice, any sampler, several objectives, every pruner."""

import optuna
import pytest
from optuna.trial import TrialState

from engine.errors import InputError
from engine.orchestration.search import PRUNERS, SAMPLERS, Proposal, SweepStudy, read_results
from engine.orchestration.search.planned_trials import PlannedTrials
from engine.orchestration.search.pruners import parse_pruner
from engine.report.reasons import Reason
from engine.spaces import Arm, Choice, Float, Int, Space
from tests.engine.orchestration.spaces import INHIBITED, SPACE, TINY
from tests.engine.orchestration.studies import make_sweep_study

SMALL = Space(
    name="small",
    base=TINY,
    axes=(
        Choice("push_pull.where", ("none", "first")),
        Choice("push_pull.h", (1.5, 2.0, 3.0), when={"push_pull.where": ("first",)}),
        Int("pretrain.epochs", 1, 3),
    ),
    arms=(Arm("plain", {"push_pull.where": "none", "pretrain.epochs": 1}),),
    n_seeds=1,
)
"""Twelve configurations, one of them an arm's."""

NUMERIC = Space(
    name="numeric",
    base=INHIBITED.with_settings({"finetune.which": "most"}),
    axes=(Float("push_pull.alpha", 0.0, 2.0), Float("finetune.fraction", 0.1, 0.9), Choice("push_pull.h", (1.5, 2.0))),
    arms=(Arm("plain", {"push_pull.where": "none"}),),
    n_seeds=1,
)
ASKED = [name for name, kind in SAMPLERS.items() if kind.source == "asked"]


@pytest.fixture
def storage(tmp_path) -> str:
    return f"sqlite:///{tmp_path / 'optuna.db'}"


def make_study(storage: str, space: Space, n_trials: int, sampler: str, **changes) -> SweepStudy:
    planned = PlannedTrials(space, n_trials, 0, changes.pop("max_proposals", None))
    settings = {"storage": storage, "name": "study", "sampler": sampler, "pruner": "none", **changes}
    return make_sweep_study(planned, **{**settings, "pruner": parse_pruner(settings["pruner"])})


def ask(study: SweepStudy) -> Proposal:
    proposal = study.ask()
    assert proposal is not None
    return proposal


def value_of(proposal: Proposal) -> float:
    return abs(proposal.settings.get("push_pull.h", 1.0) - 2.0) + abs(proposal.settings.get("push_pull.alpha", 1.0) - 1)


def finish_all(study: SweepStudy, *, live: int = 3) -> list[Proposal]:
    """Run every trial, some at once; return the proposals."""
    under_way, done = [], []
    while not study.exhausted or under_way:
        proposal = study.ask() if len(under_way) < live else None
        if proposal is not None:
            under_way.append(proposal)
            continue
        ended = under_way.pop(0)
        done.append(ended)
        value = value_of(ended)
        study.complete(ended.number, *([value] if len(study.objectives) == 1 else [1.0 - value / 9, value]))
    return [proposal for proposal in done if proposal.planned.purpose == "proposal"]


def as_set(proposal: Proposal) -> frozenset:
    return frozenset(proposal.settings.items())


@pytest.mark.parametrize("sampler", ["tpe", "random", "cma-es", "gp", "qmc", "nsga-ii"])
def test_no_configuration_is_proposed_twice(storage: str, sampler: str) -> None:
    study = make_study(storage, SMALL, 14, sampler)  # 1 of the arm, 12 proposals, 1 of the winner
    proposals = finish_all(study)
    assert len({as_set(proposal) for proposal in proposals}) == len(proposals) == 12
    assert len(optuna.load_study(storage=storage, study_name="study").trials) == 14
    assert not any(trial.repeat_of for trial in read_results(storage, "study").trials)


STEPPED = Space(
    name="stepped",
    base=INHIBITED.with_settings({"finetune.which": "most"}),
    axes=(Float("push_pull.alpha", 0.1, 0.5, step=0.1), Float("finetune.fraction", 0.05, 0.95, step=0.15)),
    arms=(Arm("as written", {"push_pull.alpha": 0.3, "finetune.fraction": 0.35}),),
    n_seeds=1,
)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_proposes_the_values_of_a_step_as_a_person_would_write_them(storage: str, sampler: str) -> None:
    proposals = finish_all(make_study(storage, STEPPED, 14 if sampler == "gp" else 36, sampler, max_proposals=35))
    alphas = {proposal.settings["push_pull.alpha"] for proposal in proposals}
    fractions = {proposal.settings["finetune.fraction"] for proposal in proposals}
    assert alphas <= {0.1, 0.2, 0.3, 0.4, 0.5}
    assert fractions <= {0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95}
    if sampler in ("grid", "qmc", "random"):
        assert (max(alphas), max(fractions)) == (0.5, 0.95), "both tops are reached"
    arm = [proposal for proposal in proposals if dict(proposal.settings) == dict(STEPPED.arms[0].settings)]
    assert len(arm) == (1 if sampler == "grid" else len(arm[:1])), (
        "the arm's settings come up as they are written there"
    )
    for trial in optuna.load_study(storage=storage, study_name="study").trials:
        assert trial.params == {path: trial.user_attrs["settings"][path] for path in trial.params}


@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc", "nsga-ii"])
def test_an_exhausted_space_is_repeated_and_says_so(storage: str, sampler: str) -> None:
    study = make_study(storage, SMALL, 20, sampler)
    proposals = finish_all(study)
    assert len(proposals) == 18
    assert len(optuna.load_study(storage=storage, study_name="study").trials) == 20
    trials = read_results(storage, "study").trials
    repeats = [trial for trial in trials if trial.repeat_of is not None]
    assert len(repeats) >= 18 - 12
    for trial in repeats:
        earlier = trials[trial.repeat_of or 0]
        assert (dict(earlier.settings), earlier.seed) == (dict(trial.settings), trial.seed)
        assert earlier.number < trial.number


def make_repeats(storage: str) -> SweepStudy:
    """Return a study of two configurations, 8 proposals of them."""
    space = Space(name="two", base=TINY, axes=(Choice("push_pull.where", ("none", "first")),), n_seeds=1)
    return make_study(storage, space, 9, "random")


def test_a_repeat_of_a_pruned_trial_is_not_run(storage: str) -> None:
    study = make_repeats(storage)
    first, other = ask(study), ask(study)
    live = ask(study)  # a repeat of one of them, and both are under way
    assert (first.end, other.end, live.end) == (None, None, None)
    earlier = first if dict(live.settings) == dict(first.settings) else other
    study.prune(earlier.number, Reason("pruner", "pretrain", "median", 2, 2, 0.9))
    assert study.report(live.number, {1: 0.5}, own=False) == Reason("repeat", trial=earlier.number)
    ends = {proposal.end for proposal in (ask(study) for _ in range(5)) if proposal.settings == earlier.settings}
    assert ends == {Reason("repeat", trial=earlier.number)}


def test_a_repeat_of_a_failed_trial_is_run(storage: str) -> None:
    study = make_repeats(storage)
    first, other = ask(study), ask(study)
    study.fail(first.number, Reason("stage", "pretrain", text="no space left on device"))
    study.complete(other.number, 0.5)
    study = make_repeats(storage)  # after a resume as well
    proposals = [ask(study) for _ in range(6)]
    again = [proposal.number for proposal in proposals if proposal.settings == first.settings]
    assert len(again) > 1
    for proposal in proposals:
        assert proposal.end is None
        study.complete(proposal.number, 0.5)
    trials = read_results(storage, "study").trials
    assert [trials[number].repeat_of for number in again] == [None, *again[:1] * (len(again) - 1)]


def test_what_comes_to_the_same_numbers_is_a_repeat(storage: str) -> None:
    study = make_study(storage, NUMERIC, 14, "tpe", resolve=lambda config: f"{config.push_pull.h} {config.seed}")
    proposals = finish_all(study)
    trials = read_results(storage, "study").trials
    assert len(proposals) == 12
    assert len([t for t in trials if t.slot.startswith("proposal/") and t.repeat_of is None]) == 2  # values of h


def test_a_resumed_study_remembers_what_it_proposed(storage: str) -> None:
    study = make_study(storage, SMALL, 11, "tpe")
    first = []
    for _ in range(6):
        proposal = ask(study)
        study.complete(proposal.number, value_of(proposal))
        first.append(as_set(proposal))
    rest = finish_all(make_study(storage, SMALL, 11, "tpe"))
    assert len({*first[1:], *(as_set(proposal) for proposal in rest)}) == 9


@pytest.mark.parametrize("sampler", ["random", "tpe", "nsga-ii"])
def test_an_interrupted_configuration_is_run_again(storage: str, sampler: str) -> None:
    study = make_study(storage, SMALL, 11, sampler)
    before = {proposal.planned.name: proposal.settings for proposal in (ask(study), ask(study), ask(study))}
    study.interrupt_all()
    assert {proposal.planned.name: proposal.settings for proposal in (ask(study), ask(study), ask(study))} == before
    resumed = make_study(storage, SMALL, 11, sampler)
    assert resumed.n_recovered == 3
    assert {
        proposal.planned.name: proposal.settings for proposal in (ask(resumed), ask(resumed), ask(resumed))
    } == before
    assert not any(trial.repeat_of for trial in read_results(storage, "study").trials)


@pytest.mark.parametrize("sampler", ASKED)
def test_samplers_learn_across_a_resume(storage: str, sampler: str) -> None:
    for n_trials in (14, 28):
        finish_all(make_study(storage, NUMERIC, n_trials, sampler))
    trials = read_results(storage, "study").trials
    values = [trial.objective for trial in trials if trial.slot.startswith("proposal/")]
    assert len(values) == 26
    assert min(value for value in values if value is not None) < 0.3


def test_the_sampler_sees_no_seed_that_the_winner_is_compared_on(storage: str) -> None:
    for n_trials in (14, 20):  # the second one has repeats of the first one's winner before it
        study = make_study(storage, NUMERIC, n_trials, "tpe")
        finish_all(study)
        assert study._proposals.sampler_study is not None
        seen = study._proposals.sampler_study._study.get_trials()
        assert len(seen) == n_trials - 2  # neither the arm nor the winner
        assert all("push_pull.alpha" in trial.params for trial in seen)


def test_samplers_of_other_studies_and_other_lengths_draw_other_proposals(storage: str) -> None:
    study = make_study(storage, NUMERIC, 14, "tpe")
    for _ in range(3):
        proposal = ask(study)
        study.complete(proposal.number, 0.5)
    resumed = ask(make_study(storage, NUMERIC, 14, "tpe"))  # of study 0, after three trials
    assert resumed.planned.name == "proposal/2"
    other = make_sweep_study(
        PlannedTrials(NUMERIC, 14, 3), storage=storage, name="other", sampler="tpe", pruner=parse_pruner("none")
    )
    ask(other)
    assert dict(ask(other).settings) != dict(resumed.settings)


def test_cma_es_goes_on_with_its_generations_after_a_resume(storage: str) -> None:
    finish_all(make_study(storage, NUMERIC, 30, "cma-es"))
    resumed = make_study(storage, NUMERIC, 34, "cma-es")
    assert resumed._proposals.sampler_study is not None
    proposal = ask(resumed)
    live = resumed._proposals.sampler_study._study.get_trials()[-1]
    assert live.system_attrs["cmawm:generation"] > 0
    assert proposal.planned.name == "proposal/28"


def test_a_grid_runs_every_point_once(storage: str) -> None:
    study = make_study(storage, SMALL, 54, "grid", max_proposals=12)
    proposals = finish_all(study)
    assert len({as_set(proposal) for proposal in proposals}) == len(proposals) == 12
    trials = read_results(storage, "study").trials
    assert len(trials) == 14
    assert not any(trial.repeat_of for trial in trials)  # not even of the arm, which has another seed


@pytest.mark.parametrize("sampler", [name for name, kind in SAMPLERS.items() if kind.several and name != "grid"])
def test_several_objectives(storage: str, sampler: str) -> None:
    study = make_study(storage, NUMERIC, 15, sampler, objectives=("clean", "corrupted"))
    finish_all(study)
    results = read_results(storage, "study")
    assert results.objectives == ("clean", "corrupted")
    assert len(results.trials) == 15
    proposals = results.proposals()
    best = results.best()
    assert best is not None
    assert best.objective == best.values["corrupted"] == min(trial.values["corrupted"] for trial in proposals)
    front = results.front()
    assert front[0].values == best.values
    for trial in front:
        for other in proposals:
            assert trial.values["clean"] <= other.values["clean"] or trial.objective <= other.values["corrupted"]
    study_best = study.best()
    assert study_best is not None
    assert study_best.number == best.number
    assert results.trials[-1].settings == best.settings


def test_several_objectives_are_not_pruned_on(storage: str) -> None:
    with pytest.raises(InputError, match="the pruner must be 'none', got 'median'"):
        make_study(storage, NUMERIC, 9, "tpe", objectives=("clean", "corrupted"), pruner="median")
    study = make_study(storage, NUMERIC, 9, "tpe", objectives=("clean", "corrupted"))
    assert study.report(ask(study).number, {1: 0.9}, own=True) is None


def test_a_study_of_other_objectives_is_refused(storage: str) -> None:
    make_study(storage, NUMERIC, 9, "tpe")
    with pytest.raises(InputError, match="exists with the objectives corrupted, got clean, corrupted"):
        make_study(storage, NUMERIC, 9, "tpe", objectives=("clean", "corrupted"))


BY_EPOCHS = [name for name, kind in PRUNERS.items() if not kind.by_cells]


@pytest.mark.parametrize("pruner", [f"{name}:0.6" if name == "threshold" else name for name in BY_EPOCHS])
def test_every_pruner_stops_the_hopeless_and_keeps_the_best(storage: str, pruner: str) -> None:
    study = make_study(storage, SPACE, 24, "random", pruner=pruner)
    reasons: dict[float, Reason | None] = {}
    for place in range(16):
        proposal = ask(study)
        value = 0.3 if place < 4 else (0.1 if place % 4 == 0 else 0.9)
        reason = None
        for step in range(1, 5):
            reason = reason or study.report(proposal.number, {step: value}, own=step > 2)
        if reason is None:
            study.complete(proposal.number, value)
        else:
            assert proposal.planned.prunable
            study.prune(proposal.number, reason)
            reasons[value] = reason
    assert 0.1 not in reasons
    assert 0.3 not in reasons
    if pruner == "none":
        assert reasons == {}
    else:
        assert str(reasons[0.9]).startswith(f"{pruner.split(':')[0]} pruner at step ")
    states = {trial.state for trial in optuna.load_study(storage=storage, study_name="study").trials}
    assert (TrialState.PRUNED in states) == (pruner != "none")


def measure_cells(study: SweepStudy, number: int, errors: list[float], *, batch: int = 4) -> tuple[Reason | None, int]:
    """Report cells in batches as an evaluation does; return the reason to stop, and after how many cells."""
    for first in range(0, len(errors), batch):
        cells = dict(enumerate(errors[first : first + batch], start=first + 1))
        reason = study.report(number, cells, own=True)
        if reason is not None:
            return reason, first + len(cells)
    return None, len(errors)


def test_the_wilcoxon_pruner_compares_cells_with_the_best_trial(storage: str) -> None:
    study = make_study(storage, SPACE, 24, "random", pruner="wilcoxon")
    assert study.by_cells
    hard = [
        0.3 + 0.2 * (-1) ** cell + 0.005 * cell for cell in range(12)
    ]  # cells differ more than trials do: only pairs tell them apart
    for _ in range(4):
        arm = ask(study)
        assert measure_cells(study, arm.number, [error + 0.05 for error in hard]) == (None, 12)
        study.complete(arm.number, sum(hard) / 12 + 0.05)
    better, worse, mixed = ask(study), ask(study), ask(study)
    assert measure_cells(study, better.number, hard) == (None, 12)
    study.complete(better.number, sum(hard) / 12)
    reason, n_cells = measure_cells(study, worse.number, [error + 0.02 for error in hard])
    assert n_cells == 8
    assert reason is not None
    assert (reason.step, reason.n_compared, reason.trial) == (8, 8, 4)
    assert str(reason) == (
        "wilcoxon pruner after 8 cells of the evaluation: mean error 0.3375, that of the best trial (number 4) 0.3175, "
        "p < 0.1"
    )
    study.prune(worse.number, reason)
    assert (
        measure_cells(study, mixed.number, [error + 0.02 * (-1) ** (cell // 2) for cell, error in enumerate(hard)])[0]
        is None
    )


def test_cells_that_others_share_are_not_stopped(storage: str) -> None:
    study = make_study(storage, SPACE, 24, "random", pruner="wilcoxon")
    for value in (0.1, 0.2, 0.1, 0.1):
        arm = ask(study)
        study.report(arm.number, dict.fromkeys(range(1, 9), value), own=True)
        study.complete(arm.number, value)
    assert study.report(ask(study).number, dict.fromkeys(range(1, 9), 0.9), own=False) is None


def test_a_study_has_one_kind_of_step(storage: str) -> None:
    make_study(storage, SPACE, 9, "random", pruner="wilcoxon")
    make_study(storage, SPACE, 9, "random", pruner="wilcoxon:0.05")
    with pytest.raises(InputError, match="study 'study' compares trials by cells, the pruner 'median' would by epochs"):
        make_study(storage, SPACE, 9, "random", pruner="median")
