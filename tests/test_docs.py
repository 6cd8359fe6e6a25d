"""Every command and every block of the README and of the docs works as printed; `tests/documents.py` makes it small."""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import os
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import tyro
from ray.scripts.scripts import cli as ray_cli

from engine.spaces import load_space, space_names
from tests.documents import (
    DOCUMENTS,
    PRELUDE,
    ROOT,
    Block,
    blocks,
    examples,
    furnish,
    inline_commands,
    is_module,
    module_name,
    small,
)
from tests.registered import imported, write_printed

SECONDS = 300
"""The longest that a command may take."""
ELSEWHERE = (["python3", "-m", "venv"], [".venv/bin/pip", "install"], [".venv/bin/python", "-m", "pytest"])
"""Beginnings of commands that `.ci/run` runs in a fresh environment, not this file."""
CLOUD = ("ray", "pip", "export", "aws", "docker", "kubectl", "sbatch", "sky")
"""First words of commands that need a cluster or a cloud: they are checked for their spelling alone."""


class UnderstoodError(BaseException):
    """A command's arguments have been understood."""


def test_a_block_is_run_or_is_output():
    assert {block.language for block in blocks()} == {"", "sh", "python"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_what_is_not_installed_is_said_to_need_a_checkout(document: Path):
    text = re.sub(r"<!--.*?-->", "", document.read_text(), flags=re.DOTALL)
    assert "checkout" in text or not re.search(r"python -m (?:benchmarks|tests)\b", text)


def commands(*, run: bool) -> list[tuple[str, list[str]]]:
    """Return (document, words) of the commands in blocks that this file runs, or of the others."""
    found = [(str(block), words) for block in blocks("sh") for words in block.commands()]
    return [(place, words) for place, words in found if is_module(words) == run]


def test_a_command_is_run_here_or_by_the_checks_or_needs_a_cloud():
    for place, words in commands(run=False):
        elsewhere = any(words[: len(beginning)] == beginning for beginning in ELSEWHERE)
        assert elsewhere or (words[0] in CLOUD and place.startswith(("cluster.md", "README.md"))), (place, words)


def understand(words: list[str], monkeypatch) -> None:
    """Parse the arguments of a command of this project; it exits with 2 where it would for a person."""
    cli, parse = tyro.cli, argparse.ArgumentParser.parse_args

    def only_cli(options, **others):
        cli(options, **others)
        raise UnderstoodError

    def only_parse(self, args=None, namespace=None):
        parse(self, args, namespace)
        raise UnderstoodError

    monkeypatch.setattr(sys, "argv", words)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(tyro, "cli", only_cli)
    if not words[0].startswith("pipelines."):  # tyro is made of argparse
        monkeypatch.setattr(argparse.ArgumentParser, "parse_args", only_parse)
    with pytest.raises(UnderstoodError):
        runpy.run_module(words[0], run_name="__main__", alter_sys=True)


@pytest.mark.filterwarnings("ignore:.*found in sys.modules")
@pytest.mark.parametrize(("place", "words"), commands(run=True), ids=str)
def test_a_command_is_spelled_right(place, words, monkeypatch):
    if "--help" in words:
        words = [word for word in words if word != "--help"]
    understand(words[2:], monkeypatch)


@pytest.mark.filterwarnings("ignore:.*found in sys.modules")
@pytest.mark.parametrize(("place", "words"), list(examples()), ids=str)
def test_the_example_of_a_command_s_help_is_spelled_right_and_its_own(place, words, monkeypatch):
    assert words[2] == f"pipelines.{place.removesuffix('.py')}"
    understand(words[2:], monkeypatch)


@pytest.mark.filterwarnings("ignore:.*found in sys.modules")
@pytest.mark.parametrize(("place", "words"), list(inline_commands()), ids=str)
def test_a_command_in_a_sentence_is_spelled_right(place, words, monkeypatch):
    if len(words) > 3:
        understand(words[2:], monkeypatch)
    else:  # a command's name: what it needs is said elsewhere
        assert importlib.util.find_spec(words[2]) is not None


@pytest.mark.filterwarnings("ignore:.*found in sys.modules")
@pytest.mark.parametrize(("place", "words"), [c for c in commands(run=False) if c[1][0] in CLOUD], ids=str)
def test_a_command_for_the_cloud_is_spelled_right(place, words, monkeypatch):
    if words[0] == "ray":
        command = ray_cli.commands[words[1]]
        command.make_context(words[1], words[2:])
    elif words[0] == "pip":
        (extra,) = re.findall(r"\.\[(\w+)\]", words[-1])
        assert extra in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    elif words[0] == "export":
        assert re.fullmatch(r"RAY_AUTH_MODE=\w+", words[1])
    for arguments in sweeps_within(words):
        understand(arguments, monkeypatch)
    for name in re.findall(r"\b(?:aws|kubernetes|slurm|skypilot)/[\w.]+|\bconstraints\.txt", " ".join(words)):
        assert (ROOT / name).is_file(), name


def sweeps_within(words: list[str]) -> Iterator[list[str]]:
    """Yield the commands of this project that a command carries to a cluster, after ``python -m``."""
    if "pipelines.sweep" in words:
        yield words[words.index("pipelines.sweep") :]
    if any(word.endswith(".sbatch") for word in words):
        place = next(number for number, word in enumerate(words) if word.endswith(".sbatch"))
        yield ["pipelines.sweep", *words[place + 1 :]]
    for word in words:
        carried = re.search(r"^SWEEP_OPTIONS=(.*)", word) or re.search(r"python -m pipelines\.sweep(.*)", word)
        if carried:
            yield ["pipelines.sweep", *shlex.split(carried[1])]


def modules_beside(space: str) -> list[str]:
    """Return the modules that the documents' commands import where they use a space."""
    words = next((words for _, words in commands(run=True) if space in words and "--import" in words), [])
    return [word for before, word in itertools.pairwise(words) if before == "--import"]


def test_the_spaces_of_the_docs_are_spaces_with_names_of_their_own(tmp_path):
    found = 0
    write_printed(tmp_path)
    for block in blocks("python"):
        name = module_name(block)
        if "SPACE = " in block.text:
            assert name is not None
            with imported(tmp_path, *modules_beside(name)):
                space = load_space(tmp_path / name)
            assert space.name not in space_names(), "another space of the project has this name"
            found += 1
        else:
            compile(block.text, str(block), "exec")
    assert found


class Workplace:
    """A folder in which a person follows the documents: what one block has made is there for the next."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._done: set[tuple[str, ...]] = set()
        furnish(folder)

    def python(self, *words: str) -> str:
        """Run Python there unless the same was run before; return what was printed."""
        if words in self._done:
            return ""
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_WAIT_POLICY": "PASSIVE", "COLUMNS": "120"}
        done = subprocess.run(
            [sys.executable, *words],
            cwd=self.folder,
            env={name: value for name, value in environment.items() if name != "ROBUSTUNE_DATA"},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{' '.join(words)}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
        self._done.add(words)
        return done.stdout

    def command(self, words: list[str]) -> str:
        """Run a command of the documents, made small; the study that is called NAME there is made first."""
        if "NAME" in words and "sweep" not in words[2]:
            self.python("-m", *small(["pipelines.sweep", "--study", "NAME"]))
        if any(word.endswith(".pth.tar") and not (self.folder / word).is_file() for word in words):
            pytest.skip("the published checkpoints are not on this machine (ROBUSTUNE_REFERENCE)")
        if "--leaderboard" in words:
            pytest.skip("an entry is of CIFAR-10-C as it was published, whole: of nothing smaller is one written")
        return self.python("-m", *small(words[2:]))


@pytest.fixture(scope="module")
def workplaces(tmp_path_factory) -> dict[str, Workplace]:
    """Return a place for those who use the project and one for those who compute its results again.

    The same studies are made of other data sets there.
    """
    return {name: Workplace(tmp_path_factory.mktemp(name)) for name in ("use", "results")}


@pytest.fixture
def workplace(workplaces, block: Block) -> Workplace:
    return workplaces["results" if block.document.name.startswith("results") else "use"]


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("block", [block for block in blocks("sh") if any(map(is_module, block.commands()))], ids=str)
def test_the_commands_of_a_block_run_as_printed(workplace: Workplace, block: Block):
    for words in block.commands():
        if is_module(words):
            workplace.command(words)


NEEDS_MORE = (
    "--ray-address",
    "--tracking-uri",
    "FILE",
    "table-4",
    "exported",
    "imagefolder:PATH",
    "s3://BUCKET/PREFIX",
)
"""Words of commands in sentences, and in help, that need a cluster, a server, a bucket, a file or study of one's own or
weights from the network: these commands are checked for their spelling alone."""


def in_sentences() -> list[tuple[str, list[str]]]:
    """Return (document, words) of the commands in sentences and in help that can be run here, each once."""
    found = {}
    for place, words in [*inline_commands(), *examples()]:
        if is_module(words) and len(words) > 3 and not set(NEEDS_MORE) & set(words):
            found.setdefault(tuple(words), (place, words))
    return list(found.values())


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("place", "words"), in_sentences(), ids=str)
def test_a_command_in_a_sentence_runs_as_printed(workplaces, place: str, words: list[str]):
    workplaces["results" if place.startswith("results") else "use"].command(words)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("block", [block for block in blocks("python") if not module_name(block)], ids=str)
def test_the_scripts_of_the_docs_run_as_printed(workplace: Workplace, block: Block):
    workplace.python("-c", PRELUDE + block.text)


def test_what_is_made_small_is_what_costs_time_alone():
    assert small(["pipelines.sweep", "--dry-run"]) == ["pipelines.sweep", "--dry-run"]
    words = small(
        ["pipelines.sweep", "--set", "data.n_train=5000", "model.width=8", "--n-trials", "200", "--seed", "1"]
    )
    assert words[:3] == ["pipelines.sweep", "--set", "model.width=8"]
    assert words[-4:] == ["--n-trials", "4", "--seed", "1"]
    assert "data.n_train=60" in words
    assert small(["pipelines.report", "--study", "x"]) == ["pipelines.report", "--study", "x"]
    assert small(["pipelines.rankings", "--n-seeds", "5"])[1:3] == ["--n-seeds", "2"]
    assert small(["pipelines.export", "--study", "x"]) == [
        "pipelines.export",
        "--study",
        "x",
        "--what",
        "arm:push-pull",
    ]


def test_the_readme_names_every_command_and_every_page():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    table = readme[readme.index("## What is where") :]
    commands = {path.stem for path in (ROOT / "pipelines").glob("*.py") if not path.name.startswith("_")}
    assert not {name for name in commands if f"`{name}`" not in table}
    assert not {path.name for path in (ROOT / "docs").glob("*.md") if f"(docs/{path.name})" not in table}
