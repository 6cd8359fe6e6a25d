"""Where the time of one trial's stages goes: ``python -m pipelines.profile``."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from engine.errors import InputError, unknown_name
from engine.report.terminal import make_console, say
from engine.report.text_tables import Table
from engine.stages import TrialPlan, data_getter, prepare_data
from engine.stages.profiling import StageProfile, profile_stage
from engine.stages.runner import run_stage
from engine.store import open_store
from pipelines._command_line import run
from pipelines._progress import waiting
from pipelines.trial import NetworkOptions, make_config, make_plan

N_SHOWN = 12


@dataclass(kw_only=True)
class ProfileOptions(NetworkOptions):
    """Show where the time of one trial's stages goes: by operation, and as a trace for a browser.

    Nothing of it is kept but the traces: stages are computed in a folder of their own, whatever the store has.

    Example: python -m pipelines.profile --space push-pull --arm push-pull --stage pretrain
    """

    stage: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """The stage to profile; those that it needs are computed before it. All of the trial's if not given."""
    epochs: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """Epochs of each training: one shows where each one's time goes."""
    traces: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Where a trace of each stage goes, STAGE.json, for chrome://tracing or ui.perfetto.dev; HOME/profiles if not
    given."""


def main(options: ProfileOptions) -> int:
    """Profile the stages and print where their time went."""
    console = make_console()
    device = options.set_up()
    if options.epochs < 1:
        raise InputError(f"`--epochs` must be ≥ 1, got {options.epochs}")
    config = make_config(options).with_settings(
        {"pretrain.epochs": options.epochs, "finetune.training.epochs": options.epochs}
    )
    store = open_store(options.store or options.home / "store")
    with waiting(console, "reading the data set"):
        info, _ = prepare_data(config.data, store, download=options.download)
    traces = options.traces or options.home / "profiles"
    make_folder(traces)
    get_data = data_getter(info, store, device)
    with tempfile.TemporaryDirectory(prefix="robustune-profile-") as folder:
        scratch = open_store(folder)
        plan = make_plan(options, config, info, scratch, device, console)
        wanted = wanted_stages(plan, options.stage)
        for spec in plan:
            if not wanted:
                break
            if spec.stage not in wanted:
                with waiting(console, f"computing {spec.stage}"):
                    run_stage(spec, scratch, get_data, device=device)
                continue
            wanted.remove(spec.stage)
            trace = traces / f"{spec.stage}.json"
            with waiting(console, f"profiling {spec.stage}"):
                found = profile_stage(spec, scratch, get_data, device=device, trace=trace)
            say(console, table_of(found))
            say(console, f"trace: {trace}", "")
    return 0


def wanted_stages(plan: TrialPlan, stage: str | None) -> set[str]:
    """Return the names of the stages to profile.

    Raises:
        InputError: the trial has no such stage.
    """
    names = [spec.stage for spec in plan]
    if stage is not None and stage not in names:
        raise unknown_name("stage of the trial", stage, names)
    return set(names) if stage is None else {stage}


def make_folder(folder: Path) -> None:
    """Make the folder of the traces.

    Raises:
        InputError: it cannot be.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"the traces' folder cannot be made: {folder} ({error.strerror})") from error


def table_of(found: StageProfile) -> Table:
    """Return where a stage's time went, as a table."""
    on_gpu = any(one.device_seconds for one in found.operations)
    shown, others = found.operations[:N_SHOWN], found.operations[N_SHOWN:]
    rows = [(one.name, one.seconds, one.device_seconds, f"{one.calls}") for one in shown]
    if others:
        rest = sum(one.seconds for one in others), sum(one.device_seconds for one in others)
        rows.append((f"{len(others)} other operations", *rest, f"{sum(one.calls for one in others)}"))
    rows.append(("outside of operations", found.other_s, 0.0, ""))
    columns = ["operation", "s", "share", *(["GPU s"] if on_gpu else []), "calls"]
    return Table(
        f"{found.stage}: {found.wall_s:.2f} s, of the processor {found.processor_s:.2f} s",
        columns,
        [
            [name, f"{s:.3f}", f"{s / found.wall_s:.1%}", *([f"{gpu_s:.3f}"] if on_gpu else []), calls]
            for name, s, gpu_s, calls in rows
        ],
        align="l" + "r" * (len(columns) - 1),
    )


def command_line(arguments: Sequence[str] | None = None) -> int:
    """Run the command with some arguments; return its exit code."""
    return run(ProfileOptions, main, program="profile", arguments=arguments)


if __name__ == "__main__":
    sys.exit(command_line())
