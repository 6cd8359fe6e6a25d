"""Freed memory that stays with a process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine import heap

ROOT = Path(heap.__file__).parents[1]
FAULTS = """
import resource
import sys
import numpy as np
from engine.heap import keep_freed_memory

print(keep_freed_memory() if sys.argv[1] == "kept" else None)

def step():
    return [np.ones(300_000) for _ in range(100)]

step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def run(how: str) -> tuple[str, int]:
    words = [sys.executable, "-c", FAULTS, how]
    untold = {name: value for name, value in os.environ.items() if name not in heap._OWN}
    done = subprocess.run(words, cwd=ROOT, env=untold, capture_output=True, text=True, check=True)
    told, faults = done.stdout.split()
    return told, int(faults)


@pytest.mark.skipif(not hasattr(os, "confstr") or "CS_GNU_LIBC_VERSION" not in os.confstr_names, reason="no glibc")
def test_memory_that_a_step_frees_is_not_taken_from_the_system_again_by_the_next():
    (_, before), (told, kept) = run("as it is"), run("kept")
    assert told == "True"
    assert kept < before / 10


def test_what_a_person_has_told_the_c_library_stands(monkeypatch):
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1000000")
    assert not heap.keep_freed_memory()
