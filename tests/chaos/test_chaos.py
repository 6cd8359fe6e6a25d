"""Random kills of workers, broker and driver; ``python -m tests.chaos`` does it for longer."""

import os
from pathlib import Path

import pytest

from tests.chaos.comparison import disturb_and_compare
from tests.chaos.sweeps import Variant

SECONDS = float(os.environ.get("ROBUSTUNE_CHAOS_S", "20"))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("variant", ["enqueued", "searched"])
def test_a_sweep_whose_processes_are_killed_ends_as_an_undisturbed_one(tmp_path: Path, variant: Variant) -> None:
    description, faults = disturb_and_compare(tmp_path, variant, seconds=SECONDS, seed=0)
    assert faults == [], description
