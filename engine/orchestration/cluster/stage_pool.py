"""The driver's side of broker and workers: it owns them, and keeps the broker supplied with workers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy, NodeLabelSchedulingStrategy, NotIn

from engine.orchestration.cluster.admission import Admission
from engine.orchestration.cluster.broker import Broker
from engine.orchestration.cluster.node_watch import NodeWatch, nodes_of_ray
from engine.orchestration.cluster.shared_names import BROKER_NAMESPACE
from engine.orchestration.cluster.sharing import Sharing
from engine.orchestration.cluster.slots import SlotPlan
from engine.orchestration.cluster.stage_worker import StageWorker

_CHECK_S = 1.0
_ANEW_S = 30.0
"""How often, at most, a worker whose device does not answer is started anew."""
_IDLE_S = 120.0
LOST_S = 120.0
"""How long a worker on this machine may fail to come back from the dead before it counts as unable to start."""


class StagePool:
    """A broker and its stage workers.

    A worker is made known to the broker once it runs: one that waits for a machine (and drives the autoscaler by
    waiting), or that is being restarted after its process or its node died, gets no stage. On an elastic cluster there
    are as many workers as stages that want one, up to the slots, and idle ones are returned after a while.

    A worker that cannot be set up (its disk is read-only, a user's module fails there) gets no stage either and is
    asked again every second; one whose device does not answer is started anew. One whose machine is not fit (other
    code, other versions, another store) is ended, and no other is put there. Where all of them are like that, the
    stages that wait fail with the reason.

    Elastic pools of one cluster share it: where another one waits for room, a pool gives back what has nothing to do,
    and of what it has in excess of its share whatever comes free.

    Args:
        name: the broker's name, unique on the cluster.
        store: the store's address.
        data: the data set, as ``info_to_json`` has it.
        imports: the user's modules.
        slots: how many workers at most, and what each may use.
        elastic: whether workers come and go with the work; else all of them stay to the end.
        idle_s: how long a worker of an elastic pool may be idle.
        worker: the workers' class.
        admission: what machines have to agree with; None on the driver's alone.
        say: tells a person what happens to machines.
    """

    def __init__(
        self,
        *,
        name: str,
        store: str,
        data: Mapping[str, Any],
        imports: Sequence[str],
        slots: SlotPlan,
        elastic: bool = False,
        idle_s: float = _IDLE_S,
        worker: type = StageWorker,
        admission: Admission | None = None,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.name = name
        self._slots = slots
        self._elastic = elastic
        self._idle_s = idle_s
        self._class: Any = ray.remote(worker)  # Ray's handles have their methods at run time
        self._arguments = {
            "store": store,
            "data": dict(data),
            "broker": name,
            "imports": list(imports),
            "device": slots.device,
            "threads": slots.cpus,
            "gpus": slots.gpus,
            "admission": None if admission is None else admission.to_json(),
        }
        self._watch = NodeWatch(nodes_of_ray, say, cpus=slots.cpus, gpus=slots.gpus)
        self._sharing = Sharing(name)
        self._say = say
        self._processes: dict[str, Any] = {}
        self._workers: dict[str, Any] = {}
        self._placed: dict[str, Any] = {}
        self._ready: dict[str, Any] = {}
        self._faults: dict[str, str] = {}
        self._lost_since: dict[str, float] = {}
        self._anew_at: dict[str, float] = {}
        self._busy_at = time.monotonic()
        self._n_made = 0
        self._n_unplaced = 0
        if not elastic:  # first, for the processes that have imported ahead
            self._make_workers(slots.n_slots)
        self.broker: Any = start_broker(name, store)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._supply, name="stage-pool", daemon=True)
        self._thread.start()

    def statistics(self, timeout_s: float = 5.0) -> dict[str, Any]:
        """Return the broker's counts and those of the machines; empty while the broker cannot be reached."""
        try:
            counts = dict(ray.get(self._ask("statistics"), timeout=timeout_s))
        except (RayError, TimeoutError):
            return {}
        return {**counts, "nodes": self._watch.n_fit, "lost_nodes": self._watch.n_lost}

    def release(self, trial: str) -> None:
        """Forget what a trial wanted; it has ended for good."""
        self._ask("release", trial, for_good=True)

    def close(self) -> None:
        """End broker and workers."""
        self._closed.set()
        self._thread.join(15)
        for actor in [*self._workers.values(), self.broker]:
            ray.kill(actor)

    def _ask(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Call the broker, once: Ray says each of its own retries on the terminal, at the end of a sweep too."""
        return getattr(self.broker, method).options(max_task_retries=0).remote(*arguments, **options)

    def _make_workers(self, n_wanted: int) -> None:
        """Have so many workers, on none of the nodes that are known to be unfit."""
        options: dict[str, Any] = {"num_cpus": self._slots.cpus, "num_gpus": self._slots.gpus}
        if self._watch.unfit:
            unfit = NotIn(*sorted(self._watch.unfit))
            options["scheduling_strategy"] = NodeLabelSchedulingStrategy(hard={"ray.io/node-id": unfit})
        while len(self._workers) < n_wanted:
            name = f"worker-{self._n_made}"
            self._n_made += 1
            actor = self._class.options(max_restarts=-1, max_task_retries=0, **options).remote(**self._arguments)
            self._workers[name] = actor
            self._placed[name] = actor.__ray_ready__.remote()
            self._ready[name] = actor.ready.remote()  # now, not once the broker's process is up as well

    def _drop_worker(self, name: str) -> None:
        for known in (self._placed, self._ready, self._faults, self._lost_since, self._anew_at, self._processes):
            known.pop(name, None)
        actor = self._workers.pop(name, None)
        if actor is not None:
            ray.kill(actor)

    def _supply(self) -> None:
        said = ""
        while not self._closed.is_set():
            try:
                self._watch.look()
                self._introduce_workers()
                self._note_unplaced()
                if self._elastic:
                    self._resize()
                else:
                    self._make_workers(self._slots.n_slots)
            except (RayError, TimeoutError):
                pass  # the broker is being restarted; the next round meets it again
            except Exception as error:  # without this thread, no worker that dies would ever be seen to
                fault = f"{type(error).__name__}: {error}"
                if fault != said:
                    self._say(f"the supply of stage workers failed, and is tried again every second: {fault}")
                said = fault
            self._pause()

    def _pause(self) -> None:
        """Wait for the next round: a second, or until a worker that is being set up has done so."""
        in_trouble = self._faults or self._lost_since  # they are asked again every second, not whenever they answer
        if not self._ready or in_trouble:
            self._closed.wait(_CHECK_S)
            return
        try:
            ray.wait(list(self._ready.values()), num_returns=1, timeout=_CHECK_S)
        except RayError:
            self._closed.wait(_CHECK_S)

    def _introduce_workers(self) -> None:
        """Make workers that run known to the broker: new ones, and all again after it was restarted."""
        known = ray.get(self._ask("worker_names"), timeout=10)
        n_anew = 0
        for name, actor in list(self._workers.items()):
            if name in known:
                continue
            pending = self._ready.pop(name, None) or actor.ready.remote()
            if not ray.wait([pending], timeout=0)[0]:
                self._ready[name] = pending
                continue
            try:
                found = ray.get(pending)
            except RayError as error:  # it is dead, or still being started anew: it is asked again in the next round
                self._note_loss(name, str(error))
                continue
            self._lost_since.pop(name, None)
            if found.get("unfit"):
                self._watch.refuse(found["node"], found["fault"])
                self._drop_worker(name)
                continue
            if found["fault"]:
                self._faults[name] = found["fault"]
                if found.get("broken"):
                    self._start_anew(name, actor)
                continue
            self._faults.pop(name, None)
            ray.get(self._ask("add_worker", name, actor, found["node"], found.get("process")), timeout=10)
            n_anew += self._processes.get(name, found.get("process")) != found.get("process")
            self._processes[name] = found.get("process")
        if n_anew:
            self._say(f"{n_anew} worker{'s were' if n_anew > 1 else ' was'} started anew")
        reason = self._watch.hopeless
        if self._workers and self._faults.keys() >= self._workers.keys():
            reason = next(iter(self._faults.values()))
        if reason:
            ray.get(self._ask("refuse", f"no stage worker can start: {reason}"), timeout=10)

    def _start_anew(self, name: str, actor: Any) -> None:
        """End a worker's process, which Ray starts anew: its device may answer another one, or elsewhere."""
        now = time.monotonic()
        if now - self._anew_at.get(name, -_ANEW_S) >= _ANEW_S:
            self._anew_at[name] = now
            ray.kill(actor, no_restart=False)

    def _note_loss(self, name: str, reason: str) -> None:
        """Note that a worker did not answer; on a machine that nothing can be added to, not for ever."""
        since = self._lost_since.setdefault(name, time.monotonic())
        if not self._elastic and time.monotonic() - since > LOST_S:
            self._faults[name] = f"its process does not live: {reason.strip().partition(chr(10))[0]}"

    def _note_unplaced(self) -> None:
        """Tell the broker how many workers wait for a machine: those that do not answer within one round.

        On this machine alone none does: what does not answer yet imports.
        """
        waiting = list(self._placed.values())
        answered = set(ray.wait(waiting, num_returns=len(waiting), timeout=0)[0]) if waiting else set()
        self._placed = {name: one for name, one in self._placed.items() if one not in answered}
        self._n_unplaced = len(self._placed) if self._elastic else 0
        self._ask("note_unplaced", self._n_unplaced)

    def _resize(self) -> None:
        """Have as many workers as stages that want one, up to the slots; return idle ones after a while, and at once
        where another sweep waits for room.
        """
        counts = ray.get(self._ask("statistics"), timeout=10)
        wanted = counts["queued"] + counts["running"]
        self._make_workers(min(wanted, self._slots.n_slots))
        now = time.monotonic()
        if wanted >= len(self._workers):
            self._busy_at = now
        elif now - self._busy_at > self._idle_s:
            n_left = self._withdraw(len(self._workers) - wanted)
            self._return_idle(n_left)
        n_idle, n_excess = self._sharing.to_give_back(counts)
        self._return_idle(n_idle)
        for name in ray.get(self._ask("retire", n_excess), timeout=10):
            self._drop_worker(name)

    def _withdraw(self, n_most: int) -> int:
        """End so many workers that wait for a machine, and make the autoscaler start one; return how many are left."""
        for name in list(reversed(self._placed))[:n_most]:
            self._drop_worker(name)
            n_most -= 1
        return n_most

    def _return_idle(self, n_most: int) -> None:
        """Return so many workers, the last made first, as far as they are idle."""
        for name in list(reversed(self._workers)):
            if n_most <= 0:
                return
            is_starting = name in self._placed or name in self._ready
            if not is_starting and ray.get(self._ask("remove_worker", name), timeout=10):
                self._drop_worker(name)
                n_most -= 1


def start_broker(name: str, store: str) -> Any:
    """Start the broker of a store, on this machine; return its handle."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    broker: Any = ray.remote(Broker).options(
        name=name,
        namespace=BROKER_NAMESPACE,
        num_cpus=0,
        max_restarts=-1,
        max_task_retries=-1,
        max_concurrency=2000,
        scheduling_strategy=here,
    )
    return broker.remote(store)
