"""A broker whose machine remembers, for 30 s, that what a worker elsewhere has finished was not there."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.orchestration.cluster.slots import SlotPlan
from engine.orchestration.cluster.stage_worker import StageWorker
from engine.settings import DataSettings
from engine.stages import info_to_json, prepare_data
from engine.store import Store
from tests.engine.orchestration.cluster.conftest import COUNTING
from tests.engine.orchestration.cluster.test_stage_pool import files, get, make_spec, start_trials
from tests.engine.orchestration.disks import REMEMBERED_S, remembering

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
REAL = "store"
MOUNT = "mount"


class WorkerAtTheDisk(StageWorker):
    """A stage worker on the machine that has the store's disk."""

    def __init__(self, *, store: str, **options: Any) -> None:
        super().__init__(store=str(Path(store).with_name(REAL)), **options)


@pytest.fixture
def pool(standing, tmp_path: Path) -> Iterator[tuple[Any, Store, str]]:
    from engine.orchestration.cluster.stage_pool import StagePool

    standing.close()
    store = Store(tmp_path / REAL)
    info, _ = prepare_data(DataSettings(n_train=20, n_validation=20, n_test=20), store)
    with remembering(tmp_path / REAL, tmp_path / MOUNT) as mount:
        made = StagePool(
            name=f"broker-{tmp_path.name}",
            store=str(mount),
            data=info_to_json(info),
            imports=(COUNTING,),
            slots=SlotPlan(1, 1, 0.0),
            worker=WorkerAtTheDisk,
        )
        yield made, store, info.key
        made.close()


def test_trials_hear_from_workers_what_their_own_machine_does_not_see(pool, tmp_path: Path) -> None:
    made, store, data = pool
    specs = [make_spec(data, tmp_path / "count", name=name, epochs=1, epoch_s=0.0) for name in "abc"]
    began = time.monotonic()
    results = get(start_trials(made, store, [specs, specs[:2]]))
    assert [reports[-1].get("objective") for _, reports in results] == [0.5, 0.5]
    assert len(files(tmp_path / "count", "start-*")) == 3, "nothing is computed twice"
    assert time.monotonic() - began < REMEMBERED_S, "nobody has waited until it is forgotten"
