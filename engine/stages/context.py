"""What a stage is given while it runs."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from engine.data import DataSet
from engine.errors import InputError
from engine.stages.network import restore_network
from engine.stages.spec import StageSpec
from engine.store.attempts import Attempt
from engine.store.store import Artifact, Store

_METRIC = re.compile(r"[\w.-]+")
Report = Callable[[dict[str, Any]], bool]
Progress = Callable[[int, int], None]
"""Is told how much of how much is done; nothing is kept of it, and nothing depends on it."""


def unwatched(done: int, total: int) -> None:
    """The progress of a stage that nobody watches."""


class StageCancelledError(Exception):
    """Nobody wants the stage any more; it stopped at the end of an epoch, or of a batch of cells."""


@dataclass
class StageContext:
    """A running stage's surroundings.

    Attributes:
        spec: what is to be computed.
        data: the data set, on the stage's device.
        device: where to compute.
        inputs: the artifacts of ``spec.inputs``, by role.
        attempt: where the artifact's files are written.
        store: where checkpoints are kept.
        report: called with each epoch's record; False asks the stage to stop.
        history: the records of all epochs, those before a restart included, or of all batches of cells.
        progress: told how far the stage is, in epochs or cells.
        networks: of the inputs, those that have made the network, in order.
    """

    spec: StageSpec
    data: DataSet
    device: torch.device
    inputs: Mapping[str, Artifact]
    attempt: Attempt
    store: Store
    report: Report
    history: list[dict[str, Any]] = field(default_factory=list)
    progress: Progress = unwatched
    networks: Sequence[Artifact] = ()

    def network(self) -> nn.Module:
        """Return the network that the stages before this one have made, on the device, in evaluation mode."""
        return restore_network(self.networks, self.device)

    def write_network(self, network: nn.Module) -> None:
        """Write the values of all parameters and buffers of the network that ``network`` gave, for later stages.

        Its layers must be the same ones, by the same names.
        """
        values = itertools.chain(network.named_parameters(), network.named_buffers())
        self.attempt.write_tensors("changes", {f"{name}:values": value.detach().cpu() for name, value in values})

    def write_metrics(self, metrics: Mapping[str, float]) -> None:
        """Write what the stage has measured itself: metrics in the tracking ("prune/zero_weights"), and in the report.

        Args:
            metrics: {name: finite number}.

        Raises:
            InputError: a name with other signs than letters, digits, "_", "-" and ".", or what is no finite number.
        """
        for name, value in metrics.items():
            if not _METRIC.fullmatch(name):
                raise InputError(f"a metric's name has letters, digits, '_', '-' and '.', got {name!r}")
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise InputError(f"metric {name!r} of stage {self.spec.stage!r} must be a finite number, got {value!r}")
        self.attempt.write_json("metrics", dict(metrics))

    def end_epoch(
        self, record: dict[str, Any], checkpoint: tuple[Mapping[str, Tensor], Mapping[str, Any]] | None = None
    ) -> None:
        """Add an epoch's record to the history, keep the state after it and tell who follows the stage.

        The record says by "watch" whose probe it was measured on: the stage may go on from epochs that another trial,
        with another probe, has run.

        Args:
            record: what the epoch came to, its number under "epoch".
            checkpoint: tensors and JSON state to go on from; None where nothing follows.

        Raises:
            StageCancelledError: nobody wants the stage any more.
        """
        record = self._add(record)
        if checkpoint is not None:
            tensors, state = checkpoint
            state = {**state, "history": self.history}
            self.store.save_checkpoint(self.spec.key, record["epoch"], tensors, state)
        if not self.report(record):
            raise StageCancelledError(f"{self.spec.stage} stopped after epoch {record['epoch']}")

    def tell(self, record: dict[str, Any]) -> None:
        """Add a record of something that is no epoch, its number under "batch", and tell who follows the stage.

        Raises:
            StageCancelledError: nobody wants the stage any more.
        """
        record = self._add(record)
        if not self.report(record):
            raise StageCancelledError(f"{self.spec.stage} stopped after batch {record['batch']}")

    def _add(self, record: dict[str, Any]) -> dict[str, Any]:
        record = {**record, "watch": self.spec.watch_digest}
        self.history.append(record)
        return record

    def load_checkpoint(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Return the last checkpoint's tensors and state, and take over its history; None where there is none."""
        found = self.store.latest_checkpoint(self.spec.key)
        if found is not None:
            self.take_over(found[1]["history"])
        return found

    def take_over(self, history: Sequence[dict[str, Any]]) -> None:
        """Begin with the records of epochs that need not be computed, and tell who follows the stage.

        Raises:
            StageCancelledError: nobody wants the stage any more.
        """
        self.history[:] = history
        for record in self.history:
            if not self.report(record):
                raise StageCancelledError(f"{self.spec.stage} stopped before it went on")
