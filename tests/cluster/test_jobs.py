"""Slurm's file on two machines: what it would call is there, by stand-ins, with the variables that it gives."""

import json
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from engine.orchestration import load_results
from tests.chaos import recording
from tests.chaos.sweeps import errors_computed_here
from tests.cluster.hosts import Hosts
from tests.cluster.own_machines import ROOT, STUDY, WORKERS
from tests.engine.orchestration.spaces import SPACE

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

N_TRIALS = 6
SWEEP = f"--space space.json --study {STUDY} --n-trials {N_TRIALS} --sampler random --pruner none --import recording"
SRUN = """#!/bin/bash
# srun: the command on each node of the allocation, or of those that are asked for, with this environment.
for word in "$@"; do
  case $word in --nodelist=*) SLURM_JOB_NODELIST=${word#*=} ;; --*) ;; *) break ;; esac
  shift
done
export -p > "$STAND_INS/environment.$$"
printf -v line '%q ' "$@"
for node in $SLURM_JOB_NODELIST; do
  ssh -o StrictHostKeyChecking=no -o LogLevel=ERROR "$node" ". $STAND_INS/environment.$$; cd '$PWD' && $line" &
  running+=($!)
done
for one in "${running[@]}"; do wait "$one" || code=$?; done
exit ${code:-0}
"""
SCONTROL = """#!/bin/bash
printf '%s\\n' $SLURM_JOB_NODELIST
"""


@pytest.fixture
def checkout(hosts: Hosts, tmp_path: Path) -> Path:
    """A checkout and the stand-ins, in a folder that all machines see."""
    folder = tmp_path / "checkout"
    for name in ("engine", "pipelines", "search_spaces", "slurm"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(recording.__file__, folder)
    (folder / "space.json").write_text(json.dumps(SPACE.to_json()))
    (folder / "bin").mkdir()
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL)):
        (folder / "bin" / name).write_text(text)
        (folder / "bin" / name).chmod(0o755)
    return folder


def faults(home: Path, again: Path) -> list[str]:
    """Return which trials are not complete, or other than this machine computes them."""
    trials = load_results(STUDY, home=home).trials
    assert len(trials) == N_TRIALS
    here = errors_computed_here(SPACE, trials, again)
    return [trial.slot for trial in trials if trial.state != "COMPLETE" or trial.errors != here[trial.slot]]


def exports(variables: dict[str, str]) -> str:
    """Return the line that puts variables into a shell's environment."""
    return "".join(f"export {name}={shlex.quote(value)}; " for name, value in variables.items())


def test_slurms_file_brings_a_cluster_up_runs_the_sweep_and_ends(
    hosts: Hosts, checkout: Path, recorded: Path, tmp_path: Path
) -> None:
    recording.set_pause(recorded, 0.5)
    given = {
        "STAND_INS": f"{checkout}/bin",
        "SLURM_JOB_ID": "4711",
        "SLURM_JOB_NODELIST": " ".join(hosts[name].address for name in WORKERS),
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_CPUS_PER_TASK": "2",
        "ROBUSTUNE_HOME": str(tmp_path / "home"),
    }
    line = f"{exports(given)} PATH={checkout}/bin:$PATH; cd {checkout}; bash slurm/sweep.sbatch {SWEEP}"
    printed = hosts[WORKERS[0]].run(line, timeout_s=200)
    assert {attempt.host for attempt in recording.read_attempts(recorded)} == set(WORKERS), printed
    assert faults(tmp_path / "home", tmp_path / "here") == [], printed
    assert [_raylets(hosts, name) for name in WORKERS] == [0, 0], "nothing is left running"


def _raylets(hosts: Hosts, name: str) -> int:
    done = subprocess.run(hosts[name].words("pgrep --count raylet"), capture_output=True, text=True, check=False)
    return int(done.stdout)
