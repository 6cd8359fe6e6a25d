"""How busy the engine keeps many slots: several Ray nodes on this machine, and stages that only sleep.

The head offers no core, only ``trial_slot``, as in ray_cluster.yaml; every other node offers cores that do not exist,
which sleeping stages do not miss. Shown are the share of the slots' time in which a stage ran, from the first stage's
start to the last one's end, and what an open trial and an idle stage worker cost in memory (proportional set size).

Measured so far on two busy cores, for 12 trials on 2 × 2 slots only: an open trial 118 MB, a stage worker 376 MB.

Run: python -m benchmarks.scale [--nodes 4] [--slots-per-node 8] [--trials 200]
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: idle threads must not spin beside the workers

from rich.console import Console

from benchmarks.machine import descendants_cpu_s, describe_machine
from benchmarks.sleeping import SleepingSweep
from engine.orchestration.cluster.names import TRIAL_SLOT
from engine.orchestration.options import SweepOptions
from engine.orchestration.sweep import Sweep, prepare
from engine.settings import DataSettings, TrialConfig
from engine.spaces import Choice, Float, Space
from engine.stages import Store

SPACE = Space(
    name="scale",
    base=TrialConfig(data=DataSettings(n_train=20, n_validation=20, n_test=20)),
    axes=(Choice("model.width", (2, 4, 8, 16)), Float("pretrain.learning_rate", 1e-4, 1e-2, log=True)),
    n_seeds=1,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, default=2, help="Ray nodes beside the head")
    parser.add_argument("--slots-per-node", type=int, default=4)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=4.0, help="of a stage")
    parser.add_argument("--in-flight", type=int, help="trials open at once; the engine's own choice if not given")
    options = parser.parse_args()
    print(describe_machine())
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
                gpus_per_slot=0,
                ray_address=address,
                trials_in_flight=options.in_flight,
                imports=("benchmarks.sleeping",),
            )
            prepared = SleepingSweep.of(prepare(sweep_options, SPACE), shared_s=options.seconds, own_s=options.seconds)
            memory = MemoryWatch()
            started = time.perf_counter()
            with (home / "sweep.txt").open("w") as file, memory:
                results = Sweep(prepared, Console(file=file, width=120)).run()
            seconds = time.perf_counter() - started
        finally:
            stop()
        failed = [trial.reason for trial in results.trials if trial.state != "COMPLETE"]
        if failed or len(results.trials) != prepared.agenda.n_total:
            raise SystemExit(f"not every trial completed: {failed[:1]}\n{(home / 'sweep.txt').read_text()}")
        busy, span = busy_seconds(prepared.store)
    print(f"{options.trials} trials on {n_slots} slots of {options.nodes} nodes in {seconds:.1f} s")
    print(f"slots busy for {busy / (n_slots * span):.0%} of {span:.1f} s, the first and the last stage's wait included")
    for name, sizes in memory.peak_mb.items():
        print(f"memory of {name}: {statistics.median(sizes):.0f} MB each (median of {len(sizes)})")


def start_cluster(n_nodes: int, n_cpus: int) -> tuple[str, Callable[[], None]]:
    """Start a head without cores and nodes with as many as they are told; return the address and what ends all."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "resources": {TRIAL_SLOT: 512}, "include_dashboard": False},
    )
    for _ in range(n_nodes):
        cluster.add_node(num_cpus=n_cpus)
    cluster.wait_for_nodes()
    return cluster.address, cluster.shutdown


def busy_seconds(store: Store) -> tuple[float, float]:
    """Return how long stages ran in all, and the time from the first one's start to the last one's end."""
    manifests = [artifact.manifest for key in store.keys() if (artifact := store.find(key))]  # noqa: SIM118
    ran = [manifest for manifest in manifests if "started_at" in manifest]
    begun, ended = min(one["started_at"] for one in ran), max(one["finished_at"] for one in ran)
    return sum(one["seconds"] for one in ran), ended - begun


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
    """Return the proportional set sizes of the trials and the stage workers that this process started."""
    titles = {"ray::ImplicitFunc": "an open trial", "ray::StageWorker": "a stage worker"}
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
