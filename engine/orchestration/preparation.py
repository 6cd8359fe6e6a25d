"""A sweep's options, checked: whatever is wrong with them is found here, before anything starts."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.corruption_kinds import TUNED_ON
from engine.data import DataInfo, outline_data
from engine.data.machine_sets import sets_bound
from engine.errors import DataLimitError, InputError
from engine.extensions import chosen_data, import_modules, parse_settings
from engine.metrics import Baseline
from engine.orchestration.databases.addresses import check_folder
from engine.orchestration.machines import check_slots, is_private, slots_of_this_machine
from engine.orchestration.options import SweepOptions
from engine.orchestration.search import (
    check_search,
    count_of_few,
    grid_settings,
    try_pruner,
    try_sampler,
)
from engine.orchestration.search.planned_trials import N_PROPOSALS, PlannedTrials, suitable_n_trials
from engine.orchestration.tracking import TrackerRequest, check_tracker
from engine.orchestration.tracking.spool_owner import check_owner
from engine.report.baseline_scores import ARM, check_arm
from engine.report.measurement import Measurement, planned_measurement
from engine.report.views import check_view
from engine.settings import TrialConfig
from engine.spaces import Space, load_space
from engine.spaces.contrasts import check_tested
from engine.spaces.declared import check_parts
from engine.spaces.reach import check_axis_matters, check_proposals_differ
from engine.stages import TrialPlan, check_weights, plan_trial, prepare_data, prepare_weights
from engine.stages.axis_limits import fit_axes, with_limited
from engine.stages.idle_axes import check_arms_differ, check_axis_changes_something
from engine.stages.numerics import Numerics
from engine.stages.plan_evaluation import check_evaluation, plan_evaluation
from engine.store import Store, open_store
from engine.training import recipe_settings

if TYPE_CHECKING:
    pass

_MAX_PLANS = 256


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A sweep whose input has been checked, before anything was started.

    Attributes:
        options: what was asked for.
        space: with the data set and the settings of the options.
        planned: which trials there are.
        study_name: the study.
        store: where artifacts are.
        info: the data set.
        left_out: sentences on values of axes that are not tried, since data set or network do not have them.
        notes: what a person should know of the given weights.
        baseline: what scores are ratios to; None without one, and where it is an arm, which has yet to be run.
        is_outlined: whether the data set is not here, and known by what its authors say of it: for a dry run alone.
    """

    options: SweepOptions
    space: Space
    planned: PlannedTrials
    study_name: str
    store: Store
    info: DataInfo
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    baseline: Baseline | None = None
    is_outlined: bool = False
    _plans: dict[tuple[str, Numerics], TrialPlan] = dataclasses.field(default_factory=dict, repr=False, compare=False)

    def plan(self, config: TrialConfig, *, device: str = "cpu") -> TrialPlan:
        """Return a trial's plan; the last ones are remembered, since identity and trial ask for the same."""
        return self._planned(config, self.options.numerics(device))

    def _planned(self, config: TrialConfig, numerics: Numerics) -> TrialPlan:
        key = (config.digest, numerics)
        if key not in self._plans:
            is_checked = any(digest == key[0] for digest, _ in self._plans)
            self._plans[key] = plan_trial(config, self.info, **dataclasses.asdict(numerics), check=not is_checked)
            while len(self._plans) > _MAX_PLANS:
                del self._plans[next(iter(self._plans))]
        return self._plans[key]

    @property
    def measurement(self) -> Measurement:
        """Return what the trials are compared by and tested on."""
        settings = plan_evaluation(self.space.base.evaluate, self.info)
        return planned_measurement(settings, n_validation=self.info.n_validation, n_test=self.info.n_test)

    @property
    def device(self) -> str:
        """Return the device type that stages will run on, as far as that is known before a cluster is asked."""
        if is_private(self.options):
            return slots_of_this_machine(self.options).device
        return "cuda" if (self.options.gpus_per_slot or 0) > 0 else "cpu"

    @property
    def device_is_known(self) -> bool:
        """Return whether the device type does not depend on what a cluster turns out to have."""
        return is_private(self.options) or self.options.gpus_per_slot is not None

    @property
    def given_keys(self) -> list[str]:
        """Return the keys of what is in the store before anything runs: the data set, and weights to start from."""
        weights = self.space.base.model.weights
        return [self.info.raw_key, *([weights] if weights else [])]

    def identity(self, config: TrialConfig) -> str:
        """Return what configurations share that come to the same numbers, on whatever machine the study goes on."""
        return self._planned(config, Numerics()).identity


def prepare(options: SweepOptions, space: Space | None = None) -> Prepared:
    """Check everything that can be checked without starting anything.

    Raises:
        InputError: what is wrong.
    """
    options.check()
    sets_bound()
    import_modules(options.imports)
    options.check_names()
    baseline = options.load_baseline()
    space = space or load_space(options.space, options.dataset)
    check_view(space)
    settings = base_settings(options)
    space = space.with_base(settings)
    check_slots(options)
    make_home(options.home)
    check_folder(options.storage_url)
    check_tracker(options.tracker, TrackerRequest(options.study or "", options.home, options.tracking_uri))
    store = open_store(options.store_place)
    outline = outline_data(space.base.data) if options.dry_run and not options.download else None
    info = outline or prepare_data(space.base.data, store, download=options.download)[0]
    notes: tuple[str, ...] = ()
    if options.init is not None:
        weights = prepare_weights(options.init, store, network=space.base.model.name)
        space, notes = space.with_base(weights.settings(given=settings)), weights.notes
    space, left_out = fit_axes(space, info)
    check_search(options.sampler_name, space, n_objectives=len(options.objective_names))
    planned = planned_trials(options, space)
    if planned.n_proposals:
        n_objectives = len(options.objective_names)
        try_sampler(options.sampler_name, space, n_proposals=planned.n_proposals, n_objectives=n_objectives)
    try_pruner(options.search_pruner, space)
    study_name = options.study_name(space)
    check_owner(options.home, study_name, options.tracker)
    prepared = Prepared(
        options, space, planned, study_name, store, info, left_out, notes, baseline, outline is not None
    )
    check_evaluation(space.base.evaluate, info)  # before it is planned from: arms and axes have none of their own
    check_declared(prepared)
    check_arms(prepared)
    if planned.n_proposals:
        check_proposals_differ(space)
    check_axes(prepared)
    check_baseline(prepared)
    return prepared


def planned_trials(options: SweepOptions, space: Space) -> PlannedTrials:
    """Return which trials there are: as many as are asked for, or as suit the space."""
    n_points = None
    if options.sampler_name == "grid":
        n_points = len(grid_settings(space))
    elif options.n_trials is None:
        n_points = count_of_few(space, N_PROPOSALS)
    return PlannedTrials(space, options.n_trials or suitable_n_trials(space, n_points), options.seed, n_points)


def check_arms(prepared: Prepared) -> None:
    """Plan every trial of the arms: what the network or the data rule out, or make one of two arms, is found now."""
    for trial in prepared.planned.arms():
        try:
            config = prepared.space.config(trial.settings or {}, seed=trial.seed)
            check_weights(prepared.plan(config), prepared.store)
        except DataLimitError as error:
            raise InputError(f"arm {trial.group!r}: {error}") from error
    groups = {trial.group for trial in prepared.planned.arms()}
    arms = [arm for arm in prepared.space.arms if arm.name in groups]
    seeds = dict.fromkeys(trial.seed for trial in prepared.planned.arms())
    check_arms_differ(prepared.space, arms, seeds, prepared.identity)


def check_declared(prepared: Prepared) -> None:
    """Check that every part of an ablation changes the keys of some stage, and that what is declared is tested."""
    space = prepared.space
    seeds = space.seeds(prepared.planned.study_seed)
    for ablation in space.ablations:
        identities = {}
        for arm in ablation.arms():
            configs = [space.config(arm.settings, seed=seed) for seed in seeds]
            try:
                identities[arm.name] = tuple(map(prepared.identity, configs))
            except InputError as error:
                raise InputError(f"ablation {ablation.name!r}, arm {arm.name!r}: {error}") from error
        check_parts(ablation, identities, "stages' keys")
    by_tuning = any(TUNED_ON in contrast.outcomes for contrast in space.family)
    check_tested(space.family, prepared.measurement.tested, tuned_on(space) if by_tuning else None)


def tuned_on(space: Space) -> dict[str, str]:
    """Return {arm: the distortion that its filters are tuned on}, of the arms that tune some."""
    found = {}
    for arm in space.arms:
        config = space.config(arm.settings, seed=0)
        if config.finetune.which != "none":
            found[arm.name] = f"{config.distortion.name} {config.distortion.level:g}"
    return found


def check_baseline(prepared: Prepared) -> None:
    """Check that the baseline has all that the arms are tested on; an arm as the baseline must be one."""
    options, space, baseline = prepared.options, prepared.space, prepared.baseline
    if baseline is not None:
        for settings in [arm.settings for arm in space.arms] or [{}]:
            tested = prepared.plan(space.config(settings, seed=0)).judged.settings
            baseline.check(tested["corruptions"], tested["severities"])
    elif options.baseline is not None:
        check_arm(options.baseline.removeprefix(ARM), space)


def base_settings(options: SweepOptions) -> dict[str, Any]:
    """Return {dotted path: value} that the options change in the space's base: the recipe's, and over them --set's."""
    settings = {} if options.recipe is None else recipe_settings(options.recipe)
    settings |= parse_settings(options.settings)
    if "seed" in settings:
        raise InputError("a sweep derives the seeds of its trials: not --set seed, but --seed is the study's")
    return settings | chosen_data(options.dataset, options.classes)


def check_axes(prepared: Prepared) -> None:
    """Plan a trial for the end points of every axis: what the network or the data rule out is found now."""
    from engine.spaces.axes import Choice

    space = prepared.space
    for axis in space.axes:
        context = check_axis_matters(space, axis)
        for value in axis.extremes():
            settings = with_limited(space, {**context, axis.setting: value})
            try:
                check_weights(prepared.plan(space.config(settings, seed=0)), prepared.store)
            except InputError as error:
                kind = "value" if isinstance(axis, Choice) else "end"
                raise InputError(f"axis {axis.label!r}, {kind} {value!r}: {error}") from error
    for axis in space.axes:
        check_axis_changes_something(space, axis, prepared.identity)


def make_home(home: Path) -> None:
    """Make the folder of the sweep.

    Raises:
        InputError: it cannot be written.
    """
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"home folder cannot be made: {home} ({error.strerror})") from error
    if not os.access(home, os.W_OK):
        raise InputError(f"home folder cannot be written: {home}")
