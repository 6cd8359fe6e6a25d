"""What the command lines share: typed options, and errors as one sentence."""

from __future__ import annotations

import dataclasses
import errno
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import tyro

from engine import variables
from engine.conversion import home_found
from engine.errors import InputError, shown, unknown_name
from engine.extensions import chosen_data, import_modules
from engine.orchestration.cluster.interruption import as_ctrl_c
from engine.orchestration.databases.patience import RefusedError
from engine.redaction import hide_credentials
from engine.signs_of_life import signs_of_life
from engine.store.attempts import StoreFaultError
from pipelines._help import plain, with_help
from pipelines._spelling import check_words

if TYPE_CHECKING:
    import torch

Options = TypeVar("Options")
INTERRUPTED = 130
"""The exit code of a command that Ctrl-C, SIGTERM or a closed terminal has ended before its end."""

_MOST_THREADS = 1024


@dataclass(kw_only=True)
class ComputeOptions:
    """What commands share that compute in this process."""

    dataset: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """digits; mnist, cifar10 or cifar100 (or cifar10:FOLDER, see ROBUSTUNE_DATA); or folder:PATH with train/ and test/,
    a folder per class in each (or to be split: --set data.test_fraction=0.2); imagefolder:PATH has train/ and val/, and
    is read as networks for ImageNet are tested, at 224 pixels."""
    classes: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")] = ()
    """Which classes of a folder (folder:PATH, imagefolder:PATH) are used, by their names; all, if none is given."""
    download: bool = False
    """Fetch the files of mnist, cifar10 or cifar100 first, unless they are there."""
    home: Path = variables.or_variable(variables.HOME, variables.path, Path("runs"))
    """Where everything that is written goes; finished stages and decoded images are found there again."""
    device: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """cpu or cuda; whichever there is, if not given."""
    threads: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """CPU threads to compute with; as many as there are cores if not given. On CPUs another number gives other last
    digits: what a sweep has stored is found with as many as its slots have (--cpus-per-slot, 1 if not given)."""
    imports: Annotated[tuple[str, ...], tyro.conf.arg(name="import", metavar="MODULE ...")] = field(default=())
    """Modules of yours that register models, data sets, corruptions, distances and so on."""

    def data_settings(self) -> dict[str, object]:
        """Return the settings of the data that have options of their own, by dotted path, as far as they are given."""
        return chosen_data(self.dataset, self.classes)

    def set_up(self) -> torch.device:
        """Import the user's modules, set the threads, and return the device.

        Raises:
            InputError: a module that cannot be imported, no thread, or a device that this machine does not have.
        """
        import torch  # here: commands that compute nothing should start quickly

        from engine.heap import keep_freed_memory
        from engine.precision import make_repeatable

        keep_freed_memory()
        import_modules(self.imports)
        if self.threads is not None and self.threads < 1:
            raise InputError(f"`--threads` must be ≥ 1, got {self.threads}")
        if self.threads is not None and self.threads > max(_MOST_THREADS, n_cores()):
            raise InputError(f"`--threads` must be at most {_MOST_THREADS:,}, got {shown(self.threads)}")
        torch.set_num_threads(self.threads or n_cores())
        available = ("cuda", "cpu") if torch.cuda.is_available() else ("cpu",)
        if self.device is not None and self.device not in available:
            raise unknown_name("device on this machine", self.device, available)
        device = torch.device(self.device or available[0])
        if device.type == "cuda":
            make_repeatable()
        return device


def _with_home_found(options: Options) -> Options:
    """Return options, and those of a subcommand within, with "~" in their paths replaced."""
    changed: dict[str, Any] = {}
    for item in dataclasses.fields(options):  # type: ignore[arg-type]
        value = getattr(options, item.name)
        if isinstance(value, Path):
            changed[item.name] = home_found(value)
        elif dataclasses.is_dataclass(value):
            changed[item.name] = _with_home_found(value)
    return dataclasses.replace(options, **changed)  # type: ignore[type-var]


def n_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(
    options: type[Options], main: Callable[[Options], int], *, program: str, arguments: Sequence[str] | None
) -> int:
    """Parse the options, call ``main`` and return the exit code.

    It is 2, with one sentence, for a caller's mistake, 1 for a training that diverged, a full disk, a database or store
    that refuses, and 1, with the traceback, for any other error; none shows the credentials that addresses hold.
    """
    sys.path.insert(0, str(Path.cwd()))  # modules of --import and spaces lie where the command is given
    try:
        check_words(options, sys.argv[1:] if arguments is None else arguments)
        parsed = tyro.cli(
            with_help(options),
            prog=f"python -m pipelines.{program}",
            args=arguments,
            config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes),
        )
        with as_ctrl_c(), signs_of_life():
            return main(_with_home_found(plain(options, parsed)))
    except InputError as error:
        sentence = variables.mention(hide_credentials(f"error: {error}"), sys.argv if arguments is None else arguments)
        print(sentence, file=sys.stderr)
        return 2
    except (RefusedError, StoreFaultError) as error:
        print(hide_credentials(f"error: {error}"), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:  # libraries put addresses into their errors
        from engine.training import TrainingDivergedError  # here: it needs torch, which is slow to import

        if isinstance(error, TrainingDivergedError):
            print(f"error: {error}", file=sys.stderr)
            return 1
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            where = f" ({error.filename})" if error.filename else ""
            print(hide_credentials(f"error: {error.strerror}{where}"), file=sys.stderr)
            return 1
        print(hide_credentials(traceback.format_exc()), file=sys.stderr, end="")
        return 1
