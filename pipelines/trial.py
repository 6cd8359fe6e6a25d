"""One trial in this process, without Ray: ``python -m pipelines.trial``."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import torch
import tyro
from rich.table import Table

from engine.data import DataInfo
from engine.errors import InputError, unknown_name
from engine.extensions import import_modules, parse_settings
from engine.settings import TrialConfig
from engine.spaces import load_space
from engine.stages import (
    StageOutcome,
    Store,
    TrialPlan,
    check_weights,
    data_getter,
    plan_trial,
    prepare_data,
    prepare_weights,
    run_chain,
)
from engine.training import recipe_settings
from pipelines._command_line import make_console, run


@dataclass
class TrialOptions:
    """Run one configuration: pretrain, rank, selective fine-tune, evaluate on corruptions.

    Example: python -m pipelines.trial --set push_pull.where=first push_pull.h=2 finetune.which=most
    """

    settings: Annotated[tuple[str, ...], tyro.conf.arg(name="set", metavar="PATH=VALUE ...")] = ()
    """Settings to change, such as push_pull.h=2 or finetune.which=most (an unknown one lists them all)."""
    space: str | None = None
    """A search space whose base configuration and arms to start from; a name or a file."""
    arm: str | None = None
    """The arm of --space to run."""
    dataset: str | None = None
    """digits; mnist, cifar10 or cifar100 (or cifar10:FOLDER, see ROBUSTUNE_DATA); or folder:PATH with train/ and test/,
    a folder per class in each."""
    download: bool = False
    """Fetch the files of mnist, cifar10 or cifar100 first, unless they are there."""
    recipe: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Training recipe: lenet, resnet, densenet, alexnet, adam or fast; --set comes on top."""
    init: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Weights to start from in place of pretraining: a file of the push-pull authors, which decides the architecture,
    or safetensors with the names of the network."""
    seed: int | None = None
    """The trial's seed."""
    home: Path = Path("runs")
    """Where everything that is written goes; finished stages are found there again."""
    store: Path | None = None
    """Where the stages' artifacts go, if not into HOME/store."""
    device: str | None = None
    """cpu or cuda; whichever there is, if not given."""
    threads: int = 1
    """CPU threads to compute with."""
    imports: Annotated[tuple[str, ...], tyro.conf.arg(name="import", metavar="MODULE ...")] = field(default=())
    """Modules of yours that register models, data sets, distances and so on."""


def main(options: TrialOptions) -> int:
    """Run the trial and print its stages, times and errors."""
    console = make_console()
    import_modules(options.imports)
    if options.threads < 1:
        raise InputError(f"`--threads` must be ≥ 1, got {options.threads}")
    torch.set_num_threads(options.threads)
    device = find_device(options.device)
    config = make_config(options)
    store = Store(options.store or options.home / "store")
    info, _ = prepare_data(config.data, store, download=options.download)
    plan = make_plan(options, config, info, store, device)
    console.print(
        f"{info.settings.name}: {info.n_train} training, {info.n_validation} validation and {info.n_test} test images "
        f"of {info.channels}×{info.image_size}×{info.image_size}, {info.n_classes} classes; "
        f"{plan.config.model.name} on {device.type}; {' → '.join(spec.stage for spec in plan)}",
        highlight=False,
        soft_wrap=True,
    )
    start = time.perf_counter()
    outcomes = []
    for outcome in run_chain(plan, store, data_getter(info, store, device), device=device):
        outcomes.append(outcome)
        console.print(describe_stage(outcome), highlight=False, soft_wrap=True)
    console.print(error_grid(outcomes[-1].artifact.json("errors")))
    console.print(f"done in {time.perf_counter() - start:.1f} s; artifacts in {store.root}")
    return 0


def make_plan(
    options: TrialOptions, config: TrialConfig, info: DataInfo, store: Store, device: torch.device
) -> TrialPlan:
    """Return the trial's stages, from the weights of --init on if they are given."""
    if options.init is not None:
        weights = prepare_weights(options.init, store)
        config = config.with_settings(weights.settings(given=parse_settings(options.settings)))
    plan = plan_trial(config, info, device=device.type)
    check_weights(plan, store)
    return plan


def find_device(name: str | None) -> torch.device:
    """Return the device of a name, or the best there is."""
    available = ("cuda", "cpu") if torch.cuda.is_available() else ("cpu",)
    if name is not None and name not in available:
        raise unknown_name("device on this machine", name, available)
    return torch.device(name or available[0])


def make_config(options: TrialOptions) -> TrialConfig:
    """Return the configuration that the options ask for."""
    config = TrialConfig()
    recipe = {} if options.recipe is None else recipe_settings(options.recipe)
    settings = parse_settings(options.settings)
    if options.arm is not None and options.space is None:
        raise InputError(f"`--arm {options.arm}` needs the --space that it is an arm of")
    if options.space is not None:
        space = load_space(options.space)
        config = space.base
        if options.arm is not None:
            arms = {arm.name: arm for arm in space.arms}
            if options.arm not in arms:
                raise unknown_name(f"arm of space {space.name!r}", options.arm, arms)
            settings = {**arms[options.arm].settings, **settings}
    if options.dataset is not None:
        settings["data.name"] = options.dataset
    if options.seed is not None:
        settings["seed"] = options.seed
    return config.with_settings({**recipe, **settings})


def describe_stage(outcome: StageOutcome) -> str:
    """Return a line on a stage: its key, its time, and what it came to."""
    manifest = outcome.artifact.manifest
    how = "from the store" if outcome.from_store else f"{manifest['seconds']:.1f} s"
    line = f"{outcome.spec.stage:<9} {outcome.spec.key[:8]}  {how:>14}"
    if "result.json" in manifest["files"]:  # a training: others report their progress alone
        result = outcome.artifact.json("result")
        line += (
            f"  {result['epochs']} epochs, best {result['best_epoch']}: validation error "
            f"{result['validation_error']:.2%}, probe {result['probe_error']:.2%}, {result['n_trained']:,} trained"
        )
    return line


def error_grid(errors: dict) -> Table:
    """Return the test errors as a table: corruptions by severities."""
    rows = errors["test"]["corrupted"]
    severities = sorted({row["severity"] for row in rows})
    clean, tuned = errors["test"]["clean"], errors["test"]["tuned_distortion"]
    title = f"test error in %   clean {clean:.2%}" + ("" if tuned is None else f"   distortion tuned on {tuned:.2%}")
    title += f"   objective (validation) {errors['objective']:.2%}"
    table = Table("corruption", *(str(severity) for severity in severities), "mean", title=title, title_justify="left")
    for name in dict.fromkeys(row["corruption"] for row in rows):
        cells = [row["error"] for row in rows if row["corruption"] == name]
        table.add_row(name, *(f"{100 * cell:.1f}" for cell in cells), f"{100 * sum(cells) / len(cells):.1f}")
    return table


def command_line(arguments: Sequence[str] | None = None) -> int:
    """Run the command with some arguments; return its exit code."""
    return run(TrialOptions, main, program="trial", arguments=arguments)


if __name__ == "__main__":
    sys.exit(command_line())
