"""The parts of the device check that go beyond single steps: distances, a resumed training, whole trials, gpu tests."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from benchmarks.training import make_network, make_split
from engine.errors import InputError
from engine.metrics import classification_error
from engine.precision import computing_in
from engine.ranking import DISTANCES, filter_distances
from engine.settings import TrainingSettings, TrialConfig
from engine.stages import data_getter, plan_trial, prepare_data, run_chain
from engine.store import open_store
from engine.training import Trainer

if TYPE_CHECKING:
    from benchmarks.device_check import Check, Found

ROOT = Path(__file__).parents[1]
MOST_DISTANCE = 1e-5
"""Difference of a distance between devices, as a share of the largest one."""
MOST_ERROR = 0.1
"""Difference between a trial's error on two devices: other last digits lead to another network, not to a worse one."""
TESTS_S = 60.0
BASE: Mapping[str, Any] = {
    "data.name": "digits",
    "model.width": 16,
    "pretrain.epochs": 3,
    "finetune.training.epochs": 2,
    "distortion.n_images": 100,
    "evaluate.severities": [1, 3],
}
SMALL: Mapping[str, Any] = {
    "data.n_train": 80,
    "data.n_validation": 40,
    "data.n_test": 40,
    "model.width": 4,
    "pretrain.epochs": 1,
    "finetune.training.epochs": 1,
    "evaluate.severities": [1],
    "evaluate.n_probe": 20,
    "distortion.n_images": 40,
}
TUNED = {"finetune.which": "most"}
TRIALS: Mapping[str, Mapping[str, Any]] = {
    "plain": {},
    "filters": TUNED,
    "push-pull": {"push_pull.where": "all", "push_pull.learn_alpha": "kernel"},
    "push-pull 2024": {"push_pull.where": "first", "push_pull.variant": "2024"},
    "crops, sgd": {
        "pretrain.augmentation": "crop-alternate",
        "pretrain.optimizer": "sgd",
        "pretrain.learning_rate": 0.05,
    },
    "augmix": {"perturbation.kind": "augmix"},
    "prime": {"perturbation.kind": "prime"},
    "across layers, affine": {
        **TUNED,
        "finetune.across_layers": True,
        "finetune.batch_norm": "affine",
        "finetune.train_classifier": True,
    },
    "exemplars by maps": {**TUNED, "rank.pairing": "unpaired", "rank.features": "maps", "rank.metric": "hamming"},
    "exemplars by pixels": {**TUNED, "rank.pairing": "unpaired"},
    "sliced_emd": {**TUNED, "rank.distance": "sliced_emd"},
    "sinkhorn": {**TUNED, "rank.distance": "sinkhorn", "finetune.layers": "first"},
    "blocks by Fisher information": {**TUNED, "rank.by": "fisher", "finetune.unit": "block", "finetune.count": 1},
    "rates by gradients": {**TUNED, "finetune.rates": "gradient"},
    "correction": {**TUNED, "finetune.method": "correction"},
    "whole network": {"finetune.which": "all", "finetune.method": "network", "finetune.batch_norm": "full"},
    "tent": {"finetune.which": "all", "finetune.method": "tent"},
}
"""Settings by which each path through the stages is taken once."""
N_COMPARED = 3
"""Of the trials above that are computed on the CPU as well."""


def distances(check: Check) -> Found:
    """Return {distance: its largest difference from the CPU's}."""
    draws = torch.Generator().manual_seed(0)
    clean, noisy = (torch.rand(4 if check.smoke else 16, 8, 8, 8, generator=draws) for _ in range(2))
    found: Found = {}
    for name in DISTANCES:
        try:
            here = filter_distances(clean, noisy, name)
            there = filter_distances(clean.to(check.device), noisy.to(check.device), name).cpu()
        except InputError as error:  # of maps as these: that a package is missing
            found[name] = f"left out: {error}"
            continue
        found[name] = float((here - there).abs().max() / here.abs().max())
        check.hold(f"distances by {name}", found[name], MOST_DISTANCE)
    return found


def resumed(check: Check) -> Found:
    """Return how many bits of a resumed training's weights differ from those of one that was never stopped: none."""
    with computing_in("fp32", check.device.type, strict=True):
        whole, begun, last = (_trainer(check) for _ in range(3))
        while not whole.finished:
            whole.train_epoch()
        begun.train_epoch()
        last.restore(*begun.checkpoint())
        while not last.finished:
            last.train_epoch()
    pairs = zip(whole.module.state_dict().values(), last.module.state_dict().values(), strict=True)
    n_apart = sum(int((one != other).sum()) for one, other in pairs)
    check.hold("numbers of a resumed training that differ", n_apart, 0)
    return {"apart": n_apart}


def _trainer(check: Check) -> Trainer:
    split = make_split(32 if check.smoke else 512).to(check.device)
    settings = TrainingSettings(
        epochs=3, batch_size=16 if check.smoke else 128, optimizer="sgd", augmentation="crop-flip"
    )
    network = make_network("resnet-20-PP", depth=8).to(check.device)

    def judge(module: torch.nn.Module) -> dict[str, float]:
        return {"validation_error": classification_error(module, split)}

    return Trainer(network, split, settings, seed=0, judge=judge)


def trials(check: Check) -> Found:
    """Return {trial: {"objective", "seconds", and "on the CPU", or why it failed}}: whole pipelines, end to end."""
    found: Found = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, settings) in enumerate(TRIALS.items()):
            if check.left_s <= 0:
                found[name] = "left out: no time is left"
                continue
            try:
                found[name] = _trial(settings, Path(folder), check.device, small=check.smoke)
                if number < N_COMPARED and check.is_gpu:
                    there = _trial(settings, Path(folder), torch.device("cpu"), small=check.smoke)
                    found[name]["on the CPU"] = there["objective"]
                    apart = abs(there["objective"] - found[name]["objective"])
                    check.hold(f"error of the trial {name}, from the CPU's", apart, MOST_ERROR)
            except Exception as error:  # each goes another way: the others are wanted as well
                traceback.print_exc()
                found[name] = {"failed": f"{type(error).__name__}: {error}".partition("\n")[0]}
                check.faults.append(f"trial {name} failed: {found[name]['failed']}")
    return found


def _trial(settings: Mapping[str, Any], folder: Path, device: torch.device, *, small: bool) -> Found:
    began = time.perf_counter()
    config = TrialConfig().with_settings({**BASE, **(SMALL if small else {}), **settings})
    store = open_store(folder / "store")
    info, _ = prepare_data(config.data, store)
    plan = plan_trial(config, info, device=device.type)
    *_, last = run_chain(plan, store, data_getter(info, store, device), device=device)
    return {
        "objective": last.artifact.json("errors")["objective"],
        "seconds": round(time.perf_counter() - began, 2),
    }


def gpu_tests(check: Check) -> Found:
    """Return what pytest says of the tests that need a GPU, where it is installed."""
    if not check.is_gpu:
        return {"left out": "they need a GPU"}
    if importlib.util.find_spec("pytest") is None:
        return {"left out": "pytest is not installed"}
    files = [
        str(path) for path in (ROOT / "tests").rglob("test_*.py") if "mark.gpu" in path.read_text(encoding="utf-8")
    ]
    words = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-o", "addopts=", "-p", "no:cacheprovider", *files]
    limit_s = min(TESTS_S, check.left_s)
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=limit_s)
    lines = done.stdout.strip().splitlines() or [done.stderr.strip()]
    if done.returncode:
        check.faults.append(f"gpu tests: {lines[-1]}")
    return {"tests": lines[-1], **({"lines": lines[-20:]} if done.returncode else {})}
