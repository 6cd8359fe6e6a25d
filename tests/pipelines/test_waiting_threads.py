"""Threads that wait for others of their process do not take the cores from another process, whichever command it is."""

import os
import subprocess
import sys

import pytest

from tests.documents import ROOT

KNOWN = "OMP_WAIT_POLICY"
LOOK = f"import os, sys, pipelines; print(os.environ['{KNOWN}'], 'torch' in sys.modules)"


@pytest.mark.parametrize(("given", "holds"), [({}, "PASSIVE"), ({KNOWN: "ACTIVE"}, "ACTIVE")])
def test_threads_sleep_while_they_wait_unless_somebody_wants_them_to_spin(given: dict[str, str], holds: str) -> None:
    environment = {**{name: value for name, value in os.environ.items() if name != KNOWN}, **given}
    words = [sys.executable, "-c", LOOK]
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [holds, "False"]  # torch reads it when it is imported
