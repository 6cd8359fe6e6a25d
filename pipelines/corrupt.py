"""Corrupted test images in CIFAR-10-C's format: ``python -m pipelines.corrupt``."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import tyro
from rich.console import Console

from engine.corruptions import check_constants, corrupt, frost_source, table_corruptions, why_impossible
from engine.corruptions.tables import SUITES, not_in_table, tables_with, with_suites
from engine.data import DataInfo, Split, write_corruption_files
from engine.data.streamed import whole
from engine.errors import InputError
from engine.extensions import parse_settings
from engine.figures.saving import require_folder, save_figure
from engine.report.terminal import make_console, progress_bar, say
from engine.settings import TrialConfig
from engine.stages import data_getter, prepare_data
from engine.store import open_store
from pipelines._command_line import ComputeOptions, run
from pipelines._progress import waiting

VERSION = 2
"""Of the pixels that the corruptions give: raise it when one of them changes."""


@dataclass(kw_only=True)
class CorruptOptions(ComputeOptions):
    """Write the test images of a data set, corrupted, as CIFAR-10-C has them: a .npy file a corruption, and labels.

    The same command goes on with a folder that was interrupted.

    Example: python -m pipelines.corrupt --dataset cifar10 --output CIFAR-10-C
    """

    output: Path
    """The folder to write."""
    settings: Annotated[tuple[str, ...], tyro.conf.arg(name="set", metavar="data.NAME=VALUE ...")] = ()
    """Settings of the data to change, such as data.image_size=32 or data.n_test=1000."""
    corruptions: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")] = ()
    """Corruptions to write, or c-bar for those of CIFAR-10-C-bar; if not given, those of CIFAR-10-C, or of digits."""
    table: str = "cifar-c"
    """Severities: cifar-c or imagenet-c, those of the published sets, or digits, made for small grey images."""
    seed: int = 0
    """What the corruptions' randomness is drawn from."""
    grid: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Also draw one image under every corruption and severity, into this file."""
    image: int = 0
    """Position of the test image in the grid."""


def main(options: CorruptOptions) -> int:
    """Write the files, and the grid if it is asked for."""
    console = make_console()
    device = options.set_up()
    asked = asked_corruptions(options)
    settings = parse_settings(options.settings)
    others = [path for path in settings if not path.startswith("data.")]
    if others:
        raise InputError(f"only settings of the data can be changed here, got {', '.join(others)}")
    config = TrialConfig().with_settings({**settings, **options.data_settings()})
    store = open_store(options.home / "store")
    with waiting(console, "reading the data set"):
        info, _ = prepare_data(config.data, store, download=options.download)
    say(console, *info.notes)
    names, left_out = possible_corruptions(options, asked, info)
    test = data_getter(info, store, device)(info.key).test
    if not 0 <= options.image < len(test):
        raise InputError(f"`--image` must be from 0 to {len(test) - 1}, got {options.image}")
    if options.grid is not None:
        require_folder(options.grid, "the figure")
    about = {
        "version": VERSION,
        "data": info.key,
        "data set": config.data.name,
        "table": options.table,
        "seed": options.seed,
        "frost": frost_source().key if "frost" in names else None,
    }
    say(
        console,
        f"{config.data.name}: {len(test)} test images of {info.channels}×{info.image_size}×{info.image_size}, "
        f"{len(names)} corruptions of 5 severities, on {device.type}",
    )
    say(console, *left_out)
    if "frost" in names and frost_source().kind == "synthetic":
        say(console, "frost: synthetic pictures; FROST_DIR can name a folder with the original ones")
    write(options, names, test, about, console)
    if options.grid is not None:
        write_grid(options, names, test, config.data.name)
        say(console, f"wrote {options.grid}")
    return 0


def named(options: CorruptOptions) -> list[str]:
    """Return the words that name corruptions: by themselves, or joined by commas as in settings."""
    return [word for words in options.corruptions for word in words.split(",") if word]


def asked_corruptions(options: CorruptOptions) -> tuple[str, ...]:
    """Return the corruptions that are asked for; raises ``InputError`` for an unknown one."""
    known, suites = table_corruptions(options.table), SUITES.get(options.table, {})
    asked = with_suites(named(options), options.table)
    for name in asked:
        if name not in known:
            other = next(iter(tables_with(name)), None)
            raise not_in_table(name, options.table, (*known, *suites), other, "--table ")
    return asked or suites.get("c", known)


def possible_corruptions(
    options: CorruptOptions, asked: Sequence[str], info: DataInfo
) -> tuple[tuple[str, ...], list[str]]:
    """Return those that the images can have, and sentences on those left out; what was asked for by name never is.

    Raises:
        InputError: one that was asked for by name has no meaning for the images, or none has.
    """
    for name in asked:
        check_constants(name, options.table, range(1, 6), info.channels, info.image_size)
    reasons = {name: why_impossible(name, options.table, info.channels, info.image_size) for name in asked}
    impossible = {name: reason for name, reason in reasons.items() if reason is not None}
    names = tuple(name for name in asked if name not in impossible)
    told = {name: reason for name, reason in impossible.items() if name in named(options) or not names}
    if told:
        name, reason = next(iter(told.items()))
        raise InputError(f"corruption {name!r} cannot be had of the images of {info.settings.name}: {reason}")
    return names, [f"left out: {reason}" for reason in impossible.values()]


def write(
    options: CorruptOptions, names: Sequence[str], test: Split, about: dict[str, object], console: Console
) -> None:
    """Write the files, with a bar on a terminal and a line a corruption elsewhere."""

    def corrupted(images: torch.Tensor, name: str, severity: int, indices: torch.Tensor) -> torch.Tensor:
        return corrupt(images, name, severity, seed=options.seed, indices=indices, table=options.table)

    started, written = time.perf_counter(), set()
    with progress_bar(console) as progress:
        task = progress.add_task("", total=len(names) * 5 * len(test))
        for name, done, total in write_corruption_files(options.output, test, names, corrupted, about=about):
            progress.update(task, description=name, completed=names.index(name) * total + done)
            if done < total:
                written.add(name)
            elif not console.is_terminal:
                took = f"{time.perf_counter() - started:.1f} s" if name in written else "there already"
                say(console, f"{name}: {took}")
                started = time.perf_counter()
    say(console, describe_written(options.output, len(written), len(names)))


def describe_written(folder: Path, n_written: int, n_names: int) -> str:
    """Return what the command has done, as a sentence."""
    if not n_written:
        return f"nothing to write: all {n_names} corruptions are in {folder}"
    if n_written < n_names:
        return f"wrote {n_written} of {n_names} corruptions into {folder}: the rest was there"
    return f"wrote {n_written} corruptions and labels.npy into {folder}"


def write_grid(options: CorruptOptions, names: Sequence[str], test: Split, title: str) -> None:
    """Draw one image under every corruption and severity."""
    from engine.figures.corruption_grid import corruption_figure  # here: matplotlib is slow to import

    one = test.take(torch.tensor([options.image]))
    images = whole(one.images)
    rows = {
        name: [
            corrupt(images, name, severity, seed=options.seed, indices=one.indices, table=options.table)[0].cpu()
            for severity in range(1, 6)
        ]
        for name in names
    }
    figure = corruption_figure(one.images[0].cpu(), rows, f"{title}, test image {options.image}")
    assert options.grid is not None
    save_figure(figure, options.grid)


def command_line(arguments: Sequence[str] | None = None) -> int:
    """Run the command with some arguments; return its exit code."""
    return run(CorruptOptions, main, program="corrupt", arguments=arguments)


if __name__ == "__main__":
    sys.exit(command_line())
