"""A network as a model of MLflow's, which ``mlflow.pytorch.load_model`` gives back: a program, not a pickle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from engine.errors import InputError
from engine.exporting import load_exported
from engine.exporting.exported import CONFIG, WEIGHTS, read_config
from engine.exporting.portable import IMAGES, LOGITS, for_program
from engine.result_names import Tag
from engine.store.artifact import checksum

MODEL = "network"
"""The model's name: ``runs:/RUN/network``."""


def log_network(
    client: Any, experiment: str, runs: list[str], folder: Path, *, settle: Callable[[str], None] = lambda model: None
) -> None:
    """Log a network below the first of some runs, and name it in all; nothing where that was done already.

    Args:
        client: MLflow's.
        experiment: the runs' experiment.
        runs: ids.
        folder: has the network, as ``export_network`` writes it.
        settle: called with the model's id before its files are written: it may change where they go.

    Raises:
        InputError: the folder has none.
        Exception: whatever MLflow raises, or ``torch.export`` of a network that it cannot take.
    """
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus
    from mlflow.models import Model

    origin = read_config(folder)["origin"]
    if not (folder / WEIGHTS).is_file():
        raise InputError(f"{folder} has no {WEIGHTS} any more")
    known = checksum(folder / WEIGHTS)
    found = client.search_logged_models([experiment], f"source_run_id = '{runs[0]}'")
    if any(model.tags.get(Tag.NETWORK) == known and model.status == LoggedModelStatus.READY for model in found):
        return
    with TemporaryDirectory(prefix="robustune-") as scratch:
        path = Path(scratch) / MODEL
        _save(folder, path)
        model = client.create_logged_model(
            experiment,
            name=MODEL,
            source_run_id=runs[0],
            tags={Tag.STUDY: origin["study"], Tag.TRIAL_NUMBER: str(origin["trial"]), Tag.NETWORK: known},
            params={"seed": str(origin["seed"]), **{name: str(value) for name, value in origin["settings"].items()}},
            model_type="classifier",
        )
        settle(model.model_id)
        written = Model.load(str(path))
        written.model_id, written.run_id, written.artifact_path = model.model_id, runs[0], MODEL
        written.save(str(path / "MLmodel"))
        client.log_model_artifacts(model.model_id, str(path))
    client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    for run in runs:
        client.log_outputs(run, [LoggedModelOutput(model.model_id, step=0)])


def prepare() -> None:
    """Import what a network takes to be logged; the first program of a process takes longest, of whatever network."""
    import mlflow.pytorch  # noqa: F401
    import torch

    torch.export.export(torch.nn.Linear(1, 1), (torch.zeros(2, 1),))


def _save(folder: Path, path: Path) -> None:
    """Write a network as a model of MLflow's."""
    import mlflow.pytorch
    import numpy as np
    import torch
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    config = read_config(folder)
    _, *image = config["input"]["shape"]
    images = TensorSpec(np.dtype(np.float32), (-1, *image), IMAGES)
    logits = TensorSpec(np.dtype(np.float32), (-1, config["output"]["shape"][1]), LOGITS)
    mlflow.pytorch.save_model(
        for_program(load_exported(folder)),
        str(path),
        input_example=np.zeros((2, *image), np.float32),  # of one image it would be a program for one alone
        signature=ModelSignature(Schema([images]), Schema([logits])),
        pip_requirements=[f"torch=={torch.__version__.partition('+')[0]}", "mlflow"],
        extra_files=[str(folder / CONFIG)],
        serialization_format="pt2",
        metadata={"study": config["origin"]["study"], "trial": config["origin"]["trial"]},
    )
