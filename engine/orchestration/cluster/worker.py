"""Stage workers: long-lived processes that hold the CPU or GPU and keep torch and the data resident."""

from __future__ import annotations

import importlib
import time
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

from engine.orchestration.cluster.names import BROKER_NAMESPACE


class StageWorker:
    """Runs stages, one at a time, as a Ray actor.

    Args:
        store: the store's folder.
        data: the data set, as ``info_to_json`` has it.
        broker: the broker's name; it hears of every epoch.
        imports: modules of the user's that register what they add.
        device: "cpu" or "cuda".
        threads: CPU threads to compute with.
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
    ) -> None:
        import ray
        import torch

        from engine.stages import Store, data_getter, info_from_json

        torch.set_num_threads(threads)
        for module in imports:
            importlib.import_module(module)
        self._device = torch.device(device)
        self._store = Store(store)
        self._get_data = data_getter(info_from_json(dict(data)), self._store, self._device)
        self._broker = ray.get_actor(broker, namespace=BROKER_NAMESPACE)

    def ready(self) -> bool:
        """Return True once the worker has started."""
        return True

    def run(self, spec_json: Mapping[str, Any]) -> dict[str, Any]:
        """Compute a stage and return how it ended; a stage's own error is a result, not an exception.

        Returns:
            {"state": "done", "seconds", "from_store", "history"}, {"state": "cancelled"}, or {"state": "failed",
            "reason", "missing" (the key of an input that the store lacks), "out_of_memory" (True for lack of it)}.
        """
        import ray
        import torch

        from engine.stages import MissingInputError, StageCancelledError, StageSpec, find_whole, run_stage
        from engine.training import TrainingDivergedError

        spec = StageSpec.from_json(spec_json)
        started = time.perf_counter()

        def report(record: dict[str, Any]) -> bool:
            return bool(ray.get(self._broker.report.remote(spec.key, record)))

        def seconds() -> float:
            return time.perf_counter() - started

        try:
            found = find_whole(self._store, spec.key)
            artifact = found or run_stage(spec, self._store, self._get_data, device=self._device, report=report)
        except StageCancelledError:
            return {"state": "cancelled", "seconds": seconds()}
        except MissingInputError as error:
            return {"state": "failed", "reason": str(error), "missing": error.key, "seconds": seconds()}
        except TrainingDivergedError as error:
            return {"state": "failed", "reason": f"{spec.stage}: {error}", "seconds": seconds()}
        except (torch.cuda.OutOfMemoryError, MemoryError) as error:
            torch.cuda.empty_cache()
            reason = f"{spec.stage}: {type(error).__name__}: {error}"
            return {"state": "failed", "reason": reason, "out_of_memory": True, "seconds": seconds()}
        except Exception as error:  # whatever a stage raises is its trial's failure, not the worker's end
            traceback.print_exc()
            return {"state": "failed", "reason": f"{spec.stage}: {type(error).__name__}: {error}", "seconds": seconds()}
        return {
            "state": "done",
            "seconds": artifact.manifest["seconds"],
            "from_store": found is not None,
            "history": artifact.history,
        }
