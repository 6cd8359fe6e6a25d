"""Samplers and pruners that a user registers: what they are given, how they are tried, and what of them is kept."""

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from engine.errors import InputError
from engine.orchestration.databases.patience import RefusedError, passing_reason
from engine.orchestration.options import SweepOptions
from engine.orchestration.search import (
    PRUNERS,
    SAMPLERS,
    PrunerNumber,
    PrunerRequest,
    SamplerRequest,
    SweepStudy,
    register_pruner,
    register_sampler,
    try_pruner,
    try_sampler,
)
from engine.orchestration.search.planned_trials import PlannedTrials
from engine.orchestration.search.pruners import make_pruner, parse_pruner
from engine.orchestration.search.sampler_study import SamplerStudy
from engine.spaces import Float, Int, Space
from tests.engine.orchestration.spaces import SPACE
from tests.engine.orchestration.studies import make_sweep_study


@pytest.fixture(autouse=True)
def _names_of_one_test(monkeypatch) -> None:
    for registry in (SAMPLERS, PRUNERS):
        for part in ("_entries", "_origins", "_sources"):
            monkeypatch.setattr(registry, part, dict(getattr(registry, part)))


@pytest.fixture
def storage(tmp_path) -> str:
    return f"sqlite:///{tmp_path / 'optuna.db'}"


def make_study(storage: str, n_trials: int = 12, **changes) -> SweepStudy:
    planned = PlannedTrials(SPACE, n_trials, 0)
    settings = {"storage": storage, "name": "own", "sampler": "random", "pruner": "none", **changes}
    return make_sweep_study(planned, **{**settings, "pruner": parse_pruner(settings["pruner"])})


def complete_arms(study: SweepStudy) -> None:
    for _ in range(study.planned.n_arm_trials):
        proposal = study.ask()
        assert proposal is not None
        study.report(proposal.number, {1: 0.5}, own=True)
        study.complete(proposal.number, 0.5)


def test_a_sampler_is_given_what_the_search_is(storage: str) -> None:
    given: list[SamplerRequest] = []

    @register_sampler("own", "draws at random")
    def own(request: SamplerRequest) -> optuna.samplers.BaseSampler:
        given.append(request)
        return optuna.samplers.RandomSampler(seed=request.seed)

    study = make_study(storage, sampler="own")
    (request,) = given
    assert (request.n_proposals, request.n_objectives, request.space) == (study.planned.n_proposals, 1, SPACE)
    assert 0 <= request.seed < 2**32
    assert list(request.distributions) == [axis.label for axis in SPACE.axes]
    kinds = {type(found) for found in request.distributions.values()}
    assert kinds <= {CategoricalDistribution, FloatDistribution}
    del study
    make_study(storage, sampler="own")
    assert given[1].seed == request.seed, "nothing has been run in between"


def test_what_a_sampler_notes_on_a_trial_is_there_for_a_resumed_sweep(storage: str) -> None:
    seen: list[list[dict]] = []

    class Notes(optuna.samplers.RandomSampler):
        def infer_relative_search_space(self, study, trial):
            seen.append([dict(other.system_attrs) for other in study.get_trials()[:-1]])
            study._storage.set_trial_system_attr(trial._trial_id, "own:place", trial.number)
            return {}

    register_sampler("noting", "notes its place", conditional=True)(lambda given: Notes(seed=given.seed))
    study = make_study(storage, sampler="noting")
    complete_arms(study)
    proposal = study.ask()
    assert proposal is not None
    study.complete(proposal.number, 0.5)
    resumed = make_study(storage, sampler="noting")
    resumed.ask()
    assert seen[0] == []
    assert [attributes["own:place"] for attributes in seen[-1]] == [0]


def test_a_pruner_is_given_space_horizon_and_number() -> None:
    given: list[PrunerRequest] = []

    @register_pruner("own", "stops beyond own:BOUND", number=PrunerNumber("BOUND", 2.0, limit=10.0))
    def own(request: PrunerRequest) -> optuna.pruners.BasePruner:
        given.append(request)
        return optuna.pruners.ThresholdPruner(upper=request.number)

    make_pruner(parse_pruner("own"), SPACE)
    make_pruner(parse_pruner("own:3.5"), SPACE)
    assert [request.number for request in given] == [2.0, 3.5]
    assert (given[0].space, given[0].horizon.n_pretrain, given[0].horizon.n_steps) == (SPACE, 2, 4)
    with pytest.raises(InputError, match=r"pruner 'own' is given as own:BOUND with BOUND in \(0, 10\), got 'own:10'"):
        make_pruner(parse_pruner("own:10"), SPACE)


def test_what_a_pruner_notes_on_a_trial_is_in_the_study(storage: str) -> None:
    class Notes(optuna.pruners.BasePruner):
        def prune(self, study, trial):
            study._storage.set_trial_system_attr(trial._trial_id, "own:judged", trial.last_step)
            return trial.intermediate_values[trial.last_step] > 0.8

    register_pruner("noting", "notes what it judged", by_rungs=True)(lambda given: Notes())
    study = make_study(storage, pruner="noting")
    complete_arms(study)
    proposal = study.ask()
    assert proposal is not None
    reason = study.report(proposal.number, {2: 0.9}, own=True)
    assert str(reason) == "noting pruner at step 2: probe error 0.9000"
    assert reason is not None
    study.prune(proposal.number, reason)
    trials = optuna.load_study(storage=storage, study_name="own").trials
    assert trials[0].system_attrs["own:judged"] == 1
    assert trials[proposal.number].system_attrs["own:judged"] == 2


def fails(given):
    raise KeyError("no such thing")


class FailsLater(optuna.samplers.RandomSampler):
    def after_trial(self, study, trial, state, values):
        raise RuntimeError("it has learned nothing")


class FailsToPrune(optuna.pruners.BasePruner):
    def prune(self, study, trial):
        raise IndexError("no step 4")


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (fails, "sampler 'bad' fails: KeyError: 'no such thing'"),
        (lambda given: "tpe", "sampler 'bad' must be an optuna.samplers.BaseSampler, got 'tpe'"),
        (lambda given: FailsLater(), "sampler 'bad' fails: RuntimeError: it has learned nothing"),
    ],
)
def test_a_sampler_that_fails_is_one_sentence_before_anything_starts(make, sentence: str) -> None:
    register_sampler("bad", "fails")(make)
    with pytest.raises(InputError, match=sentence):
        try_sampler("bad", SPACE, n_proposals=10, n_objectives=1)


class Says(optuna.pruners.BasePruner):
    """Says the same of every trial."""

    def __init__(self, said):
        self._said = said

    def prune(self, study, trial):
        return self._said


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (fails, "pruner 'bad' fails: KeyError: 'no such thing'"),
        (lambda given: None, "pruner 'bad' must be an optuna.pruners.BasePruner, got None"),
        (lambda given: FailsToPrune(), "pruner 'bad' fails: IndexError: no step 4"),
        (lambda given: Says("no"), "^pruner 'bad' must say True or False, got 'no'$"),
        (lambda given: Says(None), "^pruner 'bad' must say True or False, got None$"),
        (lambda given: Says(0.7), "^pruner 'bad' must say True or False, got 0.7$"),
    ],
)
def test_a_pruner_that_fails_is_one_sentence_before_anything_starts(make, sentence: str) -> None:
    register_pruner("bad", "fails")(make)
    with pytest.raises(InputError, match=sentence):
        try_pruner(parse_pruner("bad"), SPACE)


def test_a_sampler_that_fails_while_a_sweep_runs_stops_it_in_order_and_another_goes_on(storage: str) -> None:
    register_sampler("bad", "fails once it is told")(lambda given: FailsLater())
    study = make_study(storage, sampler="bad")
    complete_arms(study)
    proposal = study.ask()
    assert proposal is not None
    with pytest.raises(RefusedError, match=r"^sampler 'bad' fails: RuntimeError: it has learned nothing$") as refused:
        study.complete(proposal.number, 0.25)
    assert passing_reason(refused.value) is not None, "the sweep ends with what it has"
    resumed = make_study(storage, sampler="tpe")
    assert resumed.n_finished == study.planned.n_arm_trials + 1


LR = Float("pretrain.learning_rate", 0.001, 0.01)
STEPPED = Float("push_pull.alpha", 0.1, 0.7, step=0.2)
EPOCHS = Int("pretrain.epochs", 2, 8, step=2)


class Proposes(optuna.samplers.RandomSampler):
    """Proposes the same for every axis."""

    def __init__(self, value):
        super().__init__(seed=0)
        self._value = value

    def sample_independent(self, study, trial, param_name, param_distribution):
        return self._value


@pytest.mark.parametrize(
    ("axis", "value", "taken"),
    [
        (LR, 99.0, None),
        (LR, -1.0, None),
        (LR, 0.00099, None),
        (LR, 0.01 * (1 + 1e-15), 0.01),
        (LR, 0.005, 0.005),
        (STEPPED, 0.9, None),
        (STEPPED, 0.4, None),
        (STEPPED, 0.1 + 0.2 + 1e-12, 0.3),
        (EPOCHS, 10, None),
        (EPOCHS, 3, None),
        (EPOCHS, 4, 4),
    ],
)
def test_a_proposal_that_is_none_of_an_axis_s_values_is_refused_and_not_bent(axis, value, taken) -> None:
    base = SPACE.base.with_settings({"push_pull.where": "all"})
    space = Space(name="one", base=base, axes=(axis,), n_seeds=1)
    register_sampler("bad", "proposes one value", conditional=True)(lambda given: Proposes(value))
    study = SamplerStudy(space, "bad", seed=0, n_proposals=4, n_objectives=1)
    if taken is not None:
        assert study.propose().settings == {axis.setting: taken}
        return
    expected = rf"^sampler 'bad' fails: ValueError: axis '{axis.label}' takes {axis.low} to {axis.high}.*, got {value}$"
    with pytest.raises(RefusedError, match=expected):
        study.propose()
    with pytest.raises(InputError, match=expected):
        try_sampler("bad", space, n_proposals=4, n_objectives=1)


def test_a_pruner_that_fails_while_a_sweep_runs_stops_it_in_order(storage: str) -> None:
    register_pruner("bad", "fails", by_rungs=True)(lambda given: FailsToPrune())
    study = make_study(storage, pruner="bad")
    proposal = study.ask()
    assert proposal is not None
    with pytest.raises(RefusedError, match=r"^pruner 'bad' fails: IndexError: no step 4$"):
        study.report(proposal.number, {1: 0.5}, own=True)


def test_a_pruner_that_says_neither_yes_nor_no_stops_a_sweep_in_order(storage: str) -> None:
    register_pruner("bad", "says a word", by_rungs=True)(lambda given: Says("no"))
    study = make_study(storage, pruner="bad")
    proposal = study.ask()
    assert proposal is not None
    with pytest.raises(RefusedError, match=r"^pruner 'bad' must say True or False, got 'no'$") as refused:
        study.report(proposal.number, {1: 0.5}, own=True)
    assert passing_reason(refused.value) is not None, "the sweep ends with what it has"


@pytest.mark.parametrize("said", [True, False])
def test_a_pruner_may_say_yes_or_no_as_numpy_does(storage: str, said: bool) -> None:
    register_pruner("numpy", "says the same always", by_cells=True)(lambda given: Says(np.bool_(said)))
    try_pruner(parse_pruner("numpy"), SPACE)
    study = make_study(storage, pruner="numpy")
    complete_arms(study)
    proposal = study.ask()
    assert proposal is not None
    assert (study.report(proposal.number, {1: 0.9, 2: 0.9}, own=True) is not None) == said


def test_a_pruner_by_cells_may_stop_a_trial_before_any_is_complete(storage: str) -> None:
    register_pruner("bound", "by cells", by_cells=True)(lambda given: optuna.pruners.ThresholdPruner(upper=0.5))
    study = make_study(storage, pruner="bound")
    for _ in range(study.planned.n_arm_trials):
        study.ask()
    proposal = study.ask()
    assert proposal is not None
    assert (
        str(study.report(proposal.number, {1: 0.25, 2: 0.9}, own=True)) == "bound pruner at step 2: probe error 0.9000"
    )


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_passes_its_trial(name: str) -> None:
    if SAMPLERS[name].source == "asked":
        SAMPLERS._sources[name] = "as if it were a user's"
    try_sampler(name, SPACE, n_proposals=10, n_objectives=1)


@pytest.mark.parametrize("name", PRUNERS)
def test_every_pruner_passes_its_trial(name: str) -> None:
    PRUNERS._sources[name] = "as if it were a user's"
    try_pruner(parse_pruner(f"{name}:0.5" if PRUNERS[name].number else name), SPACE)


def test_a_name_is_one_sampler_s_alone() -> None:
    with pytest.raises(InputError, match="sampler 'tpe' is already registered by _tpe in "):
        register_sampler("tpe", "another")(lambda given: optuna.samplers.TPESampler())


def test_a_study_s_name_changes_with_the_code_of_a_user_s_sampler(monkeypatch) -> None:
    own, other = (SweepOptions(sampler=name, pruner="margin") for name in ("near-the-best", "tpe"))
    names = [options.study_name(SPACE) for options in (own, other)]
    monkeypatch.setitem(SAMPLERS._sources, "near-the-best", "edited")
    assert own.study_name(SPACE) != names[0]
    assert other.study_name(SPACE) == names[1]
    monkeypatch.setitem(PRUNERS._sources, "margin", "edited")
    assert other.study_name(SPACE) != names[1]
