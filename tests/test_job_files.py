"""The files for Slurm and SkyPilot: what can be told of them without either."""

import re
import shlex
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from ray.scripts.scripts import cli as ray_cli

from engine.orchestration.cluster.shared_names import TRIAL_SEAT

ROOT = Path(__file__).parents[1]
SLURM = ROOT / "slurm" / "sweep.sbatch"
SKYPILOT = ROOT / "skypilot" / "sweep.yaml"


@pytest.fixture
def task() -> dict[str, Any]:
    return yaml.safe_load(SKYPILOT.read_text())


def scripts() -> dict[str, str]:
    task = yaml.safe_load(SKYPILOT.read_text())
    return {"slurm": SLURM.read_text(), "skypilot setup": task["setup"], "skypilot run": task["run"]}


@pytest.mark.parametrize("name", scripts())
def test_bash_understands_the_script(name: str) -> None:
    done = subprocess.run(["bash", "-n"], input=scripts()[name], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def ray_commands(script: str) -> list[list[str]]:
    """Return the words of the script's commands of Ray's, with what the shell would put in left as it is."""
    lines = [line for line in script.replace("\\\n", " ").splitlines() if not line.lstrip().startswith("#")]
    found = [re.findall(r"\bray (?:start|symmetric-run|health-check)\b[^;&]*", line) for line in lines]
    return [shlex.split(command) for commands in found for command in commands]


@pytest.mark.parametrize("name", ["slurm", "skypilot run"])
def test_rays_options_are_those_of_the_installed_ray(name: str) -> None:
    commands = ray_commands(scripts()[name])
    assert commands
    known = {option for each in ray_cli.commands["start"].params for option in (*each.opts, *each.secondary_opts)}
    for _, command, *words in commands:
        own = {option for each in ray_cli.commands[command].params for option in each.opts}
        given = [word.partition("=")[0] for word in words[: [*words, "--"].index("--")] if word.startswith("--")]
        assert set(given) <= own | (known if command in ("start", "symmetric-run") else set()), command


def test_skypilots_ports_are_its_own_and_none_of_those_that_ray_gives_to_its_workers() -> None:
    ports = [int(port) for port in re.findall(r"port=(\d+)", scripts()["skypilot run"])]
    assert len(ports) == len(set(ports)) == 3
    assert not any(10002 <= port <= 19999 for port in ports), "Ray refuses to start"
    assert 6380 not in ports, "SkyPilot's own Ray"
    assert 8266 not in ports, "its dashboard"


@pytest.mark.parametrize("name", ["slurm", "skypilot run"])
def test_trials_find_their_seats_and_nothing_listens_everywhere(name: str) -> None:
    script = scripts()[name]
    assert re.findall(r"--resources='\{\"(\w+)\": \d+\}'", script) == [TRIAL_SEAT]
    assert "--dashboard-host=127.0.0.1" in script
    assert "0.0.0.0" not in script
    assert "RAY_AUTH_MODE" in SLURM.read_text()


def test_symmetric_run_takes_the_options_that_slurms_file_gives_it() -> None:
    from ray.scripts.symmetric_run import curate_and_validate_ray_start_args

    (words,) = ray_commands(SLURM.read_text())
    given = words[2 : words.index("--")]
    assert not {"--address", "--min-nodes"} & set(curate_and_validate_ray_start_args(given))
    assert words[words.index("--") + 1 :][:3] == ["python", "-m", "pipelines.sweep"]
    ray_cli.commands["start"].make_context("start", ["--head", *curate_and_validate_ray_start_args(_numbers(given))])


def _numbers(words: list[str]) -> list[str]:
    return [re.sub(r"\$\{?\w+\}?", "1", word) for word in words]


def test_slurms_directives_come_before_any_command() -> None:
    lines = SLURM.read_text().splitlines()
    commands = [number for number, line in enumerate(lines) if line and not line.startswith("#")]
    directives = [number for number, line in enumerate(lines) if line.startswith("#SBATCH")]
    assert max(directives) < min(commands), "sbatch reads none after the first command"


def test_skypilots_task_has_no_word_that_it_does_not_know(task) -> None:
    assert set(task) <= {"name", "num_nodes", "resources", "envs", "secrets", "workdir", "setup", "run"}
    assert set(task["resources"]) <= {"accelerators", "use_spot", "disk_size"}
    assert all(isinstance(value, str) for value in task["envs"].values()), "an environment has text alone"
    assert task["secrets"] == {"RAY_AUTH_TOKEN": None}, "no token in a file"
    assert (ROOT / task["workdir"]).is_dir()


def test_skypilots_setup_installs_the_project_with_the_constraints(task) -> None:
    (extras,) = re.findall(r"-e '\.\[([\w,]+)\]'", task["setup"])
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(extras.split(",")) <= set(known)
    assert "-c constraints.txt" in task["setup"]


def test_ray_exists_by_the_names_that_are_used() -> None:
    assert all(isinstance(ray_cli.commands[name], click.Command) for name in ("start", "symmetric-run", "health-check"))


def test_what_has_not_been_launched_says_so() -> None:
    for path in (SLURM, SKYPILOT):
        comment = " ".join(line.lstrip("# ") for line in path.read_text().splitlines() if line[:1] == "#")
        assert re.search(r"(never been launched|Never run by a Slurm)", comment)
