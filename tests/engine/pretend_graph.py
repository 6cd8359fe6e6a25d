"""CUDA graphs of the pretend device: what is recorded is computed again, operation by operation, in the same memory.

So a replay does what a real one does: it reads what lies in the recorded tensors by then, and does nothing that Python
does between the operations. While it is recorded, the host may not wait.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest.mock import MagicMock, patch

from torch import Tensor
from torch.utils import _pytree as pytree

from tests.engine.pretend_device import Counts, recorders, waits_refused


class _NoWaits(Counts):
    def wait(self, reason: str) -> None:
        raise RuntimeError(f"CUDA error: operation not permitted when stream is capturing: {reason}")


class PretendGraph:
    """What ``torch.cuda.CUDAGraph`` is; ``made`` has all that there are."""

    made: list[PretendGraph]

    def __init__(self) -> None:
        self.operations: list[tuple[Any, tuple, dict[str, Any], Any]] = []
        self.n_replays = 0
        self.made.append(self)

    def replay(self) -> None:
        self.n_replays += 1
        for function, args, kwargs, found in self.operations:
            again = function(*args, **kwargs)
            for before, now in zip(_tensors(found), _tensors(again), strict=True):
                if before.data_ptr() != now.data_ptr():
                    before.copy_(now)


def _tensors(value: Any) -> list[Tensor]:
    return [one for one in pytree.tree_leaves(value) if isinstance(one, Tensor)]


@contextlib.contextmanager
def _recording(graph: PretendGraph, *, stream: object) -> Iterator[None]:
    def note(function: Any, args: tuple, kwargs: dict[str, Any], found: Any) -> None:
        graph.operations.append((function, args, kwargs, found))

    refusing = _NoWaits()
    recorders.append(note)
    waits_refused.append(refusing)
    try:
        yield
    finally:
        recorders.remove(note)
        waits_refused.remove(refusing)


@contextlib.contextmanager
def pretend_graphs() -> Iterator[list[PretendGraph]]:
    """Have torch record graphs of the pretend device meanwhile; gives those that are made."""
    PretendGraph.made = []
    with (
        patch("torch.cuda.CUDAGraph", PretendGraph),
        patch("torch.cuda.graph", _recording),
        patch("torch.cuda.Stream", MagicMock()),
        patch("torch.cuda.stream", lambda stream: contextlib.nullcontext()),
        patch("torch.cuda.current_stream", MagicMock()),
    ):
        yield PretendGraph.made
