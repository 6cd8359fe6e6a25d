"""`ray up` on machines over ssh, then the sweep there, while machines and the driver come and go."""

import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.orchestration import load_results
from tests.chaos import recording
from tests.chaos.sweeps import errors_computed_here
from tests.cluster.hosts import LAPTOP, Host, Hosts, address_of
from tests.cluster.own_machines import STUDY, WORKERS, OwnMachines
from tests.engine.orchestration.spaces import SPACE

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(420)]

N_TRIALS = 8
CACHED_S = 30
"""For how long a machine goes on saying that a file is not there, as a client of NFS does."""
SHARED = "/root/shared"
ALL_ALIVE = 'import ray; ray.init(logging_level=40); exit(sum(node["Alive"] for node in ray.nodes()) != 3)'
S3_PORT = 5555
BUCKET = "artifacts"
S3_VARIABLES = {
    "AWS_ENDPOINT_URL": f"http://{address_of(LAPTOP)}:{S3_PORT}",
    "AWS_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "of-a-test",
    "AWS_SECRET_ACCESS_KEY": "of-a-test",
}


def wait_for(condition: Callable[[], Any], what: str, driver: subprocess.Popen, output: Path, timeout_s: float) -> None:
    """Wait for something while the driver runs."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert driver.poll() is None, f"{what}: the sweep has ended\n{output.read_text()}"
        assert time.monotonic() < end, f"{what}: not within {timeout_s} s\n{output.read_text()}"
        time.sleep(0.3)


def mount_shared_folder(host: Host, server: Host) -> None:
    """Mount the server's folder as one whose negative look-ups are cached."""
    options = f"StrictHostKeyChecking=no,IdentityFile=/root/.ssh/id_ed25519,negative_timeout={CACHED_S}"
    host.run(f"mkdir -p {SHARED} && sshfs -o {options} root@{server.address}:/root/served {SHARED}")


def hosts_at_work(recorded: Path) -> Counter[str]:
    """Return on which machines stages are under way, and how many."""
    return Counter(attempt.host for attempt in recording.read_attempts(recorded) if attempt.ended is None)


def hosts_of_done(recorded: Path) -> set[str]:
    """Return the machines that have finished a stage."""
    return {attempt.host for attempt in recording.read_attempts(recorded) if attempt.how == "done"}


def faults(cluster: OwnMachines, folder: Path) -> list[str]:
    """Return what came out otherwise than it does on this machine; the study is brought to the laptop for it."""
    cluster.ray("rsync-down ray_cluster_local.yaml '~/robustune-runs/' ~/runs/")
    trials = load_results(STUDY, home=cluster.hosts.state / "disks" / "laptop" / "root" / "runs").trials
    found = [f"{trial.slot} is {trial.state}: {trial.reason}" for trial in trials if trial.state != "COMPLETE"]
    found += [f"{len(trials)} trials instead of {N_TRIALS}"] * (len(trials) != N_TRIALS)
    here = errors_computed_here(SPACE, [trial for trial in trials if trial.state == "COMPLETE"], folder / "here")
    return found + [f"{trial.slot} differs" for trial in trials if here.get(trial.slot, trial.errors) != trial.errors]


@pytest.mark.skipif(shutil.which("sshfs") is None or not Path("/dev/fuse").exists(), reason="needs sshfs")
def test_ray_up_on_a_folder_whose_look_ups_are_cached_ends_right_though_a_plug_is_pulled(
    hosts: Hosts, recorded: Path, tmp_path: Path
) -> None:
    hosts.laptop.run("mkdir /root/served")
    for name in ("head", *WORKERS):
        mount_shared_folder(hosts[name], hosts.laptop)
    cluster, output = OwnMachines(hosts, SPACE, f"{SHARED}/store"), tmp_path / "sweep.txt"
    cluster.up()
    recording.set_pause(recorded, 1.0)
    driver = cluster.start_sweep(output, "--n-trials", str(N_TRIALS), "--sampler random --pruner none")
    wait_for(lambda: hosts_of_done(recorded) == set(WORKERS), "stages on both workers", driver, output, 120)
    wait_for(lambda: hosts_at_work(recorded)["worker2"], "a stage at work there", driver, output, 60)
    hosts["worker2"].unplug()
    time.sleep(5)
    hosts.plug_in("worker2")
    mount_shared_folder(hosts["worker2"], hosts.laptop)
    recording.set_pause(recorded, 0.0)
    assert driver.wait(200) == 0, output.read_text()
    assert faults(cluster, tmp_path) == [], output.read_text()
    hosts["head"].run(f"until python -c '{ALL_ALIVE}'; do sleep 3; done", timeout_s=90)  # the machine was taken back
    cluster.down()


def serve_bucket(hosts: Hosts, output: Path) -> None:
    """Serve S3 on the laptop, with a bucket."""
    address = hosts.laptop.address
    hosts.laptop.start_command(f"moto_server --host {address} --port {S3_PORT}", output)
    make = (
        f"import boto3; boto3.client('s3', endpoint_url='http://{address}:{S3_PORT}').create_bucket(Bucket='{BUCKET}')"
    )
    hosts.laptop.run(f'until python -c "{make}"; do sleep 1; done', timeout_s=90)  # a busy machine starts it slowly


@pytest.mark.parametrize("variables", [S3_VARIABLES], ids=["s3"])
def test_ray_up_with_a_bucket_and_no_shared_folder_goes_on_where_a_killed_driver_was(
    hosts: Hosts, recorded: Path, tmp_path: Path
) -> None:
    serve_bucket(hosts, tmp_path / "s3.txt")
    cluster, output = OwnMachines(hosts, SPACE, f"s3://{BUCKET}/store"), tmp_path / "sweep.txt"
    cluster.up()
    recording.set_pause(recorded, 1.0)
    driver = cluster.start_sweep(output, "--n-trials", str(N_TRIALS), "--sampler random --pruner none")
    wait_for(lambda: hosts_of_done(recorded) == set(WORKERS), "stages on both workers", driver, output, 120)
    before = {attempt.key for attempt in recording.read_attempts(recorded) if attempt.how == "done"}
    hosts["head"].run("pkill --signal KILL --full 'python -m [p]ipelines.sweep'")
    assert driver.wait(30) != 0
    recording.set_pause(recorded, 0.0)
    again = cluster.start_sweep(output, "--n-trials", str(N_TRIALS), "--sampler random --pruner none")
    assert again.wait(200) == 0, output.read_text()
    assert faults(cluster, tmp_path) == [], output.read_text()
    done = Counter(attempt.key for attempt in recording.read_attempts(recorded) if attempt.how == "done")
    assert before <= set(done)
    assert all(done[key] == 1 for key in before), "nothing that was finished is computed again"
    cluster.down()
