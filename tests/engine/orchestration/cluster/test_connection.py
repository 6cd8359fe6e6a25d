"""The private Ray that a sweep starts."""

import contextlib
import ipaddress
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.errors import InputError
from engine.orchestration.cluster import connection, ray_internals
from engine.orchestration.cluster.connection import connect

ROOT = Path(__file__).parents[4]


def listening(processes) -> dict[str, list[Any]]:
    """Return the addresses and ports that processes listen on, by process."""
    import psutil  # Ray brings it along

    found: dict[str, list[Any]] = {}
    for process in processes:
        try:
            addresses = [c.laddr for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN]
        except psutil.NoSuchProcess:
            continue
        found[f"{process.pid} {process.name()}"] = addresses
    return found


def command_of(process) -> str:
    """Return a process's command; "" of one that has ended meanwhile: Ray ends those that idle."""
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        return " ".join(process.cmdline())
    return ""


def is_loopback(address: str) -> bool:
    found = ipaddress.ip_address(address)
    return (getattr(found, "ipv4_mapped", None) or found).is_loopback


def test_nothing_of_a_private_ray_listens_beyond_this_machine(pool) -> None:
    import psutil
    import ray

    made, _, _ = pool
    ray.get(made.broker.statistics.remote())
    this = psutil.Process(os.getpid())
    found = listening([this, *this.children(recursive=True)])
    names = " ".join(found)
    assert all(name in names for name in ("gcs_server", "raylet", "Broker"))
    addresses = [(name, address.ip) for name, own in found.items() for address in own]
    assert len(addresses) >= 5, "they do listen"
    assert [(name, address) for name, address in addresses if not is_loopback(address)] == []


def test_a_private_ray_has_nothing_that_only_watches_it_and_no_fixed_port(ray_session) -> None:
    """The contract with Ray: what is left out is started by the methods that are put out of action."""
    import psutil
    from ray._private.node import Node
    from ray._private.ray_constants import DEFAULT_DASHBOARD_AGENT_LISTEN_PORT as USUAL

    processes = psutil.Process(os.getpid()).children(recursive=True)
    commands = [command_of(process) for process in processes]
    assert any("raylet" in command for command in commands)
    left_out = ("autoscaler/_private/monitor.py", "_private/log_monitor.py", "dashboard/dashboard.py")
    assert [command for command in commands if any(name in command for name in left_out)] == []
    ports = {address.port for addresses in listening(processes).values() for address in addresses}
    assert ports
    assert USUAL not in ports
    assert Node.start_api_server.__module__ == Node.__module__, "another Ray that this process starts has them"


def test_a_cluster_that_is_joined_later_is_not_kept_to_this_machine(ray_session) -> None:
    from ray._private import ray_constants

    assert ray_constants.ENABLE_RAY_CLUSTER


def test_a_port_that_nobody_listens_at_is_refused_at_once() -> None:
    port = free_port()
    with pytest.raises(InputError, match=f"no Ray cluster answers at '127.0.0.1:{port}' .*refused"):
        connect(f"127.0.0.1:{port}")


@pytest.mark.parametrize("address", ["somewhere", ":6379", "host:port"])
def test_what_is_no_address_is_refused(address) -> None:
    with pytest.raises(InputError, match="an address is HOST:PORT, or auto"):
        connect(address)


def test_what_does_not_answer_as_ray_is_one_sentence_within_fifteen_seconds() -> None:
    """In a process of its own, to whose standard error Ray would write its attempts."""
    code = """
import sys, time, ray
from engine.errors import InputError
from engine.orchestration.cluster import connection
assert connection._ACCEPT_S + connection._ANSWER_S < 15, "a port's answer, and then Ray's"
connection._ACCEPT_S = connection._ANSWER_S = 1.0
for address in sys.argv[1:]:
    began = time.monotonic()
    try:
        connection.connect(address)
    except InputError as error:
        print(error)
        assert time.monotonic() - began < 15
"""
    with socket.create_server(("127.0.0.1", 0)) as other, socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        waiting = [socket.socket() for _ in range(3)]  # whoever comes after these waits, as at a black hole
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        refusals = {
            f"127.0.0.1:{other.getsockname()[1]}": "what listens there does not answer as Ray does",
            f"127.0.0.1:{full.getsockname()[1]}": "timed out",
            f"127.0.0.1:{free_port()}": "Connection refused",
            "no-such-host.invalid:6379": "Name or service not known",
            "http://127.0.0.1:8265": "that is how its dashboard is addressed",
        }
        words = [sys.executable, "-c", code, *refusals]
        done = subprocess.run(words, capture_output=True, text=True, timeout=120, cwd=ROOT)
        for one in waiting:
            one.close()
    assert done.stderr == ""
    for sentence, (address, said) in zip(done.stdout.splitlines(), refusals.items(), strict=True):
        assert sentence.startswith(f"no Ray cluster answers at '{address}' (")
        assert said in sentence


TOKEN, OTHER = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"


@pytest.mark.slow
def test_a_cluster_s_token_is_taken_from_ray_s_usual_place_or_a_sentence_says_what_is_wanted(tmp_path) -> None:
    code = "from engine.orchestration.cluster import connection as c; c._ANSWER_S = 50; print(c.connect({!r}))"
    home = tmp_path / "home"
    place = home / ".ray" / "auth_token"
    place.parent.mkdir(parents=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment["HOME"] = str(home)

    def join(**variables: str) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-c", code.format(address)]
        return subprocess.run(words, env=environment | variables, capture_output=True, text=True, timeout=60, cwd=ROOT)

    with head_node({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}) as address:
        last = join().stderr.splitlines()[-1]
        assert f"InputError: the Ray cluster at '{address}' asks for a token: put it into ~/.ray/auth_token" in last
        assert "RAY_AUTH_TOKEN_PATH" in last
        assert join(RAY_AUTH_MODE="token").stderr.splitlines()[-1] == last, "it may be this process that wants one"
        place.write_text(OTHER)
        assert "does not take the token of ~/.ray/auth_token" in join().stderr.splitlines()[-1]
        assert "does not take the token of RAY_AUTH_TOKEN:" in join(RAY_AUTH_TOKEN=OTHER).stderr.splitlines()[-1]
        place.write_text(TOKEN)
        assert "RAY_AUTH_MODE=disabled gives none" in join(RAY_AUTH_MODE="disabled").stderr.splitlines()[-1]
        joined = join()
        assert "1 node, 1 core," in joined.stdout, joined.stderr
        assert joined.stderr == ""


@contextlib.contextmanager
def head_node(variables: dict[str, str]) -> Iterator[str]:
    """Run a head node meanwhile; give its address. All its processes end with one, in a namespace of their own."""
    port, temp = free_port(), Path(tempfile.mkdtemp(prefix="rb-"))
    words = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if subprocess.run([*words, "true"], capture_output=True).returncode:
        pytest.skip("needs the right to make namespaces")
    words += [str(Path(sys.executable).parent / "ray"), "start", "--head", f"--port={port}", "--num-cpus=1", "--block"]
    words += ["--include-dashboard=false", "--node-ip-address=127.0.0.1", f"--temp-dir={temp}"]
    with subprocess.Popen(
        words, env={**os.environ, **variables}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as head:
        try:
            assert head.stdout is not None
            said = []
            for line in head.stdout:
                said.append(line)
                if "block forever" in line:
                    break
            assert "block forever" in said[-1], "".join(said)
            yield f"127.0.0.1:{port}"
        finally:
            head.kill()
    shutil.rmtree(temp, ignore_errors=True)


def test_a_private_ray_that_cannot_start_names_its_folder(tmp_path) -> None:
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    code = "from engine.orchestration.cluster.connection import connect; connect(None)"
    environment = {**os.environ, "RAY_TMPDIR": str(folder)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=environment)
    last = done.stderr.strip().splitlines()[-1]
    assert "InputError: Ray cannot be started on this machine" in last
    assert str(folder) in last
    assert "RAY_TMPDIR" in last


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def test_an_address_that_does_not_answer_is_named_without_its_credentials(monkeypatch) -> None:
    import ray

    def refuse(address: str, **_: object) -> None:
        raise ConnectionError(f"nobody at {address}\nand more")

    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(InputError, match="no Ray cluster answers at") as error:
        connect("ray://user:hunter2@host:10001")
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize("wants_token", [True, False])
def test_a_token_is_used_where_the_cluster_asks_for_one_and_nowhere_else(monkeypatch, wants_token: bool) -> None:
    """With a token, a driver would refuse the calls of a cluster that has none."""
    tokens: list[bool] = []
    asked: list[bool] = []

    def ask(address: str, timeout_s: float) -> None:
        asked.append(bool(tokens))
        if wants_token and not tokens:
            raise ray_internals.NotAdmittedError("Authentication token is missing")

    monkeypatch.setattr(ray_internals, "ask_head_node", ask)
    monkeypatch.setattr(ray_internals, "use_token", lambda: tokens.append(True))
    connection._ask_head_node("10.0.0.1:6379")
    assert bool(tokens) is wants_token
    assert asked == ([False, True] if wants_token else [False])


ACTOR = """
import ray
from engine.orchestration.cluster.connection import connect, disconnect
connect({!r})
@ray.remote(num_cpus=0)
class Lives:
    def says(self):
        return "lives"
print(ray.get(Lives.remote().says.remote(), timeout=30))
disconnect()
"""


@pytest.mark.slow
def test_a_cluster_without_a_token_keeps_what_a_driver_with_one_starts(tmp_path) -> None:
    place = tmp_path / "home" / ".ray" / "auth_token"
    place.parent.mkdir(parents=True)
    place.write_text(TOKEN)
    environment = {**os.environ, "HOME": str(tmp_path / "home")}
    environment.pop("RAY_AUTH_MODE", None)
    with head_node({"RAY_AUTH_MODE": "disabled"}) as address:
        words = [sys.executable, "-c", ACTOR.format(address)]
        done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=90, cwd=ROOT)
    assert done.stdout == "lives\n", done.stderr
