"""What a sweep takes before its first stage and after its last one, beside the least that its libraries take.

The least is a bare script, in the same run: it imports torch and Ray Tune, starts Ray, and runs one task that imports
torch. The sweep is three short trials of a small network, run as a person would, by its command; what of it lies before
the first stage and after the last one follows from the times in its store. Both are run in turns, and the least and the
median of each are shown, with the processor's seconds of all their processes: other work on the machine makes both
slower, and the ratio of the seconds of the processor less so. What the libraries alone take of both, each in a process
of its own, is shown beside.

Run: python -m benchmarks.startup [--rounds 3]
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import describe_machine
from engine.store import Store

BARE = """
import time
import torch
from ray import tune
import logging, ray
ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)

@ray.remote
def task():
    import time, torch
    began = time.time()
    torch.zeros(10).sum().item()
    return began

print("began", ray.get(task.remote()))
ray.shutdown()
"""
SWEEP = [
    *("--n-trials", "3", "--sampler", "random", "--pruner", "none", "--gpus-per-slot", "0"),
    *("--set", "data.n_train=64", "data.n_validation=40", "data.n_test=40", "model.name=resnet-8"),
    *("pretrain.epochs=2", "finetune.training.epochs=1", "distortion.n_images=20"),
]
PARTS = {
    "torch, imported": "import torch",
    "Ray Tune, imported": "from ray import tune",
    "Ray, started and ended": """
import logging, ray
ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
ray.shutdown()
""",
    "Optuna, imported, and a study in a new file": """
import optuna, sys
optuna.create_study(storage=f"sqlite:///{sys.argv[1]}/optuna.db")
""",
    "MLflow, imported, and its tables in a new file": """
import sys
from mlflow import MlflowClient
MlflowClient(f"sqlite:///{sys.argv[1]}/mlflow.db").search_experiments()
""",
    "what the engine imports for a sweep": "import pipelines.sweep, engine.orchestration.sweep",
    "the same, and all checks before a sweep (--dry-run)": """
import sys
from pipelines.sweep import command_line
command_line(["--dry-run", "--home", *sys.argv[1:]])
""",
}
"""{what is measured alone: the program}; each is given a new folder, and the sweep's options."""
TARGET_BEFORE = 1.25
TARGET_AFTER_S = 3.0


@dataclass(frozen=True)
class Run:
    """Where the seconds of a command went: before its first work, after its last, and the processor's of all of it."""

    before_s: float
    after_s: float
    cpu_s: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(describe_machine(), flush=True)
    bare, sweeps = [], []
    parts: dict[str, list[tuple[float, float]]] = {name: [] for name in PARTS}
    for _ in range(options.rounds):
        bare.append(run_bare())
        sweeps.append(run_sweep())
        print(f"bare {bare[-1]}, sweep {sweeps[-1]}", flush=True)
        for name, program in PARTS.items():
            parts[name].append(run_part(program))
    print(describe_machine())
    for name, of in (("median", statistics.median), ("least", min)):
        least, ours = of(run.before_s for run in bare), of(run.before_s for run in sweeps)
        print(
            f"{name}: first stage after {ours:.1f} s, the bare script's task after {least:.1f} s: {ours / least:.2f} "
            f"(target: {TARGET_BEFORE}); last stage to the prompt {of(run.after_s for run in sweeps):.1f} s (target: "
            f"{TARGET_AFTER_S:g} s); processor {of(run.cpu_s for run in sweeps):.1f} s, the bare script's "
            f"{of(run.cpu_s for run in bare):.1f} s"
        )

    for name, runs in parts.items():
        passed_s, used_s = (statistics.median(values) for values in zip(*runs, strict=True))
        print(
            f"{name}: {passed_s:.1f} s, of the processor {used_s:.1f} s (medians, Python's own start and end included)"
        )


def run_part(program: str) -> tuple[float, float]:
    """Run a program by itself; return the seconds that passed, and those of the processor."""
    with tempfile.TemporaryDirectory(prefix="robustune-startup-", ignore_cleanup_errors=True) as folder:
        started, before = time.perf_counter(), children_cpu_s()
        subprocess.run([sys.executable, "-c", program, folder, *SWEEP], check=True, capture_output=True)
        return time.perf_counter() - started, children_cpu_s() - before


def run_bare() -> Run:
    """Run the bare script."""
    started, before = time.time(), children_cpu_s()
    done = subprocess.run([sys.executable, "-c", BARE], check=False, capture_output=True, text=True)
    ended = time.time()
    if done.returncode:
        raise SystemExit(f"the bare script ended with code {done.returncode}:\n{done.stdout}\n{done.stderr}")
    began = float(done.stdout.rpartition("began")[2])
    return Run(round(began - started, 2), round(ended - began, 2), round(children_cpu_s() - before, 2))


def run_sweep() -> Run:
    """Run the sweep's command in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="robustune-startup-", ignore_cleanup_errors=True) as folder:
        command = [sys.executable, "-m", "pipelines.sweep", "--home", folder, *SWEEP]
        started, before = time.time(), children_cpu_s()
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        ended, used_s = time.time(), children_cpu_s() - before
        if done.returncode:
            raise SystemExit(f"the sweep ended with code {done.returncode}:\n{done.stdout}\n{done.stderr}")
        first, last = span_of_stages(Path(folder) / "store")
        return Run(round(first - started, 2), round(ended - last, 2), round(used_s, 2))


def span_of_stages(folder: Path) -> tuple[float, float]:
    """Return when the first stage of a store began and its last one ended."""
    store = Store(folder)
    manifests = [artifact.manifest for key in store.keys() if (artifact := store.find(key))]  # noqa: SIM118
    timed = [manifest for manifest in manifests if "started_at" in manifest]
    return (
        min(manifest["started_at"] for manifest in timed),
        max(manifest["started_at"] + manifest["seconds"] for manifest in timed),
    )


def children_cpu_s() -> float:
    """Return the processor's seconds of all children that have ended, and of theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    main()
