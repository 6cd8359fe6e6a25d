"""Who may import whom: every import of every module, those for types and those inside functions included."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOPS = ("engine", "search_spaces", "pipelines")

HELPERS = "engine"
"""The loose files of the engine: words, values and checks that every room may use."""
LINE = "engine.orchestration"
LAYERS = (
    (HELPERS,),
    (
        "engine.layers",
        "engine.models",
        "engine.data",
        "engine.corruptions",
        "engine.ranking",
        "engine.training",
        "engine.metrics",
    ),
    ("engine.spaces",),
    ("engine.figures",),
    ("engine.store",),
    ("engine.stages",),
    ("engine.report",),
    ("engine.exporting",),
    ("engine.orchestration.databases",),
    ("engine.orchestration.search", "engine.orchestration.cluster", "engine.orchestration.tracking"),
    ("engine.orchestration.examination",),
    (LINE,),
    ("search_spaces",),
    ("pipelines",),
)
"""Rooms from below to above: each imports from its own layer and from those below."""
ROOMS_OF = {"optuna": "search", "ray": "cluster", "mlflow": "tracking"}
"""{library: the one room of orchestration that imports it}."""
MOST_LOOSE = 9
"""Files of ``engine/orchestration`` beside its rooms, at most."""


@cache
def modules() -> dict[str, Path]:
    """Return {full name: file} of all modules of the project."""
    found = {}
    for top in TOPS:
        for path in sorted((ROOT / top).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def room_of(module: str) -> str:
    """Return the room that a module is in: the package of the engine (or of orchestration) that has it."""
    parts = module.split(".")
    if parts[0] != "engine":
        return parts[0]
    depth = 3 if module.startswith(f"{LINE}.") else 2
    room = ".".join(parts[:depth])
    return room if (ROOT / room.replace(".", "/")).is_dir() else ".".join(parts[: depth - 1])


@cache
def lazy_names(package: str) -> Mapping[str, str]:
    """Return {public name: the module that has it} of a package whose names are imported when they are used."""
    for node in ast.parse(modules()[package].read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_MODULES":
            given = ast.literal_eval(node.value)
            return {
                name: module
                for key, value in given.items()
                for name, module in ([(key, value)] if isinstance(value, str) else [(name, key) for name in value])
            }
    return {}


def imported(path: Path) -> Iterator[str]:
    """Yield the full names of the modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: imports are absolute"
            assert node.module is not None
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                if name in modules():
                    yield name
                elif node.module in modules():
                    yield lazy_names(node.module).get(alias.name, node.module)
                else:
                    yield node.module


@cache
def graph() -> dict[str, frozenset[str]]:
    """Return {module: the project's modules that it imports}."""
    return {
        name: frozenset(found for found in imported(path) if found in modules() and found != name)
        for name, path in modules().items()
    }


def circles(edges: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Return a shortest circle through each node that is on one."""
    found = []
    for start in edges:
        ways = [[start]]
        seen = set()
        while ways:
            way = ways.pop(0)
            for following in edges.get(way[-1], ()):
                if following == start:
                    found.append([*way, start])
                    ways = []
                    break
                if following not in seen:
                    seen.add(following)
                    ways.append([*way, following])
    return found


def test_circles_are_found() -> None:
    assert circles({"a": ["b"], "b": ["c"], "c": []}) == []
    assert circles({"a": ["b"], "b": ["c"], "c": ["b"]}) == [["b", "c", "b"], ["c", "b", "c"]]


def test_every_room_has_its_place() -> None:
    rooms = {room_of(name) for name in modules()}
    assert rooms == {room for layer in LAYERS for room in layer}


def test_nothing_imports_upwards() -> None:
    height = {room: place for place, layer in enumerate(LAYERS) for room in layer}
    upwards = [
        f"{name} imports {found}"
        for name, founds in graph().items()
        for found in founds
        if height[room_of(found)] > height[room_of(name)]
    ]
    assert not upwards


def test_no_package_lends_its_name_to_what_is_above_it() -> None:
    """Packages whose names are imported when they are used count as importing them; the engine's own is above all."""
    height = {room: place for place, layer in enumerate(LAYERS) for room in layer}
    packages = [name for name, path in modules().items() if path.name == "__init__.py" and name != "engine"]
    lent = {name: set(lazy_names(name).values()) for name in packages}
    assert any(lent.values())
    assert not [
        f"{name} lends its name to {found}"
        for name, founds in lent.items()
        for found in founds
        if height[room_of(found)] > height[room_of(name)]
    ]


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert circles(graph()) == []


def test_no_rooms_import_each_other_in_a_circle() -> None:
    rooms = defaultdict(set)
    for name, founds in graph().items():
        rooms[room_of(name)] |= {room_of(found) for found in founds} - {room_of(name)}
    assert circles(rooms) == []


def test_the_three_rooms_of_orchestration_do_not_import_each_other() -> None:
    rooms = {f"{LINE}.{room}" for room in ROOMS_OF.values()}
    assert not [
        f"{name} imports {found}"
        for name, founds in graph().items()
        for found in founds
        if {room_of(name), room_of(found)} <= rooms and room_of(name) != room_of(found)
    ]


@pytest.mark.parametrize(("library", "room"), ROOMS_OF.items())
def test_each_library_of_orchestration_is_imported_in_one_room(library: str, room: str) -> None:
    importing = {
        room_of(name)
        for name, path in modules().items()
        if any(found.partition(".")[0] == library for found in imported(path))
    }
    assert importing == {f"{LINE}.{room}"}


def test_orchestration_has_few_loose_files() -> None:
    loose = sorted(path.name for path in (ROOT / "engine" / "orchestration").glob("*.py"))
    assert len(loose) <= MOST_LOOSE, loose


def test_no_two_modules_of_the_engine_have_one_name() -> None:
    """Whoever searches for a file by its name finds one."""
    by_name = defaultdict(list)
    for name in modules():
        if name.startswith("engine.") and modules()[name].name != "__init__.py":
            by_name[name.rpartition(".")[2]].append(name)
    assert not [names for names in by_name.values() if len(names) > 1]


def test_the_tests_of_the_engine_mirror_it() -> None:
    folders = {path.parent.relative_to(ROOT / "tests") for path in (ROOT / "tests" / "engine").rglob("test_*.py")}
    assert [str(folder) for folder in sorted(folders) if not (ROOT / folder).is_dir()] == []


@pytest.mark.parametrize("page", ["docs/architecture.md", "docs/internals.md", "CONTRIBUTING.md"])
def test_the_files_that_the_pages_name_are_there(page: str) -> None:
    """A name begins at the checkout, in the engine, or in a room."""
    text = (ROOT / page).read_text()
    named = re.findall(r"`([\w/]+(?:\.py|/))`", text)
    assert len(named) > 10
    files = [
        f"/{path.relative_to(ROOT)}"
        for path in ROOT.rglob("*.py")
        if not path.relative_to(ROOT).parts[0].startswith(".")
    ]
    missing = [name for name in named if not any(f"/{name}" in file for file in files)]
    assert not missing
