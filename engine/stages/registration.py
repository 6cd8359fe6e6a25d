"""The registered kinds of stages, the engine's and a user's: all that a trial's pipeline is made of.

A stage says of itself where it stands, whether a trial wants it, which settings its numbers depend on, and how it runs.
The planner (``engine.stages.plan``) asks; nothing else knows which stages there are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from engine.conversion import leaves, settings_fields, type_hints
from engine.errors import InputError, unknown_name
from engine.registry import Registry
from engine.relevance import Condition, add_conditions, of_training
from engine.result_names import Metric
from engine.sections import register_section
from engine.settings import TrainingSettings, TrialConfig, all_leaves
from engine.stages.context import StageContext
from engine.stages.planning import Planning
from engine.store.needs import GIVEN

NETWORK = "network"
"""Of what a stage reads: the network that the stages before it have made."""
Run = Callable[[StageContext], None]
_TAKEN = {NETWORK, *GIVEN, "system"}
"""Names that no stage can have, beside the first words of metrics: what stages read, what the store has beside their
artifacts, and what MLflow's metrics of the machine begin with."""


@dataclass(frozen=True)
class Stage:
    """A kind of stage: what was said to ``register_stage``, whose arguments the attributes are, all of them filled in.

    Attributes:
        run: computes it.
        section: the class of its own settings, under its name; None for a stage that has none.
    """

    name: str
    version: int
    run: Run
    section: type | None
    reads: tuple[str, ...]
    follows: tuple[str, ...]
    precedes: tuple[str, ...]
    wanted: Callable[[Planning], bool]
    check: Callable[[Planning], None]
    depends_on: Callable[[Planning], Mapping[str, object]]
    given: Callable[[Planning], Mapping[str, str]]
    epochs: str | None
    tells_cells: bool
    gives_network: bool
    gives_errors: bool
    seeded: bool
    sees_test_images: bool

    @property
    def is_planned(self) -> bool:
        """Return whether trials can have it: one that does not say where it stands is run by ``run_stage`` alone."""
        return bool(self.follows or self.precedes)


STAGES: Registry[Stage] = Registry("stage")


def register_stage(
    name: str,
    *,
    version: int,
    settings: type | None = None,
    reads: tuple[str, ...] = (NETWORK,),
    follows: tuple[str, ...] = (),
    precedes: tuple[str, ...] = (),
    wanted: Condition | Callable[[Planning], bool] | None = None,
    matters_if: Mapping[str, tuple[Condition, ...]] | None = None,
    check: Callable[[Planning], None] = lambda planning: None,
    depends_on: Callable[[Planning], Mapping[str, object]] | None = None,
    given: Callable[[Planning], Mapping[str, str]] = lambda planning: {},
    epochs: str | None = None,
    tells_cells: bool = False,
    gives_network: bool = False,
    gives_errors: bool = False,
    seeded: bool = True,
    sees_test_images: bool = False,
) -> Callable[[Run], Run]:
    """Return a decorator that makes a function a stage.

    With ``follows`` or ``precedes`` it is a stage of every trial that wants it; else ``run_stage`` alone runs it, by a
    spec.

    Args:
        name: the stage's name; the paths of its settings begin with it ("prune.fraction").
        version: raised whenever the function, or what it calls, gives other numbers.
        settings: a frozen dataclass whose fields have defaults; its docstring says what each is.
        reads: what it is made from: "network", the one that the stages before it have made, or names of stages, whose
            artifacts are in ``context.inputs`` where the trial has them.
        follows: stages that it comes after, where the trial has them.
        precedes: stages that it comes before.
        wanted: whether a trial has it: always, if not given. A condition also says where its settings matter, so that
            a space refuses an axis that can change nothing.
        matters_if: {name of a setting of its own: what must hold for it to matter}, all of a setting's must.
        check: raises ``InputError`` for settings that cannot be with the trial's network or data; asked for each trial
            that has the stage, before its key is made, so before anything starts.
        depends_on: returns the settings that its numbers depend on, as JSON, of settings that have been checked; all
            of its own section, if not given.
        given: returns {role: key} of what it reads from the store that no stage makes.
        epochs: path of the setting that says how many epochs it tells at most ("prune.training.epochs"): trials are
            pruned on them. None for a stage that tells none.
        tells_cells: whether it tells errors by corruption and severity while it measures them.
        gives_network: whether it changes or makes the network that later stages read: see ``context.write_network``.
        gives_errors: whether its artifact has the errors that a trial is judged by.
        seeded: whether the trial's seed changes its numbers.
        sees_test_images: whether the test images change its numbers.

    Raises:
        InputError: a name that is taken, a version that is no whole number ≥ 1, settings that are none, or ``epochs``
            that name no setting with a whole number that is never below 0.
    """
    _check_name(name)
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise InputError(f"`version` of stage {name!r} must be a whole number ≥ 1, got {version!r}")
    reads, follows, precedes = _names(name, reads=reads, follows=follows, precedes=precedes)
    if settings is not None:
        register_section(name, settings, taken=[item.name for item in dataclasses.fields(TrialConfig)])
        conditions = (wanted,) if isinstance(wanted, Condition) else ()
        add_conditions(_conditions_of_section(name, settings, conditions, matters_if or {}))
    if epochs is not None:
        _check_epochs(name, epochs)
    if depends_on is None:
        depends_on = _own_section(name) if settings is not None else lambda planning: {}

    def add(function: Run) -> Run:
        stage = Stage(
            name=name,
            version=version,
            run=function,
            section=settings,
            reads=reads,
            follows=follows,
            precedes=precedes,
            wanted=_as_question(wanted),
            check=check,
            depends_on=depends_on,
            given=given,
            epochs=epochs,
            tells_cells=tells_cells,
            gives_network=gives_network,
            gives_errors=gives_errors,
            seeded=seeded,
            sees_test_images=sees_test_images,
        )
        STAGES.register(name, made_by=function)(stage)
        return function

    return add


def stages_in_order() -> list[Stage]:
    """Return the stages that trials can have, each after what it reads and follows, else by name.

    In every process it is the same order, whatever was imported first there; the engine's own come before a user's.

    Raises:
        InputError: a stage that names one that does not exist, or stages that follow each other in a circle.
    """
    planned = {name: STAGES[name] for name in STAGES if STAGES[name].is_planned}
    before: dict[str, set[str]] = {name: set() for name in planned}
    for name, stage in planned.items():
        for other in (*stage.follows, *stage.precedes, *stage.reads):
            if other not in planned and other != NETWORK:
                raise unknown_name("stage", other, planned, of=f"`reads`, `follows` or `precedes` of stage {name!r}")
        before[name] |= {*stage.follows, *stage.reads} - {NETWORK}
        for other in stage.precedes:
            before[other].add(name)
    ordered: list[Stage] = []
    while before:
        free = [name for name, others in before.items() if not others & set(before)]
        if not free:
            raise InputError(f"stages follow each other in a circle: {', '.join(sorted(before))}")
        ready = min(free, key=lambda name: (STAGES.source_digest(name) is not None, name))
        ordered.append(planned[ready])
        del before[ready]
    return ordered


def _check_name(name: str) -> None:
    """Refuse a name under which a stage's metrics would be taken for others', or its artifacts."""
    taken = Metric.first_words() | _TAKEN
    if isinstance(name, str) and name.lower() in taken:
        raise InputError(f"a stage cannot be called {name!r}: the engine has that name for something else")


def _check_epochs(stage: str, path: str) -> None:
    """Refuse a setting that cannot say how many epochs a stage tells."""
    found = all_leaves().get(path)
    if found is None:
        raise unknown_name("setting", path, all_leaves(), of=f"`epochs` of stage {stage!r}")
    if found.hint is not int:
        hint = getattr(found.hint, "__name__", found.hint)
        raise InputError(f"`epochs` of stage {stage!r} must name a setting of type int, got {path!r} of type {hint}")
    try:
        TrialConfig().with_settings({path: -1})
    except InputError:
        return
    raise InputError(
        f"`epochs` of stage {stage!r} must name a setting that is never below 0, got {path!r}, whose class takes -1"
    )


def _names(stage: str, **given: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Return lists of names as tuples; a word alone is none."""
    for argument, names in given.items():
        if isinstance(names, str) or not all(isinstance(name, str) for name in names):
            raise InputError(f"`{argument}` of stage {stage!r} must be names in a tuple, got {names!r}")
    return [tuple(names) for names in given.values()]


def _as_question(wanted: Condition | Callable[[Planning], bool] | None) -> Callable[[Planning], bool]:
    if wanted is None:
        return lambda planning: True
    if isinstance(wanted, Condition):
        holds = wanted.holds
        return lambda planning: holds(planning.config.flat())
    return wanted


def _own_section(name: str) -> Callable[[Planning], Mapping[str, object]]:
    return lambda planning: planning.section(name)


def _conditions_of_section(
    name: str, settings: type, wanted: tuple[Condition, ...], matters_if: Mapping[str, tuple[Condition, ...]]
) -> dict[str, tuple[Condition, ...]]:
    """Return where a section's settings matter, by path, a training's in it as all trainings' do."""
    found = {f"{name}.": wanted}
    for item in settings_fields(settings):
        if type_hints(settings)[item.name] is TrainingSettings:
            found |= of_training(f"{name}.{item.name}")
    for path, conditions in matters_if.items():
        if not any(f"{leaf}.".startswith(f"{path.rstrip('.')}.") for leaf in leaves(settings)):
            raise unknown_name("setting", path, leaves(settings), of=f"`matters_if` of stage {name!r}")
        found[f"{name}.{path}"] = (*found.get(f"{name}.{path}", ()), *conditions)
    return found
