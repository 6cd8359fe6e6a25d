"""The winner's network as a model of MLflow's: what it gives back computes what the network computes."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.environment import put_back
from engine.exporting import export_network, load_exported
from engine.orchestration.tracking import MlflowWriter, Spool, SpoolWriter, TrackingEvents
from engine.orchestration.tracking.mlflow_database import prepare_environment
from engine.orchestration.tracking.mlflow_tracker import EXPERIMENT
from engine.stages.network import build_network
from engine.variables import TRACKING

SETTINGS = {
    "name": "resnet-8",
    "width": 2,
    "num_classes": 10,
    "in_channels": 1,
    "image_size": 8,
    "push_pull": {"where": "first", "h": 2.0, "alpha": 0.5, "learn_alpha": None},
}


def write_network(folder: Path, settings: dict[str, Any]) -> torch.nn.Module:
    network = build_network(settings, seed=3).eval()
    about = {
        "input": {"shape": ["n", 1, 8, 8]},
        "output": {"shape": ["n", 10]},
        "origin": {"study": "taken", "trial": 5, "seed": 11, "settings": {"push_pull.h": 2.0}},
    }
    folder.parent.mkdir(parents=True)
    export_network(network, folder, settings=settings, about=about, formats=["safetensors"])
    return network


def write_study(home: Path, uri: str, folder: str) -> None:
    spool = Spool(home / "taken.jsonl")
    events = TrackingEvents(spool)
    events.start_sweep("taken", {}, {})
    events.start_group("winner/abc/0", "winner", {"push_pull.h": 2.0}, {})
    events.start_trial("winner/abc/0", 5, {"push_pull.h": 2.0}, {})
    events.end_trial("winner/abc/0", "FINISHED", tags={}, step=1)
    network = {"slot": "winner/abc/0", "folder": folder}
    events.end_sweep("FINISHED", {}, {}, {}, network=network)
    for _ in range(2):  # the second time as after a crash
        SpoolWriter(MlflowWriter(uri, "taken", artifacts=home / "mlartifacts", home=home), spool).flush()
        spool.mark(0)


def client_of(uri: str) -> Any:
    prepare_environment()
    from mlflow import MlflowClient

    return MlflowClient(uri)


def runs_of(client: Any) -> dict[str, Any]:
    experiment = client.get_experiment_by_name(EXPERIMENT)
    return {run.data.tags["robustune.slot"]: run for run in client.search_runs([experiment.experiment_id])}


def test_the_winner_s_network_comes_back_as_it_was_wherever_its_home_is_moved(tmp_path: Path) -> None:
    home, uri = tmp_path / "home", f"sqlite:///{tmp_path / 'home' / 'mlflow.db'}"
    network = write_network(home / "networks" / "taken-trial-5", SETTINGS)
    write_study(home, uri, "networks/taken-trial-5")
    client = client_of(uri)
    runs = runs_of(client)
    assert "robustune.refused" not in runs["sweep"].data.tags, runs["sweep"].data.tags
    (model,) = client.search_logged_models([runs["sweep"].info.experiment_id])
    assert (model.name, model.source_run_id) == ("network", runs["group/winner/abc"].info.run_id)
    assert model.params == {"seed": "11", "push_pull.h": "2.0"}
    for slot in ("sweep", "group/winner/abc"):
        assert [output.model_id for output in runs[slot].outputs.model_outputs] == [model.model_id]
    home.rename(tmp_path / "moved")
    moved = f"sqlite:///{tmp_path / 'moved' / 'mlflow.db'}"
    TrackingEvents(Spool(tmp_path / "moved" / "other.jsonl")).start_sweep("other", {}, {})
    other = MlflowWriter(moved, "other", artifacts=tmp_path / "moved" / "mlartifacts")
    SpoolWriter(other, Spool(tmp_path / "moved" / "other.jsonl")).flush()
    import mlflow

    before = mlflow.get_tracking_uri()
    with put_back(TRACKING):  # MLflow sets it, too, and sweeps of later tests would write there
        mlflow.set_tracking_uri(moved)
        try:
            loaded = mlflow.pytorch.load_model(f"models:/{model.model_id}")
            by_run = mlflow.pytorch.load_model(f"runs:/{runs['group/winner/abc'].info.run_id}/network")
        finally:
            mlflow.set_tracking_uri(before)
    for n_images in (1, 5):
        images = torch.rand(n_images, 1, 8, 8, generator=torch.Generator().manual_seed(n_images))
        for found in (loaded, by_run):
            torch.testing.assert_close(found(images), network(images), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("lost", ["folder", "weights"])
def test_a_network_that_cannot_be_logged_is_named_and_holds_up_nothing(tmp_path: Path, lost: str) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    folder = tmp_path / "networks" / "taken-trial-5"
    write_network(folder, SETTINGS)
    load_exported(folder)
    if lost == "folder":
        shutil.rmtree(folder)
    else:
        (folder / "model.safetensors").write_bytes(b"torn")
    write_study(tmp_path, uri, "networks/taken-trial-5")
    sweep = runs_of(client_of(uri))["sweep"]
    assert sweep.info.status == "FINISHED"
    assert "network: " in sweep.data.tags["robustune.refused"]
