"""A user's own stage, which leaves a file for each of its starts and epochs, and stays at one until it may go on."""

import os
import time
import uuid
from pathlib import Path

import torch

from engine.stages import StageContext, register_stage
from engine.training import TrainingDivergedError

GO_ON = "go-on"
"""The file in the stage's folder without which it computes no more than the epochs that it may do alone."""


@register_stage("counting", version=1)
def counting(context: StageContext) -> None:
    settings = context.spec.settings
    folder = Path(settings["folder"])
    (folder / f"start-{uuid.uuid4().hex}").write_text(str(os.getpid()))
    found = context.load_checkpoint()
    first = found[1]["epoch"] + 1 if found else 1
    for epoch in range(first, settings["epochs"] + 1):
        while epoch > settings.get("alone", epoch) and not (folder / GO_ON).exists():
            time.sleep(0.05)
        (folder / f"epoch-{epoch}-{uuid.uuid4().hex}").touch()
        time.sleep(settings["epoch_s"])
        checkpoint = {"x": torch.tensor(epoch)}, {"epoch": epoch}
        context.end_epoch({"epoch": epoch, "probe_error": 1.0 / epoch}, checkpoint)
    if settings.get("fails"):
        raise RuntimeError("it was told to")
    if settings.get("diverges"):
        raise TrainingDivergedError("loss became nan")
    context.attempt.write_json(
        "errors", {"objective": 0.5, "test": {"clean": 0.0, "tuned_distortion": None, "corrupted": []}}
    )
