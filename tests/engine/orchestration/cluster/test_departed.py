"""Leases of processes that another machine knows to be dead: of nodes that are lost, and of workers that died."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.orchestration.cluster import departed as module
from engine.orchestration.cluster.broker import Broker
from engine.orchestration.cluster.departed import Departed
from engine.store import Store
from engine.store.holders import Holder

KEY = "a" * 32
FAR = dataclasses.replace(Holder.this_process(), host="far-away", place="another boot", node="n1")

HOLD = """
import sys, time
from engine.store import Store
from engine.store.holders import Holder, name_node
import engine.store.holders as holders, socket
socket.gethostname = lambda: "far-away"  # as this machine sees it, the process is on another one
name_node(sys.argv[2])
assert Store(sys.argv[1]).stage_lease(sys.argv[3], {}).acquire()
print("held", flush=True)
time.sleep(60)
"""
ROOT = Path(__file__).parents[4]


def test_a_holder_is_dead_whose_node_is() -> None:
    gone: set[str] = set()
    known = Departed(lambda: gone)
    assert not known.knows(FAR)
    gone.add("n1")
    known._asked = float("-inf")
    assert known.knows(FAR)
    assert not known.knows(dataclasses.replace(FAR, node="n2"))


def test_a_holder_of_no_node_or_of_another_cluster_is_not_known() -> None:
    known = Departed(lambda: {"n1", ""})
    assert not known.knows(dataclasses.replace(FAR, node=""))
    assert not known.knows(dataclasses.replace(FAR, node="another cluster's"))


def test_a_holder_is_dead_whose_process_was_noted_and_no_other_one_of_its_number() -> None:
    known = Departed(set)
    known.note({})
    known.note(FAR.process)
    assert known.knows(FAR)
    assert not known.knows(dataclasses.replace(FAR, born="later"))
    assert not known.knows(dataclasses.replace(FAR, host="elsewhere"))


def test_ray_is_not_asked_at_every_look(monkeypatch) -> None:
    asked = []
    known = Departed(lambda: asked.append(1) or set())
    for _ in range(5):
        known.knows(FAR)
    assert len(asked) == 1
    monkeypatch.setattr(module, "_ASKED_AGAIN_S", -1.0)
    known.knows(FAR)
    assert len(asked) == 2


def test_a_lease_names_the_node_of_its_holder_and_one_from_before_has_none() -> None:
    assert Holder.this_process().node == ""
    before = {name: value for name, value in dataclasses.asdict(FAR).items() if name != "node"}
    assert Holder(**before).node == ""


@pytest.mark.timeout(60)
def test_the_lease_of_a_lost_node_is_ended_at_once_and_others_stay(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    other = "b" * 32
    processes = [
        subprocess.Popen([sys.executable, "-c", HOLD, store.root, node, key], cwd=ROOT, stdout=subprocess.PIPE)
        for node, key in (("n1", KEY), ("another cluster's", other))
    ]
    try:
        assert [process.stdout.readline() for process in processes if process.stdout] == [b"held\n"] * 2
        broker = Broker(str(store.root))
        gone: set[str] = set()
        broker._departed = Departed(lambda: gone)
        assert broker._is_held(KEY)
        for process in processes:
            os.kill(process.pid, signal.SIGKILL)
            process.wait(10)
        assert broker._is_held(KEY), "nobody here can know yet that it is dead"
        gone.add("n1")
        broker._departed._asked = float("-inf")
        began = time.monotonic()
        assert not broker._is_held(KEY)
        assert store.stage_lease(KEY, {}).acquire(), "the next one gets it"
        assert time.monotonic() - began < 5
        assert broker._is_held(other), "of another cluster nothing is known: it goes stale"
    finally:
        for process in processes:
            process.kill()
