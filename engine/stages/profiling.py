"""Where the time of a trial's stages goes: by torch's operations, and as a trace that a browser shows."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from engine.data import DataSet
from engine.stages.runner import run_stage
from engine.stages.spec import StageSpec
from engine.store.store import Store


@dataclass(frozen=True)
class Operation:
    """What one of torch's operations took in a stage.

    Attributes:
        name: as torch has it, such as "aten::convolution_backward".
        seconds: that passed in itself on the host, without the operations that it calls.
        device_seconds: of the GPU, the same; 0 on CPUs.
        calls: how often it ran.
    """

    name: str
    seconds: float
    device_seconds: float
    calls: int


@dataclass(frozen=True)
class StageProfile:
    """Where a stage's time went.

    Attributes:
        stage: its name.
        wall_s: seconds that passed.
        processor_s: seconds of all of the process's threads.
        operations: torch's, that which took longest first.
        trace: the file of all of it, in Chrome's format; None where none was asked for.
    """

    stage: str
    wall_s: float
    processor_s: float
    operations: tuple[Operation, ...]
    trace: Path | None

    @property
    def other_s(self) -> float:
        """Return the seconds that passed outside of all operations, on the host: Python, reading and writing."""
        return max(0.0, self.wall_s - sum(one.seconds for one in self.operations))


def profile_stage(
    spec: StageSpec,
    store: Store,
    get_data: Callable[[str], DataSet],
    *,
    device: torch.device,
    trace: Path | None = None,
) -> StageProfile:
    """Run a stage, whose inputs are in a store, and return where its time went.

    Args:
        spec: the stage.
        store: has its inputs, and gets its artifact.
        get_data: gives the data set of a data key, on ``device``.
        device: where to compute.
        trace: the file that gets all of it; None for none.
    """
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # torch's profiler, which finds no GPU, says so as an error
    get_data(spec.data)  # so that it is not read within
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
    with profile(activities=activities, acc_events=True) as found:
        wall, processor = time.perf_counter(), time.process_time()
        run_stage(spec, store, get_data, device=device)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        wall_s, processor_s = time.perf_counter() - wall, time.process_time() - processor
    if trace is not None:
        found.export_chrome_trace(str(trace))
    operations = sorted(map(_operation, found.key_averages()), key=lambda one: -(one.seconds + one.device_seconds))
    return StageProfile(spec.stage, wall_s, processor_s, tuple(operations), trace)


def _operation(event: Any) -> Operation:
    seconds, on_device = event.self_cpu_time_total / 1e6, event.self_device_time_total / 1e6
    return Operation(event.key, seconds, on_device, event.count)
