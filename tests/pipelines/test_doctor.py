"""``python -m pipelines.doctor``: what stands in a sweep's way, each with what to do."""

import http.server
import socket
import sqlite3
import sys
import threading
from pathlib import Path

import pytest

from engine.orchestration.databases import network_disks
from engine.orchestration.examination.examine import quick_look
from engine.orchestration.examination.servers_asked import ask_tracking
from engine.orchestration.options import SweepOptions
from engine.store import open_store
from engine.store.cleaning import entries
from pipelines.doctor import command_line as doctor
from tests.engine.orchestration.cluster.test_connection import ROOT, TOKEN, head_node


def examined(capsys, *arguments: str) -> tuple[int, str]:
    code = doctor(list(arguments))
    output = capsys.readouterr()
    assert output.err == ""
    return code, " ".join(output.out.replace("│", " ").split())


def test_a_laptop_on_which_all_is_well(tmp_path: Path, capsys) -> None:
    code, said = examined(capsys, "--home", str(tmp_path / "home"))
    assert code == 0, said
    assert said.endswith("all is well")
    assert "on cpu, 1 core each" in said or "on cuda" in said
    for what in ("slots", "home", "store", "study", "tracking", "machine", "memory", "disk", "python", "torch sees"):
        assert what in said
    assert not list(entries(open_store(tmp_path / "home" / "store"))), "the mark in the store is gone"


def test_each_fault_has_what_to_do_and_the_exit_code_is_1(tmp_path: Path, capsys) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with sqlite3.connect(home / "optuna.db") as connection:
        connection.execute("CREATE TABLE mine (a)")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    code, said = examined(capsys, "--home", str(home), "--tracking-uri", f"http://me:hunter2@127.0.0.1:{port}")
    assert code == 1
    assert "is another program's, not Optuna's" in said
    assert "Connection refused → start it, or mend the address; a sweep runs without it" in said
    assert "2 to be mended" in said
    assert "hunter2" not in said


def test_a_store_that_cannot_be_used_is_told(tmp_path: Path, capsys) -> None:
    file = tmp_path / "file"
    file.touch()
    code, said = examined(capsys, "--home", str(tmp_path / "home"), "--store", str(file))
    assert code == 1
    assert "store cannot be written" in said
    assert "→ make it writable, or name another --store" in said


def test_slots_that_do_not_fit_and_a_cluster_that_is_none_are_told(tmp_path: Path, capsys) -> None:
    code, said = examined(capsys, "--home", str(tmp_path), "--slots", "5000")
    assert code == 1
    assert "slots of 1 core" in said
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    code, said = examined(capsys, "--home", str(tmp_path), "--ray-address", f"127.0.0.1:{port}")
    assert code == 1
    assert f"no Ray cluster answers at '127.0.0.1:{port}'" in said


def test_a_tracking_server_that_answers_is_well(tmp_path: Path, capsys) -> None:
    class Health(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/health" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Health) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        code, said = examined(
            capsys, "--home", str(tmp_path), "--tracking-uri", f"http://u:p@127.0.0.1:{server.server_port}"
        )
        server.shutdown()
    assert code == 0, said
    assert "answers in" in said


def test_the_short_form_tells_what_is_seen_at_once(tmp_path: Path, monkeypatch) -> None:
    assert quick_look(SweepOptions(home=tmp_path), [tmp_path]) == []
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"40 22 0:35 / {tmp_path} rw - nfs4 server:/export rw\n")
    monkeypatch.setattr(network_disks, "MOUNTS", mounts)
    found = quick_look(SweepOptions(home=tmp_path, tracking_uri="http://127.0.0.1:9"), [tmp_path])
    assert [finding.what for finding in found] == ["tracking", "study"]
    assert "PostgreSQL" in found[1].said


def test_the_short_form_finds_nothing_at_a_name_that_no_host_can_have(tmp_path: Path) -> None:
    (found,) = quick_look(SweepOptions(home=tmp_path, tracking_uri="http://mlflow..corp:5000"), [tmp_path])
    assert found.said == "nothing listens at http://mlflow..corp:5000"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--cpus-per-slot", "0"), "--cpus-per-slot must be ≥ 1, got 0"),
        (("--slots", "-3"), "--slots must be ≥ 1, got -3"),
        (("--gpus-per-slot", "nan"), "--gpus-per-slot must be 0, a share of one GPU"),
        (("--tracking-uri", ""), "--tracking-uri is empty"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_an_option_that_no_sweep_takes_is_told(tmp_path: Path, capsys, words: tuple[str, str], said: str) -> None:
    code, shown = examined(capsys, "--home", str(tmp_path), *words)
    assert code == 1
    assert said in shown
    assert shown.endswith("1 to be mended")


def test_one_database_for_both_programs_is_told(tmp_path: Path, capsys) -> None:
    database = f"sqlite:///{tmp_path}/a.db"
    code, said = examined(capsys, "--home", str(tmp_path), "--storage", database, "--tracking-uri", database)
    assert code == 1
    assert "Optuna and MLflow need one each" in said


def test_a_server_that_speaks_no_http_and_an_address_that_is_none_are_faults(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")

        threading.Thread(target=greet, daemon=True).start()
        found = ask_tracking(f"http://127.0.0.1:{server.getsockname()[1]}", tmp_path)
    assert found.is_fault
    assert "SSH-2.0" in found.said
    for address in ("http://localhost:abc", "http://[::1", "http://mlflow..corp:5000"):
        assert ask_tracking(address, tmp_path).is_fault


@pytest.mark.parametrize("address", ["databricks", "databricks://profile"])
def test_databricks_is_taken_for_no_database(tmp_path: Path, address: str) -> None:
    assert quick_look(SweepOptions(home=tmp_path, tracking_uri=address), [tmp_path]) == []
    found = ask_tracking(address, tmp_path)
    assert not found.is_fault
    assert found.said.startswith(f"{address}: not asked")


@pytest.mark.slow
def test_a_cluster_s_machines_are_asked(tmp_path: Path, monkeypatch) -> None:
    import subprocess

    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with head_node({"RAY_AUTH_MODE": "token"}) as address:
        words = [sys.executable, "-m", "pipelines.doctor", "--home", str(tmp_path / "home"), "--ray-address", address]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)
    said = " ".join(done.stdout.replace("│", " ").split())
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 node, 1 core," in said
    assert "what this machine writes there is seen within" in said
    assert "all is well" in said
