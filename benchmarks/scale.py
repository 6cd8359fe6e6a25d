"""How busy the engine keeps many slots: several Ray nodes on this machine, and stages that only wait.

The head offers no core, only ``trial_slot``, as in ray_cluster.yaml; every other node offers GPUs that do not exist,
which waiting stages do not miss. A trial is pretrain (shared by a few) → rank → finetune → evaluate; a stage waits 10 s
in the median, a tenth of them less than 2 s. Shown are the share of the slots' time in which a stage ran, after all
slots had been busy at once and until the last proposal was started; and what a stage worker takes in memory
(proportional set size; a worker without torch, see ``benchmarks.sleeping``).

The workers of the sweep import no torch, which those of stages that compute do: what that takes of a core is measured
beside it, and so how long the machine at hand would be about it.

Then the broker alone: how long a stage takes through its queue, from submitted to done, when it has seen few stages and
when it has seen thousands.

What was measured is in docs/performance.md. With 1,000 trials, measured before: a stage takes 0.5 ms through the
broker's queue when it has seen few, 0.6 ms after 9,000.

What limits beyond, on paper: the driver, which handles one event of Tune at a time and, by its 0.12 s a trial, ends
some eight trials a second; SQLite, for studies that several machines look at. More slots than a few hundred want stages
that take minutes, as they do on GPUs.

Run: python -m benchmarks.scale [--nodes 4] [--slots-per-node 16] [--trials 1000] [--bucket-ms 10]
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: idle threads must not spin beside the workers

from rich.console import Console

from benchmarks.machine import CpuMeter, descendants_cpu_s, describe_machine
from benchmarks.sleeping import SleepingWorker
from benchmarks.store import served
from engine.orchestration.cluster.lookout import Lookout
from engine.orchestration.cluster.shared_names import TRIAL_SEAT
from engine.orchestration.cluster.stage_queue import StageQueue
from engine.orchestration.options import SweepOptions
from engine.orchestration.preparation import Prepared, prepare
from engine.orchestration.sweep import Sweep
from engine.report.results import Results
from engine.settings import DataSettings, DistortionSettings, FinetuneSettings, TrialConfig
from engine.spaces import Choice, Float, Space
from engine.stages import TrialPlan
from engine.stages.spec import StageSpec
from engine.store import Store

N_GROUPS = 256
SPACE = Space(
    name="scale",
    base=TrialConfig(
        data=DataSettings(n_train=20, n_validation=20, n_test=20),
        distortion=DistortionSettings(n_images=10),
        finetune=FinetuneSettings(which="random"),
    ),
    axes=(
        Choice("pretrain.learning_rate", tuple((1 + number) / 1e4 for number in range(N_GROUPS))),
        Float("finetune.training.learning_rate", 1e-4, 1e-2, log=True),
    ),
    n_seeds=1,
)


WORKER_MODULES = (
    "ray",
    "torch",
    "engine.heap",
    "engine.stages",
    "engine.store",
    "engine.orchestration.cluster.stage_worker",
    "engine.orchestration.cluster.worker_device",
)
"""What a stage worker imports until it is ready."""
OWN_STAGES = ("rank", "finetune", "evaluate")


class SleepingSweep(Prepared):
    """A prepared sweep whose trials wait instead of computing: pretrain → rank → finetune → evaluate.

    A pretraining is shared by the trials of a group (a learning rate), the other stages are a trial's own.
    """

    median_s = 10.0

    @classmethod
    def of(cls, prepared: Prepared, *, median_s: float) -> SleepingSweep:
        """Return the sleeping form of a sweep.

        Args:
            prepared: the sweep.
            median_s: the stages' median length.
        """
        sweep = cls(**{field.name: getattr(prepared, field.name) for field in fields(Prepared)})
        object.__setattr__(sweep, "median_s", median_s)
        return sweep

    def plan(self, config: TrialConfig, *, device: str = "cpu") -> TrialPlan:
        """Return the group's stage and the trial's own ones."""
        stages = [self._spec("pretrain", {"group": config.pretrain.learning_rate}, {})]
        for name in OWN_STAGES:
            stages.append(self._spec(name, {"trial": config.digest}, {"before": stages[-1].key}))
        return TrialPlan(config, tuple(stages))

    def _spec(self, stage: str, settings: dict[str, Any], inputs: dict[str, str]) -> StageSpec:
        numerics = {"device": "cpu"}
        without = StageSpec(stage, 1, settings, inputs, self.info.key, None, numerics)
        seconds = stage_seconds(int(without.key[:8], 16) / 16**8, self.median_s)
        return StageSpec(stage, 1, {**settings, "seconds": seconds}, inputs, self.info.key, None, numerics)


def stage_seconds(quantile: float, median_s: float) -> float:
    """Return a stage's length at a quantile in [0, 1): a tenth under a fifth of the median, none over twice it."""
    if quantile < 0.1:
        return median_s * (0.05 + 1.5 * quantile)
    return median_s * (0.2 + 2 * (quantile - 0.1))


class SleepingRun(Sweep):
    """A sweep with workers that only wait."""

    worker = SleepingWorker

    def _winner_network(self, results: Results) -> tuple[None, str]:
        return None, "a stage that only waits makes no network"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, default=4, help="Ray nodes beside the head")
    parser.add_argument("--slots-per-node", type=int, default=16)
    parser.add_argument("--trials", type=int, default=1000, help="0 for the broker alone")
    parser.add_argument("--seconds", type=float, default=10.0, help="of a stage, in the median")
    parser.add_argument("--in-flight", type=int, help="trials open at once; the engine's own choice if not given")
    parser.add_argument("--bucket-ms", type=float, help="a store in a bucket, each request of which waits so long")
    parser.add_argument("--stages", type=int, default=10_000, help="through the broker's queue; 0 to leave that out")
    options = parser.parse_args()
    print(describe_machine(), flush=True)
    if options.trials:
        with nullcontext() if options.bucket_ms is None else served(options.bucket_ms) as store:
            measure_sweep(options, store)
        tell_start(options.nodes * options.slots_per_node)
    if options.stages:
        asyncio.run(measure_queue(options.stages))
    print(describe_machine())


def measure_sweep(options: argparse.Namespace, store: str | None) -> None:
    """Run a sweep of sleeping trials, with a store in a place, and print how busy its slots were."""
    n_slots = options.nodes * options.slots_per_node
    with tempfile.TemporaryDirectory(prefix="robustune-scale-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        address, stop = start_cluster(options.nodes, options.slots_per_node)
        try:
            sweep_options = SweepOptions(
                space=SPACE.name,
                home=home,
                n_trials=options.trials,
                sampler="random",
                pruner="none",
                slots=n_slots,
                gpus_per_slot=1,
                ray_address=address,
                trials_in_flight=options.in_flight,
                store=None if store is None else Path(store),
            )
            prepared = SleepingSweep.of(prepare(sweep_options, SPACE), median_s=options.seconds)
            memory = MemoryWatch()
            started = time.perf_counter()
            with (home / "sweep.txt").open("w") as file, memory, CpuMeter() as meter:
                results = SleepingRun(prepared, Console(file=file, width=120)).run()
            seconds = time.perf_counter() - started
        finally:
            stop()
        failed = [str(trial.reason) for trial in results.trials if trial.state != "COMPLETE"]
        if failed or len(results.trials) != prepared.planned.n_total:
            raise SystemExit(f"not every trial completed: {failed[:1]}\n{(home / 'sweep.txt').read_text()}")
        last_start = max(trial.started_at or 0.0 for trial in results.trials if not trial.group)
        spans = stage_spans(prepared.store)
    print(
        f"{options.trials} trials of {len(spans)} stages on {n_slots} slots of {options.nodes} nodes in "
        f"{seconds:.0f} s; processor {meter.driver_s / options.trials:.3f} s a trial in the driver, "
        f"{meter.all_s / options.trials:.3f} s in all processes but Ray's own"
    )
    first, last = min(start for start, _ in spans), max(end for _, end in spans)
    full = when_full(spans, n_slots)
    lengths = sorted(end - start for start, end in spans)
    print(
        f"a stage took {statistics.median(lengths):.1f} s in the median, "
        f"{sum(length < options.seconds / 5 for length in lengths) / len(lengths):.0%} of them less than "
        f"{options.seconds / 5:g} s"
    )
    print(
        f"slots busy for {busy_share(spans, first, last, n_slots):.1%} of {last - first:.0f} s, start and end included"
    )
    if full is None:
        print(f"at most {most_at_once(spans)} slots were busy at once: too few trials to measure more")
    else:
        print(
            f"slots busy for {busy_share(spans, full, last_start, n_slots):.1%} of {last_start - full:.0f} s, from all "
            f"being busy ({full - first:.0f} s after the first) to the last proposal's start (target: 95 %)"
        )
    for name, sizes in memory.peak_mb.items():
        print(f"memory of {name}: {statistics.median(sizes):.0f} MB each (median of {len(sizes)})")


def tell_start(n_slots: int) -> None:
    """Print what as many workers as there are slots take of the machine before their first stage, if stages compute."""
    taken = []
    for _ in range(4):
        before = os.times()
        subprocess.run([sys.executable, "-c", f"import {', '.join(WORKER_MODULES)}"], check=True)
        after = os.times()
        taken.append(after.children_user + after.children_system - before.children_user - before.children_system)
    imports_s, n_cores = statistics.median(taken[1:]), len(os.sched_getaffinity(0))
    print(
        f"a worker that computes takes {imports_s:.1f} s of a core to import what it needs: {n_slots} of them take "
        f"{n_cores} cores {n_slots * imports_s / n_cores:.0f} s at least"
    )


async def measure_queue(n_stages: int) -> None:
    """Print how long stages take through the broker's queue, for the first and the last of many."""
    queue = StageQueue(Lookout(lambda key: None))
    for number in range(64):
        queue.add_worker(f"worker-{number}", _Instant())
    times = []
    for number in range(n_stages):
        spec = {
            "stage": "evaluate",
            "version": 1,
            "settings": {"trial": number},
            "inputs": {},
            "data": "data",
            "seed": None,
            "numerics": {},
        }
        started = time.perf_counter()
        await queue.submit(f"trial-{number}", spec, 0)
        key = StageSpec.from_json(spec).key
        state = "waiting"
        while state != "done":
            told = await queue.follow(key, 0, 10.0)
            state = told["state"]
            if state == "failed":
                raise SystemExit(f"a stage that takes no time failed: {told['reason']}")
        times.append(time.perf_counter() - started)
        queue.release(f"trial-{number}")
    tenth = max(1, n_stages // 10)
    print(
        f"a stage through the broker's queue: {1e3 * statistics.median(times[:tenth]):.2f} ms in the first "
        f"{tenth}, {1e3 * statistics.median(times[-tenth:]):.2f} ms in the last {tenth} of {n_stages} (medians; worst "
        f"{1e3 * max(times):.0f} ms)"
    )


class _Instant:
    """A worker whose stages take no time."""

    async def run(self, spec: Mapping[str, Any], **_: Any) -> dict[str, Any]:
        return {"state": "done", "seconds": 0.0}

    async def lost_its_node(self) -> bool:
        return False

    def kill(self) -> None:
        return


def start_cluster(n_nodes: int, n_gpus: int) -> tuple[str, Callable[[], None]]:
    """Start a head without cores and nodes with GPUs that do not exist; return the address and what ends all."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "resources": {TRIAL_SEAT: 512}, "include_dashboard": False},
    )
    for _ in range(n_nodes):
        cluster.add_node(num_cpus=n_gpus, num_gpus=n_gpus)
    cluster.wait_for_nodes()
    return cluster.address, cluster.shutdown


def stage_spans(store: Store) -> list[tuple[float, float]]:
    """Return when each stage ran, in seconds since the epoch."""
    manifests = [artifact.manifest for key in store.keys() if (artifact := store.find(key))]  # noqa: SIM118
    return [
        (manifest["started_at"], manifest["started_at"] + manifest["seconds"])
        for manifest in manifests
        if "started_at" in manifest
    ]


def when_full(spans: list[tuple[float, float]], n_slots: int) -> float | None:
    """Return when all slots were busy at once for the first time, or None."""
    running = 0
    for moment, change in _changes(spans):
        running += change
        if running >= n_slots:
            return moment
    return None


def most_at_once(spans: list[tuple[float, float]]) -> int:
    """Return how many stages ran at once at most."""
    return max(itertools.accumulate(change for _, change in _changes(spans)))


def _changes(spans: list[tuple[float, float]]) -> list[tuple[float, int]]:
    return sorted([(start, 1) for start, _ in spans] + [(end, -1) for _, end in spans])


def busy_share(spans: list[tuple[float, float]], begin: float, end: float, n_slots: int) -> float:
    """Return the share of the slots' time between two moments in which stages ran."""
    busy = sum(max(0.0, min(stop, end) - max(start, begin)) for start, stop in spans)
    return busy / (n_slots * (end - begin))


class MemoryWatch:
    """Notes the memory of Ray's processes by their titles, when there are most of them.

    Attributes:
        peak_mb: {title: megabytes of each process}.
    """

    def __enter__(self) -> MemoryWatch:
        self.peak_mb: dict[str, list[float]] = {}
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._closed.wait(2.0):
            for name, sizes in ray_processes_mb().items():
                if len(sizes) >= len(self.peak_mb.get(name, ())):
                    self.peak_mb[name] = sizes


def ray_processes_mb() -> dict[str, list[float]]:
    """Return the proportional set sizes of the stage workers that this process started."""
    titles = {"ray::SleepingWorker": "a stage worker"}
    found = defaultdict(list)
    for process in descendants_cpu_s():
        folder = Path("/proc") / str(process)
        with suppress(OSError):
            title = (folder / "cmdline").read_text().split("\0")[0]
            for start, name in titles.items():
                if title.startswith(start):
                    lines = (folder / "smaps_rollup").read_text().splitlines()
                    found[name].append(next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024)
    return found


if __name__ == "__main__":
    main()
