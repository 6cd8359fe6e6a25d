"""A study's network written into a folder, with all that is known of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from engine.exporting.description import describe_network, with_asked_h
from engine.exporting.export_folder import Exported, export_network
from engine.report.exported_trial import ExportedTrial
from engine.report.results import Results
from engine.stages.made_network import made_network
from engine.stages.network import restore_network
from engine.stages.prepared import stored_class_names
from engine.store import Store


def take_home(
    results: Results, exported: ExportedTrial, store: Store, folder: Path, *, formats: Sequence[str] | None = None
) -> tuple[Exported, Sequence[str] | None]:
    """Write the network of a study's trial into a folder; return what is there, and its classes where they are known.

    Args:
        results: of the study.
        exported: the trial.
        store: has its artifacts.
        folder: a new or an empty one.
        formats: as ``export_network`` takes them.

    Raises:
        InputError: the trial's artifacts are not in the store any more, or what ``export_network`` raises.
    """
    trial = exported.trial
    made = made_network(trial.stages, store, of=f"trial {trial.number} of study {results.study!r}")
    network = restore_network(made, torch.device("cpu"))
    config = results.space.config(trial.settings, seed=trial.seed)
    names = stored_class_names(config.data, made[0].manifest["spec"]["data"], store)
    about = describe_network(network, made, exported, results, names)
    settings = with_asked_h(made[0].json("network"), network, config.push_pull.h)
    written = export_network(network, folder, settings=settings, about=about, formats=formats)
    return written, names
