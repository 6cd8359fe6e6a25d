"""Whether a GPU agrees with the CPU, and what a training step takes there: one command, under four minutes.

    python -m benchmarks.device_check [--out FILE.json]         # on a machine with a GPU
    python -m benchmarks.device_check --smoke                   # on a CPU: that the check itself works

Each part is on its own: one that fails is said, and the next one runs. What was found is printed and, with ``--out``,
written after each part, so that a check that is ended early leaves what it has.

- corruptions: the share of bytes that differ from the CPU's, and by how many levels at most;
- losses: of the first 20 steps of a training, the largest relative difference from the CPU's, in fp32;
- captured: the same between steps that are recorded and replayed and eager ones, on the GPU;
- steps: milliseconds of a step in each precision, eager and captured;
- compiled: the same with compiled passes that are captured, in fp32, and the seconds that their compiler takes;
- evaluation: seconds of corrupting and testing, in each precision;
- folded: the largest difference that folding makes to answers, and milliseconds of a pass as it is and folded;
- distances: of filters' maps, the largest relative difference from the CPU's;
- resumed: that a training which was stopped ends with the same bits as one that was not, computed strictly;
- trials: whole pipelines that take each path through the stages once, three of them on the CPU as well;
- tests: those of the tests that need a GPU, where pytest is installed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmarks.device_trials import distances, gpu_tests, resumed, trials
from benchmarks.machine import describe_machine
from benchmarks.training import NETWORKS, make_network, make_split
from engine.corruptions import CORRUPTIONS, corrupt
from engine.data import Split
from engine.layers.folding import fold_batch_norm
from engine.metrics import as_input, error_table
from engine.precision import PRECISIONS, computing_in, make_repeatable
from engine.settings import TrainingSettings
from engine.training import Trainer
from engine.training.captured import Capturing, forget_captured
from engine.training.compiled import Compiling

BUDGET_S = 230.0
N_STEPS = 20
"""Steps whose losses are compared."""
MOST_BYTES = 1e-3
"""Share of a corruption's bytes that may differ, and by one level at most."""
MOST_LOSS = 1e-4
"""Relative difference of a step's loss between devices, and between captured and eager steps."""
MOST_FOLDED = 1e-4
"""Difference that folding may make to an answer, as a share of the largest one."""
CORRUPTED_SEVERITIES = (1, 3, 5)

Found = dict[str, Any]


@dataclass
class Check:
    """What is checked on which device, and what was found so far.

    Attributes:
        device: what is held against the CPU.
        smoke: whether everything is as small as can be.
        out: the file that is written after each part; None for none.
        found: {part: what it found}.
        faults: what does not agree, or failed, in a sentence each.
    """

    device: torch.device
    smoke: bool
    out: Path | None = None
    found: dict[str, Found] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    _began: float = field(default_factory=time.perf_counter)

    @property
    def is_gpu(self) -> bool:
        """Return whether the device is a GPU."""
        return self.device.type == "cuda"

    @property
    def left_s(self) -> float:
        """Return the seconds that are left."""
        return BUDGET_S - (time.perf_counter() - self._began)

    @property
    def precisions(self) -> list[str]:
        """Return the precisions that the device can compute in."""
        return [name for name in PRECISIONS if self.is_gpu or name != "tf32"]

    def run(self, name: str, part: Callable[[Check], Found]) -> None:
        """Run a part, whatever it raises, unless no time is left."""
        if self.left_s <= 0:
            self.found[name] = {"left out": f"{BUDGET_S:g} s are over"}
        else:
            began = time.perf_counter()
            try:
                self.found[name] = part(self)
            except Exception as error:  # whatever it is: the time with a device is short, and the other parts want it
                traceback.print_exc()
                self.found[name] = {"failed": f"{type(error).__name__}: {error}".splitlines()[0]}
                self.faults.append(f"{name} failed: {self.found[name]['failed']}")
            self.found[name]["seconds"] = round(time.perf_counter() - began, 1)
        print(f"{name}: {json.dumps(self.found[name])}", flush=True)
        if self.out is not None:
            self.out.write_text(json.dumps({"found": self.found, "faults": self.faults}, indent=1) + "\n")

    def hold(self, what: str, value: float, most: float) -> None:
        """Note a fault where something is larger than it may be."""
        if not value <= most:
            self.faults.append(f"{what}: {value:.1e}, at most {most:g} is allowed")


def main(arguments: Sequence[str] | None = None) -> int:
    """Check a device; return 1 where something failed or does not agree."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="on the CPU, as small as can be")
    parser.add_argument("--out", type=Path, help="a JSON file for what was found")
    options = parser.parse_args(arguments)
    if not options.smoke and not torch.cuda.is_available():
        raise SystemExit("there is no GPU here; --smoke runs the check on the CPU")
    make_repeatable()
    check = Check(torch.device("cpu" if options.smoke else "cuda"), options.smoke, options.out)
    warnings.simplefilter("ignore")  # where steps cannot be recorded, the result says so
    for name, part in PARTS.items():
        check.run(name, part)
    for fault in check.faults:
        print(f"FAULT {fault}")
    print("all agrees" if not check.faults else f"{len(check.faults)} faults")
    return 1 if check.faults else 0


def machine(check: Check) -> Found:
    """Return what it is checked on."""
    found: Found = {"machine": describe_machine(), "torch": torch.__version__, "device": str(check.device)}
    if check.is_gpu:
        about = torch.cuda.get_device_properties(check.device)
        found |= {"card": about.name, "memory_gb": round(about.total_memory / 2**30, 1), "cuda": torch.version.cuda}
        found["cudnn"] = torch.backends.cudnn.version()
    return found


def corruptions(check: Check) -> Found:
    """Return {corruption: {"share" of bytes that differ, "most" levels}}."""
    names = list(CORRUPTIONS)[: 4 if check.smoke else None]
    images = make_split(4 if check.smoke else 64).images
    found: Found = {}
    for name in names:
        n_apart = n_bytes = most = 0
        for severity in CORRUPTED_SEVERITIES[: 1 if check.smoke else None]:
            here = corrupt(images, name, severity, seed=0).int()
            there = corrupt(images.to(check.device), name, severity, seed=0).cpu().int()
            apart = (here - there).abs()
            n_apart, n_bytes, most = (
                n_apart + int((apart > 0).sum()),
                n_bytes + apart.numel(),
                max(most, int(apart.max())),
            )
        found[name] = {"share": n_apart / n_bytes, "most": most}
        check.hold(f"share of {name}'s bytes that differ", n_apart / n_bytes, MOST_BYTES)
        check.hold(f"levels by which {name}'s bytes differ", most, 1)
    return found


def losses(check: Check) -> Found:
    """Return {network: the largest relative difference of the losses of the first steps, from the CPU's}."""
    return _compared(check, check.device, torch.device("cpu"))


def captured(check: Check) -> Found:
    """Return {network: the same of captured steps, from eager ones on the same device}."""
    return _compared(check, check.device, check.device, capture=True)


def _compared(check: Check, one: torch.device, other: torch.device, *, capture: bool = False) -> Found:
    found: Found = {}
    for name in NETWORKS:
        first, how = first_losses(check, name, one, capture=capture)
        second, _ = first_losses(check, name, other)
        apart = max(abs(a - b) / abs(b) for a, b in zip(first, second, strict=True))
        found[name] = {"apart": apart, **how}
        check.hold(f"losses of {name}{', captured' * capture}", apart, MOST_LOSS)
        if capture and check.is_gpu and not how.get("captured"):
            check.faults.append(f"steps of {name} cannot be captured: {how.get('reason')}")
    return found


def first_losses(
    check: Check, name: str, device: torch.device, *, capture: bool = False
) -> tuple[list[float], Mapping[str, Any]]:
    """Return the losses of the first steps, each an epoch of one batch, and what is said of capturing."""
    forget_captured()
    capturing = Capturing(name) if capture else None
    trainer = make_trainer(check, name, make_split(batch_of(check)), device, capturing)
    with computing_in("fp32", device.type):
        found = [trainer.train_epoch()["loss"] for _ in range(2 if check.smoke else N_STEPS)]
    return found, {} if capturing is None else capturing.described()


def steps(check: Check) -> Found:
    """Return {network: {precision and way: milliseconds of a step}}."""
    n_steps, rounds = (1, 1) if check.smoke else (50, 3)
    found: Found = {}
    for name in NETWORKS:
        found[name] = {}
        for precision in check.precisions:
            for capture in (False, True):
                forget_captured()
                capturing = Capturing(name) if capture else None
                split = make_split(n_steps * batch_of(check))
                trainer = make_trainer(check, name, split, check.device, capturing)
                with computing_in(precision, check.device.type):
                    trainer.train_epoch()  # kernels are chosen, and the step is recorded
                    taken = [timed(check, trainer.train_epoch) for _ in range(rounds)]
                way = f"{precision}, {'captured' if capture else 'eager'}"
                if capturing is not None and capturing.reason:
                    way += ", which cannot be: eager"
                found[name][way] = round(1e3 * statistics.median(taken) / n_steps, 3)
    return found


def compiled(check: Check) -> Found:
    """Return {network: {"cold_s", or why it is not compiled; "step": milliseconds}}."""
    n_steps = 1 if check.smoke else 50
    found: Found = {}
    for name in NETWORKS:
        forget_captured()
        compiling = Compiling(name)
        split = make_split(n_steps * batch_of(check))
        trainer = make_trainer(check, name, split, check.device, Capturing(name), compiling)
        with computing_in("fp32", check.device.type):
            trainer.train_epoch()
            taken = timed(check, trainer.train_epoch)
        found[name] = {**compiling.described(), "step": round(1e3 * taken / n_steps, 3)}
        if not found[name]["compiled"]:
            check.faults.append(f"passes of {name} cannot be compiled: {found[name]['reason']}")
    return found


def evaluation(check: Check) -> Found:
    """Return {precision: seconds of corrupting and testing some sets}."""
    names = list(CORRUPTIONS)[: 2 if check.smoke else None]
    split = make_split(8 if check.smoke else 2000).to(check.device)
    network = make_network("resnet-20", depth=depth_of(check)).to(check.device).eval()
    found: Found = {"sets": len(names), "images": len(split)}

    def test() -> None:
        error_table(network, split, corruptions=names, severities=[3], seed=0)

    for precision in check.precisions:
        with computing_in(precision, check.device.type):
            if not check.smoke:
                test()
            found[precision] = round(timed(check, test), 3)
    return found


@torch.no_grad()
def folded(check: Check) -> Found:
    """Return {network: {"apart", and milliseconds of a pass of each way}}."""
    images = as_input(make_split(8 if check.smoke else 2048).images.to(check.device))
    found: Found = {}
    for name in NETWORKS:
        network = make_network(name, depth=depth_of(check)).to(check.device).eval()
        ways = {"as it is": network, "folded": fold_batch_norm(network)[0]}
        with computing_in("fp32", check.device.type):
            plain, other = (one(images) for one in ways.values())
            apart = float((plain - other).abs().max() / plain.abs().max())
            taken = {way: [] for way in ways}
            for _ in range(1 if check.smoke else 20):
                for way, one in ways.items():
                    taken[way].append(timed(check, lambda one=one: one(images)))  # type: ignore[misc]
        medians = {way: round(1e3 * statistics.median(of), 3) for way, of in taken.items()}
        found[name] = {"apart": apart, **medians}
        check.hold(f"answers of {name}, folded", apart, MOST_FOLDED)
    return found


def make_trainer(
    check: Check,
    name: str,
    split: Split,
    device: torch.device,
    capturing: Capturing | None = None,
    compiling: Compiling | None = None,
) -> Trainer:
    """Return a training whose every epoch is a pass over a split, with crops and flips and without validation."""
    settings = TrainingSettings(
        epochs=1_000,
        batch_size=batch_of(check),
        optimizer="sgd",
        learning_rate=0.01,
        schedule="constant",
        augmentation="crop-flip",
    )
    return Trainer(
        make_network(name, depth=depth_of(check)).to(device),
        split.to(device),
        settings,
        seed=0,
        judge=lambda module: {"validation_error": 0.5},
        capturing=capturing,
        compiling=compiling,
    )


def batch_of(check: Check) -> int:
    """Return the images of a batch."""
    return 8 if check.smoke else 128


def depth_of(check: Check) -> int:
    """Return the layers of the networks."""
    return 8 if check.smoke else 20


def timed(check: Check, work: Callable[[], object]) -> float:
    """Return the seconds of some work, once the device has done it."""
    if check.is_gpu:
        torch.cuda.synchronize(check.device)
    began = time.perf_counter()
    work()
    if check.is_gpu:
        torch.cuda.synchronize(check.device)
    return time.perf_counter() - began


PARTS: Mapping[str, Callable[[Check], Found]] = {
    "machine": machine,
    "corruptions": corruptions,
    "distances": distances,
    "losses": losses,
    "resumed": resumed,
    "trials": trials,
    "captured": captured,
    "steps": steps,
    "evaluation": evaluation,
    "folded": folded,
    "tests": gpu_tests,
    "compiled": compiled,
}

if __name__ == "__main__":
    raise SystemExit(main())
