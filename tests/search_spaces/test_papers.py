"""Every table and figure of the papers: a space by its name, its plan at the paper's own scale, and on digits."""

import contextlib
import io
import re

import pytest

from engine.orchestration.options import SweepOptions
from engine.orchestration.preparation import prepare
from engine.report.views import find_view
from engine.spaces import datasets_of, load_space, space_names
from pipelines.sweep import command_line
from search_spaces._published import _FOLDER, published

PAPERS = tuple(name for name in space_names() if re.match(r"(push-pull|filters)-(fig|table)-\d+|filters-", name))
PAPERS = tuple(name for name in PAPERS if name != "filter-parts")


def test_each_has_a_version_for_digits_and_a_view():
    assert "push-pull-table-4" in PAPERS
    for name in PAPERS:
        assert "digits" in datasets_of(name), name
        for dataset in (None, *datasets_of(name)):
            space = load_space(name, dataset)
            assert space.name == name
            assert find_view(space) is not None
            assert space.base.data.name == (dataset or space.base.data.name)
        assert load_space(name).base.data.name in ("mnist", "cifar10", "cifar100"), "the paper's own images"


@pytest.mark.parametrize("name", PAPERS)
def test_its_plan_at_the_paper_s_scale_needs_no_images(name, tmp_path, monkeypatch):
    monkeypatch.setenv("ROBUSTUNE_DATA", str(tmp_path / "nothing"))
    n_arms = len(load_space(name).arms)  # one seed of each: the others are planned alike
    arguments = ["--space", name, "--dry-run", "--n-trials", str(n_arms), "--home", str(tmp_path / "home")]
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert command_line(arguments) == 0
    said = out.getvalue()
    assert "is not here: planned from what its authors say of it" in said
    assert f"{n_arms} trials" in said


@pytest.mark.parametrize("name", [*PAPERS, "push-pull-by-selective"])
def test_it_can_be_planned_on_its_other_data_sets(name, tmp_path, monkeypatch):
    monkeypatch.setenv("ROBUSTUNE_DATA", str(tmp_path / "nothing"))
    for dataset in datasets_of(name):
        n_arms = len(load_space(name, dataset).arms)
        options = SweepOptions(space=name, dataset=dataset, home=tmp_path / "home", dry_run=True, n_trials=n_arms)
        assert prepare(options).space.base.data.name == dataset


def test_the_papers_figures_are_numbers_of_the_arms_that_there_are():
    files = sorted(path.stem for path in _FOLDER.glob("*.csv"))
    assert files
    for name in files:
        assert published(name).values
    assert published("push-pull-table-4").change("h=2 alpha=1.5", "plain", "clean") == "+0.3"
    assert published("push-pull-table-4").change("h=2 alpha=1.5", "plain", "nothing") == "–"
    assert set(published("push-pull-table-4").rows) == {arm.name for arm in load_space("push-pull-table-4").arms}
