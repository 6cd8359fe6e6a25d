"""Variables of the environment that are set for a while."""

import os
from contextlib import suppress

from engine.environment import put_back


def test_what_was_set_or_missing_before_is_so_again_and_others_stay(monkeypatch) -> None:
    for name in "ABC":
        monkeypatch.setenv(f"ROBUSTUNE_{name}", "before")
    for name in "BC":
        monkeypatch.delenv(f"ROBUSTUNE_{name}")
    with suppress(ZeroDivisionError), put_back("ROBUSTUNE_A", "ROBUSTUNE_B"):
        os.environ |= {"ROBUSTUNE_A": "meanwhile", "ROBUSTUNE_B": "meanwhile", "ROBUSTUNE_C": "stays"}
        raise ZeroDivisionError
    found = {name: os.environ.get(f"ROBUSTUNE_{name}") for name in "ABC"}
    assert found == {"A": "before", "B": None, "C": "stays"}
