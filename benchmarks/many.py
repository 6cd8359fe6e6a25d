"""How many trials get done when several slots share a device, beside one slot that has it to itself.

    python -m benchmarks.many [--slots 1 2] [--trials 8] [--rounds 1] [--bare]   # on cores: a slot has one
    python -m benchmarks.many --slots 1 4 --mps [--capture-steps]          # on a GPU: a slot has a share of it
    python -m benchmarks.many --smoke                                      # as small as can be

Each way is a sweep of its own, over a store of its own, of the same trials, which share no stage (each has another
seed). What is compared is the work: the seconds from the beginning of the first stage to the end of the last, as the
artifacts say them, and so with all that driver and tracking take of the machine meanwhile, but without a sweep's start
and its end, which ``benchmarks.startup`` measures. How far the slots are from being as many machines, the seconds of
the single stages show: they take longer than alone. That all ways come to the same errors is checked on CPUs.

With ``--bare`` the same trials are computed by as many bare processes, too, each of which takes its share of them, one
after the other, and shares nothing: no driver, no Ray, no tracking. What several of them get done, beside one, is what
the machine allows: its cores have caches and memory in common.

With ``--mps`` more than one slot is run twice, with NVIDIA's multi-process service and without it. What does not fit
into four minutes any more is left out, and said.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: idle threads must not spin beside the workers

import torch
from rich.console import Console

from benchmarks.machine import describe_machine, own_sets
from benchmarks.processes import Processes
from engine.heap import keep_freed_memory
from engine.orchestration.options import SweepOptions
from engine.orchestration.preparation import prepare
from engine.orchestration.search.planned_trials import PlannedTrials
from engine.orchestration.sweep import Sweep
from engine.settings import TrialConfig
from engine.spaces import Arm, Space
from engine.stages import data_getter, plan_trial, prepare_data, run_chain
from engine.store import Store, open_store

BUDGET_S = 230.0
_SMALL = {
    "data.n_train": 64,
    "data.n_validation": 40,
    "data.n_test": 40,
    "model.name": "resnet-8",
    "model.width": 8,
    "evaluate.severities": (3,),
    "evaluate.corruptions": ("contrast",),
}


@dataclass(frozen=True)
class Way:
    """How a device is shared: by how many slots (or bare processes), and whether through MPS."""

    n_slots: int
    mps: bool = False
    is_bare: bool = False

    def __str__(self) -> str:
        if self.is_bare:
            return f"{self.n_slots} bare process{'es' * (self.n_slots != 1)}"
        return f"{self.n_slots} slot{'s' * (self.n_slots != 1)}{', MPS' * self.mps}"


@dataclass(frozen=True)
class Work:
    """What some trials took.

    Attributes:
        span_s: from the beginning of the first stage to the end of the last.
        stages_s: the stages' own seconds, added up.
        whole_s: of the whole sweep.
        errors: {trial: its errors}.
    """

    span_s: float
    stages_s: float
    whole_s: float
    errors: dict[str, Any] = field(repr=False)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print what each way takes, and how many times as much gets done as by one slot."""
    options = _parsed(arguments)
    on_gpu = torch.cuda.is_available() and not options.smoke
    print(f"{describe_machine()}, torch {torch.__version__}{_card() if on_gpu else ''}", flush=True)
    space = space_of(options.trials, options.epochs, small=options.smoke)
    began = time.perf_counter()
    found: dict[Way, list[Work]] = {way: [] for way in ways_of(options.slots, mps=options.mps, bare=options.bare)}
    for number in range(options.rounds):
        for way, works in found.items():
            longest_s = max((work.whole_s for all_ in found.values() for work in all_), default=0.0)
            if time.perf_counter() - began + longest_s > options.budget:
                print(f"{way}: left out of round {number + 1}, {options.budget:g} s would be over", flush=True)
                continue
            works.append(run_bare(space, way) if way.is_bare else run(space, way, options, on_gpu=on_gpu))
            print(f"{way}: {works[-1]}", flush=True)
    print(describe_machine())
    if not on_gpu:
        check_equal([work for works in found.values() for work in works])
    for line in summary({way: works for way, works in found.items() if works}, options.trials):
        print(line)


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slots", type=int, nargs="+", default=[1, 2], help="slots that share the device")
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=8, help="of a trial's training")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--mps", action="store_true", help="on a GPU, run several slots through MPS, too")
    parser.add_argument("--bare", action="store_true", help="on cores, by as many bare processes, too")
    parser.add_argument("--capture-steps", action="store_true", help="of the sweeps, on a GPU")
    parser.add_argument("--precision", default="fp32", help="of the sweeps")
    parser.add_argument("--budget", type=float, default=BUDGET_S, help="seconds that all of it may take")
    parser.add_argument("--smoke", action="store_true", help="on cores, two small trials")
    options = parser.parse_args(arguments)
    if options.smoke:
        options.trials, options.epochs = 2, 1
    if options.bare and max(options.slots) > options.trials:
        parser.error(f"--bare shares {options.trials} trials among {max(options.slots)} processes: each needs one")
    return options


def _card() -> str:
    return f", CUDA {torch.version.cuda}, {torch.cuda.get_device_name()}"


def ways_of(slots: Sequence[int], *, mps: bool, bare: bool = False) -> list[Way]:
    """Return the ways to be compared: each number of slots, those of several through MPS, and bare processes."""
    ways = [Way(n, by) for n in slots for by in ((False, True) if mps and n > 1 else (False,))]
    return ways + [Way(n, is_bare=True) for n in slots if bare]


def space_of(n_trials: int, epochs: int, *, small: bool) -> Space:
    """Return a space of one arm on as many seeds as there are to be trials: a training, and its evaluation."""
    settings = {"pretrain.epochs": epochs, "finetune.which": "none", **(_SMALL if small else {})}
    return Space("many", base=TrialConfig().with_settings(settings), arms=(Arm("alone", {}),), n_seeds=n_trials)


def run(space: Space, way: Way, options: argparse.Namespace, *, on_gpu: bool) -> Work:
    """Run the trials in a sweep of their own; return what they took."""
    with tempfile.TemporaryDirectory(prefix="robustune-many-") as folder, own_sets(Path(folder) / "cache"):
        sweep = SweepOptions(
            space=space.name,
            home=Path(folder),
            n_trials=space.n_seeds,
            pruner="none",
            slots=way.n_slots,
            gpus_per_slot=1 / way.n_slots if on_gpu else 0,
            mps=way.mps,
            capture_steps=options.capture_steps and on_gpu,
            precision=options.precision,
        )
        log = Path(folder) / "log.txt"
        started = time.perf_counter()
        with log.open("w") as file:
            results = Sweep(prepare(sweep, space), Console(file=file, width=120)).run()
        whole_s = time.perf_counter() - started
        if len(results.with_state("COMPLETE")) != space.n_seeds:
            raise SystemExit(f"not every trial completed:\n{log.read_text()}")
        spans = list(stages_of(open_store(Path(folder) / "store")))
    return _work(spans, whole_s, {trial.slot: trial.errors for trial in results.trials})


def run_bare(space: Space, way: Way) -> Work:
    """Compute the trials by bare processes, each its share of them; return what they took."""
    trials = list(PlannedTrials(space, space.n_seeds, 0).arms())
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="robustune-many-") as folder, own_sets(Path(folder) / "cache"):
        shares = [
            [(one.name, space.config(one.settings or {}, seed=one.seed)) for one in trials[number :: way.n_slots]]
            for number in range(way.n_slots)
        ]
        given = [(share, Path(folder) / str(number)) for number, share in enumerate(shares)]
        with Processes(_compute, given, limit_s=BUDGET_S) as processes:
            processes.hear()
            processes.tell("all are ready")
            errors = dict(pair for told in processes.hear() for pair in told)
        whole_s = time.perf_counter() - started
        stores = [open_store(Path(folder) / str(number)) for number in range(way.n_slots)]
        return _work([span for store in stores for span in stages_of(store)], whole_s, errors)


def _compute(end: Connection, share: Sequence[tuple[str, TrialConfig]], folder: Path) -> None:
    """Compute some trials in a store of this process's own, once the other processes are ready, and tell the errors."""
    keep_freed_memory()
    torch.set_num_threads(1)
    store, device = open_store(folder), torch.device("cpu")
    info, _ = prepare_data(share[0][1].data, store)
    get_data = data_getter(info, store, device)
    plans = [(slot, plan_trial(config, info)) for slot, config in share]
    get_data(info.key)
    end.send("ready")
    end.recv()
    chains = [(slot, list(run_chain(plan, store, get_data, device=device))) for slot, plan in plans]
    end.send([(slot, chain[-1].artifact.json("errors")) for slot, chain in chains])


def _work(spans: Sequence[tuple[float, float]], whole_s: float, errors: dict[str, Any]) -> Work:
    return Work(
        span_s=max(end for _, end in spans) - min(begin for begin, _ in spans),
        stages_s=sum(end - begin for begin, end in spans),
        whole_s=whole_s,
        errors=errors,
    )


def stages_of(store: Store) -> Iterator[tuple[float, float]]:
    """Yield when each stage of a store began and ended, in seconds of one clock."""
    for stored in store.inventory():
        if stored.artifact is not None and stored.artifact.manifest["spec"].get("stage") != "data":
            begin = float(stored.artifact.manifest["started_at"])
            yield begin, begin + float(stored.artifact.manifest["seconds"])


def check_equal(works: Sequence[Work]) -> None:
    """Check that all ways came to the same errors.

    Raises:
        SystemExit: they did not.
    """
    for work in works[1:]:
        if work.errors != works[0].errors:
            raise SystemExit("the ways came to other errors")
    print("all ways came to the same errors")


def summary(found: dict[Way, list[Work]], n_trials: int) -> Iterator[str]:
    """Yield what each way takes, by its medians, and what gets done by it, beside the first one of its kind, in the
    same time.
    """
    first_s: dict[bool, float] = {}
    yield f"{'medians of ' + str(max(map(len, found.values()))):16}{'s':>8}{'trials/h':>10}{'times':>7}{'stage s':>9}"
    for way, works in found.items():
        span_s = statistics.median(work.span_s for work in works)
        stage_s = statistics.median(work.stages_s for work in works) / n_trials
        times = first_s.setdefault(way.is_bare, span_s) / span_s
        yield f"{way!s:16}{span_s:8.1f}{3600 * n_trials / span_s:10.0f}{times:7.2f}{stage_s:9.2f}"


if __name__ == "__main__":
    main()
