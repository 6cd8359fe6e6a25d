"""How many workers an elastic pool keeps: with a Ray that only answers, and workers that are names."""

import types
from collections.abc import Mapping
from typing import Any

import pytest

from engine.orchestration.cluster import stage_pool
from engine.orchestration.cluster.node_watch import NodeWatch
from engine.orchestration.cluster.sharing import Sharing
from engine.orchestration.cluster.slots import SlotPlan
from engine.orchestration.cluster.stage_pool import StagePool


class Scene:
    """A pool of four workers, and what its broker and other sweeps' brokers say."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, idle_s: float = 0.0) -> None:
        self.killed: list[str] = []
        self.counts = {"queued": 0, "running": 0, "workers": 2, "idle": 2}
        self.others: list[Mapping[str, Any]] = []
        self.retired: list[int] = []
        fake = types.SimpleNamespace(get=lambda value, timeout=None: value, kill=self.killed.append)
        monkeypatch.setattr(stage_pool, "ray", fake)
        self.pool = StagePool.__new__(StagePool)
        self.pool._slots, self.pool._idle_s, self.pool._busy_at = SlotPlan(4, 1, 0.0), idle_s, 0.0
        self.pool._watch = NodeWatch(list, self.retired.append, cpus=1, gpus=0)  # type: ignore[arg-type]
        self.pool._sharing = Sharing("own", lambda: self.others)
        self.pool._workers = {name: name for name in ("idle-1", "idle-2", "starting", "waiting")}
        self.pool._placed = {"waiting": "a reference"}
        self.pool._ready = {"starting": "a reference"}
        self.pool._faults, self.pool._lost_since, self.pool._anew_at, self.pool._processes = {}, {}, {}, {}
        monkeypatch.setattr(self.pool, "_ask", self.ask)

    def ask(self, method: str, *arguments: Any) -> Any:
        if method == "statistics":
            return self.counts
        if method == "retire":
            self.retired.append(*arguments)
            return []
        assert method == "remove_worker"
        return arguments[0].startswith("idle")

    def resize(self) -> None:
        self.pool._resize()


def test_what_waits_for_a_machine_is_withdrawn_first_once_it_is_not_wanted(monkeypatch) -> None:
    scene = Scene(monkeypatch)
    scene.counts |= {"running": 2}
    scene.resize()
    assert scene.killed == ["waiting", "idle-2"], "an autoscaler would start a machine for the first"


def test_what_is_wanted_stays(monkeypatch) -> None:
    scene = Scene(monkeypatch)
    scene.counts |= {"queued": 2, "running": 2, "idle": 0}
    scene.resize()
    assert scene.killed == []


def test_for_another_sweep_idle_workers_go_at_once_and_none_that_is_starting(monkeypatch) -> None:
    scene = Scene(monkeypatch, idle_s=1e9)
    scene.others = [{"workers": 0, "unplaced": 4}]
    scene.resize()
    assert scene.killed == [], "it may be idle for a moment only"
    scene.resize()
    assert scene.killed == ["idle-2", "idle-1"]
    assert scene.retired == [1, 0]
