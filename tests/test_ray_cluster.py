"""The cluster file passes Ray's own checks, and those that Ray does not make."""

import copy
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.orchestration.cluster.shared_names import TRIAL_SEAT

ROOT = Path(__file__).parents[1]
FILE = ROOT / "ray_cluster.yaml"


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
    assert cluster["file_mounts"]["/home/ray/.ray/auth_token"] == "~/.ray/auth_token"


def test_every_file_that_is_sent_exists_or_is_explained(cluster) -> None:
    lines = FILE.read_text().splitlines()
    for target, source in cluster["file_mounts"].items():
        if (ROOT / source).exists() and not source.startswith("~"):
            continue
        place = next(number for number, line in enumerate(lines) if target in line)
        assert "#" in lines[place] + lines[place - 1], f"{source} is not in the checkout, and nothing says where from"


def test_the_checkout_is_sent_without_its_history(cluster) -> None:
    assert {".git", ".venv", "runs"} <= set(cluster["rsync_exclude"])


def test_setup_installs_the_checkout_that_is_sent(cluster) -> None:
    commands = cluster["setup_commands"]
    assert isinstance(commands, list)
    (target,) = [target for target, source in cluster["file_mounts"].items() if source == "."]
    assert any(f"pip install --no-cache-dir {target}" in command for command in commands)


def test_the_images_are_pinned_to_the_projects_ray_and_python(cluster, head, workers) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (ray,) = [requirement for requirement in project["dependencies"] if requirement.startswith("ray[")]
    found = re.search(r">=(\d+\.\d+)", ray)
    assert found is not None
    assert re.fullmatch(rf"rayproject/ray:{re.escape(found[1])}\.\d+-py311-gpu", cluster["docker"]["image"])
    for node in (head, *workers.values()):
        assert re.fullmatch(r"ami-[0-9a-f]{17}", node["node_config"]["ImageId"]), "Ray's default image is an old one"
