"""What a machine says of itself, what two of them differ in, and marks in stores that they share or do not."""

import dataclasses
import json
import os
import socket
import time
from pathlib import Path

import pytest

from engine.orchestration.cluster.inspection import (
    NodeFacts,
    differences,
    inspect_node,
    leave_mark,
    look_for_mark,
    remove_mark,
)
from engine.sources import digest_of_package
from engine.store import Store


@pytest.fixture(scope="module")
def facts() -> NodeFacts:
    return inspect_node()


def test_a_machine_says_where_it_is_and_what_it_has(facts: NodeFacts, tmp_path: Path) -> None:
    assert (facts.host, facts.process) == (socket.gethostname(), os.getpid())
    assert set(facts.code) == {"engine", "search_spaces", "pipelines"}
    assert all(len(digest) == 16 for digest in facts.code.values())
    assert facts.cores == os.cpu_count()
    assert 0 < facts.memory_free_gb < facts.memory_gb
    assert abs(facts.clock_s - time.time()) < 600
    found = inspect_node([tmp_path, tmp_path / "not" / "there"]).disk_free_gb
    assert found[str(tmp_path)] == pytest.approx(found[str(tmp_path / "not" / "there")], rel=0.01)


def test_facts_travel_as_json(facts: NodeFacts) -> None:
    assert NodeFacts.from_json(json.loads(json.dumps(facts.to_json()))) == facts


def test_a_machine_does_not_differ_from_itself(facts: NodeFacts) -> None:
    assert differences(facts, facts) == []


def test_what_differs_is_named_with_both_sides(facts: NodeFacts) -> None:
    here = dataclasses.replace(facts, versions={"torch": "2.11.0+cu130", "numpy": "2.1.0", "ray": "2.60.0"})
    there = {"torch": "2.12.0+cu130", "numpy": None, "ray": "2.60.0"}
    other = dataclasses.replace(here, versions=there, code={**here.code, "engine": "0" * 16}, commit="b" * 40)
    code, torch, numpy = differences(here, other)
    assert code.startswith("other code in engine (digest ")
    assert "commit bbbbbbbbb" in code
    assert torch == "torch 2.12.0+cu130 (here 2.11.0+cu130)"
    assert numpy == "numpy is missing (here 2.1.0)"
    assert differences(here, dataclasses.replace(here, code={**here.code, "pipelines": ""})) == [
        "pipelines cannot be imported there"
    ]


@pytest.mark.parametrize(
    ("library", "ours", "theirs", "differs"),
    [
        ("torch", "2.11.0+cu130", "2.11.0+cpu", False),
        ("torch", "2.11.0", "2.11.1", True),
        ("python", "3.11.4", "3.11.9", False),
        ("python", "3.11.4", "3.12.4", True),
        ("kmedoids", None, "0.5", True),
    ],
)
def test_how_a_package_was_built_is_no_difference(facts, library, ours, theirs, differs) -> None:
    here, there = (dataclasses.replace(facts, versions={library: version}) for version in (ours, theirs))
    assert bool(differences(here, there)) is differs


def test_a_digest_changes_with_a_file_s_content_and_its_name(tmp_path: Path, monkeypatch) -> None:
    package = tmp_path / "package_of_a_test"
    package.mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))

    def digest(**files: str) -> str:
        for path in package.iterdir():
            path.unlink()
        for name, text in files.items():
            (package / f"{name}.py").write_text(text)
        return digest_of_package.__wrapped__(package.name)

    first = digest(__init__="", a="x = 1")
    assert digest(__init__="", a="x = 1") == first
    assert digest(__init__="", a="x = 2") != first
    assert digest(__init__="", b="x = 1") != first
    assert digest_of_package("no_package_of_this_name") == ""


def test_a_mark_is_seen_in_the_same_store_alone(tmp_path: Path) -> None:
    shared, other = Store(tmp_path / "store"), Store(tmp_path / "other")
    mark = leave_mark(shared, "the store")
    assert look_for_mark(Store(shared.root, read_only=True), mark) < 1
    assert look_for_mark(other, mark, timeout_s=0.3) is None
    remove_mark(shared, mark)
    assert look_for_mark(shared, mark, timeout_s=0) is None
    assert list(shared.keys()) == []


def test_a_mark_that_shows_late_is_waited_for(tmp_path: Path, monkeypatch) -> None:
    store = Store(tmp_path / "store")
    mark = leave_mark(store, "the store")
    real, began = store.look_at, time.monotonic()
    monkeypatch.setattr(store, "look_at", lambda key: real(key) if time.monotonic() - began > 0.5 else None)
    assert 0.4 < look_for_mark(store, mark, timeout_s=5) < 3


def test_a_user_s_module_is_code_too_with_what_it_imports(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "module_of_a_user.py").write_text("import helper_of_a_user")
    digests = []
    for text in ("x = 1", "x = 2"):
        (tmp_path / "helper_of_a_user.py").write_text(text)
        digests.append(inspect_node(imports=["module_of_a_user"]).code["module_of_a_user"])
    assert len(set(digests)) == 2
    assert inspect_node(imports=["no.such.module"]).code["no.such.module"] == ""
