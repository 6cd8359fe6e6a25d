"""The space of what came after: its plan at full scale, and its view at a tiny one."""

import contextlib
import dataclasses
import io
from statistics import fmean

import pytest
import torch

from engine.orchestration.search import read_results
from engine.report.text_tables import Table
from engine.report.views import Shown, view_parts
from engine.spaces import load_space
from pipelines.sweep import command_line
from search_spaces import successors, successors_cifar
from search_spaces._successors import AUGMENTED, NETWORKS, RATE
from search_spaces._successors_arms import TUNINGS
from search_spaces._successors_view import COLUMNS, errors_apart
from search_spaces.successors_rates import RATES as TRIED
from tests.pipelines.swept import sweep_here

TINY = {
    "model.width": 4,
    "data.n_train": 80,
    "data.n_validation": 40,
    "data.n_test": 40,
    "pretrain.epochs": 1,
    "distortion.n_images": 20,
    "finetune.training.epochs": 1,
    "evaluate.corruptions": ["gaussian_noise", "shot_noise", "contrast", "gaussian_blur"],
    "evaluate.severities": [1, 4],
    "evaluate.n_probe": 20,
}


@pytest.mark.parametrize("name", ["successors", "successors-rates"])
def test_its_plan_at_full_scale_needs_no_images(name, tmp_path, monkeypatch):
    monkeypatch.setenv("ROBUSTUNE_DATA", str(tmp_path / "nothing"))
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert command_line(["--space", name, "--dry-run", "--home", str(tmp_path / "home")]) == 0
    space = load_space(name)
    assert "is not here: planned from what its authors say of it" in out.getvalue()
    assert f"{len(space.arms) * space.n_seeds} trials" in out.getvalue()


@pytest.mark.parametrize(
    ("name", "dataset", "rates"),
    [
        ("successors", None, successors.RATES),
        ("successors", "digits", successors.RATES),
        ("successors-cifar", None, successors_cifar.RATES),
    ],
)
def test_every_network_is_trained_and_tuned_in_every_way_by_a_rate_that_was_tried(name, dataset, rates):
    space = load_space(name, dataset)
    trained = [f"{network}{added}" for added in AUGMENTED for network in NETWORKS]
    ways = {f"{network}, {way}" for network in trained for way in TUNINGS}
    assert {arm.name for arm in space.arms} == {*ways, "control for push-pull"}
    used = {arm.name: arm.settings.get(RATE) for arm in space.arms}
    assert {way: used[f"push-pull 2024 + noise, {way}"] for way in TUNINGS if way in rates} == rates
    assert set(rates.values()) <= set(TRIED)


@pytest.mark.slow
def test_it_runs_on_digits_and_keeps_what_was_tuned_on_apart(tmp_path):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        space = dataclasses.replace(load_space("successors", "digits").with_base(TINY), n_seeds=2)
        trained_as_it_is = tuple(
            arm for arm in space.arms if "+" not in arm.name and arm.name != "control for push-pull"
        )
        declared = tuple(one for one in space.comparisons if "+" not in one.arm + one.reference)
        space = dataclasses.replace(space, arms=trained_as_it_is, comparisons=declared)
        sweep_here(space, home=tmp_path, study="tiny", n_trials=50, sampler="random", pruner="none")
        results = read_results(f"sqlite:///{tmp_path / 'optuna.db'}", "tiny")
        parts = view_parts(Shown(results))
    finally:
        torch.set_num_threads(threads)
    assert len(results.with_state("COMPLETE")) == 50
    tables = [part for part in parts if isinstance(part, Table)]
    assert len(tables) == len(parts) == 4
    used = {row[0]: row[1:3] for row in tables[-1].rows}
    assert (used["none"], used["most"], used["tent"]) == (("–", "–"), ("20", "0"), ("0", "20"))
    group = next(group for group in results.groups() if group.name == "plain, tent")
    found = errors_apart(group, 4)
    assert tuple(found) == COLUMNS
    for trial in group.trials:
        own = ("gaussian_noise", 4)
        kind = [("gaussian_noise", 1), ("shot_noise", 1), ("shot_noise", 4)]
        assert found["tuned on"][trial.seed] == trial.table[own]
        assert found["its kind"][trial.seed] == pytest.approx(fmean(trial.table[cell] for cell in kind))
        others = [error for cell, error in trial.table.items() if cell not in (own, *kind)]
        assert found["other kinds"][trial.seed] == pytest.approx(fmean(others))
