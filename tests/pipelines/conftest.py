import sys

import pytest
import torch


@pytest.fixture(autouse=True)
def _process_as_it_was(monkeypatch):
    """Run commands on a page of one width, and give back what they change of this process."""
    monkeypatch.setenv("COLUMNS", "120")
    path, threads = list(sys.path), torch.get_num_threads()
    yield
    sys.path[:] = path
    torch.set_num_threads(threads)
