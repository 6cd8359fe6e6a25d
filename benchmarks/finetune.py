"""What a step of fine-tuning costs: a quarter of the early layers' filters against all of them and the whole network.

    python -m benchmarks.finetune [--model allconv --layers first-3] [--device cuda]

On one thread of an AMD EPYC (torch 2.14), processor time of a step against the whole network's: a quarter of the
first three layers of ``allconv`` 0.72 (all their filters 0.77, masked 0.76), of both convolutions of ``cnn-2`` 0.74
(0.98, 0.98), of the first three layers of ``resnet-20`` 0.84 (0.80, 0.82): of its 16 filters a quarter is four, for
which the processor's kernels need no less time than for all. Optimiser state is a quarter of all filters'. Where the
last layer alone is tuned, keeping the features takes a step to 0.11 of its time, for ``cnn-2`` to 0.33; the
classifier alone to 0.06 and less.

Ways are timed in turns, in one run: a step is forward, backward and Adam's update on one batch. "masked" is the usual
way to the same weights: gradients of the layers' whole kernels, the others' multiplied by zero. Features are what comes
before the first tuned layer, computed once instead of in every step; the last layers show them.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.machine import describe_machine
from engine.data import Split
from engine.metrics import as_input
from engine.models import build_model
from engine.ranking import n_selected
from engine.stages.plan_filters import check_layers, filter_counts
from engine.training import SelectiveFilters, WholeNetwork, cut_network

FRACTION = 0.25
WARM_STEPS, TIMED_STEPS = 2, 5
Step = Callable[[], None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="allconv")
    parser.add_argument("--layers", default="first-3", help="the early layers that are tuned")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{describe_machine()}, torch {torch.__version__}, {options.device}, {options.threads} thread(s)")
    bench = Bench(options.model, options.batch_size, torch.device(options.device))
    check_layers(bench.network(), options.layers)
    early = filter_counts(bench.network(), options.layers)
    late = dict(list(filter_counts(bench.network(), "all").items())[-1:])
    print(f"\n{options.model}, batch {options.batch_size}; tuned: {', '.join(early)}")
    ways = {
        "whole network": bench.whole(),
        "all filters": bench.selected(early, fraction=1.0),
        "a quarter": bench.selected(early, fraction=FRACTION),
        "a quarter, masked": bench.masked(early, fraction=FRACTION),
    }
    report(time_in_turns(ways, options.rounds, bench.device), bench.states, "whole network")
    print(f"\nThe last layer alone: {', '.join(late)}")
    ways = {
        "a quarter": bench.selected(late, fraction=FRACTION),
        "a quarter, features kept": bench.selected(late, fraction=FRACTION, keep_features=True),
        "classifier": bench.selected({}, classifier=True),
        "classifier, features kept": bench.selected({}, classifier=True, keep_features=True),
    }
    report(time_in_turns(ways, options.rounds, bench.device), bench.states, "a quarter")


class Bench:
    """Steps of different ways to tune one network, and what their optimisers hold."""

    def __init__(self, model: str, batch_size: int, device: torch.device) -> None:
        self.model = model
        self.device = device
        draws = torch.Generator().manual_seed(0)
        images = torch.randint(0, 256, (batch_size, 3, 32, 32), generator=draws, dtype=torch.uint8)
        labels = torch.randint(0, 100, (batch_size,), generator=draws)
        self.batch = Split(images, labels, torch.arange(batch_size)).to(device)
        self.states: dict[int, int] = {}

    def network(self) -> nn.Module:
        """Return the network, the same one each time."""
        torch.manual_seed(0)
        network = build_model(self.model, num_classes=100, in_channels=3, image_size=32)
        return network.to(self.device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]

    def whole(self) -> Step:
        """Return a step of the whole network."""
        module = WholeNetwork(self.network(), batch_norm="affine").train()
        return self._step(module, [p for p in module.parameters() if p.requires_grad])

    def selected(
        self, counts: Mapping[str, int], *, fraction: float = 1.0, classifier: bool = False, keep_features: bool = False
    ) -> Step:
        """Return a step of some filters alone."""
        example = as_input(self.batch.images[:2])
        selected = self._select(counts, fraction)
        module = SelectiveFilters(self.network(), selected, train_classifier=classifier, example=example)
        module.to(self.device)
        batch = self.batch
        if keep_features:
            cut = cut_network(module.network, module.tuned_names, example)
            if cut is None:
                raise SystemExit("the network cannot be cut")
            module.start_from(cut.rest)
            batch = cut.features(batch)
        return self._step(module, list(module.parameters()), batch)

    def masked(self, counts: Mapping[str, int], *, fraction: float) -> Step:
        """Return a step of the layers' whole kernels, of which all but the selected filters' gradients are dropped."""
        network = self.network().requires_grad_(False)
        masks: dict[nn.Parameter, Tensor] = {}
        for layer, filters in self._select(counts, fraction).items():
            for parameter in network.get_submodule(layer).parameters():
                mask = torch.zeros(len(parameter), *[1] * (parameter.ndim - 1), device=self.device)
                mask[filters] = 1
                masks[parameter.requires_grad_()] = mask

        def drop() -> None:
            for parameter, mask in masks.items():
                assert parameter.grad is not None
                parameter.grad.mul_(mask)

        return self._step(network, list(masks), after_backward=drop)

    def _select(self, counts: Mapping[str, int], fraction: float) -> dict[str, Tensor]:
        return {layer: torch.arange(n_selected(count, fraction=fraction)) for layer, count in counts.items()}

    def _step(
        self,
        module: nn.Module,
        parameters: list[nn.Parameter],
        batch: Split | None = None,
        after_backward: Step = lambda: None,
    ) -> Step:
        optimizer = torch.optim.Adam(parameters, lr=1e-4)
        batch = batch or self.batch

        def step() -> None:
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(module(as_input(batch.images)), batch.labels).backward()
            after_backward()
            optimizer.step()

        step()
        held = [value for state in optimizer.state.values() for value in state.values() if isinstance(value, Tensor)]
        self.states[id(step)] = sum(value.numel() * value.element_size() for value in held)
        return step


def time_in_turns(ways: Mapping[str, Step], rounds: int, device: torch.device) -> dict[str, tuple[Step, list[float]]]:
    """Return the seconds of each way's steps, of the processor's own time on a CPU.

    The ways take turns of a few steps, so that a slow minute meets them all. The first steps of a turn do not count: as
    in a training, caches and memory are those of the way itself.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, step in ways.items():
            repeated(step, WARM_STEPS, device)
            seconds[name].append(repeated(step, TIMED_STEPS, device) / TIMED_STEPS)
    return {name: (step, seconds[name]) for name, step in ways.items()}


def repeated(step: Step, n_steps: int, device: torch.device) -> float:
    """Take some steps; return their seconds."""
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    start = clock()
    for _ in range(n_steps):
        step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return clock() - start


def report(timed: Mapping[str, tuple[Step, list[float]]], states: Mapping[int, int], against: str) -> None:
    """Print the ways' times, each also as a share of one of them, round by round, and the optimisers' states."""
    print(f"{'':28}{'ms a step':>11}{'share':>9}{'optimiser, KiB':>17}")
    for name, (step, seconds) in timed.items():
        share = statistics.median(a / b for a, b in zip(seconds, timed[against][1], strict=True))
        print(f"{name:28}{1e3 * statistics.median(seconds):11.2f}{share:9.2f}{states[id(step)] / 1024:17.1f}")


if __name__ == "__main__":
    main()
