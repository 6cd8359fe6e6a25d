"""The cluster file passes Ray's own checks, and those that Ray does not make."""

import copy
import itertools
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.orchestration.cluster.shared_names import TRIAL_SEAT
from engine.orchestration.search.study_storage import holds_studies

ROOT = Path(__file__).parents[1]
FILE = ROOT / "ray_cluster.yaml"
DOCKERFILE = ROOT / "Dockerfile"
KINDS = ("head", "worker")


def policy(kind: str) -> dict[str, Any]:
    """Return what a node of a kind may do on AWS."""
    return json.loads((ROOT / "aws" / f"{kind}_policy.json").read_text())


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@pytest.fixture(scope="module")
def cluster() -> dict[str, Any]:
    return yaml.safe_load(FILE.read_text())


@pytest.fixture
def head(cluster) -> dict[str, Any]:
    return cluster["available_node_types"][cluster["head_node_type"]]


@pytest.fixture
def workers(cluster) -> dict[str, dict[str, Any]]:
    return {name: node for name, node in cluster["available_node_types"].items() if name != cluster["head_node_type"]}


def start_options(commands: list[str], *, head: bool) -> dict[str, str]:
    """Return the options of the one `ray start` among some commands."""
    (command,) = [command for command in commands if "ray start" in command]
    words = shlex.split(command.split("ray start", 1)[1])
    assert ("--head" in words) == head
    return dict(word.removeprefix("--").split("=", 1) for word in words if "=" in word)


def test_ray_accepts_the_file(cluster) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    prepared = prepare_config(copy.deepcopy(cluster))
    validate_config(prepared)
    assert prepared["provider"]["type"] == "aws"
    assert prepared["setup_commands"] == cluster["setup_commands"], "Ray's default installs a nightly build"


def test_ray_would_refuse_what_the_file_must_not_have(cluster) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    broken = copy.deepcopy(cluster)
    broken["no_such_key"] = 1
    with pytest.raises(Exception, match="no_such_key"):
        validate_config(prepare_config(broken))


def test_workers_start_from_none_and_every_type_has_room(cluster, head, workers) -> None:
    assert workers
    assert (head["min_workers"], head["max_workers"]) == (0, 0)
    for node in workers.values():
        assert node["min_workers"] == 0
        assert node["min_workers"] <= node["max_workers"] <= cluster["max_workers"]
    assert 1 <= cluster["idle_timeout_minutes"] <= 60


def test_only_workers_are_preemptible(head, workers) -> None:
    assert "InstanceMarketOptions" not in head["node_config"]
    for node in workers.values():
        assert node["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}


def test_trials_fit_on_the_head_alone_and_stages_on_workers_alone(cluster, head, workers) -> None:
    options = start_options(cluster["head_start_ray_commands"], head=True)
    offered = yaml.safe_load(options["resources"])
    assert options["num-cpus"] == "0"
    assert offered == {TRIAL_SEAT: head["resources"][TRIAL_SEAT]}
    assert offered[TRIAL_SEAT] >= 2 * sum(node["max_workers"] for node in workers.values()), "two trials a worker"
    assert head["resources"]["CPU"] == 0
    for node in workers.values():
        assert TRIAL_SEAT not in node["resources"]
        assert node["resources"]["CPU"] >= 1
        assert node["resources"]["GPU"] >= 1
    assert "resources" not in start_options(cluster["worker_start_ray_commands"], head=False)


def test_nothing_but_ssh_is_reachable_from_outside(cluster, head, workers) -> None:
    options = start_options(cluster["head_start_ray_commands"], head=True)
    assert options["dashboard-host"] == "127.0.0.1"
    assert "security_group" not in cluster["provider"], "Ray adds a rule for ssh from everywhere to such a group"
    for node in (head, *workers.values()):
        assert all(group.startswith("sg-") for group in node["node_config"]["SecurityGroupIds"])
    assert not any(re.search(r"(^|\s)(-p|--publish)\b", option) for option in cluster["docker"]["run_options"])


def test_the_token_travels_to_every_node(cluster) -> None:
    assert "-e RAY_AUTH_MODE=token" in cluster["docker"]["run_options"]
    assert cluster["file_mounts"]["/home/ray/.ray"] == "~/.ray", "where Ray keeps its token"


def test_every_folder_that_is_sent_is_there_and_nothing_large_is_read(cluster) -> None:
    for target, source in cluster["file_mounts"].items():
        assert source == "~/.ray" or (ROOT / source).is_dir(), f"{source}: docker would not follow changes of a file"
        assert source not in (".", ".git", ".venv", "runs"), "`ray up` reads all of it, whatever rsync leaves out"
        assert Path(target).is_relative_to("/home/ray")


def test_what_ray_up_hashes_does_not_grow_with_the_checkout(cluster, tmp_path: Path, monkeypatch) -> None:
    from ray.autoscaler._private.util import hash_runtime_conf

    for source in cluster["file_mounts"].values():
        (tmp_path / source.removeprefix("~/")).mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    mounts = cluster["file_mounts"]
    _, before = hash_runtime_conf(mounts, [], "before", generate_file_mounts_contents_hash=True)
    for name in (".venv", ".git", "runs"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("large")
    assert hash_runtime_conf(mounts, [], "after", generate_file_mounts_contents_hash=True)[1] == before
    (tmp_path / "engine" / "sweep.py").write_text("code")
    assert hash_runtime_conf(mounts, [], "code", generate_file_mounts_contents_hash=True)[1] != before


def test_a_worker_installs_nothing(cluster) -> None:
    assert isinstance(cluster["setup_commands"], list)
    commands = [*cluster["setup_commands"], *cluster["worker_start_ray_commands"], *cluster["initialization_commands"]]
    assert not any(re.search(r"\b(pip|apt-get|conda)\b", command) for command in commands)
    assert cluster["docker"]["pull_before_run"] is False


def test_the_sent_code_is_what_the_image_would_import(cluster) -> None:
    place = re.search(r"^ENV PYTHONPATH=(.*)$", DOCKERFILE.read_text(), flags=re.MULTILINE)
    assert place is not None
    code = {target: source for target, source in cluster["file_mounts"].items() if source != "~/.ray"}
    assert code == {f"{place[1]}/{package}": package for package in ("engine", "pipelines", "search_spaces")}


def test_the_images_are_the_projects_own_in_one_version_and_the_heads_has_no_gpu_part(cluster) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    head, worker = cluster["docker"]["head_image"], cluster["docker"]["worker_image"]
    assert head.endswith(f"/robustune:{version}-cpu")
    assert worker == head.replace("-cpu", "-gpu")
    assert "image" not in cluster["docker"], "it would stand in for one of the two that is left out"
    assert any(head.partition("/")[0] in command for command in cluster["initialization_commands"])


def test_machine_images_are_named(head, workers) -> None:
    for node in (head, *workers.values()):
        assert re.fullmatch(r"ami-[0-9a-f]{17}", node["node_config"]["ImageId"]), "Ray's default image is an old one"


def test_every_node_has_a_profile_of_its_own_kind(head, workers) -> None:
    assert head["node_config"]["IamInstanceProfile"] == {"Name": "robustune-head"}, "else Ray makes one that may do all"
    for node in workers.values():
        assert node["node_config"]["IamInstanceProfile"] == {"Name": "robustune-worker"}


def environment(options: list[str]) -> dict[str, str]:
    """Return the variables that docker is told to set."""
    return dict(option.removeprefix("-e ").split("=", 1) for option in options if option.startswith("-e "))


def test_the_head_knows_cluster_store_study_tracking_and_slots(cluster, workers) -> None:
    given = environment(cluster["docker"]["head_run_options"])
    assert given["RAY_ADDRESS"] == "auto"
    assert given["ROBUSTUNE_STORE"].startswith("s3://")
    home = given["ROBUSTUNE_HOME"]
    assert any(option.endswith(f":{home}") for option in cluster["docker"]["head_run_options"]), "on the head's disk"
    assert given["ROBUSTUNE_STORAGE"].startswith(f"sqlite:///{home}/")
    gpus = sum(node["max_workers"] * node["resources"]["GPU"] for node in workers.values())
    assert int(given["ROBUSTUNE_SLOTS"]) * float(given["ROBUSTUNE_GPUS_PER_SLOT"]) == gpus
    port = start_ports(cluster)["mlflow server"]
    assert given["MLFLOW_TRACKING_URI"] == f"http://127.0.0.1:{port}"


def start_ports(cluster: dict[str, Any]) -> dict[str, str]:
    """Return the ports of the servers that the head starts, all of them on its loopback."""
    found = {}
    for name in ("mlflow server", "optuna-dashboard"):
        (command,) = [command for command in cluster["head_start_ray_commands"] if f"nohup {name}" in command]
        words = shlex.split(command[command.index("nohup") :])
        options = dict(itertools.pairwise(words))
        assert options["--host"] == "127.0.0.1"
        assert words[-1] == "&"
        found[name] = options["--port"]
    return found


def test_the_heads_servers_listen_on_its_loopback_on_ports_of_their_own(cluster) -> None:
    assert len(set(start_ports(cluster).values())) == 2
    assert "0.0.0.0" not in FILE.read_text()


@pytest.mark.parametrize("name", ["ray_cluster.yaml", "ray_cluster_local.yaml"])
def test_the_tables_are_made_that_the_dashboard_does_not_start_without(name: str, tmp_path: Path) -> None:
    commands = yaml.safe_load((ROOT / name).read_text())["head_start_ray_commands"]
    (command,) = [command for command in commands if "nohup optuna-dashboard" in command]
    make = re.search(r"python (-c '.*?');", command)
    assert make is not None
    storage = f"sqlite:///{tmp_path / 'optuna.db'}"
    words = [sys.executable, *shlex.split(make[1])]
    subprocess.run(words, env={**os.environ, "ROBUSTUNE_STORAGE": storage}, check=True, timeout=60)
    assert holds_studies(storage)


def test_the_autoscaler_is_pinned_whatever_ray_up_puts_before(cluster) -> None:
    from ray.autoscaler._private.util import with_envs

    (start,) = [command for command in cluster["head_start_ray_commands"] if "ray start" in command]
    (command,) = with_envs([start], {"RAY_enable_autoscaler_v2": "1"})
    assert re.findall(r"export RAY_enable_autoscaler_v2=(\d)", command)[-1] == "0"


def test_the_policies_name_the_files_region_bucket_and_worker(cluster, workers) -> None:
    store = environment(cluster["docker"]["head_run_options"])["ROBUSTUNE_STORE"].removeprefix("s3://")
    bucket = store.partition("/")[0]
    for kind in ("head", "worker"):
        statements = {each["Sid"]: each for each in policy(kind)["Statement"]}
        assert statements["FindArtifacts"]["Resource"] == f"arn:aws:s3:::{bucket}"
        assert statements["ReadAndWriteArtifacts"]["Resource"] == f"arn:aws:s3:::{store}/*"
        regions = set(re.findall(r"arn:aws:(?:ec2|ecr):([^:]*):", json.dumps(policy(kind))))
        assert regions == {cluster["provider"]["region"]}
    started = {each["Sid"]: each for each in policy("head")["Statement"]}["StartWorkersOfTheOneType"]
    assert {started["Condition"]["StringEquals"]["ec2:InstanceType"]} == {
        node["node_config"]["InstanceType"] for node in workers.values()
    }


def test_a_worker_may_do_nothing_with_machines_and_nobody_may_do_everything() -> None:
    actions = {kind: [one for each in policy(kind)["Statement"] for one in as_list(each["Action"])] for kind in KINDS}
    assert all(action.partition(":")[0] in ("s3", "ecr") for action in actions["worker"])
    assert not any("*" in action for kind in KINDS for action in actions[kind])
