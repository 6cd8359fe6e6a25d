"""A guard against forgotten version bumps: a hash of the code that each stage's numbers depend on, beside its version.

`code_hashes.json` holds both as they were last looked at; `python -m tests.engine.stages.test_versions` writes it.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
from functools import cache
from pathlib import Path

import pytest

from engine.sources import canonical
from engine.stages import STAGES

RECORD = Path(__file__).with_name("code_hashes.json")
ROOT = Path(importlib.util.find_spec("engine").submodule_search_locations[0]).parent  # type: ignore[union-attr,index]
LEFT_OUT = (
    "engine.orchestration",  # decides when a stage runs, not what it computes
    "engine._lazy",
    "engine.errors",
    "engine.registry",
    "engine.sources",
    "engine.stages.registration",
    "engine.stages.spec",
    "engine.store",
)
"""Modules (and what lies in them) that stages import and that change no number."""


def path_of(module: str) -> Path | None:
    """Return the file of a module, or None for a name within one."""
    path = ROOT.joinpath(*module.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def tree_of(module: str) -> ast.Module:
    path = path_of(module)
    assert path is not None
    return ast.parse(path.read_text())


@cache
def code_of_module(module: str) -> str:
    return hashlib.sha256(json.dumps(canonical(tree_of(module))).encode()).hexdigest()


@cache
def imports_of(module: str) -> set[str]:
    """Return the engine's modules that a module imports, wherever in its code."""
    names: set[str] = set()
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in names if name.startswith("engine.") and path_of(name) is not None}


def dependencies(module: str) -> list[str]:
    """Return a module and all that it imports, directly or not."""
    found, waiting = set(), [module]
    while waiting:
        name = waiting.pop()
        if name not in found and not f"{name}.".startswith(tuple(f"{left_out}." for left_out in LEFT_OUT)):
            found.add(name)
            waiting += imports_of(name)
    return sorted(found)


def code_of(stage: str) -> str:
    """Return a hash of the code that a stage's numbers depend on (16 hexadecimal digits)."""
    modules = dependencies(STAGES[stage].run.__module__)
    code = [[module, code_of_module(module)] for module in modules]
    return hashlib.sha256(json.dumps(code).encode()).hexdigest()[:16]


def current() -> dict[str, dict[str, object]]:
    own = [name for name in STAGES if STAGES.source_digest(name) is None]
    return {name: {"version": STAGES[name].version, "code": code_of(name)} for name in sorted(own)}


@pytest.mark.parametrize("stage", ["pretrain", "init", "rank", "finetune", "evaluate"])
def test_code_that_gives_other_numbers_has_another_version(stage):
    recorded, found = json.loads(RECORD.read_text())[stage], current()[stage]
    assert found["version"] >= recorded["version"], f"the version of stage {stage!r} went back"
    if found["code"] != recorded["code"] and found["version"] == recorded["version"]:
        pytest.fail(
            f"code that stage {stage!r} depends on has changed: if its numbers change, raise the version in its "
            "@register_stage (stored results would be taken for new ones); then, or if they don't change, run "
            "`python -m tests.engine.stages.test_versions` to record the new state"
        )
    assert found == recorded, f"run `python -m tests.engine.stages.test_versions` to record version of {stage!r}"


def test_all_stages_are_recorded():
    assert set(json.loads(RECORD.read_text())) == set(current()) == {"pretrain", "init", "rank", "finetune", "evaluate"}


def test_dependencies_are_what_a_stage_computes_with():
    pretrain, rank = dependencies("engine.stages.pretrain"), dependencies("engine.stages.rank")
    assert {"engine.training.loop", "engine.models.resnet", "engine.data.augment", "engine.seeds"} <= set(pretrain)
    assert {"engine.ranking.distances", "engine.corruptions.distortions", "engine.layers.push_pull"} <= set(rank)
    assert "engine.corruptions.weather" in dependencies("engine.stages.evaluate")
    assert "engine.stages.pretrain" not in rank
    assert not any(name.startswith(("engine.orchestration", "engine.store")) for name in pretrain + rank)


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ('"""Another."""\n\ndef f(x):\n    """Say."""\n    # a comment\n    return x + 1\n', True),
        ("def f(x):\n    return (x\n        + 1)\n", True),
        ("def f(x):\n    return x + 2\n", False),
        ("def f(x):\n    return x - 1\n", False),
        ("def f(x=1):\n    return x + 1\n", False),
        ("def f(x):\n    return x + 1.0\n", False),
        ("def f(x):\n    return x + None\n", False),
    ],
)
def test_comments_and_docstrings_are_no_code(other, same):
    one = canonical(ast.parse('"""A module."""\n\ndef f(x):\n    """Add one."""\n    return x + 1\n'))
    assert (canonical(ast.parse(other)) == one) is same


if __name__ == "__main__":
    RECORD.write_text(json.dumps(current(), indent=1) + "\n")
    print(f"wrote {RECORD}")
