"""A sweep that keeps its store below a size."""

import dataclasses
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from engine.orchestration import run_sweep
from engine.report.results import Results
from engine.store import Store, size_limit
from engine.store.cleaning import entries
from engine.store.leftovers import tree_bytes
from tests.engine.orchestration.spaces import SPACE

ARMS_ALONE = dataclasses.replace(SPACE, n_seeds=3)
"""Six trials, whatever their timing: nothing is proposed."""


def run(home: Path, **options: Any) -> tuple[Results, str]:
    out = StringIO()
    console = Console(file=out, width=200)
    found = run_sweep(ARMS_ALONE, console=console, home=home, n_trials=6, study="s", slots=1, **options)
    return found, out.getvalue()


def errors(results: Results) -> dict[str, Any]:
    return {trial.slot: trial.errors for trial in results.trials}


@pytest.mark.slow
def test_a_sweep_with_a_small_store_comes_to_the_same_and_the_store_stays_small(tmp_path, monkeypatch) -> None:
    expected, said = run(tmp_path / "free")
    assert not any(word in said for word in ("are removed", "stays larger"))
    store = tmp_path / "free" / "store"
    data = sum(entry.n_bytes for entry in entries(Store(store)) if entry.stage == "data")
    max_bytes = data + (tree_bytes(store) - data) // 3
    monkeypatch.setattr(size_limit, "CHECK_S", 0.2)
    results, said = run(tmp_path / "small", store_max_gb=max_bytes / 1e9)
    assert errors(results) == errors(expected)
    assert {trial.state for trial in results.trials} == {"COMPLETE"}
    assert tree_bytes(tmp_path / "small" / "store") <= max_bytes
    assert "that were not used for longest are removed" in said
    left = [entry.stage for entry in entries(Store(tmp_path / "small" / "store"))]
    assert left.count("data") == 1
    assert left.count("pretrain") < 6


@pytest.mark.slow
def test_a_size_that_cannot_be_held_is_said_once_and_the_sweep_goes_on(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(size_limit, "CHECK_S", 0.2)
    results, said = run(tmp_path, store_max_gb=1e-6)
    assert {trial.state for trial in results.trials} == {"COMPLETE"}
    assert said.count("the store stays larger than --store-max-gb 1e-06") == 1
    assert [entry.stage for entry in entries(Store(tmp_path / "store"))] == ["data"]
