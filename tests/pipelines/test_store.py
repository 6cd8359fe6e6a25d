import os
import re
from pathlib import Path

import pytest
import torch

from engine.store import Store
from engine.store.leases import sweep_lease
from pipelines.store import command_line

KEYS = ("a" * 32, "b" * 32)


@pytest.fixture
def home(tmp_path) -> Path:
    """A folder whose store has two artifacts, one made from the other."""
    store = Store(tmp_path / "home" / "store")
    for stage, key, inputs in (("pretrain", KEYS[0], {}), ("finetune", KEYS[1], {"pretrain": KEYS[0]})):
        with store.attempt(key) as attempt:
            attempt.write_tensors("network", {"w": torch.zeros(1000)})
            store.publish(attempt, {"history": [], "spec": {"stage": stage, "inputs": inputs}, "seconds": 12.34})
    return tmp_path / "home"


def damage(home: Path) -> None:
    (home / "store" / "artifacts" / "bb" / KEYS[1] / "network.safetensors").write_bytes(b"x")


def test_list_names_stage_key_size_age_and_seconds(home, capsys):
    assert command_line(["list", "--home", str(home)]) == 0
    lines = capsys.readouterr().out.splitlines()
    (row,) = [line for line in lines if "finetune" in line and "│" in line]
    stage, key, size, *_, seconds = cells_of(row)
    assert (stage, key, seconds) == ("finetune", "b" * 12, "12.3")
    assert re.fullmatch(r"4\.\d kB", size)
    assert re.fullmatch(r"2 artifacts \(1 finetune, 1 pretrain\): 8\.\d kB, 25 s of computing", lines[-1])


def cells_of(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip("│").split("│")]


def test_verify_finds_everything_whole(home, capsys):
    assert command_line(["verify", "--store", str(home / "store")]) == 0
    assert capsys.readouterr().out == "2 artifacts are whole, 0 corrupt\n"


def test_verify_names_what_is_corrupt_and_moves_it_aside_only_if_asked_to(home, capsys):
    damage(home)
    for arguments in ([], ["--quarantine"]):
        assert command_line(["verify", "--home", str(home), *arguments]) == 1
        output = capsys.readouterr().out
        assert f"corrupt: finetune artifact {KEYS[1]}: checksum of network.safetensors differs" in output
        assert output.splitlines()[-1].startswith("1 artifacts are whole, 1 corrupt")
    assert command_line(["verify", "--home", str(home)]) == 0
    assert len(list((home / "store" / "quarantine").iterdir())) == 1


def test_verify_names_an_unreadable_manifest_and_a_link(home, capsys):
    folder = home / "store" / "artifacts" / "bb" / KEYS[1]
    (folder / "manifest.json").write_text("{")
    (folder.parent / ("b" * 31 + "c")).symlink_to(home)
    assert command_line(["verify", "--home", str(home)]) == 1
    output = capsys.readouterr().out
    assert output.count("has no manifest that can be read, or is a link") == 2


def test_prune_says_what_it_would_free_and_then_frees_it(home, capsys):
    assert command_line(["prune", "--home", str(home), "--max-gb", "0.000005", "--dry-run"]) == 0
    assert re.fullmatch(r"would free 4\.\d kB \(1 finetune\); 4\.\d kB stay\n", capsys.readouterr().out)
    assert len(list(Store(home / "store").keys())) == 2
    assert command_line(["prune", "--home", str(home), "--max-gb", "0.000005"]) == 0
    assert re.fullmatch(r"freed 4\.\d kB \(1 finetune\); 4\.\d kB stay\n", capsys.readouterr().out)
    assert list(Store(home / "store").keys()) == [KEYS[0]]


def test_prune_says_why_more_stays(home, capsys):
    with sweep_lease(home / "store", "mine", []):
        assert command_line(["prune", "--home", str(home), "--max-gb", "0"]) == 0
    output = capsys.readouterr().out
    assert "freed 0 B (nothing)" in output
    assert "more than 0 GB stays: 2 artifacts are kept for the live sweeps mine" in output


@pytest.mark.parametrize("command", [["list"], ["verify"], ["prune", "--max-gb", "1"]])
def test_a_store_that_is_not_there_is_not_made(tmp_path, capsys, command):
    assert command_line([*command, "--home", str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err == f"error: there is no store in {tmp_path / 'none' / 'store'}\n"
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("command", [["list"], ["verify"], ["prune", "--max-gb", "1"]])
def test_an_address_with_credentials_is_refused_without_them(tmp_path, monkeypatch, capsys, command):
    monkeypatch.chdir(tmp_path)
    assert command_line([*command, "--store", "s3://key:hunter2@bucket/x"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: --store must name no credentials")
    assert "hunter2" not in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", ["-1", "nan"])
def test_a_size_is_not_negative(home, capsys, size):
    assert command_line(["prune", "--home", str(home), "--max-gb", size]) == 2
    assert capsys.readouterr().err == f"error: --max-gb must be ≥ 0, got {float(size)}\n"


def test_nothing_that_is_not_a_stores_own_is_removed(tmp_path, capsys):
    """Somebody names a project's folder, which has folders of the same names."""
    for place in ("checkpoints", "attempts", "artifacts", "artifacts/ab", "leases", "leases/stages", "quarantine"):
        (tmp_path / place / "my model").mkdir(parents=True)
        (tmp_path / place / "my model" / "weights.pt").write_text("mine")
        (tmp_path / place / "weights.pt").write_text("mine")
    for path in tmp_path.rglob("*"):
        os.utime(path, (0, 0))
    before = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert command_line(["prune", "--max-gb", "0", "--store", str(tmp_path)]) == 0
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == before


def test_a_quarantine_needs_a_store_and_a_prune_a_size(tmp_path, capsys):
    for command in (["verify", "--quarantine"],):
        assert command_line([*command, "--store", str(tmp_path / "no")]) == 2
        assert f"there is no store in {tmp_path}/no" in capsys.readouterr().err
    assert command_line(["prune", "--max-gb", "inf", "--store", str(tmp_path)]) == 2
    assert not list(tmp_path.iterdir())


def test_a_home_folder_that_the_shell_left_alone_is_found(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "s").mkdir()
    assert command_line(["list", "--store=~/s"]) == 0


def test_copy_says_what_it_did_and_goes_on_when_it_is_given_again(home, tmp_path, capsys):
    damage(home)
    there = tmp_path / "there"
    for n_copied, n_there in ((1, 0), (0, 1)):
        assert command_line(["copy", str(home / "store"), str(there)]) == 1
        first, last = capsys.readouterr().out.splitlines()
        assert first.startswith(f"left out: artifact {KEYS[1]}: checksum of network.safetensors differs")
        size = r"4\.\d kB" if n_copied else "0 B"
        expected = (
            rf"{n_copied} artifacts \({size}\) copied from {home / 'store'} to {there}, {n_there} were there, 1 left"
        )
        assert re.match(expected, last)
    assert list(Store(there).keys()) == [KEYS[0]]


def test_a_store_is_not_copied_to_itself_nor_from_nowhere(home, tmp_path, capsys):
    store = str(home / "store")
    assert command_line(["copy", store, store]) == 2
    assert f"FROM and TO must be two stores, got {store} twice" in capsys.readouterr().err
    assert command_line(["copy", str(tmp_path / "none"), str(tmp_path / "there")]) == 2
    assert f"there is no store in {tmp_path / 'none'}" in capsys.readouterr().err
    assert not (tmp_path / "there").exists()
