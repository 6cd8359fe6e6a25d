"""A sweep that has been prepared, from its study to its answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

from rich.console import Console

from engine.errors import InputError
from engine.orchestration.cluster.interruption import as_ctrl_c
from engine.orchestration.cluster.mps import described
from engine.orchestration.cluster.slots import SlotPlan, note_of_cores_alone
from engine.orchestration.databases.patience import RefusedError
from engine.orchestration.databases.refusals import Refusals
from engine.orchestration.examination.examine import quick_look
from engine.orchestration.examination.whereabouts import cluster_source, described_places, watched_from_elsewhere
from engine.orchestration.machines import SweepRay, is_private
from engine.orchestration.options import as_params, sweep_command
from engine.orchestration.preparation import Prepared
from engine.orchestration.search import Identities, SweepStudy, check_reproduces, read_results
from engine.orchestration.search.driver_lease import DriverLease, is_driven
from engine.orchestration.search.remaining_trials import remaining_trials
from engine.orchestration.search.stored_studies import gone_if_refused, open_study, results_of
from engine.orchestration.sweep_words import SweepAnswer, opening
from engine.orchestration.tracking import Spool, TrackingEvents
from engine.orchestration.tracking.origin import Origin, data_sets, program_name
from engine.orchestration.tracking.spool_owner import SpoolOwner, spool_path
from engine.orchestration.tracking.sweep_tracking import SweepTracking
from engine.orchestration.trial_flow import TrialFlow
from engine.priority import import_beside
from engine.redaction import hide_credentials
from engine.report.commands import DASHBOARD_ARTIFACTS
from engine.report.live_screen import LiveScreen, computing_saved
from engine.report.measurement import check_comparable
from engine.report.results import Results
from engine.report.study_results import StudyResults
from engine.report.terminal import say
from engine.signs_of_life import doing
from engine.stages import (
    StageSpec,
    git_commit,
    info_to_json,
)
from engine.stages.families import needed_keys
from engine.store.size_limit import living_on

if TYPE_CHECKING:
    from engine.orchestration.cluster.admission import Admission
    from engine.orchestration.cluster.connection import Cluster, PrivateRay
    from engine.orchestration.cluster.stage_pool import StagePool

_FOR_THE_END = (
    "scipy.stats",
    "statsmodels.stats.multitest",
    "statsmodels.stats.power",
    "engine.figures.error_heat_map",
    "optuna.importance",
    "optuna_dashboard",
)
"""What the answer, its figures and optuna-dashboard's pages import, and nothing before."""


class Sweep:
    """A prepared sweep that is run.

    Args:
        prepared: the sweep.
        console: where progress and answer are printed.
        begun: the private Ray, where its start was begun before.

    Attributes:
        complete: whether no trial was left when it ended; False if it was stopped, by Ctrl-C say.
        worker: the class of its stage workers, where it is not ``StageWorker``.
    """

    worker: type | None = None

    def __init__(self, prepared: Prepared, console: Console, begun: PrivateRay | None = None) -> None:
        self.prepared = prepared
        self.options = prepared.options
        self.console = console
        self.name = prepared.study_name
        self.complete = False
        self._ray = SweepRay(self.options, self.options.home / "logs" / f"{self.name}-ray.log", begun)
        self._refusals = Refusals()
        self._answer = SweepAnswer(prepared, console)
        self._study: SweepStudy | None = None
        self._live_stages: Callable[[], list[StageSpec]] = list
        self._marks: tuple[str, ...] = ()
        self._imports: Thread | None = None

    @property
    def fault(self) -> str:
        """Return what database, disk or store said when they had refused for so long that the sweep stopped; or ""."""
        return self._refusals.fault

    def run(self) -> StudyResults:
        """Run what is missing, print the answer and return the trials.

        Raises:
            InputError: another driver is at work on the study.
            RefusedError: the study's database, or the disk, refuses, and there is no answer yet to be read.
        """
        try:
            with as_ctrl_c():
                self._run_study()
        except KeyboardInterrupt:
            if self._study is None:
                raise  # else it came before the trials, which end in order by themselves: while Ray was started, say
        except Exception as error:
            self._refusals.note(error)
        results = StudyResults.of(self._results())
        self._answer.show(results)
        self._say_if_stopped(results)
        return results

    def _say_if_stopped(self, results: Results) -> None:
        """Say why the sweep ended before it was complete, how far it came, and how it goes on."""
        planned = self.prepared.planned
        left = remaining_trials(planned, results, retry_failed=self.options.retry_failed)
        done = f"{left.n_done} of {planned.n_total} trials are done"
        if self.fault:
            self._say(f"stopped: {self.fault}; {done}; once that is mended, the same command goes on from here")
        elif not self.complete and left.n_done >= planned.n_total:
            self._say(f"interrupted, but {left.all_done}")
        elif not self.complete:
            self._say(f"stopped early: {done}; the same command goes on from here")

    def _results(self) -> Results:
        """Return what the study says, of what is in memory where all of it is in the database too."""
        try:
            if self._study is not None and not self.fault:
                return self._refusals.patience.call(self._study.last_results)
            return self._refusals.patience.call(read_results, self.options.storage_url, self.name)
        except (InputError, RefusedError) as error:
            raise RefusedError(self.fault or str(error)) from error

    def _run_study(self) -> None:
        """Open the study and run what it lacks, while Ray is being started."""
        with self._ray.begun_beside():
            self._run_opened()

    def _run_opened(self) -> None:
        options, planned, prepared = self.options, self.prepared.planned, self.prepared
        held = open_study(
            planned.space,
            planned.study_seed,
            storage=options.storage_url,
            name=self.name,
            objectives=options.objective_names,
        )
        so_far = results_of(held)
        check_comparable(self.name, so_far.measurements, prepared.measurement)
        check_reproduces(so_far, Identities(planned.space, prepared.identity))
        lease = DriverLease(held, wait_s=options.wait_s, say=self._say)
        is_left = remaining_trials(planned, so_far, retry_failed=options.retry_failed).n_left > 0
        beside = self._ray.imported_beside() if is_left and not is_driven(held) else nullcontext()
        living = living_on(prepared.store, self.name, self._needed_keys, max_gb=options.store_max_gb, say=self._say)
        with beside, lease, gone_if_refused(held, options.storage_url), living:
            study = self._study = SweepStudy(
                planned,
                held,
                sampler=options.sampler_name,
                pruner=options.search_pruner,
                resolve=prepared.identity,
                patience=self._refusals.patience,
                retry_failed=options.retry_failed,
            )
            n_done = study.n_finished
            self._on_dashboard(study.name_metrics)
            if study.exhausted:
                all_done = remaining_trials(planned, study.results(), retry_failed=options.retry_failed).all_done
                self._say(f"study {self.name}: {all_done}, nothing to run")
                self._make_up_tracking(study)
            else:
                study.note_command(sweep_command(options))
                self._run_trials(study, n_done)
            self.complete = study.exhausted and not self.fault

    def _needed_keys(self) -> set[str]:
        """Return the keys of what the sweep needs in the store now."""
        return {*self.prepared.given_keys, *self._marks, *needed_keys(self.prepared.store, self._live_stages())}

    def _make_up_tracking(self, study: SweepStudy) -> None:
        """End what a driver that died at the very end left open in the tracking."""
        if TrackingEvents(Spool(spool_path(self.options.home, self.name))).open_runs():
            with ExitStack() as written, self._tracking(study, written) as tracking:
                self._end_tracking(study, tracking, "FINISHED", {})

    def _disks(self) -> list[Path]:
        """Return the folders of this machine that the sweep writes into."""
        store = self.options.store_place
        return [self.options.home, *([] if "://" in store else [Path(store)])]

    def _run_trials(self, study: SweepStudy, n_done: int) -> None:
        """Say what there is to run on, and run the trials there; Ray ends while the tracking is written."""
        options = self.options
        with ExitStack() as written, self._ray.connected() as (cluster, slots):
            where = cluster.description + cluster_source(options) + described(slots, by_mps=options.mps)
            self._say("\n".join([where, *described_places(options)]))
            for finding in quick_look(options, self._disks()):
                self._say(f"note, {finding.what}: {finding.said}; {finding.remedy}")
            if not is_private(options):
                self._say("\n".join(watched_from_elsewhere(options)))
            if cluster.elastic and note_of_cores_alone(options.slot_request, slots):
                self._say(note_of_cores_alone(options.slot_request, slots))
            self._say(opening(self.prepared, slots, n_done=n_done, n_recovered=study.n_recovered))
            self._run_on(study, cluster, slots, n_done=n_done, written=written)

    def _run_on(self, study: SweepStudy, cluster: Cluster, slots: SlotPlan, *, n_done: int, written: ExitStack) -> None:
        """Start tracking, broker and workers, and run the trials."""
        from engine.orchestration.cluster.stage_pool import StagePool
        from engine.orchestration.cluster.stage_worker import StageWorker

        options, prepared = self.options, self.prepared
        with self._tracking(study, written) as tracking, self._admission() as admission:
            n_together = options.trials_in_flight or cluster.n_trials_in_flight(slots.n_slots)
            n_together = min(n_together, study.n_left, cluster.n_trial_seats)
            pool = StagePool(
                name=f"broker-{self.name}",
                store=prepared.store.address,
                data=info_to_json(prepared.info),
                imports=options.imports,
                slots=slots,
                elastic=cluster.elastic,
                worker=self.worker or StageWorker,
                admission=admission,
                say=self._say,
            )
            screen = LiveScreen(
                self.console,
                n_total=prepared.planned.n_total,
                n_done=n_done,
                statistics=pool.statistics,
                notes=lambda: self._screen_notes(tracking),
            )
            flow = TrialFlow(
                study,
                plan=lambda config: prepared.plan(config, device=slots.device),
                events=tracking.events,
                screen=screen,
                store=prepared.store,
                release=pool.release,
                broker=f"broker-{self.name}",
                n_together=n_together,
                n_slots=slots.n_slots,
                prepare_end=lambda: self._prepare_end(tracking),
            )
            self._live_stages = flow.live_stages
            self._run_flow(study, flow, pool, screen, tracking)

    def _run_flow(
        self, study: SweepStudy, flow: TrialFlow, pool: StagePool, screen: LiveScreen, tracking: SweepTracking
    ) -> None:
        """Run the trials, and end everything in order."""
        from engine.orchestration.cluster.connection import begin_to_disconnect
        from engine.orchestration.cluster.tune_run import run_trials

        status = "KILLED"
        screen.start()
        try:
            run_trials(flow, n_trials=study.n_left, folder=self.options.home / "tune", name=self.name)
            status = "FINISHED" if study.exhausted and not flow.fault and not study.n_set_aside else "KILLED"
        finally:
            left = flow.live_stages()
            self._live_stages = lambda: left  # whoever goes on with an interrupted sweep needs them still
            if flow.fault:
                self._refusals.note(RefusedError(flow.fault))
            self._refusals.each(flow.interrupt, screen.stop)
            statistics = pool.statistics()
            end_tracking = partial(self._end_tracking, study, tracking, status, statistics)
            with doing("workers end, and what the tracking is to hear is written"):
                self._refusals.each(pool.close, begin_to_disconnect, end_tracking)
        if statistics:
            self._say(computing_saved(screen.seconds, statistics))

    @contextmanager
    def _admission(self) -> Iterator[Admission | None]:
        """Give what machines have to agree with; on this machine alone there is nothing to compare."""
        from engine.orchestration.cluster.admission import Admission

        if is_private(self.options):
            yield None
            return
        store = self.prepared.store
        admission = Admission.of_driver(store, self.options.imports)
        self._marks = (admission.mark.key,)
        try:
            yield admission
        finally:
            self._refusals.unless_refused(lambda: admission.end(store))

    def _screen_notes(self, tracking: SweepTracking) -> list[str]:
        """Return what a person should know while the sweep runs."""
        waits = f"tracking waits: {tracking.waits}" if tracking.waits else ""
        return [note for note in (self._refusals.patience.waits, waits) if note]

    @contextmanager
    def _tracking(self, study: SweepStudy, written: ExitStack) -> Iterator[SweepTracking]:
        """Give what tells the tracking; when ``written`` ends the study knows where its runs are."""
        options, prepared = self.options, self.prepared
        tracking = SweepTracking(
            self.name,
            prepared.space,
            options.home,
            SpoolOwner(options.tracker, options.tracking_uri, options.imports),
            baseline=prepared.baseline,
            patience=self._refusals.patience,
            origin=Origin(program_name(), git_commit() or "", data_sets(prepared.info)),
        )
        params = {"n_trials": prepared.planned.n_trials, **as_params(options)}
        tracking.begin(params, study.results().trials)
        written.callback(self._await_tracking, study, tracking)
        tracking.start()
        try:
            yield tracking
        finally:
            tracking.finish()

    def _await_tracking(self, study: SweepStudy, tracking: SweepTracking) -> None:
        """Wait until the tracking is written, for a while; say what is to be done if it is not."""
        left = tracking.close()
        if tracking.experiment:  # a short sweep is over before its writer is connected
            self._refusals.unless_refused(lambda: study.note_experiment(tracking.experiment))
        if left:
            self._say(left)

    def _prepare_end(self, tracking: SweepTracking) -> None:
        """Import, beside trials, what the end takes seconds for: a person waits for the end."""
        tracking.prepare_end(with_winner=self.prepared.planned.n_winner_trials > 0)
        self._imports = import_beside(_FOR_THE_END)

    def _end_tracking(
        self, study: SweepStudy, tracking: SweepTracking, status: str, statistics: Mapping[str, Any]
    ) -> None:
        """Tell the tracking of the end, and optuna-dashboard while that is written."""
        if self._imports is not None:
            self._imports.join()
        results = study.last_results()
        tracking.events.end_groups(results)
        tracking.end(results, status, statistics, self._answer.files(results), self.prepared.store)
        self._on_dashboard(lambda: study.show_results(results, self.options.home / DASHBOARD_ARTIFACTS))

    def _on_dashboard(self, write: Callable[[], None]) -> None:
        """Write what optuna-dashboard shows beside the study; without it a sweep is as good as with it."""
        if self.fault:
            return
        try:
            write()
        except Exception as error:
            said = hide_credentials(f"{type(error).__name__}: {error}".splitlines()[0])
            self._say(f"optuna-dashboard shows notes and figures as they were before ({said})")

    def _say(self, text: str) -> None:
        say(self.console, text)
