"""Machines for tests, made of Linux namespaces: each with its own network, disk, memory and processes, and an sshd.

The first is the laptop, to whose bridge the others' cables lead. Nothing is added to this machine's own network, /tmp
or home. The first process of a machine is killed with the process that holds it, and that with this one: whatever ends
the test ends all machines.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

_SETUP = Path(__file__).with_name("host.sh")
_NETWORK = "10.78.0"
_NEEDED = ("unshare", "nsenter", "setpriv", "ip", "ssh", "ssh-keygen", "rsync", "mount")
_HOLD = ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--mount", "--pid", "--uts", "--ipc", "--fork"]
_HOLD += ["--kill-child", "--mount-proc"]
_TRIAL = "mount -t tmpfs none /mnt && mkdir /mnt/a /mnt/b /mnt/c && ip link add bridge0 type bridge && "
_TRIAL += "mount -t overlay -o lowerdir=/mnt/a,upperdir=/mnt/b,workdir=/mnt/c overlay /mnt/a"
_START_S = 30.0
LAPTOP = "laptop"


def address_of(name: str, names: Sequence[str] = ()) -> str:
    """Return the address of the laptop, or of one of the machines beside it."""
    return f"{_NETWORK}.1" if name == LAPTOP else f"{_NETWORK}.{10 + names.index(name)}"


def why_not() -> str | None:
    """Return why no machines can be made here; None if they can."""
    if os.geteuid() != 0:
        return "needs root"
    missing = [name for name in _NEEDED if shutil.which(name) is None]
    missing += [] if Path("/usr/sbin/sshd").exists() else ["sshd"]
    if missing:
        return f"needs {', '.join(missing)}"
    tried = subprocess.run([*_HOLD, "sh", "-c", _TRIAL], capture_output=True, text=True, check=False)
    return None if tried.returncode == 0 else f"needs the right to make namespaces ({tried.stderr.strip()})"


@dataclass
class Host:
    """A machine.

    Attributes:
        name: its name.
        address: its address.
        state: the folder that all machines see.
    """

    name: str
    address: str
    state: Path
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> None:
        """Start it with its disk, but without a network; ``connected`` says that it has one."""
        for mark in ("made", "connected"):
            (self.state / f"{self.name}.{mark}").unlink(missing_ok=True)
        environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root",
            "NAME": self.name,
            "IP": self.address,
            "STATE": str(self.state),
            "PYTHON": sys.base_prefix,
            "ENVIRONMENT": sys.prefix,
        }
        with (self.state / f"{self.name}.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*_HOLD, "bash", str(_SETUP)],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        end = time.monotonic() + _START_S
        while not (self.state / f"{self.name}.made").exists():
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{self.name} did not start: {(self.state / f'{self.name}.log').read_text()}")
            time.sleep(0.05)

    def connected(self) -> None:
        """Let its sshd start."""
        (self.state / f"{self.name}.connected").touch()

    def unplug(self) -> None:
        """Kill all of its processes at once."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None

    @property
    def is_up(self) -> bool:
        """Return whether it has power."""
        return self._process is not None

    @property
    def first_process(self) -> int:
        """Return the number of its first process, as seen from here."""
        assert self._process is not None
        number = self._process.pid
        return int(Path(f"/proc/{number}/task/{number}/children").read_text().split()[0])

    def words(self, command: str) -> list[str]:
        """Return the command that runs a line on this machine, as a login shell would."""
        enter = ["nsenter", "--target", str(self.first_process), "--net", "--mount", "--pid", "--uts", "--ipc"]
        clean = ["env", "-i", "HOME=/root", "USER=root", "LANG=C.UTF-8", "TERM=dumb", "COLUMNS=160"]
        clean += [f"PATH={sys.prefix}/bin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
        return [*enter, "--wd=/root", *clean, "bash", "-c", f". ~/.bashrc; {command}"]

    def run(self, command: str, *, timeout_s: float = 120, check: bool = True) -> str:
        """Run a line; return what it printed.

        Raises:
            AssertionError: it failed, and was to be checked.
        """
        done = subprocess.run(
            self.words(command),
            timeout=timeout_s,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert not check or done.returncode == 0, f"{self.name}$ {command}\n{done.stdout}\n→ {done.returncode}"
        return done.stdout

    def start_command(self, command: str, output: Path) -> subprocess.Popen[bytes]:
        """Run a line meanwhile, with its output in a file."""
        with output.open("ab") as file:
            words = ["setpriv", "--pdeathsig", "KILL", *self.words(command)]
            return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True)


class Hosts:
    """A laptop and some machines on one network."""

    def __init__(self, state: Path, names: Sequence[str], variables: Mapping[str, str]) -> None:
        """Make no machine yet.

        Args:
            state: an empty folder, which all machines will see.
            names: of the machines beside the laptop.
            variables: environment of whoever logs in.
        """
        self.state = state
        for name in ("key", "host_key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", state / name], check=True)
        lines = [f"export {name}='{value}'" for name, value in variables.items()]
        (state / "profile.sh").write_text("\n".join([*lines, ""]))
        self._hosts = {name: Host(name, address_of(name, names), state) for name in (LAPTOP, *names)}

    def __getitem__(self, name: str) -> Host:
        return self._hosts[name]

    @cached_property
    def laptop(self) -> Host:
        """Return the machine of the person."""
        return self[LAPTOP]

    def up(self) -> None:
        """Start all machines."""
        for name in self._hosts:
            self.plug_in(name)

    def plug_in(self, name: str) -> None:
        """Start a machine and connect it."""
        host = self[name]
        host.start()
        if name == LAPTOP:
            self._ip(f"link add bridge0 type bridge; ip addr add {host.address}/24 dev bridge0; ip link set bridge0 up")
        else:  # a cable whose other end goes into the machine
            number = host.first_process
            self._ip(f"link add {name} type veth peer name eth0 netns /proc/{number}/ns/net")
            self._ip(f"link set {name} master bridge0 up")
            host.run(f"ip addr add {host.address}/24 dev eth0; ip link set eth0 up")
            host.run(f"ip route add default via {self.laptop.address}")  # by it Ray finds the machine's own address
        host.connected()

    def _ip(self, command: str) -> None:
        """Run `ip` in the laptop's network, with the processes of this machine to name others' networks by."""
        words = ["nsenter", "--target", str(self.laptop.first_process), "--net", "sh", "-ec", f"ip {command}"]
        subprocess.run(words, check=True)

    def down(self) -> None:
        """End all machines."""
        for host in reversed(self._hosts.values()):
            if host.is_up:
                host.unplug()
