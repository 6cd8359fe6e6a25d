"""Stage workers: long-lived processes that hold the CPU or GPU and keep torch and the data resident."""

from __future__ import annotations

import importlib
import time
import traceback
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from engine.errors import InputError
from engine.orchestration.cluster.admission import Admission, UnfitError
from engine.orchestration.cluster.shared_names import BROKER_NAMESPACE
from engine.orchestration.cluster.stage_failures import failure_of
from engine.orchestration.cluster.stage_summary import summary_of
from engine.store.holders import name_node, this_process

if TYPE_CHECKING:
    from engine.stages import StageSpec
    from engine.stages.runner import Origin
    from engine.store.artifact import Artifact


class StageWorker:
    """Runs stages, one at a time, as a Ray actor.

    Args:
        store: the store's address.
        data: the data set, as ``info_to_json`` has it.
        broker: the broker's name; it hears of every epoch.
        imports: modules of the user's that register what they add.
        device: "cpu" or "cuda".
        threads: CPU threads to compute with.
        gpus: GPUs that it has; a share of one limits its memory.
        admission: what its machine has to agree with, as ``Admission.to_json``; None where it is the driver's.

    Nothing is set up before ``ready``, so that what stands in its way (a disk that is read-only, a module that this
    machine lacks) can be told: an actor whose constructor raises is only gone.
    """

    def __init__(
        self,
        *,
        store: str,
        data: Mapping[str, Any],
        broker: str,
        imports: Sequence[str],
        device: str,
        threads: int,
        gpus: float = 0.0,
        admission: Mapping[str, Any] | None = None,
    ) -> None:
        self._address = store
        self._data = dict(data)
        self._broker_name = broker
        self._imports = tuple(imports)
        self._device_type = device
        self._threads = threads
        self._gpus = gpus
        self._admission = None if admission is None else Admission.from_json(admission)
        self._is_set_up = False

    def ready(self) -> dict[str, Any]:
        """Set the worker up, unless it is; return its {"node", "process", "fault": why it cannot run stages, "" if it
        can, "unfit": whether no worker of its machine will ever, "broken": whether another process might}.
        """
        import ray

        node, fault, unfit, broken = ray.get_runtime_context().get_node_id(), "", False, False
        try:
            self._set_up(node)
            fault = self._device.fault()
            broken = bool(fault)
        except UnfitError as error:
            fault, unfit = str(error), True
        except Exception as error:  # whatever a user's module raises is told, and tried again
            traceback.print_exc()
            fault = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
        return {"node": node, "process": this_process(), "fault": fault, "unfit": unfit, "broken": broken}

    def _set_up(self, node: str) -> None:
        if self._is_set_up:
            return
        import torch

        from engine.heap import keep_freed_memory
        from engine.orchestration.cluster.worker_device import WorkerDevice
        from engine.stages import data_getter, info_from_json
        from engine.store import open_store

        name_node(node)
        keep_freed_memory()
        torch.set_num_threads(self._threads)
        if self._admission is not None:
            self._admission.check_code(self._imports)
            self._admission.check_store(self._address)
        for module in self._imports:
            importlib.import_module(module)
        self._device = WorkerDevice(self._device_type, self._gpus)
        self._store = open_store(self._address, patient=True)
        self._get_data = data_getter(info_from_json(self._data), self._store, self._device.device)
        self._is_set_up = True

    @cached_property
    def _broker(self) -> Any:
        """Return the broker, which may start after its workers."""
        import ray

        return ray.get_actor(self._broker_name, namespace=BROKER_NAMESPACE)

    def run(
        self,
        spec_json: Mapping[str, Any],
        anyway: bool = False,
        recent: Mapping[str, float] | None = None,
        alone: bool = False,
    ) -> dict[str, Any]:
        """Compute a stage and return how it ended; a stage's own error is a result, not an exception.

        Args:
            spec_json: the stage.
            anyway: whether to compute it even while another process does.
            recent: {key of an input: seconds for which it may not be seen yet on this machine, though it is done}.
            alone: whether nothing else runs on this machine meanwhile, so that it may have all of the memory.

        Returns:
            {"state": "done", "from_store", "shared" (another process computed it meanwhile)} and all of ``summary_of``,
            {"state": "cancelled"}, {"state": "elsewhere"} where another process is at it, or {"state": "failed"} and
            all of ``failure_of``; {"state": "unfit", "reason"} where the worker cannot run any stage.
        """
        fault = self.ready()["fault"]  # it may have been started anew since it was asked
        if fault:
            return {"state": "unfit", "reason": fault}

        from engine.orchestration.cluster.worker_device import forget_frames
        from engine.stages import StageCancelledError, StageElsewhereError, StageSpec

        spec = StageSpec.from_json(spec_json)
        started = time.perf_counter()

        def seconds() -> float:
            return time.perf_counter() - started

        try:
            self._device.limit_memory(alone=alone)
            artifact, origin = self._obtain(spec, anyway, recent or {})
            summary = summary_of(artifact)
        except StageElsewhereError:
            return {"state": "elsewhere"}
        except StageCancelledError:
            return {"state": "cancelled", "seconds": seconds()}
        except Exception as error:  # whatever a stage raises is its trial's failure, not the worker's end
            failure = failure_of(spec.stage, spec.key, error)
            if not failure.get("lasting") and not failure.get("missing"):
                traceback.print_exc()
            forget_frames(error)
        else:
            failure = {}
        if self._device.frees_for(failure):  # the error is gone, and with it what it held of the device's memory
            return self.run(spec_json, anyway, recent, alone)
        if failure:
            return {**self._device.after(failure), "state": "failed", "seconds": seconds()}
        if self._device.is_shared:
            self._device.give_back()
        return {
            **summary,
            "state": "done",
            "from_store": origin == "store",
            "shared": origin == "elsewhere",
        }

    def _obtain(self, spec: StageSpec, anyway: bool, recent: Mapping[str, float]) -> tuple[Artifact, Origin]:
        """Return a stage's artifact, and whence it is; its epochs are told to the broker."""
        import ray

        from engine.stages import obtain_stage

        def report(record: dict[str, Any]) -> bool:
            return bool(ray.get(self._broker.report.remote(spec.key, record)))

        return obtain_stage(
            spec,
            self._store,
            self._get_data,
            device=self._device.device,
            report=report,
            elsewhere="compute" if anyway else "leave",
            recent=recent,
        )
