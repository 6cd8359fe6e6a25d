"""The device of a stage worker: whether it answers, how much of its memory the worker has, what a failure leaves."""

from __future__ import annotations

import gc
import socket
import traceback
from collections.abc import Mapping
from typing import Any

import torch

from engine.data.device_sets import give_up_device_sets
from engine.precision import make_repeatable
from engine.training.captured import forget_captured


class WorkerDevice:
    """Looks after a worker's device.

    Args:
        kind: "cpu" or "cuda".
        share: GPUs that the worker has; below 1 others compute on the same one.
    """

    def __init__(self, kind: str, share: float) -> None:
        self.device = torch.device(kind)
        if kind == "cuda":
            make_repeatable()
        self._share = share

    @property
    def is_shared(self) -> bool:
        """Return whether other workers compute on the same GPU."""
        return self.device.type == "cuda" and 0 < self._share < 1

    def fault(self) -> str:
        """Return why nothing can be computed on the device now; "" where something could be.

        After some errors of a GPU (an illegal access, a failed launch, one that fell off the bus) all that the process
        asks of it fails, though it lives: only asking shows it.
        """
        if self.device.type == "cpu":
            return ""
        try:
            answered = float(torch.ones(2, device=self.device).sum()) == 2.0
        except Exception as error:  # RuntimeError, AcceleratorError, AssertionError of a torch without CUDA
            said = str(error).strip().partition("\n")[0]
            return f"the GPU of machine {socket.gethostname()} does not answer: {said or type(error).__name__}"
        return "" if answered else f"the GPU of machine {socket.gethostname()} computes 1 + 1 wrongly"

    def limit_memory(self, *, alone: bool = False) -> None:
        """Let the process have its share of the GPU's memory, or all of it while no other works there."""
        if self.is_shared:
            torch.cuda.set_per_process_memory_fraction(1.0 if alone else self._share)

    def give_back(self) -> None:
        """Give memory back that nothing of this process uses any more; what shares the GPU may need it."""
        if self.device.type == "cuda":
            forget_captured()
            gc.collect()
            torch.cuda.empty_cache()

    def frees_for(self, failure: Mapping[str, Any]) -> bool:
        """Return whether memory that a stage lacked was freed, which corrupted sets had: it can be tried again at once.

        Nothing may hold the error any more, as for ``after``. It happens once: no sets are kept then.
        """
        if not failure.get("out_of_memory") or not give_up_device_sets():
            return False
        try:
            self.give_back()
        except Exception:  # the device is lost: ``after`` says so
            traceback.print_exc()
            return False
        return True

    def after(self, failure: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a stage's failure means for the worker: "broken" where its device does not answer any more.

        Nothing may hold the error any more (see ``forget_frames``), so that its memory can be given back.
        """
        if failure.get("broken"):
            return dict(failure)
        try:
            self.give_back()
        except Exception:  # the device is lost: what follows says so
            traceback.print_exc()
        fault = self.fault()
        if not fault:
            return dict(failure)
        return {"reason": f"{failure['reason']}; {fault}", "infrastructure": True, "broken": True}


def forget_frames(error: BaseException) -> None:
    """Forget the local variables of the functions that an error went through: they hold a device's memory."""
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        traceback.clear_frames(one.__traceback__)
        one = one.__cause__ or one.__context__
