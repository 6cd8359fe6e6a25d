"""A sweep whose store is a bucket: no file system is shared, and the service may be slow, refuse, or be away."""

import dataclasses
import re
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from engine.orchestration import run_sweep
from engine.report.results import Results
from engine.store import open_store
from tests.engine.orchestration.spaces import SPACE
from tests.s3 import S3, Proxy, set_variables

ARMS_ALONE = dataclasses.replace(SPACE, n_seeds=3)
"""Six trials, whatever their timing: nothing is proposed."""
AWAY_S = 62.0


def run(home: Path, **options: Any) -> tuple[Results, str]:
    out = StringIO()
    console = Console(file=out, width=200)
    found = run_sweep(ARMS_ALONE, console=console, home=home, n_trials=6, study="s", slots=2, **options)
    return found, out.getvalue()


def errors(results: Results) -> dict[str, Any]:
    return {trial.slot: trial.errors for trial in results.trials}


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the trials come to with a store in a folder."""
    return errors(run(tmp_path_factory.mktemp("folder"))[0])


@pytest.fixture
def proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    made = Proxy()
    set_variables(monkeypatch, made.url, tmp_path / "cache")
    yield made
    made.close()


def attempts(proxy: Proxy) -> dict[str, set[str]]:
    """Return, by key, the attempts whose files were uploaded."""
    found = defaultdict(set)
    for request in proxy.requests:
        upload = re.match(r"(?:PUT|POST) /[^?]*/files/([0-9a-f]+)(-[^/]+)/", request)
        if upload:
            found[upload[1]].add(upload[2])
    return found


def came_to(expected: dict[str, Any], results: Results, address: str, proxy: Proxy, home: Path) -> None:
    assert {trial.state for trial in results.trials} == {"COMPLETE"}
    assert errors(results) == expected, "bit for bit as in a folder"
    assert not (home / "store").exists()
    store = open_store(address, read_only=True)
    uploaded = attempts(proxy)
    assert sorted(uploaded) == sorted(store.keys())
    assert {len(found) for found in uploaded.values()} == {1}, "nothing was computed twice"
    assert list(store.live_stages()) == []
    assert list(store.unfinished()) == []


@pytest.mark.slow
def test_a_sweep_comes_to_the_same_though_a_tenth_of_the_requests_is_refused(tmp_path, expected, proxy) -> None:
    address = S3().address
    proxy.refused = 0.1
    results, _ = run(tmp_path, store=address)
    assert proxy.n_refused > 20
    proxy.refused = 0.0
    came_to(expected, results, address, proxy, tmp_path)


@pytest.mark.slow
def test_a_sweep_comes_to_the_same_though_the_service_is_away_for_a_minute(tmp_path, expected, proxy) -> None:
    address = S3().address

    def go_away() -> None:
        while len(attempts(proxy)) < 4:  # the data, and the first trainings
            time.sleep(0.05)
        proxy.is_away = True
        time.sleep(AWAY_S)
        proxy.is_away = False

    away = threading.Thread(target=go_away, daemon=True)
    away.start()
    results, _ = run(tmp_path, store=address)
    away.join(1)
    assert not away.is_alive(), "it was away while the sweep ran"
    assert proxy.n_refused > 5
    came_to(expected, results, address, proxy, tmp_path)
