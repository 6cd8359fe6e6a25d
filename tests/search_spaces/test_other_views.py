"""Views of spaces that are no figure of a paper's, each on a handful of trials."""

import dataclasses
import warnings

import pytest
import torch

from engine.corruptions import distort
from engine.data import Split
from engine.metrics import classification_error
from engine.orchestration.search import read_results
from engine.report.text_tables import Table, percent_text
from engine.report.verdicts import findings
from engine.report.views import Shown, view_parts
from engine.spaces import Arm, Space, load_space
from engine.stages.network import load_network
from engine.store import open_store
from search_spaces import lenet_noise
from search_spaces._additive import BOTH_LESS_SUM, interaction
from search_spaces._beside import difference_text, where_computed
from search_spaces._lenets import ARMS, DRAWS
from search_spaces._published import published
from tests.engine.report.studies import complete, study
from tests.pipelines.swept import sweep_here

TINY = {
    "data.name": "digits",
    "data.n_train": 60,
    "data.n_validation": 24,
    "data.n_test": 24,
    "pretrain.epochs": 1,
    "pretrain.batch_size": 32,
    "evaluate.severities": [1],
    "evaluate.n_probe": 20,
    "distortion.n_images": 20,
    "finetune.training.epochs": 1,
}


def shown_here(name: str, home, arms=(), n_seeds=1) -> Shown:
    """Return what is shown of a space, of some of its arms, tiny."""
    space = load_space(name).with_base(TINY)
    chosen = tuple(
        dataclasses.replace(arm, settings={path: TINY.get(path, value) for path, value in arm.settings.items()})
        for arm in space.arms
        if not arms or arm.name in arms
    )
    if not space.ablations:
        space = dataclasses.replace(space, arms=chosen)
    space = dataclasses.replace(space, n_seeds=n_seeds)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        sweep_here(space, home=home, study=name, n_trials=len(chosen) * n_seeds, sampler="random", pruner="none")
    finally:
        torch.set_num_threads(threads)
    return Shown(read_results(f"sqlite:///{home / 'optuna.db'}", name), open_store(home / "store", read_only=True))


@pytest.mark.parametrize("name", ["recipes-digits", "recipes-cifar"])
def test_the_recipes_compared_are_the_full_and_the_fast_one(name):
    assert [arm.name for arm in load_space(name).arms] == ["full", "fast"]


def test_recipes_are_shown_with_their_errors_and_seconds(tmp_path):
    shown = shown_here("recipes-digits", tmp_path)
    (table,) = view_parts(shown)
    assert isinstance(table, Table)
    full, fast, change = table.rows
    trials = {group.name: group.trials[0] for group in shown.results.groups()}
    for row in (full, fast):
        trial = trials[row[0]]
        assert row[1:3] == tuple(percent_text([trial.test_errors()[column]]) for column in ("clean", "gaussian_noise"))
        assert row[3] == f"{shown.artifact(trial, 'pretrain').manifest['cpu_seconds']:.1f}"
    assert change[0] == "fast − full"
    assert change[3].endswith(" times faster")


def test_lenets_are_measured_at_the_paper_s_levels_beside_its_numbers(tmp_path):
    assert {arm.name for arm in ARMS} == set(published("push-pull-fig-4").rows)
    shown = shown_here("lenet-noise", tmp_path, arms=("A", "PA"))
    parts = [part for part in view_parts(shown) if isinstance(part, Table)]
    assert len(parts) == 2 * len(lenet_noise.LEVELS)
    noise = parts[0]
    assert noise.columns == ("", "clean", "0.01", "0.1", "0.2", "0.3", "0.5")
    assert noise.rows[0][0] == "A"
    assert noise.rows[0][4].endswith("\npaper 86.5")
    test = shown.data().test
    trial = shown.results.groups()[0].trials[0]
    network = load_network(shown.artifact(trial, "pretrain"), None, torch.device("cpu"))
    noisy = distort(test.images, "gaussian_variance", 0.2, seed=DRAWS, indices=test.indices)
    error = classification_error(network, Split(noisy, test.labels, test.indices))
    assert noise.rows[0][4].split("\n")[0] == percent_text([1 - error])
    contrast = next(part for part in parts if part.title.startswith("contrast: accuracy"))
    clean, unchanged = (contrast.rows[0][contrast.columns.index(column)] for column in ("clean", "1"))
    assert clean == unchanged, "contrast 1 is the image itself"


def test_an_interaction_is_what_both_gain_beyond_the_sum_of_their_gains():
    neither, one, other = {0: 0.5, 1: 0.6}, {0: 0.3, 1: 0.5}, {0: 0.4, 1: 0.4}
    both = {0: 0.25, 1: 0.3, 2: 0.1}
    together, summed = interaction(both, one, other, neither)
    assert together == pytest.approx({0: -0.25, 1: -0.3})
    assert summed == pytest.approx({0: -0.3, 1: -0.3})


def test_two_methods_are_shown_with_their_gains_and_what_is_not_additive(tmp_path):
    shown = shown_here("push-pull-by-selective", tmp_path, n_seeds=2)
    parts = view_parts(shown)
    errors, gains, plot = parts
    assert [row[0] for row in errors.rows] == ["neither", "push-pull", "tuning", "both"]
    (finding,) = (one for one in findings(shown.results) if one.contrast.kind == "interaction" and one.outcome == "all")
    shown_there = gains.rows[-1][gains.columns.index("all")]
    assert gains.rows[-1][0] == BOTH_LESS_SUM
    assert float(shown_there.split()[0]) == pytest.approx(100 * finding.evidence.mean, abs=0.051), "what verdicts test"
    assert plot.name == "interaction"
    assert len(plot.data.rows) == 2 * 2 * 4
    assert len(plot.draw().axes) == 2
    groups = {"nothing": 0, "push-pull": 0, "tuning": 1, "push-pull + tuning": 1}  # which seed has it
    seeds = sorted({trial.seed for trial in shown.results.trials})
    apart = tuple(trial for trial in shown.results.trials if trial.seed == seeds[groups[trial.group]])
    *_, plot = view_parts(dataclasses.replace(shown, results=dataclasses.replace(shown.results, trials=apart)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert plot.draw().axes[0].get_legend() is None, "no line, whose seeds are other ones"
    one_more = (*apart, *(t for t in shown.results.trials if t.group == "nothing" and t not in apart))
    errors, *_ = view_parts(dataclasses.replace(shown, results=dataclasses.replace(shown.results, trials=one_more)))
    assert "digits, 1 to 2 seeds, 3 not run" in errors.title


def test_seeds_that_failed_are_missing_or_dead_are_counted_where_means_stand():
    space = Space(name="s", arms=(Arm("plain", {}), Arm("push-pull", {"push_pull.where": "first"})), n_seeds=3)
    whole = study(space, {"plain": [0.4, 0.5, 0.6], "push-pull": [0.2, 0.3, 0.3]})
    assert where_computed(whole) == "digits, 3 seeds"
    dead = complete(0, "plain", 0, 0.9, dead=True)
    lost = study(space, {"plain": [0.4, 0.5, 0.6], "push-pull": [0.2, None]})
    trials = (dead, *lost.trials[1:])
    assert (
        where_computed(dataclasses.replace(lost, trials=trials)) == "digits, 1 to 3 seeds, 1 failed, 1 not run, 1 dead"
    )


def test_a_difference_tells_of_how_many_seeds_it_is_where_some_have_one_of_the_two_alone():
    mine, theirs = {0: 0.5, 1: 0.4, 2: 0.3}, {0: 0.4, 1: 0.3}
    assert difference_text(mine, mine | theirs).endswith("]")
    assert difference_text(mine, theirs) == "+10.0 [+10.0, +10.0] (2 seeds)"
    assert difference_text(mine, {0: 0.4, 7: 0.3}) == "+10.0 (one seed)"
    assert difference_text(mine, {7: 0.3}) == "–"
