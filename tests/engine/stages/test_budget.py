"""The labelled noisy images that a result uses: as many as it says, and no others."""

import dataclasses
import itertools

import pytest
import torch

from engine.data import Split
from engine.errors import InputError
from engine.stages import run_stage
from engine.stages.budget import NoisyBudget
from engine.stages.noisy import distorted, noisy_and_clean, noisy_sets

METHODS = ("filters", "correction", "classifier", "network", "retrain")
SETTINGS = {"distortion": {"name": "awgn", "level": 25.0, "n_images": 20}, "select_by": "held-out"}


def mislabelled(split: Split, kept: torch.Tensor) -> Split:
    """Return a split whose labels say nothing but for the images of some indices: all are class 3."""
    right = torch.isin(split.indices, kept)
    return Split(split.images, torch.where(right, split.labels, 3), split.indices)


def trained(workshop, settings, *, mislabel: bool):
    """Return the artifact of the training on noisy images, and the drawn images' labels alone may be right in it."""
    plan = workshop.plan(pretrain__epochs=4, finetune__training__epochs=4, **settings)
    last = [spec for spec in plan if spec.stage in ("pretrain", "finetune")][-1]
    for spec in plan.stages[: plan.stages.index(last)]:
        run_stage(spec, workshop.store, workshop.getter(), device=workshop.device)
    data = workshop.getter()(last.data)
    if mislabel:
        drawn, _, _ = noisy_and_clean(data, last.settings["distortion"], seed=last.seed)
        nothing = torch.tensor([], dtype=torch.long)
        data = dataclasses.replace(
            data, train=mislabelled(data.train, drawn.indices), validation=mislabelled(data.validation, nothing)
        )
    return run_stage(last, workshop.store, lambda key: data, device=workshop.device)


@pytest.mark.parametrize("method", METHODS)
def test_no_label_but_those_of_the_noisy_images_at_hand_reaches_the_result(workshop, tmp_path, method):
    settings = {"finetune__method": method, "finetune__which": "most", "finetune__training__learning_rate": 0.005}
    truthful = trained(workshop, settings, mislabel=False)
    other = trained(type(workshop)(tmp_path / "other"), settings, mislabel=True)
    assert truthful.manifest["key"] == other.manifest["key"]
    assert truthful.manifest["files"] == other.manifest["files"]
    by_probe = ([record["probe_error"] for record in artifact.history] for artifact in (truthful, other))
    assert next(by_probe) != next(by_probe), "the labels were wrong: what is only watched shows it"


@pytest.mark.parametrize("method", ["filters", "retrain"])
def test_all_validation_images_choose_where_that_is_asked_for_and_are_counted(workshop, tmp_path, method):
    settings = {"finetune__method": method, "finetune__select_by": "validation"}
    truthful = trained(workshop, settings, mislabel=False)
    other = trained(type(workshop)(tmp_path / "other"), settings, mislabel=True)
    results = [artifact.json("result") for artifact in (truthful, other)]
    assert results[0]["validation_error"] != results[1]["validation_error"]
    for result in results:
        assert result["labelled_noisy"] == {
            "labelled": 80,
            "trained_on": 20,
            "selecting": 60,
            "select_by": "validation",
        }


@pytest.mark.parametrize("method", METHODS)
def test_every_result_says_how_many_labelled_noisy_images_it_used(workshop, method):
    outcomes = {outcome.spec.stage: outcome for outcome in workshop.run(workshop.plan(finetune__method=method))}
    stage = "pretrain" if method == "retrain" else "finetune"
    budget = {"labelled": 20, "trained_on": 16, "selecting": 4, "select_by": "held-out"}
    assert outcomes[stage].artifact.json("result")["labelled_noisy"] == budget
    assert outcomes["evaluate"].artifact.json("errors")["labelled_noisy"] == budget
    assert workshop.plan(finetune__method=method).noisy_budget.to_json() == budget


def test_a_result_without_noisy_images_says_so(workshop):
    plan = workshop.plan(finetune__which="none")
    pretrain, evaluate = (outcome.artifact for outcome in workshop.run(plan))
    assert plan.noisy_budget is None
    assert pretrain.json("result")["labelled_noisy"] is None
    assert evaluate.json("errors")["labelled_noisy"] is None


@pytest.mark.parametrize("n", [5, 7, 20, 50])
def test_a_fifth_is_held_out_and_neither_set_has_an_image_of_the_other(workshop, n):
    workshop.plan()
    settings = {**SETTINGS, "distortion": {**SETTINGS["distortion"], "n_images": n}}
    noisy, _, _ = noisy_and_clean(workshop.data, settings["distortion"], seed=3)
    sets = noisy_sets(workshop.data, settings, seed=3)
    assert (len(sets.trained_on), len(sets.selecting)) == (n - n // 5, n // 5)
    assert sorted([*sets.trained_on.indices.tolist(), *sets.selecting.indices.tolist()]) == sorted(
        noisy.indices.tolist()
    )
    pixels = dict(zip(noisy.indices.tolist(), noisy.images, strict=True))
    for split in (sets.trained_on, sets.selecting):
        assert all(
            torch.equal(pixels[index], image) for index, image in zip(split.indices.tolist(), split.images, strict=True)
        )


def test_the_sets_of_fewer_images_are_parts_of_those_of_more(workshop):
    workshop.plan()
    found = []
    for n in (11, 50, 100):
        settings = {**SETTINGS, "distortion": {**SETTINGS["distortion"], "n_images": n}}
        sets = noisy_sets(workshop.data, settings, seed=0)
        found.append((set(sets.trained_on.indices.tolist()), set(sets.selecting.indices.tolist())))
    for fewer, more in itertools.pairwise(found):
        assert fewer[0] < more[0]
        assert fewer[1] < more[1]


def test_by_validation_all_noisy_images_are_trained_on(workshop):
    workshop.plan()
    sets = noisy_sets(workshop.data, {**SETTINGS, "select_by": "validation"}, seed=0)
    noisy, _, _ = noisy_and_clean(workshop.data, SETTINGS["distortion"], seed=0)
    assert torch.equal(sets.trained_on.images, noisy.images)
    expected = distorted(workshop.data.validation, SETTINGS["distortion"], seed=0)
    assert torch.equal(sets.selecting.images, expected.images)


def test_too_few_images_for_a_fifth_are_refused_with_what_to_do(workshop):
    for n in (2, 4):
        with pytest.raises(InputError, match=rf"`distortion.n_images` must be ≥ 5, got {n}: .*select_by`=validation"):
            workshop.plan(distortion__n_images=n)
    assert workshop.plan(distortion__n_images=5).noisy_budget == NoisyBudget(4, 1, "held-out")
    assert workshop.plan(distortion__n_images=2, finetune__select_by="validation").noisy_budget.labelled == 62
    assert workshop.plan(distortion__n_images=2, finetune__which="none").noisy_budget is None


@pytest.mark.parametrize("method", METHODS)
def test_the_fewest_images_that_are_allowed_can_be_trained_on(workshop, method):
    for settings in ({"distortion__n_images": 5}, {"distortion__n_images": 2, "finetune__select_by": "validation"}):
        outcomes = workshop.run(workshop.plan(finetune__method=method, finetune__layers="first", **settings))
        assert 0 <= outcomes[-1].artifact.json("errors")["test"]["tuned_distortion"] <= 1


def test_a_ranking_uses_all_noisy_images_for_it_reads_no_label(workshop):
    specs = [workshop.plan(finetune__select_by=by).stages[1] for by in ("held-out", "validation")]
    assert specs[0].key == specs[1].key
    ranking = workshop.run(workshop.plan())[1].artifact.json("ranking")
    assert all(found["n_images"] == 20 for found in ranking.values())


def test_a_budget_in_words():
    held_out = NoisyBudget.of(1000, "held-out", n_validation=240)
    assert str(held_out) == "1,000 labelled noisy images (800 trained on, 200 held out to select the epoch)"
    by_validation = NoisyBudget.of(25, "validation", n_validation=240)
    assert str(by_validation) == (
        "265 labelled noisy images (25 trained on, 240 validation images to select the epoch)"
    )
    assert NoisyBudget.from_json(by_validation.to_json()) == by_validation
    none = NoisyBudget.without_labels(200)
    assert str(none) == "0 labelled noisy images (200 without labels adapted to)"
    assert none.to_json()["labelled"] == 0
    assert NoisyBudget.from_json(none.to_json()) == none
    assert "unlabelled" not in held_out.to_json()
