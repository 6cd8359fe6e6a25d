"""Keys against numbers: settings that are in a key change what is computed, and those left out do not."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from engine.settings import TrialConfig
from engine.stages import StageSpec, data_getter, plan_trial, prepare_data, run_stage
from tests.engine.stages.conftest import TINY, Workshop
from tests.engine.stages.test_keys import RELEVANT

MAY = {
    "pretrain.patience": "it ends a training only if that gets no better for so long",
    "finetune.training.patience": "it ends a training only if that gets no better for so long",
    "finetune.threshold": "how many filters are above it depends on the distances",
}
"""{setting: why its value may change nothing}."""
IN_PLACE = {
    "model.weights": "it needs weights in the store: see test_given_weights.py",
    "evaluate.n_probe": "it is only watched: see test_plan.py",
    "evaluate.objective": "the cells that trials are compared by: see test_chain.py",
}
"""{setting: where else it is shown}."""
SMALL = {**TINY, "finetune.training.batch_size": 8}
CHANGED: dict[str, Any] = {
    "finetune.training.max_gradient_norm": 0.01,  # shorter than the gradients of a trained network
    "distortion.n_images": 30,
    "rank.batch_size": 8,
    "distortion.name": ("blur", {"distortion.level": 1.0}),
    "model.width": 8,
    "model.name": "resnet-14",
    "pretrain.batch_size": 16,
    "finetune.training.batch_size": 16,
    "finetune.training.milestones": [0.1],
    "pretrain.epochs": 3,
    "finetune.training.epochs": 3,
    "finetune.layers": "first",
    "finetune.count": 2,
    "evaluate.corruptions": ["contrast"],
    "evaluate.severities": [1, 4],
}
"""{setting: another value, where the one of the keys' tests does not fit a tiny trial}."""


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Workshop:
    """Return one store for all tests, so that what trials share is computed once."""
    workshop = Workshop(tmp_path_factory.mktemp("store"))
    workshop.plan()
    return workshop


def plan(shop: Workshop, *contexts: dict[str, Any]) -> tuple[StageSpec, ...]:
    settings: dict[str, Any] = dict(SMALL)
    for context in contexts:
        settings |= context
    config = TrialConfig().with_settings(settings)
    shop.info, _ = prepare_data(config.data, shop.store)
    return plan_trial(config, shop.info).stages


def files(shop: Workshop, stages: tuple[StageSpec, ...], stage: str) -> dict[str, str]:
    """Return the hashes of a stage's files, computed unless the store has them."""
    for spec in stages:
        artifact = run(shop, spec)
        if spec.stage == stage:
            return artifact.manifest["files"]
    raise AssertionError(stage)


def run(shop: Workshop, spec: StageSpec):
    return run_stage(spec, shop.store, data_getter(shop.info, shop.store, shop.device), device=shop.device)


@pytest.mark.parametrize("setting", [name for name in RELEVANT if name not in {**MAY, **IN_PLACE}])
def test_a_setting_that_is_in_a_key_changes_what_its_stage_computes(shop, setting):
    context, value, _ = RELEVANT[setting]
    value, more = CHANGED.get(setting, value), {}
    if isinstance(value, tuple):
        value, more = value
    before, after = plan(shop, context), plan(shop, context, {setting: value, **more})
    known = {spec.stage: spec.key for spec in before}
    first = next(spec.stage for spec in after if known.get(spec.stage) != spec.key)
    assert files(shop, before, first) != files(shop, after, first)


NETWORK, TRAINING = ("network",), ("training",)
WEIGHTS = ("model.safetensors", "last.safetensors")


def edited(spec: StageSpec, path: tuple[str, ...], **values: Any) -> StageSpec:
    """Return a spec as no plan has it: with settings that were left out, or in another form."""

    def changed(settings: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
        return {**settings, path[0]: changed(settings[path[0]], path[1:])} if path else {**settings, **values}

    return replace(spec, settings=changed(dict(spec.settings), path))


LEFT_OUT: dict[str, tuple[dict[str, Any], str, Callable[[StageSpec], StageSpec], tuple[str, ...]]] = {
    "momentum without SGD": ({}, "pretrain", lambda spec: edited(spec, TRAINING, momentum=0.1), WEIGHTS),
    "milestones of a schedule without steps": (
        {},
        "pretrain",
        lambda spec: edited(spec, TRAINING, milestones=[0.1]),
        WEIGHTS,
    ),
    "the order of milestones": (
        {"pretrain.schedule": "step", "pretrain.milestones": [0.3, 0.6]},
        "pretrain",
        lambda spec: edited(spec, TRAINING, milestones=[0.6, 0.3]),
        WEIGHTS,
    ),
    "steps at no milestone": (
        {"pretrain.schedule": "step", "pretrain.milestones": []},
        "pretrain",
        lambda spec: edited(spec, TRAINING, schedule="step", milestones=[]),
        WEIGHTS,
    ),
    "a patience of all epochs": ({}, "pretrain", lambda spec: edited(spec, TRAINING, patience=2), WEIGHTS),
    "a batch of more than the noisy images that are trained on": (
        {"finetune.training.batch_size": 16},
        "finetune",
        lambda spec: edited(spec, TRAINING, batch_size=20),
        ("changes.safetensors",),
    ),
    "a batch of more than all images": (
        {"pretrain.batch_size": 100},
        "pretrain",
        lambda spec: edited(spec, TRAINING, batch_size=1000),
        WEIGHTS,
    ),
    "a batch of all images but one": (
        {"pretrain.batch_size": 100},
        "pretrain",
        lambda spec: edited(spec, TRAINING, batch_size=99),
        WEIGHTS,
    ),
    "the width that a network has by itself": (
        {"model.width": None},
        "pretrain",
        lambda spec: edited(spec, NETWORK, width=16),
        WEIGHTS,
    ),
    "h of the same pull kernels": (
        {"push_pull.h": 2.0},
        "pretrain",
        lambda spec: edited(spec, (*NETWORK, "push_pull"), h=2.6),
        WEIGHTS,
    ),
    "h where nothing is inhibited": (
        {"push_pull.alpha": 0.0},
        "pretrain",
        lambda spec: edited(spec, (*NETWORK, "push_pull"), h=3.0),
        WEIGHTS,
    ),
    **{
        f"places that count for {rule}": (
            {"rank.election": rule},
            "rank",
            lambda spec: edited(spec, (), top=3),
            ("ranking.json",),
        )
        for rule in ("copeland", "mean_rank", "mean_distance")
    },
    "a place after a normalisation that there is not": (
        {"model.name": "cnn-2", "rank.at": "normalisation", "finetune.layers": "all"},
        "rank",
        lambda spec: edited(spec, (), at="normalisation"),
        ("ranking.json",),
    ),
    "features of the only layer by its name": (
        {"rank.pairing": "unpaired", "rank.features": "conv1", "finetune.layers": "first"},
        "rank",
        lambda spec: edited(spec, (), features="conv1"),
        ("ranking.json",),
    ),
    "γ and β of normalisations that there are not": (
        {"model.name": "cnn-2", "finetune.layers": "all"},
        "finetune",
        lambda spec: edited(spec, (), batch_norm="affine"),
        ("changes.safetensors",),
    ),
    "statistics of normalisations that there are not": (
        {"model.name": "cnn-2", "finetune.method": "network"},
        "finetune",
        lambda spec: edited(spec, (), batch_norm="full"),
        ("changes.safetensors",),
    ),
}
"""{what is left out of a key: (context, stage, the spec with it, the files that stay the same)}."""


@pytest.mark.parametrize("name", LEFT_OUT)
def test_what_is_left_out_of_a_key_changes_nothing(shop, name):
    context, stage, edit, names = LEFT_OUT[name]
    stages = plan(shop, context)
    before = files(shop, stages, stage)
    spec = next(spec for spec in stages if spec.stage == stage)
    other = edit(spec)
    assert other.key != spec.key
    after = run(shop, other).manifest["files"]
    assert {file: before[file] for file in names} == {file: after[file] for file in names}


def test_which_filters_a_random_choice_takes_does_not_depend_on_the_rule_of_the_election(shop):
    stages = plan(shop, {"finetune.which": "random", "finetune.threshold": 0.01})
    before = files(shop, stages, "finetune")
    rank, tuned = stages[1:3]
    by_vote = edited(rank, (), election="borda", top=3)
    run(shop, by_vote)
    after = run(shop, replace(tuned, inputs={**tuned.inputs, "rank": by_vote.key})).manifest["files"]
    assert before == after


def test_random_exemplars_are_others_than_the_medoids_and_the_same_again(shop):
    unpaired = {"rank.pairing": "unpaired", "rank.n_exemplars": 2}
    medoids = files(shop, plan(shop, unpaired), "rank")
    stages = plan(shop, unpaired, {"rank.features": "random"})
    drawn = files(shop, stages, "rank")
    assert drawn["ranking.json"] != medoids["ranking.json"]
    spec = next(spec for spec in stages if spec.stage == "rank")
    assert files(shop, (edited(spec, (), metric="hamming"),), "rank")["ranking.json"] == drawn["ranking.json"]


def test_the_order_of_corruptions_changes_no_error(shop):
    stages = plan(shop, {"finetune.which": "none"})
    files(shop, stages, "evaluate")
    spec = stages[-1]
    turned = {name: spec.settings[name][::-1] for name in ("corruptions", "objective", "severities")}
    found = [run(shop, one).json("errors") for one in (spec, edited(spec, (), **turned))]
    for part in ("validation", "test"):
        one, other = (
            {(row["corruption"], row["severity"]): row["error"] for row in errors[part]["corrupted"]}
            for errors in found
        )
        assert one == other
        assert list(one) == list(other)[::-1]
    assert found[0]["objective"] == pytest.approx(found[1]["objective"])
