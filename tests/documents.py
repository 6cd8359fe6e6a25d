"""What the documents print: their blocks, the commands in them, and how each becomes small enough for a test.

A command is run as printed but for what costs time: numbers of images, epochs, seeds and trials are made small
(`small`), and data sets, checkpoints and folders that it names are miniatures (`furnish`). What a script in Python runs
is made small in the same way (`PRELUDE`).
"""

from __future__ import annotations

import atexit
import importlib
import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

import numpy as np
from PIL import Image

from tests.engine.data import test_official

ROOT = Path(__file__).parents[1]
DOCUMENTS = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))

IMAGES = {"data.n_train": 60, "data.n_validation": 24, "data.n_test": 24, "distortion.n_images": 20}
EPOCHS = {"pretrain.epochs": 1, "finetune.training.epochs": 1, "evaluate.n_probe": 20}
KEEPS_ITS_IMAGES = ("selective-digits", "selective-cifar", "filters-fig-5")
"""Spaces whose arms ask for up to a thousand noisy images."""
FEW = {"--n-trials": 3, "--n-seeds": 2}
EXTENDED = 100
"""A larger number of trials extends a study that is there: it is one more than that has."""
COMPUTE = ("sweep", "trial", "responses", "rankings", "disparity", "evaluate")
"""Commands that take settings."""
TESTED = {"data.n_train": 60, "data.n_validation": 24, "data.n_test": 24}
"""Settings of them that a command knows which trains nothing."""

PRELUDE = f"""
import engine.orchestration
from engine.orchestration.options import SweepOptions

_run_sweep = engine.orchestration.run_sweep


def _small(space, **options):
    SweepOptions.of({{**options, "space": "push-pull"}}).check()
    settings = {{**options.pop("settings", {{}}), **{ {**IMAGES, **EPOCHS}!r}}}
    return _run_sweep(space, **{{**options, "n_trials": {FEW["--n-trials"]}, "settings": settings}})


engine.orchestration.run_sweep = _small
"""


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        document: its file.
        line: of the fence that opens it.
        language: after the fence; "" for output.
        text: what is in it.
    """

    document: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.document.name}:{self.line}"

    def commands(self) -> list[list[str]]:
        """Return the commands of a shell block as words, each part of a chain (``&&``) alone."""
        found = []
        for line in self.text.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            while words:
                end = words.index("&&") if "&&" in words else len(words)
                found.append(words[:end])
                words = words[end + 1 :]
        return found


def blocks(*languages: str) -> list[Block]:
    """Return the blocks of all documents, or those of some languages."""
    found = []
    for document in DOCUMENTS:
        text = document.read_text()
        for match in re.finditer(r"^```(.*)\n((?:.*\n)*?)```$", text, flags=re.MULTILINE):
            line = text[: match.start()].count("\n") + 1
            found.append(Block(document, line, match[1], match[2]))
    return [block for block in found if not languages or block.language in languages]


def inline_commands() -> Iterator[tuple[str, list[str]]]:
    """Yield (document, words) of every command in a sentence."""
    for document in DOCUMENTS:
        prose = re.sub(r"^```.*\n(?:.*\n)*?```$", "", document.read_text(), flags=re.MULTILINE)
        for command in re.findall(r"`(python -m [^`…]*)`", prose):
            yield document.name, shlex.split(command)


def examples() -> Iterator[tuple[str, list[str]]]:
    """Yield (command's file, words) of every example that a command's help shows."""
    for file in sorted((ROOT / "pipelines").glob("*.py")):
        for command in re.findall(r"^ *Example: (python -m .*)$", file.read_text(), flags=re.MULTILINE):
            yield file.name, shlex.split(command)


def is_module(words: list[str]) -> bool:
    """Return whether a command runs a module of the project."""
    return words[0].endswith("python") and words[1] == "-m" and words[2].partition(".")[0] == "pipelines"


def small(words: list[str]) -> list[str]:
    """Return the words of a command after ``python -m`` with little to do."""
    module, *arguments = words
    package, _, name = module.partition(".")
    for flag, most in FEW.items():
        if flag in arguments:
            place = arguments.index(flag) + 1
            arguments[place] = str(most + (flag == "--n-trials" and int(arguments[place]) > EXTENDED))
    if (package, name) == ("pipelines", "export") and "--what" not in arguments:
        arguments += ["--what", "arm:push-pull"]  # so few trials are arms alone, and have no winner
    only_prints = {"--help", "--list", "--dry-run"} & set(arguments)
    if package != "pipelines" or name not in COMPUTE or only_prints:
        return [module, *arguments]
    if name == "sweep" and "--n-trials" not in arguments:
        arguments += ["--n-trials", str(FEW["--n-trials"])]
    keeps = any(space in arguments for space in KEEPS_ITS_IMAGES)
    caps = {"pretrain.epochs": 1} if keeps else TESTED if name == "evaluate" else {**IMAGES, **EPOCHS}
    start = arguments.index("--set") + 1 if "--set" in arguments else len(arguments)
    end = next((i for i in range(start, len(arguments)) if arguments[i].startswith("--")), len(arguments))
    given = [word for word in arguments[start:end] if word.partition("=")[0] not in caps]
    settings = [*given, *(f"{path}={value}" for path, value in caps.items())]
    return [module, *arguments[:start], *(["--set"] if "--set" not in arguments else []), *settings, *arguments[end:]]


def furnish(folder: Path) -> None:
    """Put into a folder what the documents' commands expect to find where they are run."""
    with patch.multiple(test_official, N_TRAIN=1500, N_TEST=60):
        test_official.write_cifar(folder / "data")
        test_official.write_mnist(folder / "data")
    draws = np.random.default_rng(0)
    for name, side, n_train in (("PATH", 24, 40), ("PICTURES", 24, 40), ("MNIST", 28, 40), ("CIFAR", 32, 750)):
        for part, n in (("train", n_train), ("test", 15)):
            _write_pictures(folder / name / part, draws.integers(0, 256, (2, n, side, side, 3), dtype=np.uint8))
    _write_pictures(folder / "CLASSES", draws.integers(0, 256, (2, 60, 24, 24, 3), dtype=np.uint8))
    for part, n in (("train", 40), ("test", 15)):
        _write_pictures(folder / "SCANS" / part, draws.normal(0, 500, (2, n, 16, 16)).astype(np.float32), "tiff")
    for block in blocks("python"):
        name = module_name(block)
        if name:
            (folder / name).write_text(block.text)
    reference = Path(os.environ.get("ROBUSTUNE_REFERENCE", "/nonexistent")) / "checkpoints"
    for file in reference.glob("resnet-20*.pth.tar"):
        shutil.copy(file, folder)


def module_name(block: Block) -> str | None:
    """Return the file that a block in Python is: one that begins with its name, or a space; None for a script."""
    named = re.match(r"# (\w+\.py)\n", block.text)
    space = re.search(r"^SPACE = Space\(\s*name=\"([\w-]+)\"", block.text, flags=re.MULTILINE)
    return named[1] if named else f"{space[1]}.py" if space else None


def _write_pictures(folder: Path, classes: np.ndarray, kind: str = "png") -> None:
    for label, pictures in enumerate(classes):
        (folder / f"class{label}").mkdir(parents=True)
        for number, pixels in enumerate(pictures):
            Image.fromarray(pixels).save(folder / f"class{label}" / f"{number:04}.{kind}")


def bring_module(name: str) -> ModuleType:
    """Import a module of the documents, which registers what it adds; a second time it is the same.

    Args:
        name: of the module, without ".py".
    """
    if name not in sys.modules:
        (block,) = [block for block in blocks("python") if module_name(block) == f"{name}.py"]
        folder = Path(tempfile.mkdtemp(prefix="documents-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        (folder / f"{name}.py").write_text(block.text)
        sys.path.append(str(folder))
        importlib.import_module(name)
    return sys.modules[name]
