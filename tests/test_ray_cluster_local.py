"""The cluster file for machines that one has passes Ray's own checks, and those that Ray does not make.

That it works is tried by `tests/cluster/test_ray_up.py`.
"""

import copy
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.orchestration.cluster.shared_names import TRIAL_SEAT

ROOT = Path(__file__).parents[1]
FILE = ROOT / "ray_cluster_local.yaml"


@pytest.fixture(scope="module")
def cluster() -> dict[str, Any]:
    return yaml.safe_load(FILE.read_text())


def ray_start(commands: list[str]) -> str:
    (command,) = [command for command in commands if "ray start" in command]
    return command


def test_ray_accepts_the_file(cluster) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    prepared = prepare_config(copy.deepcopy(cluster))
    validate_config(prepared)
    (node_type,) = prepared["available_node_types"].values()
    assert node_type["min_workers"] == node_type["max_workers"] == len(cluster["provider"]["worker_ips"])
    assert "docker" not in cluster, "a machine's own Python does"


def test_the_autoscaler_is_pinned_to_the_version_that_keeps_all_workers(cluster) -> None:
    from ray.autoscaler._private.util import with_envs

    (command,) = with_envs([ray_start(cluster["head_start_ray_commands"])], {"RAY_enable_autoscaler_v2": "1"})
    set_last = re.findall(r"export RAY_enable_autoscaler_v2=(\d)", command)[-1]
    assert set_last == "0", "what `ray up` puts before the command must not win"


def test_every_file_that_is_sent_is_there_and_nothing_large_is_read(cluster) -> None:
    for target, source in cluster["file_mounts"].items():
        assert target == "~/.ray/auth_token" or (ROOT / source).exists(), source
        assert source not in (".", ".git", ".venv", "runs"), "`ray up` reads all of it"


def test_no_root_is_needed_and_no_path_is_outside_the_home(cluster) -> None:
    commands = [*cluster["setup_commands"], *cluster["head_setup_commands"], *cluster["head_start_ray_commands"]]
    commands += cluster["worker_start_ray_commands"]
    assert not any(re.search(r"\bsudo\b|\bapt-get\b", command) for command in commands)


def test_nothing_listens_beyond_the_head_but_rays_own_ports_and_those_ask_for_a_token(cluster) -> None:
    assert "0.0.0.0" not in FILE.read_text()
    assert "--dashboard-host=127.0.0.1" in ray_start(cluster["head_start_ray_commands"])
    servers = [
        each for each in cluster["head_start_ray_commands"] if re.search(r"mlflow server|optuna-dashboard", each)
    ]
    assert len(servers) == 2
    assert all("--host 127.0.0.1" in command for command in servers)
    everywhere = next(command for command in cluster["setup_commands"] if "~/.robustune <<" in command)
    assert "export RAY_AUTH_MODE=token" in everywhere
    for start in ("head", "worker"):
        assert re.match(r"\. ~/\.robustune(_head)?;", ray_start(cluster[f"{start}_start_ray_commands"]))
    head = next(command for command in cluster["head_setup_commands"] if "~/.robustune_head <<" in command)
    assert ". ~/.robustune\n" in head


def test_trials_fit_on_the_head_alone_and_stages_on_workers_alone(cluster) -> None:
    words = shlex.split(ray_start(cluster["head_start_ray_commands"]).split("ray start", 1)[1])
    options = dict(word.removeprefix("--").split("=", 1) for word in words if "=" in word)
    assert (options["num-cpus"], options["num-gpus"]) == ("0", "0")
    assert set(yaml.safe_load(options["resources"])) == {TRIAL_SEAT}
    assert "--resources" not in ray_start(cluster["worker_start_ray_commands"])
