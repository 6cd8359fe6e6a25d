"""What computing shared stages once saves: the filter paper's grid, by this engine and by Ray Tune trial by trial.

The grid is which × fraction × distortion × pairing of selective fine-tuning, 48 configurations of one pretraining and
eight rankings, on digits. The alternative, in the same run, is Ray Tune with a function that computes its whole trial,
as many at once as there are slots, worker processes reused, and each makes the corrupted images that it is tested on,
which the engine's workers make once for all. The ideal follows from the recorded times of the stages:
the work of the distinct ones over that of all trials; how near two or more slots can come to it is bounded by the
longest chain, which is shown too. Both sides are shown with and without what they take around no work (the sweep once
more over its full store; a function that only reports), and the trials' errors are compared: they must be the same.

Measured with 16 epochs on two cores: 48 trials, 192 stages, 105 of them distinct; 747 s of work by the times of the
shared stages, 246 s of it distinct (623 s when every trial ran its own: shared stages are slower, since driver and
trials run beside them). 151.5 s against Ray Tune's 332.2 s, 2.2 times as fast; without what both take around no work
(48.2 s and 13.7 s) 103 s against 319 s, 3.1 times: a ratio of 0.324, where the ideal by recorded work is 0.329 (102 %
of it). Most of the 48.2 s went into figures of rankings, which have become some 25 times faster since. The errors of
all trials are the same both ways. Hippo, which shares equal beginnings of trainings (Shin et al. 2020), reports 2.76
times less time and 4.81 times fewer GPU-hours, for other networks and spaces.

Run: python -m benchmarks.sharing [--trials 12] [--epochs 16]
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import os
import tempfile
import time
from collections.abc import Iterator
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
            with CpuMeter() as meter:
                ours_s, results = run_sweep(shared)
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
        f"{work.whole_s:.0f} s of work, {work.distinct_s:.0f} s of it distinct, longest chain {work.chain_s:.0f} s"
    )
    plain_work_s = sum(record["seconds"] for record in records)
    print(f"the same stages took {plain_work_s:.0f} s in all when every trial ran its own")
    print(f"robustune {ours_s:.1f} s ({empty_s:.1f} s of it with nothing to compute)")
    print(
        f"{options.slots} cores had {options.slots * ours_s:.0f} s, and robustune took {meter.all_s:.0f} s of them: "
        f"stages ran for {work.distinct_s:.0f} s, and the driver took {meter.driver_s:.0f} s"
    )
    print(f"Ray Tune, trial by trial {plain_s:.1f} s ({plain_empty_s:.1f} s of it with nothing to compute)")
    ratios = {"as measured": ours_s / plain_s, "net of the empty runs": (ours_s - empty_s) / (plain_s - plain_empty_s)}
    for name, ratio in ratios.items():
        print(
            f"{name}: ours/plain {ratio:.3f}; the ideal is {ideal:.3f} by work ({ideal / ratio:.0%} of it reached), "
            f"{work.bound:.3f} with the longest chain ({work.bound / ratio:.0%})"
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
        seconds = sum(outcome.artifact.manifest["seconds"] for outcome in chain)
    record = {"name": config["name"], "errors": errors, "seconds": seconds}
    tune.report({"epoch": -1, "probe_error": 0.0, "record": json.dumps(record)})


def run_plain(prepared: Prepared, slots: int, home: Path, *, empty: bool) -> tuple[float, list[dict[str, Any]]]:
    """Run the trials by Ray Tune, each on its own; return the seconds and each trial's name, errors and work."""
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
    """The recorded times of the stages, added up."""

    n_wanted: int
    n_distinct: int
    whole_s: float
    distinct_s: float
    chain_s: float
    n_slots: int

    @property
    def bound(self) -> float:
        """Return the least ratio that the slots allow: no run ends before its longest chain does."""
        ours = max(self.distinct_s / self.n_slots, self.chain_s)
        return ours / max(self.whole_s / self.n_slots, self.chain_s)


def recorded_work(prepared: Prepared, n_slots: int) -> Work:
    """Return the work by the seconds that the store has of each stage."""
    seconds: dict[str, float] = {}
    chains = []
    for _, _, specs in trial_plans(prepared):
        for spec in specs:
            artifact = prepared.store.find(spec.key)
            if artifact is None:
                raise SystemExit(f"stage {spec.key} is not in the store")
            seconds[spec.key] = float(artifact.manifest["seconds"])
        chains.append([seconds[spec.key] for spec in specs])
    return Work(
        n_wanted=sum(map(len, chains)),
        n_distinct=len(seconds),
        whole_s=sum(map(sum, chains)),
        distinct_s=sum(seconds.values()),
        chain_s=max(map(sum, chains)),
        n_slots=n_slots,
    )


if __name__ == "__main__":
    main()
