"""The private Ray that a sweep starts."""

import ipaddress
import os
import socket
import subprocess
import sys

import pytest

from engine.errors import InputError
from engine.orchestration.cluster.connection import connect


def listening(processes) -> dict[str, list[str]]:
    """Return the addresses that processes listen on, by process."""
    import psutil  # Ray brings it along

    found: dict[str, list[str]] = {}
    for process in processes:
        try:
            addresses = [c.laddr.ip for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN]
        except psutil.NoSuchProcess:
            continue
        found[f"{process.pid} {process.name()}"] = addresses
    return found


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
    addresses = [(name, address) for name, own in found.items() for address in own]
    assert len(addresses) >= 5, "they do listen"
    assert [(name, address) for name, address in addresses if not is_loopback(address)] == []


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


@pytest.mark.slow
def test_a_server_that_is_no_ray_is_refused_within_a_minute() -> None:
    """In a process of its own: Ray writes its attempts to the standard error."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        code = f"from engine.orchestration.cluster.connection import connect; connect({address!r})"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert f"InputError: no Ray cluster answers at '{address}'" in done.stderr


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
