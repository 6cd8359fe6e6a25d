"""The variables that the clusters' files set are those that the commands read, with values that they take."""

import re
from pathlib import Path

import pytest

from engine.orchestration.options import SweepOptions
from engine.variables import NAMES

ROOT = Path(__file__).parents[1]
FILES = ("ray_cluster.yaml", "ray_cluster_local.yaml", "kubernetes/raycluster.yaml", "kubernetes/rayjob.yaml")
JOBS = ("slurm/sweep.sbatch", "skypilot/sweep.yaml")
NEEDED = {"ROBUSTUNE_HOME", "ROBUSTUNE_STORE", "ROBUSTUNE_STORAGE", "MLFLOW_TRACKING_URI", "ROBUSTUNE_SLOTS"}
OWN = {"ROBUSTUNE_ENVIRONMENT"}
"""Variables of the files alone."""


def given(name: str) -> dict[str, str]:
    """Return the variables that a file sets, with their values as written."""
    text = (ROOT / name).read_text()
    pairs = re.findall(r"(?:-e |export )(\w+)=(?:\"([^\"]*)\"|(\S+))|\{name: (\w+), value: \"?([^}\"]*)\"?\}", text)
    return {(one or two): (quoted or plain or value) for one, quoted, plain, two, value in pairs}


@pytest.mark.parametrize("name", [*FILES, *JOBS])
def test_every_variable_of_the_project_is_one_that_it_reads(name: str) -> None:
    used = set(re.findall(r"\bROBUSTUNE_[A-Z_]+", (ROOT / name).read_text()))
    assert used - OWN
    assert used <= set(NAMES) | OWN


@pytest.mark.parametrize("name", FILES)
def test_the_bare_sweep_finds_all_that_it_needs(name: str, monkeypatch, tmp_path: Path) -> None:
    variables = given(name)
    assert set(variables) >= NEEDED
    monkeypatch.chdir(tmp_path)
    for variable, value in variables.items():
        if variable in NAMES:
            monkeypatch.setenv(variable, value.replace("$HOME", str(tmp_path)).replace("/home/ray", str(tmp_path)))
    options = SweepOptions()
    options.check()
    assert options.slots == int(variables["ROBUSTUNE_SLOTS"])
    assert options.gpus_per_slot == float(variables["ROBUSTUNE_GPUS_PER_SLOT"])
    assert options.tracking_url == variables["MLFLOW_TRACKING_URI"]
    assert str(options.home) in options.storage_url


def test_a_value_in_quotes_is_read_as_well() -> None:
    assert given("ray_cluster_local.yaml")["ROBUSTUNE_HOME"] == "$HOME/robustune-runs"
