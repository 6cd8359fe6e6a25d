"""A cluster of a test's machines, brought up from the laptop by the shipped file and used as a person would."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from engine.spaces import Space
from tests.chaos import recording
from tests.cluster.hosts import Hosts

ROOT = Path(__file__).parents[2]
SENT = ("engine", "pipelines", "search_spaces", "pyproject.toml", "README.md", "LICENSE")
HEAD, WORKERS = "head", ("worker1", "worker2")
STUDY = "tiny"
_CHECKOUT = "/root/checkout"
_RAY = "export RAY_AUTH_MODE=token; cd ~/checkout;"


def edited(text: str, values: Mapping[str, str]) -> str:
    """Return the shipped file with other values where it is marked EDIT, and only there.

    Args:
        text: the file.
        values: {what a line has before its value: the value}.

    Raises:
        AssertionError: no line marked EDIT, or below such a comment, has that beginning.
    """
    lines = text.splitlines()
    for beginning, value in values.items():
        (place,) = [number for number, line in enumerate(lines) if line.strip().startswith(beginning)]
        above = place - 1
        while lines[above].strip().startswith("#") and "EDIT" not in lines[above]:
            above -= 1
        assert "EDIT" in lines[place] + lines[above], f"{lines[place]} is not marked EDIT"
        indent = " " * (len(lines[place]) - len(lines[place].lstrip()))
        lines[place] = f"{indent}{beginning}{value}"
    return "\n".join([*lines, ""])


class OwnMachines:
    """A head and two workers, and the laptop from which they are used."""

    def __init__(self, hosts: Hosts, space: Space, store: str) -> None:
        """Put a checkout, a key, a space and the edited file onto the laptop.

        Args:
            hosts: the machines, which are up.
            space: what the sweep explores.
            store: where the stages' artifacts go, as the machines see it.
        """
        self.hosts = hosts
        checkout = hosts.state / "disks" / "laptop" / "root" / "checkout"
        for name in SENT:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, checkout / name)
        (checkout / "constraints.txt").write_text("# this environment's versions are the ones to be tested\n")
        shutil.copy(recording.__file__, checkout / "recording.py")
        (checkout / "space.json").write_text(json.dumps(space.to_json()))
        shipped = (ROOT / "ray_cluster_local.yaml").read_text()
        values = {
            "head_ip: ": hosts[HEAD].address,
            "worker_ips: ": json.dumps([hosts[name].address for name in WORKERS]),
            "ssh_user: ": "root",
            "ssh_private_key: ": "~/.ssh/id_ed25519",
            "export ROBUSTUNE_STORE=": store,
            "export ROBUSTUNE_SLOTS=": "4",
            "export ROBUSTUNE_GPUS_PER_SLOT=": "0",
        }
        own = "file_mounts:\n" + "".join(f"  ~/robustune/{name}: {name}\n" for name in ("recording.py", "space.json"))
        (checkout / "ray_cluster_local.yaml").write_text(edited(shipped, values).replace("file_mounts:\n", own, 1))
        hosts.laptop.run("ray get-auth-token --generate")

    def ray(self, command: str, *, timeout_s: float = 120, check: bool = True) -> str:
        """Run a command of Ray's on the laptop; return what it printed."""
        return self.hosts.laptop.run(f"{_RAY} ray {command}", timeout_s=timeout_s, check=check)

    def up(self) -> None:
        """Bring the cluster up."""
        self.ray("up --yes --no-config-cache ray_cluster_local.yaml")

    def down(self) -> None:
        """Bring it down."""
        self.ray("down --yes ray_cluster_local.yaml")

    def on_head(self, command: str, *, timeout_s: float = 120, check: bool = True) -> str:
        """Run a command on the head as one who has logged in; return what it printed."""
        return self.hosts.laptop.run(self._login(command), timeout_s=timeout_s, check=check)

    def _login(self, command: str) -> str:
        quoted = command.replace("'", "'\\''")
        return f"ssh -o StrictHostKeyChecking=no root@{self.hosts[HEAD].address} 'bash -lic '\\''{quoted}'\\'''"

    def start_sweep(self, output: Path, *options: str) -> subprocess.Popen[bytes]:
        """Start the bare sweep on the head: cluster, store, study, tracking and slots are in the environment."""
        words = ["python -m pipelines.sweep --space ~/robustune/space.json --study", STUDY, "--import recording"]
        return self.hosts.laptop.start_command(self._login(" ".join([*words, *options])), output)
