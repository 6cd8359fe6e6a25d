"""The stubs beside packages whose names are loaded when they are first used: editors and type checkers know them all.

They are written by ``python -m tests.test_stubs``.
"""

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAZY = sorted(
    file for file in (ROOT / "engine").rglob("__init__.py") if "lazy_names(__name__" in file.read_text(encoding="utf-8")
)
HEAD = '"""The names of {package}, for editors and type checkers: `python -m tests.test_stubs`."""\n\n'

USER = """
import torch

import engine
from engine import CORRUPTIONS, PushPull2d, Space, build_model, corrupt
from engine.orchestration import run_sweep
from engine.spaces import Choice

layer: int = PushPull2d(3, 8, 3, h=2.0)
model: int = build_model("resnet-20", num_classes=10)
noisy: int = corrupt(torch.zeros(1, 3, 32, 32, dtype=torch.uint8), "fog", 3, seed=0)
space: int = Space(name="mine", base=engine.TrialConfig(), axes=(Choice("push_pull.h", (1.5, 2.0)),))
results: int = run_sweep("push-pull", n_trials=4)
wrong = engine.corupt
names: str = CORRUPTIONS
"""
"""A user's file with an error in each of its last lines."""
TOLD = (
    'expression has type "PushPull2d"',
    'expression has type "Module"',
    'expression has type "Tensor"',
    'expression has type "Space"',
    'expression has type "StudyResults"',
    'Module has no attribute "corupt"; maybe "corrupt"?',
    'variable has type "str"',
)


def package_of(file: Path) -> str:
    return ".".join(file.parent.relative_to(ROOT).parts)


def lazy(file: Path) -> dict[str, str]:
    """Return {public name: the module that it is loaded from} of a package."""
    return dict(importlib.import_module(package_of(file))._MODULES)


def stub(file: Path) -> str:
    """Return the text of a package's stub, before it is formatted."""
    modules = lazy(file)
    imports = [f"from {module} import {name}" for name, module in modules.items()]
    return HEAD.format(package=package_of(file)) + "\n".join([*imports, f"\n__all__ = {sorted(modules)!r}"]) + "\n"


def imported(tree: ast.Module) -> dict[str, str]:
    """Return {name: the module that it is imported from} of a stub."""
    return {
        alias.name: node.module
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module is not None
        for alias in node.names
    }


def exported(tree: ast.Module) -> list[str]:
    """Return the names in a stub's ``__all__``."""
    (names,) = [
        node.value for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    ]
    return list(ast.literal_eval(names))


def test_there_are_packages_with_lazy_names():
    assert ROOT / "engine" / "__init__.py" in LAZY


@pytest.mark.parametrize("file", LAZY, ids=package_of)
def test_a_stub_has_the_lazy_names_and_no_others(file: Path):
    path = file.with_suffix(".pyi")
    assert path.exists(), "write it: python -m tests.test_stubs"
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert imported(tree) == lazy(file), "write it again: python -m tests.test_stubs"
    assert sorted(exported(tree)) == sorted(lazy(file)) == sorted(importlib.import_module(package_of(file)).__all__)


def test_there_is_no_stub_without_a_package_of_lazy_names():
    assert sorted((ROOT / "engine").rglob("*.pyi")) == [file.with_suffix(".pyi") for file in LAZY]


def test_stubs_and_the_marks_of_typed_packages_are_packaged():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["tool"]["setuptools"]["package-data"]["*"] == ["py.typed", "*.pyi"]
    for package in ("engine", "search_spaces", "pipelines"):
        assert (ROOT / package / "py.typed").exists()


@pytest.mark.slow
def test_a_type_checker_sees_the_types_of_a_user_s_file(tmp_path: Path):
    (tmp_path / "mine.py").write_text(USER)
    (tmp_path / "mypy.ini").write_text("[mypy]\nignore_missing_imports = True\nfollow_imports = silent\n")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", tmp_path / "mypy.ini", tmp_path / "mine.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    errors = re.findall(r"mine\.py:\d+: error: (.*)", done.stdout)
    assert len(errors) == len(TOLD), done.stdout + done.stderr
    for error, told in zip(errors, TOLD, strict=True):
        assert told in error.replace("type Module", 'type "Module"')


def write() -> None:
    """Write every stub."""
    for file in LAZY:
        path = file.with_suffix(".pyi")
        path.write_text(stub(file), encoding="utf-8")
        for command in (["format", "--quiet"], ["check", "--fix", "--quiet"], ["format", "--quiet"]):
            subprocess.run([sys.executable, "-m", "ruff", *command, path], cwd=ROOT, check=True)
        print(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    write()
