"""One trial in this process, without Ray: ``python -m pipelines.trial``."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import torch
import tyro
from rich.console import Console

from engine import variables
from engine.data import DataInfo
from engine.errors import InputError, unknown_name, writing
from engine.extensions import parse_settings
from engine.figures.saving import require_folder
from engine.metrics import errors_as_csv, flips_as_csv, load_baseline
from engine.relevance import conditions_of
from engine.report.error_grid import error_grid
from engine.report.flip_tables import flip_grid
from engine.report.terminal import make_console, say
from engine.settings import TrialConfig
from engine.spaces import load_space
from engine.stages import (
    StageOutcome,
    TrialPlan,
    check_weights,
    data_getter,
    plan_trial,
    prepare_data,
    prepare_weights,
    run_chain,
)
from engine.stages.budget import HELD_OUT, NoisyBudget
from engine.stages.numerics import Numerics
from engine.stages.plan_evaluation import left_out
from engine.store import Store, open_store
from engine.training import recipe_settings
from pipelines._command_line import ComputeOptions, run
from pipelines._progress import stage_bar, waiting


@dataclass(kw_only=True)
class NetworkOptions(ComputeOptions):
    """What commands share that train a network or start from a given one."""

    settings: Annotated[tuple[str, ...], tyro.conf.arg(name="set", metavar="PATH=VALUE ...")] = ()
    """Settings to change, such as push_pull.h=2 or finetune.which=most (an unknown one lists them all)."""
    space: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """A search space whose base configuration and arms to start from; a name or a file."""
    arm: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """The arm of --space to run."""
    recipe: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Training recipe: lenet, resnet, densenet, alexnet, adam, fast or fast-small; --set comes on top."""
    init: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Weights to start from in place of pretraining: the push-pull authors' or another file of a CIFAR ResNet or
    DenseNet, which decides the architecture, or one with the names of the network (torch's or safetensors); default or
    an entry's name (IMAGENET1K_V1) for those that torchvision, timm or RobustBench publish for a network of
    theirs."""
    seed: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """The trial's seed."""
    precision: Annotated[str, tyro.conf.arg(metavar="NAME")] = "fp32"
    """What networks compute in: fp32, tf32 (on GPUs) or bf16; a part of the stages' keys."""
    strict: bool = False
    """On GPUs, repeat every stage to the bit, and refuse what cannot; a part of the keys."""
    capture_steps: bool = False
    """On GPUs, record a training's step once and replay it; a part of the keys. Never tried on a real GPU yet."""
    compile_steps: bool = False
    """Have torch.compile compile a training's passes; a part of the keys. For long trainings: the first of a network
    waits for the compiler. Never tried on a real GPU yet."""
    fold_batch_norm: bool = False
    """Test the network with its batch normalisations in the convolutions before them; a part of the test's key. Never
    tried on a real GPU yet."""
    store: Annotated[Path | None, tyro.conf.arg(metavar="PLACE")] = variables.or_variable(
        variables.STORE, variables.path
    )
    """Where the stages' artifacts go, if not into HOME/store: a folder, or s3://BUCKET/PREFIX, gs://… or az://…"""

    def numerics(self, device: str) -> Numerics:
        """Return what stages' numbers depend on beside settings, on a type of device."""
        return Numerics(
            device,
            torch.get_num_threads(),
            self.precision,
            self.strict,
            self.capture_steps,
            self.compile_steps,
            self.fold_batch_norm,
        )


@dataclass(kw_only=True)
class TrialOptions(NetworkOptions):
    """Run one configuration: pretrain, rank, selective fine-tune, evaluate on corruptions.

    Example: python -m pipelines.trial --set push_pull.where=first push_pull.h=2 finetune.which=most
    """

    baseline: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Also print CE, mCE and rCE against it: alexnet-paper, alexnet-imagenet-c, or a .csv or .json file of errors."""
    errors: Annotated[Path | None, tyro.conf.arg(metavar="FILE.csv")] = None
    """Also write the test errors into this file, which can be another trial's baseline."""


def main(options: TrialOptions) -> int:
    """Run the trial and print its stages, times and errors."""
    console = make_console()
    device = options.set_up()
    baseline = None if options.baseline is None else load_baseline(options.baseline)
    if options.errors is not None:
        if options.errors.suffix != ".csv":
            raise InputError(f"`--errors` must end in .csv, as a baseline does, got {options.errors}")
        require_folder(options.errors, "the table")
    config = make_config(options)
    store = open_store(options.store or options.home / "store")
    with waiting(console, "reading the data set"):
        info, _ = prepare_data(config.data, store, download=options.download)
    plan = make_plan(options, config, info, store, device, console)
    if baseline is not None:
        tested = plan.judged.settings
        baseline.check(tested["corruptions"], tested["severities"])
        baseline = baseline.against(info.settings.name)
    say(
        console,
        f"{info.in_words()}; {plan.config.model.name} on {device.type}; {' → '.join(spec.stage for spec in plan)}",
        *info.notes,
        *left_out(plan.config.evaluate, info),
        *without_effect(parse_settings(options.settings), plan.config),
        *([baseline.note] if baseline is not None and baseline.note else []),
    )
    start = time.perf_counter()
    outcomes = []
    with stage_bar(console) as show:
        for outcome in run_chain(plan, store, data_getter(info, store, device), device=device, on_progress=show):
            outcomes.append(outcome)
            say(console, describe_stage(outcome))
    errors = next(done for done in outcomes if done.spec is plan.judged).artifact.json("errors")
    say(console, error_grid(errors, baseline), *flip_grid(errors, baseline))
    if options.errors is not None:
        write_errors(errors, options.errors)
        say(console, f"wrote {options.errors}")
    say(console, f"done in {time.perf_counter() - start:.1f} s; artifacts in {store.address}")
    return 0


def make_plan(
    options: NetworkOptions, config: TrialConfig, info: DataInfo, store: Store, device: torch.device, console: Console
) -> TrialPlan:
    """Return the trial's stages, from the weights of --init on if they are given."""
    if options.init is not None:
        weights = prepare_weights(options.init, store, network=config.model.name)
        say(console, *weights.notes)
        config = config.with_settings(weights.settings(given=parse_settings(options.settings)))
    numerics = options.numerics(device.type)
    numerics.check()
    plan = plan_trial(config, info, **dataclasses.asdict(numerics))
    say(console, *check_weights(plan, store))
    return plan


def make_config(options: NetworkOptions, default: Mapping[str, Any] = MappingProxyType({})) -> TrialConfig:
    """Return the configuration that the options ask for, with some settings where no option says another."""
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
                raise unknown_name("arm", options.arm, arms, of=f"space {space.name!r}")
            settings = {**arms[options.arm].settings, **settings}
    settings |= options.data_settings()
    if options.seed is not None:
        settings["seed"] = options.seed
    return config.with_settings({**default, **recipe, **settings})


def without_effect(given: Iterable[str], config: TrialConfig) -> list[str]:
    """Return lines on given settings that can change nothing beside the others, a line for each reason.

    `finetune.which` is no such setting: whether anything is tuned is said by it, whatever else is.
    """
    settings, idle = config.flat(), dict[str, list[str]]()
    for path in given:
        missing = [condition.words for condition in conditions_of(path) if not condition.holds(settings)]
        if missing and path != "finetune.which":
            idle.setdefault(" and ".join(dict.fromkeys(missing)), []).append(path)
    return [f"without effect: {', '.join(paths)}, unless {words}" for words, paths in idle.items()]


def _of_passes(passes: Mapping[str, Any] | None) -> str:
    """Return what a training's line says of compiled passes."""
    if passes is None:
        return ""
    return f"; compiled in {passes['cold_s']:.1f} s" if passes["compiled"] else f"; not compiled: {passes['reason']}"


def describe_stage(outcome: StageOutcome) -> str:
    """Return a line on a stage: its key, its time, and what it came to."""
    manifest = outcome.artifact.manifest
    how = "from the store" if outcome.from_store else f"{manifest['seconds']:.1f} s"
    line = f"{outcome.spec.stage:<9} {outcome.spec.key[:8]}  {how:>14}"
    if "result.json" in manifest["files"]:  # a training: others report their progress alone
        result = outcome.artifact.json("result")
        best = next(record for record in outcome.artifact.history if record["epoch"] == result["best_epoch"])
        probe = f", probe {best['probe_error']:.2%}" if best["watch"] == outcome.spec.watch_digest else ""
        budget = None if result["labelled_noisy"] is None else NoisyBudget.from_json(result["labelled_noisy"])
        is_held_out = budget is not None and budget.selecting > 0 and budget.select_by == HELD_OUT
        measured = "held-out" if is_held_out else "validation"
        line += (
            f"  {result['epochs']} epochs, best {result['best_epoch']}: {measured} error "
            f"{result['validation_error']:.2%}{probe}, {result['n_trained']:,} trained"
        )
        line += "" if budget is None else f"; {budget}"
        steps = result.get("steps", {})
        line += "" if steps.get("captured", True) else f"; steps are not captured: {steps['reason']}"
        line += _of_passes(result.get("passes"))
    if "parts.json" in manifest["files"]:
        parts = outcome.artifact.json("parts")
        line += "" if list(parts) == ["all"] else f"; tuned: {', '.join(parts)}"
    if "metrics.json" in manifest["files"]:
        measured = outcome.artifact.json("metrics")
        line += "  " + ", ".join(f"{name} {value:.4g}" for name, value in measured.items())
    return line


def write_errors(errors: dict, path: Path) -> None:
    """Write the raw table of the test errors, and beside it what was measured along perturbation sequences."""
    test = errors["test"]
    with writing("the table", path):
        path.write_text(errors_as_csv(test["corrupted"], test["clean"], test.get("calibration")))
        if test.get("sequences"):
            path.with_name(f"{path.stem}-flips{path.suffix}").write_text(flips_as_csv(test["sequences"]))


def command_line(arguments: Sequence[str] | None = None) -> int:
    """Run the command with some arguments; return its exit code."""
    return run(TrialOptions, main, program="trial", arguments=arguments)


if __name__ == "__main__":
    sys.exit(command_line())
