"""Each space of the papers, run at a tiny scale in one store and shown by its view. No Ray: the stages alone."""

import dataclasses

import pytest
import torch

from engine.orchestration.search import read_results
from engine.report.formats import FORMATS, Answer
from engine.report.text_tables import Table
from engine.report.views import Plot, Shown, view_parts
from engine.spaces import load_space
from engine.store import open_store
from tests.pipelines.swept import sweep_here
from tests.search_spaces.test_papers import PAPERS

TINY = {
    "data.n_train": 60,
    "data.n_validation": 40,
    "data.n_test": 40,
    "pretrain.epochs": 1,
    "evaluate.severities": [1, 5],
    "evaluate.n_probe": 20,
    "finetune.training.epochs": 1,
}
N_IMAGES, EPOCHS = "distortion.n_images", "finetune.training.epochs"


def tiny(space):
    """Return a space with few images, one epoch, and arms on few noisy images: on two numbers of them at most."""
    sizes = sorted({arm.settings[N_IMAGES] for arm in space.arms if N_IMAGES in arm.settings})[:2]
    few = {N_IMAGES: {size: 10 + 10 * place for place, size in enumerate(sizes)}, EPOCHS: {}}
    arms = tuple(
        dataclasses.replace(
            arm,
            settings={path: few[path].get(value, 1) if path in few else value for path, value in arm.settings.items()},
        )
        for arm in space.arms
        if N_IMAGES not in arm.settings or arm.settings[N_IMAGES] in sizes
    )
    ours = dataclasses.replace(space, arms=arms, n_seeds=min(2, space.n_seeds))
    return ours.with_base(TINY | {N_IMAGES: 20})


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Return the folder that all spaces share: what two of them train alike is trained once."""
    return tmp_path_factory.mktemp("home")


def shown_tiny(name, home, settings=()):
    """Return what is shown of a space on digits, run here at a tiny scale, on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        space = tiny(load_space(name, "digits")).with_base(dict(settings))
        n_trials = len(space.arms) * space.n_seeds
        sweep_here(space, home=home, study=name, n_trials=n_trials, sampler="random", pruner="none")
    finally:
        torch.set_num_threads(threads)
    results = read_results(f"sqlite:///{home / 'optuna.db'}", name)
    assert len(results.with_state("COMPLETE")) == n_trials
    return Shown(results, open_store(home / "store", read_only=True))


@pytest.mark.slow
@pytest.mark.parametrize("name", PAPERS)
def test_it_runs_on_digits_and_shows_its_figure(name, home, tmp_path):
    shown = shown_tiny(name, home)
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
