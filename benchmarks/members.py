"""How many trainings of one network share a device best: beside one alone, by each way that there is.

    python -m benchmarks.members [--members 2 4 8] [--networks resnet-20 tiny]      # on a GPU: six minutes at most
    python -m benchmarks.members --device cpu --members 2 4                         # on one core
    python -m benchmarks.members --smoke                                            # as small as can be

Each member is a training of its own, with weights and images of its own. They are trained

- alone: one after the other, eagerly and, on a GPU, replayed from a CUDA graph. The better of the two is what all else
  is held against;
- in processes: each in its own, at once, the better way of the two; on a GPU through MPS (NVIDIA's multi-process
  service) as well. On CPUs each has one core, as slots of a sweep do;
- in graphs: one process replays a graph of each, each on a stream of its own (GPUs alone);
- stacked: one step for all of them, by ``torch.vmap`` over stacked weights, which makes one grouped convolution of each
  layer's; eagerly and, on a GPU, as one graph.

Ways in one process must come to the losses that each member has alone, but for rounding, or they are not compared. What
is told is what all members get done: steps a second, and how many times as many as one training alone takes.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: idle threads must not spin beside other processes

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.machine import describe_machine
from benchmarks.training import card
from engine.metrics import as_input
from engine.models import build_model
from engine.orchestration.cluster.mps import mps
from engine.precision import PRECISIONS, computing_in, in_full, network_pass
from engine.settings import TrainingSettings
from engine.training.captured import CapturedStep
from engine.training.optimizers import make_optimizer

BUDGET_S = 360.0
START_S = 120.0
"""That processes may take to begin."""
N_CLASSES = 10
MOST_APART = 2e-3
"""Relative difference of a member's loss after the checked steps from the one it has alone."""
N_CHECKED, N_WARM = 4, 5
RATE = 0.01
SETTINGS = TrainingSettings(optimizer="sgd", learning_rate=RATE, momentum=0.9, weight_decay=5e-4)


class Kind(NamedTuple):
    """A network and its batches."""

    model: str
    width: int | None
    side: int
    channels: int
    batch_size: int


KINDS: Mapping[str, Kind] = {
    "resnet-20": Kind("resnet-20", None, 32, 3, 128),
    "tiny": Kind("resnet-8", 16, 16, 1, 64),  # what the space push-pull trains on digits
}
Step = Callable[[], Tensor]
"""Takes one step of each of its members; returns their losses, ``(n,)``."""


@dataclass(frozen=True)
class Task:
    """What is trained, and how.

    Attributes:
        kind: a name of ``KINDS``.
        device: "cuda" or "cpu".
        precision: of the passes.
        n_steps: that are timed.
    """

    kind: str
    device: str
    precision: str
    n_steps: int

    @property
    def on_gpu(self) -> bool:
        """Return whether steps can be recorded."""
        return self.device == "cuda"

    def network(self, member: int) -> nn.Module:
        """Return a member's network, the same weights each time."""
        kind = KINDS[self.kind]
        torch.manual_seed(member)
        size = {} if kind.width is None else {"width": kind.width}
        network = build_model(
            kind.model, num_classes=N_CLASSES, image_size=kind.side, in_channels=kind.channels, **size
        )
        return network.to(self.device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]

    def batch(self, member: int) -> tuple[Tensor, Tensor]:
        """Return a member's images, uint8, and labels."""
        kind, draws = KINDS[self.kind], torch.Generator().manual_seed(member)
        shape = (kind.batch_size, kind.channels, kind.side, kind.side)
        images = torch.randint(0, 256, shape, generator=draws, dtype=torch.uint8)
        labels = torch.randint(0, N_CLASSES, (kind.batch_size,), generator=draws)
        return images.to(self.device), labels.to(self.device)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what each way gets done beside one training alone; return 1 where one failed or does not agree."""
    options = _parsed(arguments)
    print(f"{describe_machine()}, torch {torch.__version__}{card(options.device)}", flush=True)
    torch.set_num_threads(1)
    began, found, faults = time.perf_counter(), {}, []
    for kind in options.networks:
        task = Task(kind, options.device, options.precision, options.steps)
        print(f"\n{kind}, batch {KINDS[kind].batch_size}, {options.precision}: {options.steps} steps of each member")
        print(f"  {'way':34}{'steps/s':>10}{'times':>8}")
        best = 0.0
        for way, measure in ways_of(task, options.members):
            if time.perf_counter() - began > options.budget:
                print(f"  {way}: left out, {options.budget:g} s are over", flush=True)
                continue
            try:
                with computing_in(options.precision, options.device):
                    rate = measure()
            except Exception as error:  # the time with a device is short, and the other ways want it
                faults.append(f"{kind}, {way}: {type(error).__name__}: {error}".partition("\n")[0])
                print(f"  {way:34}{'failed':>10}", flush=True)
                continue
            best = max(best, rate) if way.startswith("alone") else best
            found[f"{kind}, {way}"] = rate
            print(f"  {way:34}{rate:10.1f}{rate / best if best else float('nan'):8.2f}", flush=True)
    for fault in faults:
        print(f"FAULT {fault}")
    if options.out is not None:
        options.out.write_text(json.dumps({"steps_per_s": found, "faults": faults}, indent=1) + "\n")
    print(describe_machine())
    return 1 if faults else 0


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", type=int, nargs="+", default=[2, 4, 8], help="trainings that share the device")
    parser.add_argument("--networks", nargs="+", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--precision", default="fp32", choices=list(PRECISIONS))
    parser.add_argument("--steps", type=int, default=200, help="of each member, that are timed")
    parser.add_argument("--budget", type=float, default=BUDGET_S, help="seconds that all of it may take")
    parser.add_argument("--out", type=Path, help="a JSON file for what was found")
    parser.add_argument("--smoke", action="store_true", help="on the CPU, as small as can be")
    options = parser.parse_args(arguments)
    if options.smoke:
        options.device, options.members, options.networks, options.steps = "cpu", [2], ["tiny"], 2
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("there is no GPU here; --device cpu shares one core, --smoke tries the benchmark itself")
    return options


def ways_of(task: Task, numbers: Sequence[int]) -> Iterator[tuple[str, Callable[[], float]]]:
    """Yield each way by its name, and what measures its steps a second, all members' together."""
    yield "alone", lambda: steps_per_s(task, 1, [eager_step(task, 0)])
    if task.on_gpu:
        yield "alone, captured", lambda: steps_per_s(task, 1, [recorded_step(task, 0)])
    for n in numbers:
        yield f"{n} processes", partial(of_processes, task, n)
        if task.on_gpu:
            yield f"{n} processes, MPS", partial(of_processes, task, n, by_mps=True)
            yield f"{n} graphs in one process", partial(of_graphs, task, n)
        yield f"{n} stacked", partial(of_stacked, task, n)
        if task.on_gpu:
            yield f"{n} stacked, captured", partial(of_stacked, task, n, recorded=True)


def eager_step(task: Task, member: int) -> Step:
    """Return a step of a training alone, as a stage takes it."""
    network, (images, labels) = task.network(member), task.batch(member)
    optimizer = make_optimizer(network, SETTINGS)

    def step() -> Tensor:
        with network_pass(labels.device):
            logits = network(as_input(images))
        loss = F.cross_entropy(in_full(logits), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss.detach()[None]

    return step


def recorded_step(task: Task, member: int) -> Step:
    """Return a step of a training alone that is replayed, as ``--capture-steps`` has it."""
    network, (images, labels) = task.network(member), task.batch(member)
    recorded = CapturedStep(network, SETTINGS, images, labels)
    recorded.load(network, make_optimizer(network, SETTINGS), weight_decay=SETTINGS.weight_decay)
    return lambda: recorded(images, labels, RATE)[None]


def stacked_step(task: Task, n: int) -> Step:
    """Return one step for all members, whose weights lie in one tensor for each of their names."""
    networks = [task.network(member) for member in range(n)]
    parameters, buffers = torch.func.stack_module_state(networks)
    empty = networks[0].to("meta")
    batches = [task.batch(member) for member in range(n)]
    images, labels = (torch.stack(parts) for parts in zip(*batches, strict=True))
    rate = torch.full((), RATE, device=task.device) if task.on_gpu else RATE  # a number would be recorded with the step
    optimizer = torch.optim.SGD(
        list(parameters.values()),
        lr=rate,
        momentum=SETTINGS.momentum,
        nesterov=SETTINGS.momentum > 0,
        weight_decay=SETTINGS.weight_decay,
        fused=task.on_gpu,
    )

    def loss_of(own: dict[str, Tensor], state: dict[str, Tensor], pixels: Tensor, truth: Tensor) -> Tensor:
        logits = torch.func.functional_call(empty, (own, state), (pixels,))
        return F.cross_entropy(in_full(logits), truth)

    def step() -> Tensor:
        with network_pass(labels.device):
            pixels = as_input(images.flatten(0, 1)).unflatten(0, images.shape[:2])
            losses = torch.vmap(loss_of)(parameters, buffers, pixels, labels)
        optimizer.zero_grad(set_to_none=True)
        losses.sum().backward()
        optimizer.step()
        return losses.detach()

    return step


def captured(step: Step) -> Step:
    """Return a step that is recorded once and replayed; the members have taken ``N_WARM`` steps by then."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(N_WARM):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=side):
        losses = step()

    def replay() -> Tensor:
        graph.replay()
        return losses

    return replay


def of_graphs(task: Task, n: int) -> float:
    """Return the steps a second of n members that one process replays, each on a stream of its own."""
    steps, streams = [recorded_step(task, member) for member in range(n)], [torch.cuda.Stream() for _ in range(n)]
    check_losses(task, n, steps, streams)
    return steps_per_s(task, n, steps, streams)


def of_stacked(task: Task, n: int, *, recorded: bool = False) -> float:
    """Return the steps a second of n members whose weights are stacked."""
    step = stacked_step(task, n)
    if recorded:
        step = captured(step)
    check_losses(task, n, [step], n_taken=N_WARM if recorded else 0)
    return steps_per_s(task, n, [step])


def check_losses(task: Task, n: int, steps: Sequence[Step], streams: Sequence[Any] = (), *, n_taken: int = 0) -> None:
    """Take some steps, and check that each member comes to the loss that it has alone.

    Args:
        task: what is trained.
        n: members.
        steps: one of each, or one of all.
        streams: where each is taken; the current one if there are none.
        n_taken: steps that were taken before.

    Raises:
        ValueError: one comes to another loss.
    """
    for _ in range(N_CHECKED):
        losses = _take(1, steps, streams)
    _wait(task)
    for member, found in enumerate(torch.cat(losses).tolist()):
        alone = eager_step(task, member)
        for _ in range(n_taken + N_CHECKED):
            expected = alone().item()
        if not abs(found - expected) <= MOST_APART * abs(expected):
            raise ValueError(f"member {member} of {n} comes to a loss of {found:.6f}, alone to {expected:.6f}")


def steps_per_s(task: Task, n: int, steps: Sequence[Step], streams: Sequence[Any] = ()) -> float:
    """Return how many steps n members take a second, all together."""
    _take(min(N_WARM, task.n_steps), steps, streams)
    _wait(task)
    began = time.perf_counter()
    _take(task.n_steps, steps, streams)
    _wait(task)
    return n * task.n_steps / (time.perf_counter() - began)


def _take(times: int, steps: Sequence[Step], streams: Sequence[Any]) -> list[Tensor]:
    """Take every step so many times; return the last losses."""
    losses: list[Tensor] = []
    for _ in range(times):
        losses = []
        for number, step in enumerate(steps):
            with torch.cuda.stream(streams[number]) if streams else nullcontext():
                losses.append(step())
    return losses


def _wait(task: Task) -> None:
    if task.on_gpu:
        torch.cuda.synchronize()


def of_processes(task: Task, n: int, *, by_mps: bool = False) -> float:
    """Return the steps a second of n members in as many processes, from the first one's begin to the last one's end."""
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(n)
    with mps() if by_mps else nullcontext(), ProcessPoolExecutor(n, context, _join, (ready,)) as pool:
        spans = [one.result() for one in [pool.submit(_train, task, member) for member in range(n)]]
    return n * task.n_steps / (max(end for _, end in spans) - min(begin for begin, _ in spans))


_ready: Any = None


def _join(ready: Any) -> None:
    global _ready
    _ready = ready


def _train(task: Task, member: int) -> tuple[float, float]:
    """Train a member in this process, at once with the others; return when, by a clock that all share."""
    torch.set_num_threads(1)
    with computing_in(task.precision, task.device):
        try:
            step = recorded_step(task, member) if task.on_gpu else eager_step(task, member)
            _take(min(N_WARM, task.n_steps), [step], ())
            _wait(task)
        except Exception:
            _ready.abort()
            raise
        _ready.wait(START_S)
        began = time.monotonic()
        _take(task.n_steps, [step], ())
        _wait(task)
        return began, time.monotonic()


if __name__ == "__main__":
    raise SystemExit(main())
