"""What a store in a bucket costs against one in a folder, in the same run.

The stages of the default sweep's arms, one after the other in this process, with each store in turns; single calls.
The bucket is an S3 server of Python's on loopback, in a process of its own, before which each request waits for some
milliseconds, as it does on its way to a service.

Measured on two cores that other work kept busy too (load 6), each request waiting for 10 ms: four stages of two arms
took 12.7 s with a folder and 12.4 s with a bucket, a ratio of 0.97 (the target is at most 1.15); of the processor 5.12
and 5.17 s, 1.01. A stage waits for 9.5 requests. A look-up takes 14.1 ms where there is an artifact and 14.0 ms where
there is none, a single request 12.7 ms. An epoch of 3 MB is kept in 3.4 ms, in a folder in 8.5 ms; its upload is not
waited for. With 20 ms a request, a single round of one arm's two stages at a load of 7.5 came to a ratio of 1.20, and
to one of 1.10 of the processor.

Run: python -m benchmarks.store [--latency-ms 10] [--arms 2] [--rounds 4]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch

import torch

from benchmarks.machine import describe_machine, timed
from engine.orchestration.options import SweepOptions
from engine.orchestration.preparation import Prepared, prepare
from engine.stages import data_getter, prepare_data, run_chain
from engine.store import Store, open_store
from engine.store.bucket import Bucket
from tests.s3 import VARIABLES

N_LOOKS = 200
N_EPOCHS = 20
ABSENT = "f" * 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--latency-ms", type=float, default=10.0, help="of each request")
    parser.add_argument("--arms", type=int, default=2, help="arms of the default sweep, on one seed")
    parser.add_argument("--rounds", type=int, default=4)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(describe_machine())
    with tempfile.TemporaryDirectory(prefix="robustune-store-") as folder, served(options.latency_ms) as address:
        os.environ["ROBUSTUNE_CACHE"] = f"{folder}/cache"
        prepared = prepare(SweepOptions(home=Path(folder), gpus_per_slot=0))
        compare_epochs(open_store(f"{address}/epochs"), open_store(f"{folder}/epochs"))
        compare_stages(prepared, address, options.arms, options.rounds)
        compare_looks(open_store(f"{address}/0"), prepared.store)
    print(describe_machine())


@contextmanager
def served(latency_ms: float) -> Iterator[str]:
    """Serve a bucket from another process; give the address of a store in it."""
    os.environ.update(VARIABLES)
    command = [sys.executable, "-m", "tests.s3", str(latency_ms)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    found = json.loads(process.stdout.readline())
    os.environ["AWS_ENDPOINT_URL"] = found["url"]
    print(f"each request waits for {latency_ms:g} ms")
    try:
        yield found["address"]
    finally:
        process.stdin.close()
        process.wait(10)


def compare_stages(prepared: Prepared, address: str, n_arms: int, n_rounds: int) -> None:
    """Print what the arms' stages take with either store: of each arm the shortest of some rounds, in turns.

    Other work on the machine makes rounds longer, none shorter.
    """
    folder = Path(prepared.store.address)
    arms = list({trial.name.split("/")[1]: trial for trial in prepared.planned.arms()}.values())[:n_arms]
    times: dict[tuple[str, str], list[float]] = defaultdict(list)
    of_cores: dict[tuple[str, str], list[float]] = defaultdict(list)
    n_stages = n_waits = 0
    for number in range(n_rounds):
        places = {"folder": str(folder.with_name(f"other-{number}")), "bucket": f"{address}/{number}"}
        stores = {kind: open_store(place) for kind, place in places.items()}
        for store in stores.values():
            prepare_data(prepared.space.base.data, store)
        for arm in arms:
            for kind in list(stores)[:: 1 if number % 2 else -1]:
                started, cores = time.perf_counter(), time.process_time()
                with waits_counted() as waits:
                    n_stages += run_arm(prepared, stores[kind], arm)
                n_waits += len(waits)
                times[kind, arm.name].append(time.perf_counter() - started)
                of_cores[kind, arm.name].append(time.process_time() - cores)
    totals, cpu = (
        {kind: sum(min(found[kind, arm.name]) for arm in arms) for kind in ("folder", "bucket")}
        for found in (times, of_cores)
    )
    print(f"a stage waits for {2 * n_waits / n_stages:.1f} requests; the others are made beside it")
    n_stages //= 2 * n_rounds
    print(
        f"{n_stages} stages of {n_arms} arms, the shortest of {n_rounds} rounds: {totals['folder']:.2f} s with a "
        f"folder, {totals['bucket']:.2f} s with a bucket; ratio {totals['bucket'] / totals['folder']:.3f} (target "
        f"1.15); of the processor {cpu['folder']:.2f} and {cpu['bucket']:.2f} s, "
        f"ratio {cpu['bucket'] / cpu['folder']:.3f}"
    )


@contextmanager
def waits_counted() -> Iterator[list[str]]:
    """Give what this thread asks a bucket for."""
    call, asked, own = Bucket._call, [], threading.current_thread()

    def noted(self: Bucket, doing: str, *rest: Any) -> Any:
        if threading.current_thread() is own:
            asked.append(doing)
        return call(self, doing, *rest)

    Bucket._call = noted  # type: ignore[method-assign]
    try:
        yield asked
    finally:
        Bucket._call = call  # type: ignore[method-assign]


def run_arm(prepared: Prepared, store: Store, arm: Any) -> int:
    """Run the stages of an arm's trial that the store lacks; return how many that were."""
    device = torch.device("cpu")
    plan = prepared.plan(prepared.space.config(arm.settings or {}, seed=arm.seed))
    get_data = data_getter(prepared.info, store, device)
    outcomes = run_chain(plan, store, get_data, device=device)
    return sum(not outcome.from_store for outcome in outcomes)


def compare_looks(bucket: Any, folder: Store) -> None:
    """Print what a look-up takes, beside a single request, and beside a folder's."""
    key = next(bucket.keys())
    there = next(folder.keys())
    request_s = median_s(lambda: bucket._bucket.get(f"artifacts/{key}.json"))
    times = {
        "one that is there": median_s(lambda: bucket.find(key)),
        "one that is not": median_s(lambda: bucket.find(ABSENT)),
    }
    said = ", ".join(f"{name} {1e3 * value:.1f} ms" for name, value in times.items())
    print(
        f"a look-up in the bucket: {said}; a single request takes {1e3 * request_s:.1f} ms (target: 20 ms more), a "
        f"look-up in a folder {1e3 * median_s(lambda: folder.find(there)):.2f} ms"
    )


def median_s(action: Callable[[], object]) -> float:
    """Return the seconds that a call takes in the median."""
    return statistics.median(timed(action) for _ in range(N_LOOKS))


def compare_epochs(bucket: Store, folder: Store) -> None:
    """Print what keeping an epoch takes, and when the last one has arrived in the bucket."""
    tensors = {"network": torch.rand(250_000), "optimizer": torch.rand(500_000)}

    def keep(store: Store) -> float:
        epochs = range(1, N_EPOCHS + 1)
        return statistics.median(
            timed(lambda: store.save_checkpoint(ABSENT, epoch, tensors, {"epoch": epoch, "history": []}))  # noqa: B023
            for epoch in epochs
        )

    in_bucket, in_folder = keep(bucket), keep(folder)
    arrived = timed(lambda: bucket.latest_checkpoint(ABSENT))
    print(
        f"an epoch of 3 MB is kept in {1e3 * in_bucket:.1f} ms with a bucket, {1e3 * in_folder:.1f} ms with a folder; "
        f"after {N_EPOCHS} of them without a pause the last one was read back {arrived:.2f} s later"
    )


if __name__ == "__main__":
    main()
