"""What the engine costs a trial: a sweep whose stages are all in the store, against plain Ray Tune around nothing.

Every trial of the sweep proposes, plans, walks pretrain → finetune → evaluate (store hits, whose epochs are replayed),
reports, and ends in Optuna's sqlite, MLflow's sqlite and two figures. The alternative, in the same run, is Ray Tune as
it is usually set up: a function that only reports 20 times, ``{"cpu": 1}``, OptunaSearch on sqlite; and the same with
Ray's MLflowLoggerCallback, which records about what the sweep records. Both propose at random; what TPE takes for a
proposal is shown apart. Start and end of Ray are shown apart, too.

Measured on two cores beside other work: a store hit 2.3 ms through the broker; proposals in the default space 7 ms at
random and 29 ms by TPE (45 ms at 118 trials). Of 100 trials each takes 0.184 s (the target is 0.15 s): 4.4 s until all
have ended, and 13.9 s until the tracking's process has written them. The processor's 0.25 s a trial are the driver's
0.06 s and mostly the tracking's. While each trial had a process of its own, it took 0.21 s and 0.30 s; plain Ray Tune
with Optuna took 1.27 s in the same run then, and 1.47 s with the MLflow callback.

Run: python -m benchmarks.overhead [--trials 1000] [--plain-trials 40] [--profile]
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: idle threads must not spin beside the workers

import optuna
import torch
from rich.console import Console

from benchmarks.machine import CpuMeter, describe_machine, timed
from engine.orchestration.options import SweepOptions
from engine.orchestration.preparation import Prepared, prepare
from engine.orchestration.search import SweepStudy
from engine.orchestration.search.planned_trials import PlannedTrials
from engine.orchestration.search.pruners import parse_pruner
from engine.orchestration.search.stored_studies import open_study
from engine.orchestration.sweep import Sweep
from engine.settings import (
    DataSettings,
    DistortionSettings,
    FinetuneSettings,
    ModelSettings,
    TrainingSettings,
    TrialConfig,
)
from engine.spaces import Float, Space, draw_settings, load_space
from engine.stages import data_getter, run_chain
from engine.store import open_store

N_REPORTS = 20
MOST_PROPOSALS = 200
"""Proposals that are timed at most: TPE's take longer the more trials it has seen."""
SPACE = Space(
    name="overhead",
    description="What does a trial cost without its work?",
    base=TrialConfig(
        data=DataSettings(n_train=64, n_validation=40, n_test=40),
        model=ModelSettings(name="resnet-8", width=2),
        pretrain=TrainingSettings(epochs=N_REPORTS - 4),
        distortion=DistortionSettings(n_images=20),
        finetune=FinetuneSettings(which="random", training=TrainingSettings(epochs=4, learning_rate=1e-3)),
    ),
    axes=(Float("pretrain.learning_rate", 1e-4, 1e-2, log=True),),
)


@dataclass(frozen=True)
class Timing:
    """Where the seconds of a run went: before its first trial, from then to its last one's end, and after.

    The processor's seconds, of the driver and of all processes that it started (of these also those before the first
    trial), say what a busy machine does not hide.
    """

    start_s: float
    trials_s: float
    end_s: float
    driver_cpu_s: float = 0.0
    all_cpu_s: float = 0.0
    start_cpu_s: float = 0.0

    def cpu_per_trial(self, n_trials: int) -> float:
        """Return the processor's seconds a trial, from the first one's begin on."""
        return (self.all_cpu_s - self.start_cpu_s) / n_trials

    def per_trial(self, n_trials: int) -> float:
        """Return the seconds a trial, the time after the last one (tracking that catches up) included."""
        return (self.trials_s + self.end_s) / n_trials


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--pruner", default="median", help="median, percentile or none")
    parser.add_argument("--plain-trials", type=int, help="fewer trials for the alternative, which is slow; 0 for none")
    parser.add_argument("--profile", action="store_true", help="print where the driver's main thread spends its time")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(describe_machine())
    with scratch_folder() as home:
        prepared = prepare_sweep(home, options.trials, options.pruner)
        fill_store(prepared)
        time_store_hits(prepared)
        time_proposals(home, min(options.trials, MOST_PROPOSALS))
        ours = time_sweep(prepared, profile=options.profile)
        show("robustune", ours, options.trials)
        n_plain = options.trials if options.plain_trials is None else options.plain_trials
        for name, with_mlflow in (("Ray Tune, Optuna", False), ("Ray Tune, Optuna, MLflow callback", True)):
            if n_plain:
                plain = time_plain(home, n_plain, with_mlflow=with_mlflow)
                show(name, plain, n_plain)
                ratio = ours.per_trial(options.trials) / plain.per_trial(n_plain)
                cpu = ours.cpu_per_trial(options.trials) / plain.cpu_per_trial(n_plain)
                print(f"  a trial of robustune takes {ratio:.2f} of its time, {cpu:.2f} of its processor's seconds")
        print(describe_machine())


def prepare_sweep(home: Path, n_trials: int, pruner: str) -> Prepared:
    """Return a sweep of random proposals: what draw i is, is known beforehand."""
    options = SweepOptions(
        space=SPACE.name, home=home, n_trials=n_trials, sampler="random", pruner=pruner, gpus_per_slot=0
    )
    return prepare(options, SPACE)


def configurations(prepared: Prepared) -> Iterator[TrialConfig]:
    """Yield the configuration of every trial; of equals the first proposal wins, and is computed on its own seeds."""
    planned, space = prepared.planned, prepared.space
    for index, trial in enumerate(planned.proposals()):
        settings = draw_settings(space, seed=planned.study_seed, index=index)
        repeats = planned.winner(settings) if index == 0 else ()
        for seed in (trial.seed, *(repeat.seed for repeat in repeats)):
            yield space.config(settings, seed=seed)


def fill_store(prepared: Prepared) -> None:
    """Compute one trial, and put copies of its artifacts under the keys of all others."""
    store, started = prepared.store, time.perf_counter()
    configs = list(configurations(prepared))
    get_data = data_getter(prepared.info, store, torch.device("cpu"))
    first = {
        outcome.spec.stage: outcome.artifact
        for outcome in run_chain(prepared.plan(configs[0]), store, get_data, device=torch.device("cpu"))
    }
    n_copies = 0
    for config in configs[1:]:
        for spec in prepared.plan(config):
            if store.find(spec.key) is not None:
                continue
            source = first[spec.stage]
            with store.attempt(spec.key) as attempt:
                for name in source.manifest["files"]:
                    shutil.copy(source.folder / name, attempt.folder / name)
                copied = ("history", "started_at", "seconds", "environment")
                manifest = {name: source.manifest[name] for name in copied}
                store.publish(attempt, {"spec": spec.to_json(), **manifest})
            n_copies += 1
    print(f"store: {n_copies} artifacts put under their keys in {time.perf_counter() - started:.1f} s")


def time_store_hits(prepared: Prepared) -> None:
    """Print what a stored stage costs: to find its manifest, and to hear its end from the broker's process."""
    import ray

    from engine.orchestration.cluster.broker import Broker
    from engine.orchestration.cluster.connection import connect, disconnect

    specs = [spec for config in configurations(prepared) for spec in prepared.plan(config)][:300]
    store = open_store(prepared.store.address)
    found = [timed(partial(store.find, spec.key)) for spec in specs]
    connect(None)
    try:
        broker: Any = ray.remote(Broker).options(num_cpus=0, max_concurrency=2000).remote(store.address)
        ray.get(broker.statistics.remote())

        def walk(spec: Any) -> None:
            ray.get(broker.submit.remote("trial", spec.to_json(), 0))
            news = ray.get(broker.follow.remote(spec.key, 0, 20.0))
            if news["state"] != "done":
                raise SystemExit(f"stage {spec.key} is {news['state']}, not in the store")

        walked = [timed(partial(walk, spec)) for spec in specs]
    finally:
        disconnect()
    print(
        f"a store hit: manifest {1e3 * statistics.median(found):.2f} ms, through the broker "
        f"{1e3 * statistics.median(walked):.1f} ms (median of {len(specs)}; worst {1e3 * max(walked):.0f} ms; "
        "target < 20 ms)"
    )


def time_proposals(home: Path, n_trials: int) -> None:
    """Print what ask and tell cost on sqlite in the default space, by sampler; no trial is run."""
    space = load_space("push-pull")
    for sampler in ("random", "tpe"):
        planned = PlannedTrials(space, n_trials + len(space.arms) * space.n_seeds, 0)
        storage = f"sqlite:///{home / f'{sampler}.db'}"
        opened = open_study(space, planned.study_seed, storage=storage, name="ask")
        study = SweepStudy(planned, opened, sampler=sampler, pruner=parse_pruner("none"))
        asks, tells = [], []
        while True:
            started = time.perf_counter()
            proposal = study.ask()
            if proposal is None:
                break
            asks.append(time.perf_counter() - started)
            value = 0.5 + 0.1 * (len(asks) % 7)
            tells.append(timed(partial(study.complete, proposal.number, value)))
        last = asks[-max(1, len(asks) // 5) :]
        print(
            f"Optuna on sqlite, {sampler}: ask {1e3 * statistics.fmean(asks):.0f} ms (the last fifth of "
            f"{len(asks)} trials {1e3 * statistics.fmean(last):.0f} ms), tell {1e3 * statistics.fmean(tells):.0f} ms"
        )


def time_sweep(prepared: Prepared, *, profile: bool) -> Timing:
    """Run the sweep over the filled store and return where its seconds went."""
    log = prepared.options.home / "sweep.txt"
    profiler = cProfile.Profile()
    with log.open("w") as file:
        started = time.time()
        with CpuMeter() as meter:
            if profile:
                profiler.enable()
            results = Sweep(prepared, Console(file=file, width=120)).run()
            profiler.disable()
        ended = time.time()
    if any(trial.state != "COMPLETE" for trial in results.trials) or len(results.trials) != prepared.planned.n_total:
        raise SystemExit(f"not every trial completed:\n{log.read_text()}")
    print(next(line for line in log.read_text().splitlines() if "stages run in" in line))
    if profile:
        pstats.Stats(profiler).sort_stats("tottime").print_stats(25)
        pstats.Stats(profiler).sort_stats("cumulative").print_stats(60)
    first, last = span_of_study(prepared.options.storage_url, prepared.study_name)
    return Timing(first - started, last - first, ended - last, meter.driver_s, meter.all_s, meter.until(first))


def plain_trainable(config: dict[str, Any]) -> None:
    """Report as a trial does, and compute nothing."""
    from ray import tune

    for epoch in range(1, N_REPORTS + 1):
        tune.report({"epoch": epoch, "loss": 1.0, "learning_rate": 1e-3, "probe_error": 0.5 / epoch})


def plain_space(trial: optuna.Trial) -> None:
    """Propose what the sweep proposes."""
    trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True)


def time_plain(home: Path, n_trials: int, *, with_mlflow: bool) -> Timing:
    """Run as many empty trials by Ray Tune as it is usually set up, and return where its seconds went."""
    import logging

    import ray
    from ray import tune
    from ray.air.integrations.mlflow import MLflowLoggerCallback
    from ray.tune.search.optuna import OptunaSearch

    name = "mlflow" if with_mlflow else "plain"
    storage = f"sqlite:///{home / f'{name}-optuna.db'}"
    callbacks: list[Any] = []
    started = time.time()
    if with_mlflow:
        uri = f"sqlite:///{home / 'plain-mlflow.db'}"
        callbacks.append(MLflowLoggerCallback(tracking_uri=uri, experiment_name="plain"))
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    search = OptunaSearch(
        space=plain_space,
        metric="probe_error",
        mode="min",
        sampler=optuna.samplers.RandomSampler(seed=0),
        study_name=name,
        storage=optuna.storages.RDBStorage(storage),
    )
    ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    tuner = tune.Tuner(
        tune.with_resources(plain_trainable, {"cpu": 1}),
        tune_config=tune.TuneConfig(search_alg=search, num_samples=n_trials, metric="probe_error", mode="min"),
        run_config=tune.RunConfig(name=name, storage_path=str(home / "plain"), verbose=0, callbacks=callbacks or None),
    )
    try:
        with CpuMeter() as meter:
            tuner.fit()
        fitted = time.time()
    finally:
        ray.shutdown()
    first, last = span_of_study(storage, name)
    return Timing(first - started, last - first, fitted - last, meter.driver_s, meter.all_s, meter.until(first))


def span_of_study(storage: str, name: str) -> tuple[float, float]:
    """Return when a study's first trial began and its last one ended."""
    trials = optuna.load_study(storage=storage, study_name=name).get_trials(deepcopy=False)
    begun = [trial.datetime_start.timestamp() for trial in trials if trial.datetime_start]
    ended = [trial.datetime_complete.timestamp() for trial in trials if trial.datetime_complete]
    return min(begun), max(ended)


def show(name: str, timing: Timing, n_trials: int) -> None:
    print(
        f"{name}: {timing.per_trial(n_trials):.3f} s a trial ({n_trials} trials in {timing.trials_s:.1f} s and "
        f"{timing.end_s:.1f} s to end; {timing.start_s:.1f} s before the first one); processor "
        f"{timing.cpu_per_trial(n_trials):.3f} s a trial from the first one on, {timing.all_cpu_s / n_trials:.3f} s "
        f"with the start, {timing.driver_cpu_s / n_trials:.3f} s of it in the driver",
        flush=True,
    )


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Give a folder that is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="robustune-overhead-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


if __name__ == "__main__":
    main()
