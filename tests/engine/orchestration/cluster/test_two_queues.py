"""Two sweeps on one store, measured: no slot of either idles while a stage waits, and what both want is run once."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from engine.orchestration.cluster import lookout
from engine.orchestration.cluster.lookout import Lookout
from engine.orchestration.cluster.stage_queue import StageQueue
from engine.stages.spec import StageSpec
from tests.engine.orchestration.cluster.queue_workers import make_spec, until_ended

STAGE_S = 0.1
N_SLOTS = 2


class SharedStore:
    """What two sweeps see of one store: artifacts, and who is at a stage."""

    def __init__(self) -> None:
        self.manifests: dict[str, dict[str, Any]] = {}
        self.holders: dict[str, object] = {}
        self.computed: Counter[str] = Counter()


class Slot:
    """A worker that computes for a while, or says that the other sweep does."""

    def __init__(self, store: SharedStore) -> None:
        self.store = store
        self.busy_s = 0.0

    async def run(self, spec: Mapping[str, Any], **_: Any) -> dict[str, Any]:
        key = StageSpec.from_json(spec).key
        if key in self.store.manifests:
            return {**self.store.manifests[key], "state": "done", "from_store": True}
        if key in self.store.holders:
            return {"state": "elsewhere"}
        self.store.holders[key] = self
        await asyncio.sleep(STAGE_S)
        self.busy_s += STAGE_S
        self.store.computed[key] += 1
        self.store.manifests[key] = {"history": [], "seconds": STAGE_S}
        del self.store.holders[key]
        return {**self.store.manifests[key], "state": "done"}

    async def lost_its_node(self) -> bool:
        return False

    def kill(self) -> None:
        raise AssertionError("nothing is to be killed")


def sweep(store: SharedStore) -> tuple[StageQueue, list[Slot]]:
    queue = StageQueue(Lookout(store.manifests.get, held=store.holders.__contains__))
    slots = [Slot(store) for _ in range(N_SLOTS)]
    for place, slot in enumerate(slots):
        queue.add_worker(f"w{place}", slot)
    return queue, slots


async def run_trial(queue: StageQueue, name: str, chain: list[StageSpec]) -> None:
    for depth, spec in enumerate(chain):
        await queue.submit(name, spec.to_json(), depth)
        assert (await until_ended(queue, spec.key))["state"] == "done"


async def watch_idle(queues: list[StageQueue], found: list[float]) -> None:
    """Add up the time for which a queue has an idle worker and a stage that waits for one."""
    before = time.monotonic()
    while True:
        await asyncio.sleep(0.002)
        now = time.monotonic()
        counts = [queue.statistics() for queue in queues]
        found[0] += (now - before) * any(one["queued"] and one["idle"] for one in counts)
        before = now


@pytest.mark.timeout(60)
def test_no_slot_of_two_sweeps_idles_while_a_stage_waits(monkeypatch) -> None:
    monkeypatch.setattr(lookout, "POLL_S", (0.005, 0.02))

    async def scenario() -> None:
        store, idle_s = SharedStore(), [0.0]
        queues, slots = zip(*(sweep(store) for _ in range(2)), strict=True)
        watching = asyncio.get_running_loop().create_task(watch_idle(list(queues), idle_s))
        began = time.monotonic()
        trials = [
            run_trial(queue, f"t{sweep_number}-{trial}", [*shared_stages(trial), own_stage(sweep_number, trial)])
            for sweep_number, queue in enumerate(queues)
            for trial in range(8)
        ]
        await asyncio.gather(*trials)
        seconds = time.monotonic() - began
        watching.cancel()
        n_stages = 4 + 8 + 16  # pretrainings, fine-tunings, and each trial's own
        assert sum(store.computed.values()) == len(store.computed) == n_stages, "what both want is computed once"
        busy = sum(slot.busy_s for group in slots for slot in group) / (2 * N_SLOTS * seconds)
        assert idle_s[0] < 0.05 * seconds
        assert busy > 0.7, "the rest is where nothing can be run yet, at the beginning and the end"

    asyncio.run(asyncio.wait_for(scenario(), 30))


def shared_stages(trial: int) -> list[StageSpec]:
    return [make_spec("pretrain", place=trial % 4), make_spec("finetune", place=trial)]


def own_stage(sweep_number: int, trial: int) -> StageSpec:
    return make_spec("evaluate", sweep=sweep_number, place=trial)
