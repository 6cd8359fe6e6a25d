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

    cluster = connect(None)
    yield cluster
    disconnect()


@pytest.fixture
def make_pool(ray_session, tmp_path: Path) -> Iterator[Callable[..., tuple[Any, str]]]:
    """Start a pool for a store; return it, and the key of the data set."""
    from engine.orchestration.cluster.stage_pool import StagePool

    pools: list[StagePool] = []

    def make(
        store: Store,
        *,
        imports: tuple[str, ...] = (COUNTING,),
        before: Callable[[], Any] = lambda: None,
        n_slots: int = 2,
    ) -> Any:
        info, _ = prepare_data(DataSettings(n_train=20, n_validation=20, n_test=20), store)
        before()
        pools.append(
            StagePool(
                name=f"broker-{tmp_path.name}-{len(pools)}",
                store=str(store.root),
                data=info_to_json(info),
                imports=imports,
                slots=SlotPlan(n_slots, 1, 0.0),
            )
        )
        return pools[-1], info.key

    yield make
    for pool in pools:
        pool.close()


@pytest.fixture
def pool(make_pool, tmp_path: Path) -> tuple[Any, Store, str]:
    store = Store(tmp_path / "store")
    return (made := make_pool(store))[0], store, made[1]
