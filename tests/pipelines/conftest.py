import sys

import pytest
import torch

from engine import signs_of_life


@pytest.fixture(autouse=True)
def _process_as_it_was(monkeypatch):
    """Run commands on a page of one width, and give back what they change of this process.

    How long a test takes depends on the machine: what is said of it is no part of what a command prints.
    """
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(signs_of_life, "SILENT_S", 3600.0)
    path, threads = list(sys.path), torch.get_num_threads()
    yield
    sys.path[:] = path
    torch.set_num_threads(threads)
