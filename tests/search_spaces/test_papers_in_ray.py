"""Each space of the papers, and of both composed, swept tiny through one Ray and one store, and shown by its view."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from engine.orchestration import run_sweep
from engine.report.formats import FORMATS, Answer
from engine.report.text_tables import Table
from engine.report.views import Plot, view_parts
from tests.search_spaces.test_papers import PAPERS
from tests.search_spaces.tiny import shown_of, tiny

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
_RAY = """
import sys

import ray

ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=40)
print(ray.get_runtime_context().gcs_address, flush=True)
sys.stdin.read()  # for as long as it is wanted
"""


@pytest.fixture(scope="module")
def ray_address() -> Iterator[str]:
    """Start a Ray of two cores, which no sweep starts or ends."""
    words = [sys.executable, "-c", _RAY]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdin is not None
        assert owner.stdout is not None
        yield owner.stdout.readline().strip()
        owner.stdin.close()


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Return the folder that all spaces share: what two of them train alike is trained once."""
    return tmp_path_factory.mktemp("home")


@pytest.mark.parametrize("name", [*PAPERS, "push-pull-by-selective"])
def test_it_runs_on_digits_and_shows_its_figure(name, ray_address, home, tmp_path):
    space = tiny(name)
    n_trials = len(space.arms) * space.n_seeds
    options = {"sampler": "random", "pruner": "none", "ray_address": ray_address}
    results = run_sweep(space, home=home, study=name, n_trials=n_trials, **options)
    assert len(results.trials) == n_trials
    shown = shown_of(home, name, n_trials)
    parts = view_parts(shown)
    assert not [part for part in parts if isinstance(part, str) and "not shown" in part]
    assert any(isinstance(part, Table) and part.rows for part in parts)
    for part in parts:
        table = part.data if isinstance(part, Plot) else part
        if isinstance(table, Table):
            assert all(len(row) == len(table.columns) for row in table.rows if row), table.title
        if isinstance(part, Plot):
            part.draw().savefig(tmp_path / "figure.png")
            assert (tmp_path / "figure.png").stat().st_size > 5000
    answer = Answer(shown.results, view=parts)
    for form in FORMATS.values():
        assert all(form.write(answer).values())
