"""A training's passes through its network, forward and backward, compiled by ``torch.compile``.

What is compiled is for batches of one size; an epoch's last one, if it is smaller, goes through the network itself. The
first training of a kind of network in a process waits for its compiler, a minute or so; further ones in that process do
not, and other processes of the machine find what was made in inductor's own folder (``TORCHINDUCTOR_CACHE_DIR``). So it
is for long trainings. What is compiled comes to other last digits. On GPUs it was never run, and it is off unless asked
for.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Hashable

import torch
from torch import Tensor, nn

from engine.layers.strided import RightGradients
from engine.metrics.classification import as_input
from engine.precision import current_precision, in_full, network_pass
from engine.training.warned_once import warn_once

Passes = Callable[[Tensor], Tensor]
_N_KEPT = 6
"""Kinds of networks that stay compiled: torch refuses more than eight variants of one function."""

_kept: set[Hashable] = set()


class Compiling:
    """Has the passes of one training compiled as far as they can be, and says why where they cannot.

    Args:
        architecture: what tells networks apart whose passes are other ones; None where nothing does.

    Attributes:
        reason: why batches go through the network as it is; "" while they do not.
        cold_s: seconds that the training waited for the compiler.
    """

    def __init__(self, architecture: str | None = None) -> None:
        self.reason = ""
        self.cold_s = 0.0
        self._architecture = architecture
        self._passes: Passes | None = None

    def passes(self, module: nn.Module, images: Tensor, batch_size: int) -> Passes | None:
        """Return what float images go through, or None where that is the module itself.

        Args:
            module: what is trained; it stays as it is.
            images: a batch, as ``as_input`` takes it.
            batch_size: images of every batch but an epoch's last.
        """
        if self.reason or len(images) != batch_size:
            return None
        if self._passes is None:
            began = time.perf_counter()
            try:
                self._keep(images)
                try_passes(module, images)
            except Exception as error:  # whatever cannot be compiled can be computed as it always was
                self.reason = f"{type(error).__name__}: {error}".partition("\n")[0]
                warn_once(f"the passes of a training are not compiled, since they cannot be: {self.reason}")
                return None
            self.cold_s = round(time.perf_counter() - began, 2)
            self._passes = compiled(module)
        return self._passes

    def _keep(self, images: Tensor) -> None:
        """Note that another kind is compiled; forget all of them once there are too many."""
        kind = (self._architecture or object(), images.shape, str(images.device), current_precision())
        if kind not in _kept and len(_kept) >= _N_KEPT:
            torch.compiler.reset()
            _kept.clear()
        _kept.add(kind)

    def described(self) -> dict[str, object]:
        """Return what a record should say of the passes."""
        if self._passes is not None:
            return {"compiled": True, "cold_s": self.cold_s}
        return {"compiled": False, "reason": self.reason or "no batch had as many images as a whole one"}


def compiled(module: nn.Module) -> Passes:
    """Return a module's passes, compiled at their first call for each size of a batch."""
    passes: Passes = torch.compile(module, fullgraph=True, dynamic=False)
    return passes


def try_passes(module: nn.Module, images: Tensor) -> None:
    """Take a copy of a module forward and backward through its compiled passes; nothing of the module changes.

    Raises:
        Exception: it cannot be.
    """
    devices = [images.device] if images.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        tried = copy.deepcopy(module).train(module.training)
        with RightGradients() as watch, network_pass(images.device):
            tried(as_input(images))
        if watch.n_found:
            raise ValueError(f"{watch.n_found} of its convolutions are computed by a path of their own")
        with network_pass(images.device):
            found = in_full(compiled(tried)(as_input(images)))
        found.sum().backward()
