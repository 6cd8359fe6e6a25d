"""What computing shared stages once saves: the filter paper's grid, by this engine and by Ray Tune trial by trial.

The grid is which × fraction × distortion × pairing of selective fine-tuning, 48 configurations of one pretraining and
eight rankings, on digits. The alternative, in the same run, is Ray Tune with a function that computes its whole trial,
as many at once as there are slots, worker processes reused, and each makes the corrupted images that it is tested on,
which the engine's workers make once for all. Both sides are shown with and without what they take around no work (the
sweep once more over its full store; a function that only reports), and the trials' errors are compared: they must be
the same.

The ideal follows from the recorded times of the stages: the work of the distinct ones over that of all trials. It takes
for granted that all slots are at work from the first moment to the last; but nothing runs before Ray and its workers
are up, and while the pretraining runs that all trials share, nothing else can. So it is shown, too, how long the stages
take by themselves, put on the slots as they wait for each other, by their seconds and by those of the processor, and
when the first began and the last ended.

Figures are in docs/performance.md. Hippo, which shares equal beginnings of trainings (Shin et al. 2020), reports 2.76
times less time and 4.81 times fewer GPU-hours, for other networks and spaces.

Run: python -m benchmarks.sharing [--trials 12] [--epochs 16]
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import json
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: idle threads must not spin beside the workers

import torch
from rich.console import Console

from benchmarks.machine import CpuMeter, describe_machine, own_sets
from engine.orchestration.options import SweepOptions
from engine.orchestration.preparation import Prepared, prepare
from engine.orchestration.sweep import Sweep
from engine.report.results import Results
from engine.settings import FinetuneSettings, ModelSettings, TrainingSettings, TrialConfig
from engine.spaces import Arm, Space
from engine.stages import StageSpec, data_getter, info_from_json, info_to_json, plan_trial, run_chain
from engine.store import Store

GRID: dict[str, tuple[Any, ...]] = {
    "finetune.which": ("most", "least"),
    "finetune.fraction": (0.1, 0.25, 0.5),
    "distortion": (("awgn", 25.0), ("awgn", 50.0), ("blur", 1.0), ("blur", 2.0)),
    "rank.pairing": ("paired", "unpaired"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=48, help="configurations of the grid, evenly spread over it")
    parser.add_argument("--epochs", type=int, default=16, help="of pretraining; fine-tuning has half as many")
    parser.add_argument("--slots", type=int, default=len(os.sched_getaffinity(0)), help="stages (or trials) at once")
    options = parser.parse_args()
    print(describe_machine())
    space = grid_space(options.trials, options.epochs)
    with tempfile.TemporaryDirectory(prefix="robustune-sharing-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        shared = prepare_sweep(space, home, "shared", options.slots)
        with own_sets(home / "cache"):
            began = time.time()
            with CpuMeter() as meter:
                ours_s, results = run_sweep(shared)
            ended = began + ours_s
            empty_s, _ = run_sweep(prepare_sweep(space, home, "again", options.slots))
        with own_sets(home / "cache", kept=False):
            plain_s, records = run_plain(shared, options.slots, home, empty=False)
            plain_empty_s, _ = run_plain(shared, options.slots, home, empty=True)
        compare_errors(results, {record["name"]: record["errors"] for record in records})
        work = recorded_work(shared, options.slots)
    print(describe_machine())
    ideal = work.distinct_s / work.whole_s
    print(
        f"{len(space.arms)} trials on {options.slots} slots; {work.n_wanted} stages, {work.n_distinct} distinct; "
        f"{work.whole_s:.0f} s of work, {work.distinct_s:.0f} s of it distinct"
    )
    of_plain = [record["seconds"] for record in records]
    plain_work_s = sum(sum(seconds.values()) for seconds in of_plain)
    keys = set[str]().union(*of_plain)
    plain_distinct_s = sum(statistics.fmean(one[key] for one in of_plain if key in one) for key in keys)
    print(
        f"the same stages took {plain_work_s:.0f} s in all when every trial ran its own, {plain_distinct_s:.0f} s "
        "of it distinct (means)"
    )
    print(f"robustune {ours_s:.1f} s ({empty_s:.1f} s of it with nothing to compute)")
    print(
        f"{options.slots} cores had {options.slots * ours_s:.0f} s, and robustune took {meter.all_s:.0f} s of them: "
        f"stages ran for {work.distinct_s:.0f} s, and the driver took {meter.driver_s:.0f} s"
    )
    start_s, end_s = work.first - began, ended - work.last
    print(
        f"the first stage began after {start_s:.1f} s, and {end_s:.1f} s passed after the last; between them were "
        f"{ours_s - start_s - end_s:.1f} s, where stages that had the slots for themselves alone would have taken "
        f"{work.alone_s:.1f} s ({work.alone_cpu_s:.1f} s if each had a core for itself)"
    )
    print(f"Ray Tune, trial by trial {plain_s:.1f} s ({plain_empty_s:.1f} s of it with nothing to compute)")
    ratios = {"as measured": ours_s / plain_s, "net of the empty runs": (ours_s - empty_s) / (plain_s - plain_empty_s)}
    plain_ideal = plain_distinct_s / plain_work_s
    for name, ratio in ratios.items():
        print(
            f"{name}: ours/plain {ratio:.3f}; the ideal is {ideal:.3f} by work ({ideal / ratio:.0%} of it reached), "
            f"and {plain_ideal:.3f} by the work of Ray Tune's trials ({plain_ideal / ratio:.0%})"
        )
    least_s = start_s + work.alone_cpu_s
    print(
        f"start and stages alone would take {least_s:.1f} s: {ideal * plain_s / least_s:.0%} of the ideal by work is "
        "the most that can be reached, however little tracking, study and broker take"
    )


def grid_space(n_trials: int, epochs: int) -> Space:
    """Return a space that is a part of the grid: each configuration an arm, one seed."""
    points = list(itertools.product(*GRID.values()))
    if not 1 <= n_trials <= len(points):
        raise SystemExit(f"--trials must be from 1 to {len(points)}, got {n_trials}")
    chosen = [points[place * len(points) // n_trials] for place in range(n_trials)]
    arms = []
    for which, fraction, (distortion, level), pairing in chosen:
        settings = {
            "finetune.which": which,
            "finetune.fraction": fraction,
            "distortion.name": distortion,
            "distortion.level": level,
            "rank.pairing": pairing,
        }
        arms.append(Arm(f"{which}-{fraction:g}-{distortion}{level:g}-{pairing}", settings))
    return Space(
        name="filter-grid",
        base=TrialConfig(
            model=ModelSettings(name="resnet-8", width=16),
            pretrain=TrainingSettings(epochs=epochs),
            finetune=FinetuneSettings(
                training=TrainingSettings(epochs=max(1, epochs // 2), learning_rate=1e-3, schedule="constant")
            ),
        ),
        arms=tuple(arms),
        n_seeds=1,
    )


def prepare_sweep(space: Space, home: Path, study: str, slots: int) -> Prepared:
    """Return a checked sweep of the whole space."""
    options = SweepOptions(
        space=space.name, home=home, study=study, n_trials=len(space.arms), pruner="none", slots=slots, gpus_per_slot=0
    )
    return prepare(options, space)


def run_sweep(prepared: Prepared) -> tuple[float, Results]:
    """Run a sweep; return its seconds and its trials."""
    log = prepared.options.home / f"{prepared.study_name}.txt"
    with log.open("w") as file:
        started = time.perf_counter()
        results = Sweep(prepared, Console(file=file, width=120)).run()
        seconds = time.perf_counter() - started
    if len(results.with_state("COMPLETE")) != prepared.planned.n_total:
        raise SystemExit(f"not every trial completed:\n{log.read_text()}")
    return seconds, results


def trial_plans(prepared: Prepared) -> Iterator[tuple[str, TrialConfig, list[StageSpec]]]:
    """Yield each trial's name, configuration and stages."""
    space = prepared.space
    for trial in prepared.planned.arms():
        config = space.config(trial.settings or {}, seed=trial.seed)
        yield trial.name, config, list(prepared.plan(config))


def whole_trial(config: dict[str, Any]) -> None:
    """Compute a whole trial in this process, as a plain Tune function does; or only report, if it is told to."""
    from ray import tune

    if config["empty"]:
        for epoch in range(config["n_reports"]):
            tune.report({"epoch": epoch, "probe_error": 0.5})
        return
    torch.set_num_threads(1)
    trial = TrialConfig.from_flat(config["settings"])
    info, device = info_from_json(config["data"]), torch.device("cpu")

    def report(spec: StageSpec, record: dict[str, Any]) -> None:
        tune.report({"epoch": record["epoch"], "probe_error": record["probe_error"]})

    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        get_data = data_getter(info, Store(config["images"]), device)  # read once for all: not what is compared
        chain = list(run_chain(plan_trial(trial, info), store, get_data, device=device, on_epoch=report))
        errors = chain[-1].artifact.json("errors")
        seconds = {made["key"]: float(made["seconds"]) for made in (outcome.artifact.manifest for outcome in chain)}
    record = {"name": config["name"], "errors": errors, "seconds": seconds}
    tune.report({"epoch": -1, "probe_error": 0.0, "record": json.dumps(record)})


def run_plain(prepared: Prepared, slots: int, home: Path, *, empty: bool) -> tuple[float, list[dict[str, Any]]]:
    """Run the trials by Ray Tune, each on its own.

    Returns:
        The seconds, and each trial's name, errors and {stage: seconds}.
    """
    started = time.perf_counter()
    import ray
    from ray import tune

    base = prepared.space.base
    common = {
        "empty": empty,
        "n_reports": base.pretrain.epochs + base.finetune.training.epochs,
        "data": info_to_json(prepared.info),
        "images": prepared.store.address,
    }
    trials = [{**common, "name": name, "settings": config.flat()} for name, config, _ in trial_plans(prepared)]
    ray.init(address="local", num_cpus=slots, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    try:
        grid = tune.Tuner(
            tune.with_resources(_with_given(whole_trial), {"cpu": 1}),
            param_space={"given": tune.grid_search(trials)},
            tune_config=tune.TuneConfig(reuse_actors=True, trial_dirname_creator=lambda trial: trial.trial_id),
            run_config=tune.RunConfig(name="empty" if empty else "plain", storage_path=str(home / "plain"), verbose=0),
        ).fit()
    finally:
        ray.shutdown()
    seconds = time.perf_counter() - started
    if grid.errors:
        raise SystemExit(f"a plain trial failed: {grid.errors[0]}")
    if empty:
        return seconds, []
    return seconds, [json.loads((grid[number].metrics or {})["record"]) for number in range(len(grid))]


def _with_given(function: Any) -> Any:
    """Return a Tune function whose whole configuration is one value of a grid."""

    def trainable(config: dict[str, Any]) -> None:
        function(config["given"])

    return trainable


def compare_errors(results: Results, plain: dict[str, Any]) -> None:
    """Make sure that both ways computed the same."""
    different = [trial.slot for trial in results.trials if trial.errors != plain[trial.slot]]
    if different:
        raise SystemExit(f"{len(different)} trials differ between the two ways, the first is {different[0]}")
    print(f"all {len(results.trials)} trials have the same errors both ways")


@dataclass(frozen=True)
class Work:
    """The recorded times of the stages.

    Attributes:
        n_wanted: stages of all trials.
        n_distinct: those that differ.
        whole_s: what all that are wanted would take.
        distinct_s: what the distinct ones took.
        alone_s: how long they take on the slots, each begun once its inputs are there, with nothing between them.
        alone_cpu_s: the same if each took no longer than its seconds of the processor.
        first: when the first began, in seconds since 1970.
        last: when the last ended.
    """

    n_wanted: int
    n_distinct: int
    whole_s: float
    distinct_s: float
    alone_s: float
    alone_cpu_s: float
    first: float
    last: float


def recorded_work(prepared: Prepared, n_slots: int) -> Work:
    """Return the work by what the store has of each stage."""
    manifests: dict[str, Any] = {}
    inputs: dict[str, list[str]] = {}
    chains: list[list[str]] = []
    for _, _, specs in trial_plans(prepared):
        for spec in specs:
            artifact = prepared.store.find(spec.key)
            if artifact is None:
                raise SystemExit(f"stage {spec.key} is not in the store")
            manifests[spec.key] = artifact.manifest
            inputs[spec.key] = list(spec.inputs.values())
        chains.append([spec.key for spec in specs])
    seconds = {key: float(manifest["seconds"]) for key, manifest in manifests.items()}
    cpu_seconds = {key: float(manifest["cpu_seconds"]) for key, manifest in manifests.items()}
    return Work(
        n_wanted=sum(map(len, chains)),
        n_distinct=len(seconds),
        whole_s=sum(seconds[key] for chain in chains for key in chain),
        distinct_s=sum(seconds.values()),
        alone_s=makespan(seconds, inputs, n_slots),
        alone_cpu_s=makespan(cpu_seconds, inputs, n_slots),
        first=min(float(manifest["started_at"]) for manifest in manifests.values()),
        last=max(float(manifest["finished_at"]) for manifest in manifests.values()),
    )


def makespan(seconds: Mapping[str, float], inputs: Mapping[str, Sequence[str]], n_slots: int) -> float:
    """Return how long stages take on some slots if a slot that is free begins the one with most work behind it.

    Args:
        seconds: {stage: what it takes}.
        inputs: {stage: those whose results it needs}.
        n_slots: how many run at once.
    """
    behind: dict[str, float] = {}
    for stage in reversed(list(_in_order(inputs))):
        followers = [other for other, needed in inputs.items() if stage in needed]
        behind[stage] = seconds[stage] + max((behind[other] for other in followers), default=0.0)
    ends: dict[str, float] = {}
    running: list[tuple[float, str]] = []
    now, waiting = 0.0, set(inputs)
    while waiting or running:
        ready = sorted((one for one in waiting if set(inputs[one]) <= set(ends)), key=lambda one: -behind[one])
        for stage in ready[: n_slots - len(running)]:
            waiting.remove(stage)
            heapq.heappush(running, (now + seconds[stage], stage))
        now, stage = heapq.heappop(running)
        ends[stage] = now
    return now


def _in_order(inputs: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yield stages, each after those that it needs."""
    done: set[str] = set()
    while len(done) < len(inputs):
        for stage in [one for one in inputs if one not in done and done.issuperset(inputs[one])]:
            done.add(stage)
            yield stage


if __name__ == "__main__":
    main()
