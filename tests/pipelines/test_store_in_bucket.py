"""The store's commands on a store in a bucket."""

from pathlib import Path

import pytest
import torch

from engine.store import open_store
from pipelines.store import command_line
from tests.s3 import S3, set_variables

KEYS = ("a" * 32, "b" * 32)


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the address of a store with two artifacts, one made from the other."""
    s3 = S3()
    set_variables(monkeypatch, s3.url, tmp_path / "cache")
    store = open_store(s3.address)
    for stage, key, inputs in (("pretrain", KEYS[0], {}), ("finetune", KEYS[1], {"pretrain": KEYS[0]})):
        with store.attempt(key) as attempt:
            attempt.write_tensors("network", {"w": torch.zeros(1000)})
            store.publish(attempt, {"history": [], "spec": {"stage": stage, "inputs": inputs}, "seconds": 12.34})
    return s3.address


def test_it_is_listed_checked_copied_and_cleaned_up(address, tmp_path, capsys):
    assert command_line(["list", "--store", address]) == 0
    assert "2 artifacts (1 finetune, 1 pretrain): " in capsys.readouterr().out
    assert command_line(["verify", "--store", address]) == 0
    assert capsys.readouterr().out == "2 artifacts are whole, 0 corrupt\n"
    assert command_line(["copy", address, str(tmp_path / "there")]) == 0
    said = capsys.readouterr().out
    assert said.startswith("2 artifacts (")
    assert said.endswith(f") copied from {address} to {tmp_path / 'there'}, 0 were there\n")
    assert command_line(["prune", "--store", address, "--max-gb", "0"]) == 0
    assert capsys.readouterr().out.endswith("(1 finetune, 1 pretrain); 0 B stay\n")
    assert command_line(["copy", str(tmp_path / "there"), address]) == 0
    assert sorted(open_store(address).keys()) == list(KEYS)


@pytest.mark.parametrize("command", [["list"], ["verify"], ["prune", "--max-gb", "1"]])
def test_a_bucket_that_is_not_there_is_said(address, capsys, command):
    assert command_line([*command, "--store", "s3://not-this-one/x"]) == 2
    assert "there is no bucket 'not-this-one' (s3://not-this-one/x)" in capsys.readouterr().err
    assert command_line([*command, "--store", f"{address}/nothing"]) == 2
    assert capsys.readouterr().err == f"error: there is no store in {address}/nothing\n"
