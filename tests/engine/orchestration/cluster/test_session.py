"""The private Ray that a sweep starts."""

import ipaddress
import os

import pytest

from engine.errors import InputError


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


def test_an_address_that_does_not_answer_is_named_without_its_credentials(monkeypatch) -> None:
    import ray

    from engine.orchestration.cluster.session import connect

    def refuse(address: str, **_: object) -> None:
        raise ConnectionError(f"nobody at {address}\nand more")

    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(InputError, match="no Ray cluster answers at") as error:
        connect("ray://user:hunter2@host:10001")
    assert "hunter2" not in str(error.value)
