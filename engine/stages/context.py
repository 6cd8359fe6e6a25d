"""What a stage is given while it runs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from engine.data import DataSet
from engine.errors import InputError
from engine.stages.network import restore_network
from engine.stages.spec import StageSpec
from engine.stages.told import checked_cells, checked_epoch, checked_metrics
from engine.store.artifact import Artifact
from engine.store.attempts import Attempt
from engine.store.store import Store

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
        gives_network: whether later stages go on with the network that it writes.
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
    gives_network: bool = False
    _metrics: dict[str, float] = field(default_factory=dict, init=False, repr=False)
    _shapes: dict[str, tuple[int, ...]] | None = field(default=None, init=False, repr=False)

    def network(self) -> nn.Module:
        """Return the network that the stages before this one have made, on the device, in evaluation mode."""
        network = restore_network(self.networks, self.device)
        self._shapes = _shapes_of(network)
        return network

    def write_network(self, network: nn.Module) -> None:
        """Write the values of all parameters and buffers of the network that ``network`` gave, for later stages.

        Its layers must be the same ones, by the same names.

        Raises:
            InputError: the stage does not say that it gives a network, or the network is not the trial's.
        """
        stage = self.spec.stage
        if not self.gives_network:
            raise InputError(f"stage {stage!r} writes a network, but is not registered with `gives_network=True`")
        if not isinstance(network, nn.Module):
            raise InputError(f"stage {stage!r} must write a torch.nn.Module as its network, got {network!r}")
        if not self.networks:
            raise InputError(f"stage {stage!r} writes what it changed of a network, but reads none (`reads`)")
        if self._shapes is None:
            self.network()
        assert self._shapes is not None
        difference = _first_difference(self._shapes, _shapes_of(network))
        if difference:
            raise InputError(f"stage {stage!r} writes a network that is not the trial's: {difference}")
        values = _values_of(network)
        self.attempt.write_tensors("changes", {f"{name}:values": value.detach().cpu() for name, value in values})

    def write_metrics(self, metrics: Mapping[str, float]) -> None:
        """Write what the stage has measured itself: metrics in the tracking ("prune/zero_weights"), and in the report.

        What is written in several calls is put together.

        Args:
            metrics: {name: finite number}.

        Raises:
            InputError: a name with other signs than letters, digits, "_", "-" and ".", one that was written before, or
                what is no finite number.
        """
        stage = self.spec.stage
        measured = checked_metrics(metrics, stage)
        for name in measured:
            if name in self._metrics:
                raise InputError(f"metric {name!r} of stage {stage!r} must be written once, got it again")
        self._metrics |= measured
        self.attempt.write_json("metrics", self._metrics)

    def end_epoch(
        self, record: dict[str, Any], checkpoint: tuple[Mapping[str, Tensor], Mapping[str, Any]] | None = None
    ) -> None:
        """Add an epoch's record to the history, keep the state after it and tell who follows the stage.

        The record says by "watch" whose probe it was measured on: the stage may go on from epochs that another trial,
        with another probe, has run.

        Args:
            record: what the epoch came to, as ``EpochRecord`` has it: its number under "epoch", 1 after the last one's;
                "probe_error" where trials are pruned on it; numbers of the stage's own under "metrics".
            checkpoint: tensors and JSON state to go on from; None where nothing follows.

        Raises:
            InputError: no such record, or more epochs than the setting says that the stage's ``epochs`` names.
            StageCancelledError: nobody wants the stage any more.
        """
        record = self._add(checked_epoch(record, self.spec, self.history))
        if checkpoint is not None:
            tensors, state = checkpoint
            state = {**state, "history": self.history}
            self.store.save_checkpoint(self.spec.key, record["epoch"], tensors, state)
        if not self.report(record):
            raise StageCancelledError(f"{self.spec.stage} stopped after epoch {record['epoch']}")

    def tell(self, record: dict[str, Any]) -> None:
        """Add a record of a batch of cells, as ``CellsRecord`` has it, and tell who follows the stage.

        Raises:
            InputError: no such record.
            StageCancelledError: nobody wants the stage any more.
        """
        record = self._add(checked_cells(record, self.spec, self.history))
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


def _values_of(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    return itertools.chain(network.named_parameters(), network.named_buffers())


def _shapes_of(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in _values_of(network)}


def _first_difference(expected: Mapping[str, tuple[int, ...]], given: Mapping[str, tuple[int, ...]]) -> str:
    """Return what is the first parameter or buffer that two networks differ in, as words; "" where they agree."""
    for name, shape in expected.items():
        if name not in given:
            return f"it has no {name!r}"
        if given[name] != shape:
            return f"{name!r} must be of shape {shape}, got {given[name]}"
    return next((f"the trial's has no {name!r}" for name in given if name not in expected), "")
