"""Variables of the environment that are set for a while."""

import os

import pytest

from engine.environment import put_back


def test_what_was_set_or_missing_before_is_so_again_and_others_stay(monkeypatch) -> None:
    monkeypatch.setenv("ROBUSTUNE_A", "before")
    monkeypatch.delenv("ROBUSTUNE_B", raising=False)
    monkeypatch.delenv("ROBUSTUNE_C", raising=False)
    with pytest.raises(ZeroDivisionError), put_back("ROBUSTUNE_A", "ROBUSTUNE_B"):
        os.environ |= {"ROBUSTUNE_A": "meanwhile", "ROBUSTUNE_B": "meanwhile", "ROBUSTUNE_C": "stays"}
        raise ZeroDivisionError
    found = {name: os.environ.get(f"ROBUSTUNE_{name}") for name in "ABC"}
    monkeypatch.setenv("ROBUSTUNE_C", "for the fixture to remove")
    assert found == {"A": "before", "B": None, "C": "stays"}
