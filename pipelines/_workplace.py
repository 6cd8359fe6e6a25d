"""What commands about one network share: its data, its store, and its stages' artifacts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from rich.console import Console
from torch import nn

from engine.data import DataInfo, DataSet
from engine.errors import InputError
from engine.extensions import parse_settings
from engine.report.terminal import say
from engine.settings import TrialConfig
from engine.stages import TrialPlan, check_weights, data_getter, plan_trial, prepare_data, prepare_weights, run_chain
from engine.stages.catalogue import network_stages
from engine.stages.network import restore_network
from engine.store import Artifact, Store, open_store
from pipelines._progress import stage_bar, waiting
from pipelines.trial import NetworkOptions, describe_stage, make_config

BY_FILTER = ("filters", "correction")
"""Methods of fine-tuning for which filters are chosen."""
TOLD_S = 2.0
"""Rankings that take less are not told: there are dozens of them."""


@dataclass(frozen=True)
class Workplace:
    """A network's settings, and where its stages run and are kept.

    Attributes:
        config: the trial that the options ask for, its weights in the store if ``--init`` gives them.
        store: of the artifacts.
        info: what is known of the data set.
        device: where everything runs.
        console: where a stage that had to run is told.
    """

    config: TrialConfig
    store: Store
    info: DataInfo
    device: torch.device
    console: Console

    @property
    def data(self) -> DataSet:
        """Return the data set."""
        return data_getter(self.info, self.store, self.device)(self.info.key)

    def plan(self, settings: Mapping[str, Any]) -> TrialPlan:
        """Return the stages of the trial with some settings changed."""
        config, threads = self.config.with_settings(settings), torch.get_num_threads()
        plan = plan_trial(config, self.info, device=self.device.type, threads=threads)
        check_weights(plan, self.store)
        return plan

    def artifacts(self, plan: TrialPlan, last: str) -> dict[str, Artifact]:
        """Return {stage: artifact} of a trial's stages up to one, run here unless the store has them."""
        get_data = data_getter(self.info, self.store, self.device)
        found = {}
        with stage_bar(self.console) as show:
            for outcome in run_chain(plan, self.store, get_data, device=self.device, on_progress=show):
                seconds = outcome.artifact.manifest["seconds"]
                if not outcome.from_store and (seconds >= TOLD_S or outcome.spec.stage != "rank"):
                    say(self.console, f"{describe_stage(outcome)}   ({_whose(outcome.spec.stage, plan.config)})")
                found[outcome.spec.stage] = outcome.artifact
                if outcome.spec.stage == last:
                    break
        return found

    def network(self, artifacts: Mapping[str, Artifact]) -> nn.Module:
        """Return the network of some artifacts, fine-tuned if they say so."""
        return restore_network([artifacts[name] for name in network_stages() if name in artifacts], self.device)


def _whose(stage: str, config: TrialConfig) -> str:
    """Return which of a command's networks a stage is of: the same line would be printed for each."""
    tuned = f"{config.finetune.which} tuned, " if stage == "finetune" else ""
    return f"{tuned}seed {config.seed}"


def open_workplace(
    options: NetworkOptions, console: Console, default: Mapping[str, Any] = MappingProxyType({})
) -> Workplace:
    """Return what the options of a command ask for; the data set is prepared.

    Args:
        options: of the command.
        console: where notes go.
        default: settings that the command has where none are given.

    Raises:
        InputError: whatever is wrong with the settings, the data set or the given weights.
    """
    device = options.set_up()
    config = make_config(options, default)
    store = open_store(options.store or options.home / "store")
    with waiting(console, "reading the data set"):
        info, _ = prepare_data(config.data, store, download=options.download)
    say(console, *info.notes)
    if options.init is not None:
        weights = prepare_weights(options.init, store, network=config.model.name)
        say(console, *weights.notes)
        config = config.with_settings(weights.settings(given=parse_settings(options.settings)))
    return Workplace(config, store, info, device, console)


def check_tunes_filters(config: TrialConfig) -> None:
    """Raise ``InputError`` for a way to tune that chooses no filters."""
    if config.finetune.method not in BY_FILTER:
        raise InputError(
            f"choices of filters are compared: `finetune.method` must be {' or '.join(BY_FILTER)}, got "
            f"{config.finetune.method}"
        )


def seeds_from(first: int, n_seeds: int) -> range:
    """Return as many seeds, from the trial's on.

    Raises:
        InputError: fewer than one.
    """
    if n_seeds < 1:
        raise InputError(f"`--n-seeds` must be ≥ 1, got {n_seeds}")
    return range(first, first + n_seeds)


def parse_distortion(text: str) -> dict[str, Any]:
    """Return the settings of a distortion that is written "awgn=25".

    Raises:
        InputError: it is written otherwise.
    """
    name, _, level = text.partition("=")
    try:
        return {"distortion.name": name.strip(), "distortion.level": float(level)}
    except ValueError as error:
        raise InputError(f"a distortion is written NAME=LEVEL, such as awgn=25; got {text!r}") from error
