"""One private Ray for the tests of this folder, and pools of stage workers on it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.orchestration.cluster.slots import SlotPlan
from engine.settings import DataSettings
from engine.stages import info_to_json, prepare_data
from engine.store import Store

COUNTING = "tests.engine.orchestration.counting_stage"


@pytest.fixture(scope="package")
def ray_session() -> Iterator[Any]:
    from engine.orchestration.cluster.connection import connect, disconnect

    cluster = connect(None, n_ahead=1)
    yield cluster
    disconnect()


def open_pool(
    store: Store,
    name: str,
    *,
    imports: tuple[str, ...] = (COUNTING,),
    before: Callable[[], Any] = lambda: None,
    n_slots: int = 2,
    **options: Any,
) -> tuple[Any, str]:
    """Start a pool for a store; return it, and the key of the data set."""
    from engine.orchestration.cluster.stage_pool import StagePool

    info, _ = prepare_data(DataSettings(n_train=20, n_validation=20, n_test=20), store)
    before()
    slots = SlotPlan(n_slots, 1, 0.0)
    fixed = {"name": name, "store": str(store.root), "data": info_to_json(info), "imports": imports, "slots": slots}
    made = StagePool(**fixed, **options)
    return made, info.key


class Standing:
    """The pool of the tests that leave it as it was; it goes when a test needs the cores for one of its own."""

    def __init__(self, folder: Path) -> None:
        self._store = Store(folder / "store")
        self._opened: tuple[Any, str] | None = None
        self._n_opened = 0

    def get(self) -> tuple[Any, Store, str]:
        if self._opened is None:
            self._n_opened += 1
            self._opened = open_pool(self._store, f"broker-standing-{self._n_opened}")
        made, data = self._opened
        return made, self._store, data

    def close(self) -> None:
        if self._opened is not None:
            self._opened[0].close()
            self._opened = None


@pytest.fixture(scope="package")
def standing(ray_session, tmp_path_factory) -> Iterator[Standing]:
    pools = Standing(tmp_path_factory.mktemp("standing"))
    yield pools
    pools.close()


@pytest.fixture
def pool(standing) -> tuple[Any, Store, str]:
    """A pool, its store and the key of its data set: shared with other tests, who leave other stages behind."""
    return standing.get()


@pytest.fixture
def make_pool(standing, tmp_path: Path) -> Iterator[Callable[..., tuple[Any, str]]]:
    """Start a pool of the test's own for a store, as ``open_pool`` does."""
    standing.close()
    pools: list[Any] = []

    def make(store: Store, **options: Any) -> tuple[Any, str]:
        made, data = open_pool(store, f"broker-{tmp_path.name}-{len(pools)}", **options)
        pools.append(made)
        return made, data

    yield make
    for made in pools:
        made.close()


@pytest.fixture(scope="module")
def own_pool(standing, tmp_path_factory) -> Iterator[tuple[Any, Store, str]]:
    """A pool that tests may do what they like to, its store and the key of its data set; the last one may close it."""
    standing.close()
    store = Store(tmp_path_factory.mktemp("own") / "store")
    made, data = open_pool(store, "broker-own")
    yield made, store, data
    made.close()
