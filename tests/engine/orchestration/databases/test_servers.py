"""Databases that are servers: what speaks to them, and how long one that is silent is waited for."""

import socket
import sys
import time

import pytest

from engine.errors import InputError
from engine.orchestration.databases.servers import check_driver, connection_options
from pipelines.report import command_line as report
from pipelines.sweep import command_line as sweep


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
@pytest.mark.parametrize("option", ["--storage", "--tracking-uri"])
def test_a_missing_driver_is_a_sentence_that_names_the_extra(tmp_path, capsys, monkeypatch, option, driver) -> None:
    monkeypatch.setitem(sys.modules, driver, None)
    assert sweep(["--home", str(tmp_path), option, f"postgresql+{driver}://me:hunter2@host/x", "--dry-run"]) == 2
    error = capsys.readouterr().err
    assert f"needs the package '{driver}', which is not installed: pip install 'robustune[postgres]'" in error
    assert error.count("\n") == 1
    assert "hunter2" not in error


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("postgres://host/x", "unknown kind of database 'postgres' (did you mean 'postgresql'"),
        ("postgresql+psycopg7://host/x", "no package speaks to postgresql as 'postgresql+psycopg7'"),
    ],
)
def test_a_kind_of_database_that_is_none_is_a_sentence(tmp_path, capsys, url: str, sentence: str) -> None:
    assert sweep(["--home", str(tmp_path), "--storage", url, "--dry-run"]) == 2
    assert sentence in capsys.readouterr().err
    assert report(["--storage", url]) == 2
    assert sentence in capsys.readouterr().err


def test_a_file_needs_no_driver() -> None:
    check_driver("sqlite:///x.db")
    assert connection_options("sqlite:///x.db") == {}


def test_what_the_address_says_of_its_timeouts_stays() -> None:
    options = connection_options("postgresql://host/x?connect_timeout=3")
    assert options["pool_pre_ping"] is True
    assert "connect_timeout" not in options["connect_args"]
    assert options["connect_args"]["tcp_user_timeout"] == 30_000


def test_a_server_that_is_silent_is_given_up(capsys) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://me:hunter2@127.0.0.1:{silent.getsockname()[1]}/x"
        began = time.monotonic()
        assert report(["--storage", f"{url}?connect_timeout=2"]) == 2
        assert time.monotonic() - began < 20
    error = capsys.readouterr().err
    assert "error: study storage cannot be used: postgresql://***@127.0.0.1" in error
    assert error.count("\n") == 1


def test_what_is_no_address_is_refused() -> None:
    with pytest.raises(InputError, match="a database's address is like"):
        check_driver("nonsense")
