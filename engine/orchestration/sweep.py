"""A sweep from its options to its answer."""

from __future__ import annotations

import dataclasses
import os
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import torch
from rich.console import Console, ConsoleRenderable

from engine.data import DataInfo
from engine.errors import InputError
from engine.extensions import import_modules, parse_settings
from engine.orchestration.agenda import Agenda
from engine.orchestration.answer import answer_tables, as_text
from engine.orchestration.board import Board
from engine.orchestration.conductor import Conductor
from engine.orchestration.keeper import StoreKeeper
from engine.orchestration.lease import DriverLease
from engine.orchestration.options import SweepOptions, as_params
from engine.orchestration.redaction import hide_credentials
from engine.orchestration.results import Results
from engine.orchestration.scores import ARM, baseline_of_study, check_arm, score_tables
from engine.orchestration.search import SweepStudy, check_search, grid_settings, read_results, search_notes
from engine.orchestration.search.study import open_study
from engine.orchestration.slots import SlotPlan, plan_slots
from engine.orchestration.tracking import Spool, Tracker, TrackingProcess, check_tracking
from engine.settings import TrialConfig
from engine.spaces import Space, load_space
from engine.stages import (
    StageSpec,
    Store,
    TrialPlan,
    check_weights,
    git_commit,
    info_to_json,
    plan_trial,
    prepare_data,
    prepare_weights,
)
from engine.stages.families import needed_keys
from engine.stages.leases import sweep_lease
from engine.training import recipe_settings

if TYPE_CHECKING:
    from engine.orchestration.cluster.session import Cluster

TRACKING_WAIT_S = 120.0
_MAX_PLANS = 256


def run_sweep(space: Space | str, *, console: Console | None = None, **options: Any) -> Results:
    """Explore a space, or go on with the study that does, and return its trials.

    Args:
        space: a space, or a name or file as of ``--space``.
        console: where progress and answer are printed; None for the terminal.
        options: fields of ``SweepOptions``.

    Raises:
        InputError: anything in the options, the space or the data that cannot work, before anything starts.
    """
    name = space if isinstance(space, str) else space.name
    prepared = prepare(SweepOptions(**{**options, "space": name}), space if isinstance(space, Space) else None)
    return Sweep(prepared, console or Console()).run()


def load_results(study: str, *, home: str | Path = "runs", storage: str | None = None) -> Results:
    """Return the trials of a study.

    Args:
        study: its name.
        home: the folder of the sweep.
        storage: Optuna storage URL, if it is not the folder's.

    Raises:
        InputError: there is no such study.
    """
    return read_results(SweepOptions(home=Path(home), storage=storage).storage_url, study)


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A sweep whose input has been checked, before anything was started.

    Attributes:
        options: what was asked for.
        space: with the data set and the settings of the options.
        agenda: which trials there are.
        study_name: the study.
        store: where artifacts are.
        info: the data set.
    """

    options: SweepOptions
    space: Space
    agenda: Agenda
    study_name: str
    store: Store
    info: DataInfo
    _plans: dict[tuple[str, str], TrialPlan] = dataclasses.field(default_factory=dict, repr=False, compare=False)

    def plan(self, config: TrialConfig, *, device: str = "cpu") -> TrialPlan:
        """Return a trial's plan; the last ones are remembered, since identity and trial ask for the same."""
        key = (config.digest, device)
        if key not in self._plans:
            self._plans[key] = plan_trial(config, self.info, device=device)
            while len(self._plans) > _MAX_PLANS:
                del self._plans[next(iter(self._plans))]
        return self._plans[key]

    @property
    def given_keys(self) -> list[str]:
        """Return the keys of what is in the store before anything runs: the data set, and weights to start from."""
        weights = self.space.base.model.weights
        return [self.info.raw_key, *([weights] if weights else [])]

    def identity(self, config: TrialConfig) -> str:
        """Return what configurations share that come to the same numbers: their last stage's key."""
        return self.plan(config).stages[-1].key


def prepare(options: SweepOptions, space: Space | None = None) -> Prepared:
    """Check everything that can be checked without starting anything.

    Raises:
        InputError: what is wrong.
    """
    options.check()
    import_modules(options.imports)
    space = space or load_space(options.space)
    settings = base_settings(options)
    space = space.with_base(settings)
    if is_private(options):
        slots_of_this_machine(options)
    make_home(options.home)
    check_tracking(options.tracking_url, options.artifact_folder)
    store = Store(options.store_folder)
    info, _ = prepare_data(space.base.data, store, download=options.download)
    if options.init is not None:
        space = space.with_base(prepare_weights(options.init, store).settings(given=settings))
    check_search(options.sampler_name, space, n_objectives=len(options.objective_names))
    n_points = len(grid_settings(space)) if options.sampler_name == "grid" else None
    agenda = Agenda(space, options.n_trials, options.seed, n_points)
    prepared = Prepared(options, space, agenda, options.study_name(space), store, info)
    for slot in agenda.arms():
        check_weights(prepared.plan(space.config(slot.settings or {}, seed=slot.seed)), store)
    check_axes(prepared)
    check_baseline(prepared)
    return prepared


def check_baseline(prepared: Prepared) -> None:
    """Check that the baseline has all that the arms are tested on; an arm as the baseline must be one."""
    options, space = prepared.options, prepared.space
    baseline = options.load_baseline()
    if baseline is not None:
        for settings in [arm.settings for arm in space.arms] or [{}]:
            tested = prepared.plan(space.config(settings, seed=0)).stages[-1].settings
            baseline.check(tested["corruptions"], tested["severities"])
    elif options.baseline is not None:
        check_arm(options.baseline.removeprefix(ARM), space)


def base_settings(options: SweepOptions) -> dict[str, Any]:
    """Return {dotted path: value} that the options change in the space's base: the recipe's, and over them --set's."""
    settings = {} if options.recipe is None else recipe_settings(options.recipe)
    settings |= parse_settings(options.settings)
    if options.dataset is not None:
        settings["data.name"] = options.dataset
    return settings


def check_axes(prepared: Prepared) -> None:
    """Plan a trial for the end points of every axis: what the network or the data rule out is found now."""
    from engine.spaces.axes import Axis, Choice

    space = prepared.space

    def conditions(axis: Axis) -> dict[str, Any]:
        return {path: values[0] for path, values in axis.when.items()}

    for axis in space.axes:
        for value in axis.extremes():
            settings = {**conditions(axis), axis.setting: value}
            try:
                check_weights(prepared.plan(space.config(settings, seed=0)), prepared.store)
            except InputError as error:
                kind = "value" if isinstance(axis, Choice) else "end"
                raise InputError(f"axis {axis.label!r}, {kind} {value!r}: {error}") from error


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


def is_private(options: SweepOptions) -> bool:
    """Return whether the sweep has a Ray of its own on this machine."""
    return options.ray_address is None and not os.environ.get("RAY_ADDRESS")


def slots_of_this_machine(options: SweepOptions) -> SlotPlan:
    """Return the slots of a private Ray.

    Raises:
        InputError: they do not fit.
    """
    return plan_slots(options, n_cpus=os.cpu_count() or 1, n_gpus=torch.cuda.device_count())


class Sweep:
    """A prepared sweep that is run.

    Attributes:
        complete: whether no trial was left when it ended; False if it was stopped, by Ctrl-C say.
        worker: the class of its stage workers, where it is not ``StageWorker``.
    """

    worker: type | None = None

    def __init__(self, prepared: Prepared, console: Console) -> None:
        self.prepared = prepared
        self.options = prepared.options
        self.console = console
        self.name = prepared.study_name
        self.complete = False
        self._live_stages: Callable[[], list[StageSpec]] = list

    def run(self) -> Results:
        """Run what is missing, print the answer and return the trials.

        Raises:
            InputError: another driver is at work on the study.
        """
        options, agenda, prepared = self.options, self.prepared.agenda, self.prepared
        held = open_study(
            agenda.space,
            agenda.study_seed,
            storage=options.storage_url,
            name=self.name,
            objectives=options.objective_names,
        )
        with DriverLease(held), self._at_the_store():
            study = SweepStudy(
                agenda,
                storage=options.storage_url,
                name=self.name,
                sampler=options.sampler_name,
                pruner=options.pruner_name,
                objectives=options.objective_names,
                resolve=prepared.identity,
            )
            n_done = study.n_finished
            if study.exhausted:
                self._say(f"study {self.name}: all {n_done} trials are done, nothing to run")
                self._make_up_tracking(study)
            else:
                self._run_trials(study, n_done)
            self.complete, n_done = study.exhausted, study.n_finished
        results = read_results(options.storage_url, self.name)
        self.print_answer(results)
        if not self.complete:
            self._say(
                f"stopped early: {n_done} of {agenda.n_total} trials are done; the same command goes on from here"
            )
        return results

    @contextmanager
    def _at_the_store(self) -> Iterator[None]:
        """Show in the store that a sweep lives on it, and what it needs; keep the store below its size."""
        store, max_gb = self.prepared.store, self.options.store_max_gb
        with sweep_lease(store.root, self.name, self._needed_keys) as lease:
            if max_gb is None:
                yield
                return
            keeper = StoreKeeper(store, max_gb, needed=self._needed_keys, lease=lease.path, say=self._say)
            keeper.start()
            try:
                yield
            finally:
                keeper.close()

    def _needed_keys(self) -> set[str]:
        """Return the keys of what the sweep needs in the store now."""
        return {*self.prepared.given_keys, *needed_keys(self.prepared.store, self._live_stages())}

    def _make_up_tracking(self, study: SweepStudy) -> None:
        """End what a driver that died at the very end left open in the tracking."""
        if Tracker(self._spool()).open_slots():
            with self._tracking(study) as (tracker, _):
                self._end_tracking(tracker, "FINISHED", {})

    def _spool(self) -> Spool:
        return Spool(self.options.home / "tracking" / f"{self.name}.jsonl")

    def _run_trials(self, study: SweepStudy, n_done: int) -> None:
        from engine.orchestration.cluster.session import connect, disconnect

        options = self.options
        n_trial_slots = options.trials_in_flight
        if n_trial_slots is None and is_private(options):
            n_trial_slots = 2 * slots_of_this_machine(options).n_slots
        cluster = connect(options.ray_address, n_trial_slots=n_trial_slots)
        try:
            self._say(cluster.description)
            slots = plan_slots(options, n_cpus=cluster.n_cpus, n_gpus=cluster.n_gpus, elastic=cluster.elastic)
            self._say(self._opening(study, n_done, slots))
            self._conduct(study, cluster, slots, n_done=n_done)
        finally:
            disconnect()

    def _conduct(self, study: SweepStudy, cluster: Cluster, slots: SlotPlan, *, n_done: int) -> None:
        """Start broker, workers, tracking and board; run the trials; end everything in order."""
        from engine.orchestration.cluster.pool import StagePool
        from engine.orchestration.cluster.tuning import run_trials
        from engine.orchestration.cluster.worker import StageWorker

        options, prepared = self.options, self.prepared
        with self._tracking(study) as (tracker, writer):
            n_left = prepared.agenda.n_total - n_done
            n_together = options.trials_in_flight or cluster.n_trials_in_flight(slots.n_slots)
            n_together = min(n_together, n_left, cluster.n_trial_slots)
            pool = StagePool(
                name=f"broker-{self.name}",
                store=str(prepared.store.root),
                data=info_to_json(prepared.info),
                imports=options.imports,
                slots=slots,
                elastic=cluster.elastic,
                worker=self.worker or StageWorker,
            )
            board = Board(
                self.console,
                n_total=prepared.agenda.n_total,
                n_done=n_done,
                statistics=pool.statistics,
                notes=lambda: [f"tracking waits: {writer.last_error}"] if writer.last_error else [],
            )
            conductor = Conductor(
                study,
                plan=lambda config: prepared.plan(config, device=slots.device),
                tracker=tracker,
                board=board,
                store=prepared.store,
                release=pool.release,
                hold_ends=pool.hold_ends,
                broker=f"broker-{self.name}",
                n_together=n_together,
            )
            self._live_stages = conductor.live_stages
            board.start()
            status = "KILLED"
            try:
                run_trials(
                    conductor,
                    cluster,
                    n_trials=n_left,
                    folder=options.home / "tune",
                    name=self.name,
                )
                status = "FINISHED" if study.exhausted else "KILLED"
            finally:
                left = conductor.live_stages()
                self._live_stages = lambda: left  # whoever goes on with an interrupted sweep needs them still
                conductor.interrupt()
                board.stop()
                statistics = pool.statistics()
                pool.close()
                self._end_tracking(tracker, status, statistics)
            self._say_statistics(board.seconds, statistics)

    @contextmanager
    def _tracking(self, study: SweepStudy) -> Iterator[tuple[Tracker, TrackingProcess]]:
        """Give what tells the tracking and what writes it; afterwards the study knows where its runs are."""
        options = self.options
        spool = self._spool()
        tracker = Tracker(spool, options.load_baseline())
        writer = TrackingProcess(options.tracking_url, self.name, spool, artifacts=options.artifact_folder)
        space = self.prepared.space
        tracker.start_sweep(
            self.name,
            params={"space": space.name, "data": space.base.data.name, **as_params(options)},
            tags={
                "space_digest": space.digest,
                "git_commit": git_commit() or "unknown",
                "mlflow.note.content": space.description,
            },
        )
        tracker.make_up(read_results(options.storage_url, self.name).trials)
        writer.start()
        try:
            yield tracker, writer
        finally:
            all_written = writer.close(TRACKING_WAIT_S)
            if writer.experiment:  # a short sweep is over before its writer is connected
                study.note_experiment(writer.experiment)
            if not all_written:
                n_waiting = spool.n_waiting()
                self._say(
                    f"tracking is behind ({writer.last_error or 'slow'}): {n_waiting} events wait in {spool.path}; "
                    f"once the server answers, write them with: {sync_command(options)}"
                )

    def _end_tracking(self, tracker: Tracker, status: str, statistics: dict[str, Any]) -> None:
        results = read_results(self.options.storage_url, self.name)
        groups = {
            group.name: [trial.errors["test"]["corrupted"] for trial in group.trials if trial.errors]
            for group in results.groups()
        }
        figures: dict[str, Any] = {}
        if groups:
            title = f"{self.name}: {self.prepared.space.description}"
            figures["figures/arms_by_severity.png"] = {"kind": "groups_by_severity", "groups": groups, "title": title}
        metrics = {f"stages/{name}": float(value) for name, value in statistics.items()}
        best = results.best()
        if best is not None and best.objective is not None:
            metrics["best_objective"] = best.objective
        tracker.end_sweep(status, metrics, {"answer.txt": as_text(self._answer(results))}, figures)

    def _opening(self, study: SweepStudy, n_done: int, slots: SlotPlan) -> str:
        agenda, info = self.prepared.agenda, self.prepared.info
        lines = [
            f"study {self.name}: {agenda.n_total} trials ({agenda.n_arm_trials} of the arms, {agenda.n_proposals} "
            f"proposed by {self.options.sampler_name}, {agenda.n_winner_trials} to compute the best again)"
            + (f"; {n_done} are done" if n_done else "")
            + (f", {study.n_recovered} were interrupted and run again" if study.n_recovered else ""),
            f"{info.settings.name}: {info.n_train} training, {info.n_validation} validation, {info.n_test} test "
            f"images; {slots.n_slots} slot{'s' * (slots.n_slots != 1)} on {slots.device}",
        ]
        if agenda.n_arm_trials < len(agenda.space.arms) * agenda.space.n_seeds:
            lines.append(f"{agenda.n_total} trials do not cover the arms on all {agenda.space.n_seeds} seeds")
        lines.extend(opening_notes(self.prepared))
        return "\n".join(lines)

    def _say_statistics(self, seconds: float, statistics: dict[str, Any]) -> None:
        if not statistics:
            return
        whole = statistics["run_seconds"] + statistics["saved_seconds"]
        share = f" ({statistics['saved_seconds'] / whole:.0%} of the work)" if whole else ""
        self._say(
            f"{seconds:.0f} s; {statistics['run']} stages run in {statistics['run_seconds']:.0f} s, "
            f"{statistics['shared']} shared and {statistics['from_store']} found in the store: "
            f"{statistics['saved_seconds']:.0f} s of computing saved{share}"
        )

    def print_answer(self, results: Results) -> None:
        """Print what the study says, and how to look at it."""
        for part in self._answer(results):
            self.console.print(part, highlight=False)
        options = self.options
        self.console.print("look closer:")
        for command in view_commands(options, results):
            self._say(f"  {command}")

    def _answer(self, results: Results) -> list[ConsoleRenderable | str]:
        """Return the answer, and the scores if there is a baseline."""
        parts = answer_tables(results)
        if self.options.baseline is not None:
            try:
                parts += score_tables(results, baseline_of_study(self.options.baseline, results))
            except InputError as error:  # such as a sweep that was stopped before the baseline's arm was run
                parts.append(f"no scores: {error}")
        return parts

    def _say(self, text: str) -> None:
        self.console.print(text, highlight=False, soft_wrap=True)


def opening_notes(prepared: Prepared) -> list[str]:
    """Return what a person should know of the search before it starts."""
    options, agenda = prepared.options, prepared.agenda
    notes = search_notes(options.sampler_name, prepared.space) if agenda.n_proposals else []
    if options.init is not None:
        notes.append(
            f"no trial is pretrained: all start from the weights of {options.init.name}, also those whose push–pull "
            "layers are not those that the weights were trained with"
        )
    if agenda.max_proposals is not None and agenda.n_proposals:
        notes.append(
            f"all {agenda.max_proposals} points of the grid are run"
            if agenda.n_proposals == agenda.max_proposals
            else f"of the grid's {agenda.max_proposals} points {agenda.n_proposals} are run, a random subset fixed by "
            "the seed: raise --n-trials for all"
        )
    if len(options.objective_names) > 1:
        asked = "" if options.pruner == "none" else f" (--pruner {options.pruner} has no effect)"
        notes.append(
            f"several objectives, {' and '.join(options.objective_names)} validation error: no trial is pruned{asked}; "
            "the winner is the front's point with the least corrupted error"
        )
    return notes


def sync_command(options: SweepOptions) -> str:
    """Return the command that writes what the tracking server did not take."""
    words = ["python", "-m", "pipelines.sync", "--home", str(options.home)]
    if options.tracking_uri is not None:
        words += ["--tracking-uri", hide_credentials(options.tracking_uri)]
    return shlex.join(words)


def view_commands(options: SweepOptions, results: Results) -> list[str]:
    """Return the commands that open MLflow and optuna-dashboard, and the address of the trials side by side."""
    tracking = hide_credentials(options.tracking_url)
    server = tracking if tracking.startswith("http") else "http://127.0.0.1:5000"
    commands = []
    if server != tracking:
        commands.append(f"mlflow ui --backend-store-uri {shlex.quote(tracking)} --port 5000")
    if results.experiment:
        query = f"tags.`robustune.study` = '{results.study}' and tags.`robustune.purpose` != ''"
        order = "orderByKey=metrics.%60objective%60&orderByAsc=true"
        page = f"{server}/#/experiments/{results.experiment}/runs?searchFilter={quote(query)}&{order}"
        commands.append(f"  trials side by side: {page}")
    return [*commands, f"optuna-dashboard {shlex.quote(hide_credentials(options.storage_url))} --port 8080"]
