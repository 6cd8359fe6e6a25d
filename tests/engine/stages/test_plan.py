import dataclasses
import importlib
import json
import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from engine.corruptions import CORRUPTION_REGISTRY, CORRUPTIONS, register_corruption, register_distortion
from engine.corruptions.c_bar_tables import CIFAR_C_BAR, IMAGENET_C_BAR
from engine.corruptions.distortions import DISTORTION_REGISTRY
from engine.errors import InputError
from engine.layers.pull_kernel import pull_size
from engine.models import MODELS, register_model
from engine.ranking import ELECTIONS, register_election
from engine.settings import TrainingSettings, TrialConfig
from engine.stages import STAGES as STAGE_KINDS
from engine.stages import StageSpec, plan_network, plan_trial
from engine.stages.plan_network import canonical_h
from engine.stages.planning import relevant_training

STAGES = ("pretrain", "rank", "finetune", "evaluate")
KINDS = ("pretrain", "init", "rank", "finetune", "evaluate")
ALL = {"finetune.which": "most", "push_pull.where": "first"}
"""The context in which most settings matter: all four stages, with push–pull layers."""


def keys(info, *contexts: dict[str, Any], **options) -> dict[str, str]:
    """Return the keys of the stages of the default trial with some settings changed."""
    settings: dict[str, Any] = {}
    for context in contexts:
        settings |= context
    plan = plan_trial(TrialConfig().with_settings(settings), info, **options)
    return {spec.stage: spec.key for spec in plan}


def changed(info, context: dict[str, Any], setting: dict[str, Any]) -> tuple[str, ...]:
    """Return the stages whose keys a setting changes."""
    before, after = keys(info, context), keys(info, context, setting)
    return tuple(stage for stage in KINDS if before.get(stage) != after.get(stage))


def test_keys_golden(info):
    assert keys(info, ALL) == {
        "pretrain": "9435d513b069031b5990b459f6f0eeeb",
        "rank": "e0b378a5528f37ba61e68a14450c664a",
        "finetune": "0d29b50bec4c9113e0b959ee8815aa2b",
        "evaluate": "a9bd823372452a9c6e398e2d6273ea47",
    }
    assert keys(info) == {
        "pretrain": "89cd691255fae34627307b7492576c1c",
        "evaluate": "64d140d1cc7a5bb117401928153c50b9",
    }


def test_stages_that_do_not_test_have_a_data_key_without_the_test_images(info):
    assert {spec.stage: spec.data for spec in plan_trial(TrialConfig().with_settings(ALL), info)} == {
        "pretrain": info.training_key,
        "rank": info.training_key,
        "finetune": info.training_key,
        "evaluate": info.key,
    }


def test_a_trial_s_stages_are_a_chain(info):
    plan = plan_trial(TrialConfig().with_settings(ALL), info)
    pretrain, rank, finetune, evaluate = plan
    assert [spec.stage for spec in plan] == list(STAGES)
    assert pretrain.inputs == {}
    assert rank.inputs == {"pretrain": pretrain.key}
    assert finetune.inputs == {"pretrain": pretrain.key, "rank": rank.key}
    assert evaluate.inputs == {"pretrain": pretrain.key, "finetune": finetune.key}
    assert plan.key("rank") == rank.key
    assert plan_trial(TrialConfig(), info).key("rank") is None


@pytest.mark.parametrize(
    ("which", "stages"),
    [
        ("none", ("pretrain", "evaluate")),
        ("all", ("pretrain", "finetune", "evaluate")),
        ("random", ("pretrain", "finetune", "evaluate")),
        ("most", STAGES),
        ("least", STAGES),
    ],
)
def test_a_trial_has_the_stages_that_its_fine_tuning_needs(info, which, stages):
    assert tuple(keys(info, {"finetune.which": which})) == stages


@pytest.mark.parametrize(
    ("settings", "stages"),
    [
        ({"finetune.method": "correction"}, STAGES),
        ({"finetune.method": "network"}, ("pretrain", "finetune", "evaluate")),
        ({"finetune.method": "classifier"}, ("pretrain", "finetune", "evaluate")),
        ({"finetune.method": "retrain"}, ("pretrain", "evaluate")),
        ({"finetune.method": "tent"}, ("pretrain", "finetune", "evaluate")),
        ({"finetune.threshold": 0.1, "finetune.which": "random"}, STAGES),  # as many as are above the threshold
        ({"finetune.across_layers": True, "finetune.which": "random"}, ("pretrain", "finetune", "evaluate")),
        ({"finetune.across_layers": True, "finetune.fraction": 1.0}, ("pretrain", "finetune", "evaluate")),
    ],
    ids=str,
)
def test_a_trial_has_the_stages_that_its_method_needs(info, settings, stages):
    assert tuple(keys(info, {"finetune.which": "most", **settings})) == stages


def test_retraining_shares_nothing_with_the_clean_pretraining_but_noisy_images_of_other_trials(info):
    retrain = {**ALL, "finetune.method": "retrain"}
    assert keys(info, retrain)["pretrain"] != keys(info, ALL)["pretrain"]
    assert keys(info, retrain) == keys(info, {**retrain, "model.weights": "ab" * 16}), (
        "random weights, whatever is given"
    )
    assert changed(info, retrain, {"distortion.n_images": 100}) == ("pretrain", "evaluate")
    assert changed(info, retrain, {"finetune.select_by": "validation"}) == ("pretrain", "evaluate")


def test_a_distance_that_says_nothing_of_a_layer_s_maps_is_refused(info):
    small = dataclasses.replace(info, image_size=4)
    settings = {"finetune.which": "most", "finetune.layers": "layer3.0.conv1", "rank.distance": "sliced_emd"}
    with pytest.raises(InputError, match=r"layer 'layer3.0.conv1': .*'sliced_emd' needs activation maps of two pixels"):
        keys(small, settings)
    assert "rank" in keys(small, {**settings, "rank.distance": "l1"})
    assert "rank" in keys(small, {**settings, "finetune.layers": "conv1"})


def test_features_of_a_layer_that_does_not_exist_are_refused(info):
    with pytest.raises(InputError, match=r"unknown features for `rank.features` 'conv2' \(did you mean"):
        keys(info, {**UNPAIRED, "rank.features": "conv2"})


def test_a_network_without_a_classifier_is_refused(info, monkeypatch):
    monkeypatch.setattr("engine.stages.planning.plan_network", lambda config, data: ({}, nn.Conv2d(1, 4, 3)))
    monkeypatch.setattr("engine.stages.plan.check_network", lambda settings: None)
    with pytest.raises(InputError, match="no linear layer that could be trained as its classifier"):
        keys(info, {"finetune.which": "all", "finetune.method": "classifier"})


def test_a_spec_survives_json(info):
    for spec in plan_trial(TrialConfig().with_settings(ALL), info):
        again = StageSpec.from_json(json.loads(json.dumps(spec.to_json())))
        assert again.key == spec.key
        assert len(spec.key) == 32


DOWN_FROM_RANK = ("rank", "finetune", "evaluate")
DOWN_FROM_FINETUNE = ("finetune", "evaluate")
UNPAIRED = {**ALL, "rank.pairing": "unpaired"}
IN_BLOCKS = {**ALL, "finetune.layers": "layer1,layer2,layer3"}
BY_SGD = {**ALL, "pretrain.optimizer": "sgd", "finetune.training.optimizer": "sgd"}
BY_STEPS = {**ALL, "pretrain.schedule": "step", "finetune.training.schedule": "step"}

RELEVANT: dict[str, tuple[dict[str, Any], Any, tuple[str, ...]]] = {
    "seed": (ALL, 1, STAGES),
    "model.name": (ALL, "resnet-14", STAGES),
    "model.width": (ALL, 8, STAGES),
    "model.weights": (ALL, "ab" * 16, ("pretrain", "init", "rank", "finetune", "evaluate")),
    "push_pull.where": (ALL, "first_block", STAGES),
    "push_pull.variant": (ALL, "2024", STAGES),
    "push_pull.h": (ALL, 3.0, STAGES),
    "push_pull.average": ({**ALL, "push_pull.variant": "2024"}, 5, STAGES),
    "push_pull.alpha": (ALL, 0.5, STAGES),
    "push_pull.learn_alpha": (ALL, "kernel", STAGES),
    "pretrain.epochs": (ALL, 9, STAGES),
    "pretrain.batch_size": (ALL, 32, STAGES),
    "pretrain.optimizer": (ALL, "sgd", STAGES),
    "pretrain.learning_rate": (ALL, 1e-3, STAGES),
    "pretrain.schedule": (ALL, "constant", STAGES),
    "pretrain.milestones": (BY_STEPS, [0.5], STAGES),
    "pretrain.momentum": (BY_SGD, 0.5, STAGES),
    "pretrain.weight_decay": (ALL, 1e-4, STAGES),
    "pretrain.label_smoothing": (ALL, 0.1, STAGES),
    "pretrain.max_gradient_norm": (ALL, 1.0, STAGES),
    "pretrain.patience": (ALL, 3, STAGES),
    "pretrain.augmentation": (ALL, "crop-flip", STAGES),
    "distortion.name": (ALL, "blur", DOWN_FROM_RANK),
    "distortion.level": (ALL, 50.0, DOWN_FROM_RANK),
    "distortion.n_images": (ALL, 100, DOWN_FROM_RANK),
    "rank.by": (ALL, "gradient", DOWN_FROM_RANK),
    "rank.batch_size": ({**ALL, "rank.by": "gradient"}, 16, DOWN_FROM_RANK),
    "rank.distance": (ALL, "l1", DOWN_FROM_RANK),
    "rank.at": (ALL, "convolution", DOWN_FROM_RANK),
    "rank.election": (ALL, "copeland", DOWN_FROM_RANK),
    "rank.top": (ALL, 5, DOWN_FROM_RANK),
    "rank.pairing": (ALL, "unpaired", DOWN_FROM_RANK),
    "rank.features": (UNPAIRED, "maps", DOWN_FROM_RANK),
    "rank.metric": (UNPAIRED, "hamming", DOWN_FROM_RANK),
    "rank.n_exemplars": (UNPAIRED, 2, DOWN_FROM_RANK),
    "finetune.which": (ALL, "least", DOWN_FROM_FINETUNE),
    "finetune.unit": (IN_BLOCKS, "block", DOWN_FROM_RANK),
    "perturbation.kind": (ALL, "noise", STAGES),
    "perturbation.sigmas": ({**ALL, "perturbation.kind": "noise"}, [0.3], STAGES),
    "perturbation.share": ({**ALL, "perturbation.kind": "noise"}, 1.0, STAGES),
    "perturbation.severity": ({**ALL, "perturbation.kind": "augmix"}, 1.0, STAGES),
    "perturbation.consistency": ({**ALL, "perturbation.kind": "augmix"}, 0.0, STAGES),
    "perturbation.strengths": ({**ALL, "perturbation.kind": "prime"}, "imagenet", STAGES),
    "finetune.layers": (ALL, "first", DOWN_FROM_RANK),
    "finetune.fraction": (ALL, 0.5, DOWN_FROM_FINETUNE),
    "finetune.count": (ALL, 3, DOWN_FROM_FINETUNE),
    "finetune.threshold": (ALL, 0.1, DOWN_FROM_FINETUNE),
    "finetune.across_layers": (ALL, True, DOWN_FROM_RANK),
    "finetune.method": (ALL, "correction", DOWN_FROM_FINETUNE),
    "finetune.batch_norm": (ALL, "affine", DOWN_FROM_FINETUNE),
    "finetune.train_classifier": (ALL, True, DOWN_FROM_FINETUNE),
    "finetune.rates": (ALL, "gradient", DOWN_FROM_FINETUNE),
    "finetune.select_by": (ALL, "validation", DOWN_FROM_FINETUNE),
    "finetune.training.epochs": (ALL, 9, DOWN_FROM_FINETUNE),
    "finetune.training.batch_size": (ALL, 32, DOWN_FROM_FINETUNE),
    "finetune.training.optimizer": (ALL, "sgd", DOWN_FROM_FINETUNE),
    "finetune.training.learning_rate": (ALL, 1e-4, DOWN_FROM_FINETUNE),
    "finetune.training.schedule": (ALL, "one-cycle", DOWN_FROM_FINETUNE),
    "finetune.training.milestones": (BY_STEPS, [0.5], DOWN_FROM_FINETUNE),
    "finetune.training.momentum": (BY_SGD, 0.5, DOWN_FROM_FINETUNE),
    "finetune.training.weight_decay": (ALL, 1e-4, DOWN_FROM_FINETUNE),
    "finetune.training.label_smoothing": (ALL, 0.1, DOWN_FROM_FINETUNE),
    "finetune.training.max_gradient_norm": (ALL, 1.0, DOWN_FROM_FINETUNE),
    "finetune.training.patience": (ALL, 3, DOWN_FROM_FINETUNE),
    "finetune.training.augmentation": (ALL, "crop-flip", DOWN_FROM_FINETUNE),
    "evaluate.table": (ALL, "cifar-c", ("evaluate",)),
    "evaluate.corruptions": (ALL, ["gaussian_noise"], ("evaluate",)),  # of the objective's kind
    "evaluate.objective": (ALL, ["contrast"], ("evaluate",)),
    "evaluate.severities": (ALL, [1, 5], ("evaluate",)),
    "evaluate.sequences": (ALL, ["translate"], ("evaluate",)),
    "evaluate.difficulty": ({**ALL, "evaluate.sequences": ["translate"]}, 2, ("evaluate",)),
}
"""{setting: (context in which it matters, another value, the stages whose keys change)}."""

IN_THE_DATA = {
    "data.name": "the images: their content is in the data's key",
    "data.image_size": "how the images are decoded: in their fingerprint",
    "data.channels": "how the images are decoded: in their fingerprint",
    "data.n_train": "how the images are set apart: in `split_key`",
    "data.n_validation": "how the images are set apart: in `split_key`",
    "data.n_test": "how the images are set apart: in `split_key`",
    "data.validation_fraction": "how the images are set apart: in `split_key`",
    "data.split_seed": "how the images are set apart: in `split_key`",
    "data.test_fraction": "which images are test images: in a folder's fingerprint",
    "data.classes": "which files of a folder are used: in its fingerprint",
    "data.value_range": "how the images are decoded: in a folder's fingerprint",
    "data.corruption_files": "the files' content is in the evaluation's settings: see test_corruption_files.py",
    "data.sequence_files": "the files' content is in the evaluation's settings: see test_sequence_files.py",
}
"""{setting: why no stage has it}; the tests of `engine.data` change each of them."""


WATCHED = {
    "evaluate.table": "cifar-c",
    "evaluate.objective": ["contrast"],
    "evaluate.severities": [1, 5],
    "evaluate.n_probe": 100,
}
"""{setting: another value} of what the epochs of trainings are watched by: the probe."""


def test_every_setting_is_accounted_for():
    assert set(RELEVANT) | set(IN_THE_DATA) | set(WATCHED) == set(TrialConfig().flat())
    assert not set(RELEVANT) & set(IN_THE_DATA)


@pytest.mark.parametrize("setting", WATCHED)
def test_what_is_only_watched_trains_nothing_again_but_is_told_apart(info, setting):
    """The probe's values are shown and pruned on; weights, best epochs and rankings do not depend on them."""
    before, after = (
        {spec.stage: spec for spec in plan_trial(TrialConfig().with_settings({**ALL, **changes}), info)}
        for changes in ({}, {setting: WATCHED[setting]})
    )
    for stage in ("pretrain", "rank", "finetune"):
        assert before[stage].key == after[stage].key
    for stage in ("pretrain", "finetune"):
        assert before[stage].watch_digest != after[stage].watch_digest
    assert before["rank"].watch_digest == after["rank"].watch_digest


@pytest.mark.parametrize("setting", RELEVANT)
def test_a_setting_that_matters_changes_its_stage_and_what_follows(info, setting):
    context, value, stages = RELEVANT[setting]
    assert changed(info, context, {setting: value}) == stages


def test_the_data_s_key_is_in_every_stage(info):
    other = dataclasses.replace(info, key="f" * 32, training_key="e" * 32)
    before, after = keys(info, ALL), keys(other, ALL)
    assert all(before[stage] != after[stage] for stage in STAGES)
    assert keys(dataclasses.replace(info, raw_key="f" * 32), ALL) == before


@pytest.mark.parametrize("options", [{"device": "cuda"}, {"threads": 2}])
@pytest.mark.parametrize("weights", [None, "ab" * 16])
def test_what_changes_numbers_is_in_every_stage(info, options, weights):
    context = {**ALL, "model.weights": weights}
    before, after = keys(info, context), keys(info, context, **options)
    assert all(before[stage] != after[stage] for stage in before)


def test_the_threads_of_the_cpu_are_not_in_the_keys_of_what_a_gpu_computes(info):
    assert keys(info, ALL, device="cuda", threads=2) == keys(info, ALL, device="cuda")


WHOLE = {"finetune.which": "all", "finetune.unit": "block"}
PLAIN: dict[str, Any] = {"push_pull.where": "none"}
FROM_WEIGHTS = {**ALL, "model.weights": "ab" * 16}
WITHOUT_NORMS = {**ALL, "model.name": "cnn-2"}
TESTED = {
    **ALL,
    "evaluate.corruptions": ["gaussian_noise", "contrast"],
    "evaluate.objective": ["gaussian_noise", "shot_noise"],
}


@pytest.mark.parametrize(
    ("context", "setting"),
    [
        (ALL, {"rank.features": "maps"}),
        (ALL, {"rank.metric": "hamming"}),
        (ALL, {"rank.n_exemplars": 3}),
        (UNPAIRED, {"rank.election": "copeland"}),
        (UNPAIRED, {"rank.top": 3}),
        (ALL, {"pretrain.momentum": 0.5}),
        (ALL, {"finetune.training.momentum": 0.5}),
        (ALL, {"pretrain.milestones": [0.5]}),
        (ALL, {"pretrain.patience": 8}),
        (ALL, {"pretrain.patience": 50}),
        (FROM_WEIGHTS, {"pretrain.epochs": 3}),
        (FROM_WEIGHTS, {"pretrain.optimizer": "sgd"}),
        ({**ALL, "push_pull.h": 1.5}, {"push_pull.h": 1.6}),
        ({**ALL, "push_pull.h": 1.5}, {"push_pull.h": 4 / 3}),
        ({**ALL, "push_pull.h": 2.0}, {"push_pull.h": 2.6}),
        ({**ALL, "push_pull.h": 1.0}, {"push_pull.h": 1.3}),
        (ALL, {"push_pull.where": "conv1"}),
        (ALL, {"push_pull.where": " first "}),
        ({**ALL, **PLAIN}, {"push_pull.h": 3.0}),
        ({**ALL, **PLAIN}, {"push_pull.alpha": 0.5}),
        ({**ALL, **PLAIN}, {"push_pull.learn_alpha": "kernel"}),
        ({**ALL, "finetune.layers": "first-3"}, {"finetune.fraction": 0.26}),
        ({**ALL, "finetune.layers": "first"}, {"finetune.count": 4}),
        ({**ALL, "finetune.layers": "first-2"}, {"finetune.layers": "layer1.0.conv1, conv1"}),
        ({"finetune.which": "all"}, {"finetune.fraction": 0.5}),
        ({"finetune.which": "all"}, {"finetune.count": 2}),
        ({"finetune.which": "all"}, {"finetune.which": "most", "finetune.fraction": 1.0}),
        ({"finetune.which": "all"}, {"finetune.which": "random", "finetune.fraction": 1.0}),
        ({"finetune.which": "all"}, {"rank.distance": "l1"}),
        ({"finetune.which": "random"}, {"rank.distance": "l1"}),
        ({"finetune.which": "random"}, {"rank.pairing": "unpaired"}),
        ({"finetune.which": "random", "finetune.across_layers": True}, {"rank.distance": "l1"}),
        ({**ALL, "finetune.threshold": 0.1}, {"finetune.across_layers": True}),
        ({**ALL, "finetune.layers": "first"}, {"finetune.across_layers": True}),
        ({**ALL, "finetune.method": "correction"}, {"finetune.batch_norm": "affine"}),
        ({**IN_BLOCKS, "finetune.unit": "block"}, {"finetune.layers": " layer3, layer1,layer2"}),
        ({**IN_BLOCKS, "finetune.unit": "block"}, {"finetune.layers": "layer*"}),
        ({**IN_BLOCKS, "finetune.unit": "block"}, {"finetune.across_layers": True}),
        ({**IN_BLOCKS, "finetune.unit": "block"}, {"finetune.fraction": 0.3}),
        (WHOLE, {"finetune.unit": "layer"}),
        ({**ALL, "rank.by": "gradient", "rank.batch_size": 160}, {"rank.batch_size": 500}),
        ({**ALL, "rank.by": "fisher"}, {"rank.batch_size": 8}),
        (WHOLE, {"finetune.train_classifier": True}),
        (WHOLE, {"finetune.which": "most", "finetune.fraction": 1.0}),
        *(
            ({**ALL, "finetune.method": method}, {name: value})
            for method in ("network", "classifier", "retrain", "statistics", "tent")
            for name, value in (("finetune.which", "random"), ("finetune.layers", "first"), ("finetune.count", 1))
        ),
        ({**ALL, "finetune.method": "retrain"}, {"finetune.training.epochs": 50}),
        ({**ALL, "finetune.method": "statistics"}, {"finetune.training.epochs": 50}),
        *(
            ({**ALL, "finetune.method": method}, setting)
            for method in ("statistics", "tent")
            for setting in (
                {"finetune.select_by": "validation"},
                {"finetune.batch_norm": "affine"},
                {"finetune.training.label_smoothing": 0.1},
                {"finetune.training.patience": 1},
            )
        ),
        ({"finetune.which": "none"}, {"finetune.select_by": "validation"}),
        ({"finetune.which": "none"}, {"rank.at": "convolution"}),
        ({"finetune.which": "none"}, {"distortion.level": 50.0}),
        ({"finetune.which": "none"}, {"finetune.training.epochs": 50}),
        *(({**ALL, "rank.election": rule}, {"rank.top": 3}) for rule in ("copeland", "mean_rank", "mean_distance")),
        ({**ALL, "finetune.which": "random", "finetune.threshold": 0.1}, {"rank.election": "copeland"}),
        ({**UNPAIRED, "finetune.layers": "first", "rank.features": "maps"}, {"rank.features": "conv1"}),
        ({**UNPAIRED, "rank.features": "random"}, {"rank.metric": "hamming"}),
        ({**ALL, "push_pull.alpha": 0.0}, {"push_pull.h": 3.0}),
        (ALL, {"model.width": 16}),
        (WITHOUT_NORMS, {"model.width": 32}),
        (WITHOUT_NORMS, {"finetune.batch_norm": "affine"}),
        ({**WITHOUT_NORMS, "rank.at": "convolution"}, {"rank.at": "normalisation"}),
        *(
            ({**WITHOUT_NORMS, "finetune.method": "network"}, {"finetune.batch_norm": batch_norm})
            for batch_norm in ("affine", "full")
        ),
        (BY_STEPS, {"pretrain.milestones": [0.8, 0.4, 0.6]}),
        ({**ALL, "pretrain.schedule": "constant"}, {"pretrain.schedule": "step", "pretrain.milestones": []}),
        ({**ALL, "pretrain.batch_size": 957}, {"pretrain.batch_size": 5000}),
        ({**ALL, "finetune.training.batch_size": 200}, {"finetune.training.batch_size": 300}),
        (TESTED, {"evaluate.corruptions": ["contrast", "gaussian_noise", "contrast"]}),
        (TESTED, {"evaluate.objective": ["shot_noise", "gaussian_noise"]}),
        (ALL, {"evaluate.severities": [5, 5, 4, 3, 2, 1]}),
        (ALL, {"evaluate.table": "digits"}),
        (ALL, {"evaluate.objective": ["gaussian_noise", "shot_noise"]}),
        (ALL, {"evaluate.severities": [5, 4, 3, 2, 1]}),
        (ALL, {"evaluate.n_probe": 100}),
    ],
    ids=lambda value: ",".join(f"{key}={item}" for key, item in value.items()),
)
def test_a_setting_that_cannot_matter_changes_no_key(info, context, setting):
    assert keys(info, context) == keys(info, context, setting)


def test_the_other_side_of_each_of_these_does_matter(info):
    assert changed(info, {**ALL, "push_pull.h": 1.5}, {"push_pull.h": 2.0}) == STAGES
    assert changed(info, {**ALL, "finetune.layers": "first", "model.width": 16}, {"finetune.fraction": 0.3}) != ()
    assert changed(info, {**ALL, "finetune.fraction": 0.25, "model.width": 64}, {"finetune.fraction": 0.26}) != ()


def test_what_a_user_s_rule_makes_of_the_number_of_places_is_not_known(info, monkeypatch):
    monkeypatch.setattr(ELECTIONS, "_entries", dict(ELECTIONS._entries))
    register_election("own")(lambda distances, top: distances.mean(dim=0))
    assert changed(info, {**ALL, "rank.election": "own"}, {"rank.top": 3}) == DOWN_FROM_RANK


def test_a_folder_s_corruptions_need_no_code(info, monkeypatch):
    """Of test images from files, what makes corruptions plays no part; of validation images it does."""
    monkeypatch.setattr(CORRUPTION_REGISTRY, "_sources", dict.fromkeys(CORRUPTION_REGISTRY, "0" * 16))
    files = {"contrast": "a" * 64}
    from_files = dataclasses.replace(info, corruption_folder="/files", corruption_files=files)
    settings = TrialConfig().with_settings({"evaluate.corruptions": ["contrast"], "evaluate.objective": ["shot_noise"]})
    evaluated = [plan_trial(settings, data).stages[-1].settings["source"] for data in (info, from_files)]
    assert [sorted(source) for source in evaluated] == [["contrast", "shot_noise"], ["shot_noise"]]


def test_all_filters_by_most_or_random_are_all_filters_but_random_ones_are_not_ranked_ones(info):
    plan = plan_trial(TrialConfig().with_settings({"finetune.which": "random", "finetune.fraction": 1.0}), info)
    assert plan.stages[1].settings["which"] == "all"
    assert "rank" not in plan.stages[1].inputs


def test_weights_take_the_place_of_pretraining(info):
    init, rank, finetune, evaluate = plan_trial(TrialConfig().with_settings(FROM_WEIGHTS), info)
    assert [spec.stage for spec in (init, rank, finetune, evaluate)] == ["init", "rank", "finetune", "evaluate"]
    assert init.inputs == {"weights": "ab" * 16}
    assert init.seed is None
    assert rank.inputs == {"init": init.key}
    assert changed(info, FROM_WEIGHTS, {"model.weights": "cd" * 16}) == ("init", *DOWN_FROM_RANK)
    assert changed(info, FROM_WEIGHTS, {"push_pull.h": 3.0}) == ("init", *DOWN_FROM_RANK)
    assert changed(info, FROM_WEIGHTS, {"seed": 1}) == DOWN_FROM_RANK


def test_the_placebo_is_not_the_plain_network(info):
    placebo = {"push_pull.where": "first", "push_pull.h": 1.0, "push_pull.alpha": 1.0}
    assert changed(info, PLAIN, placebo) == ("pretrain", "evaluate")


@pytest.mark.parametrize(
    ("side", "pulls", "h"),
    [([3], [3], 1.0), ([3], [5], 5 / 3), ([3], [7], 7 / 3), ([5, 3], [7, 5], 22 / 15), ([3, 5], [5, 9], 1.8)],
)
def test_canonical_h_gives_the_same_pull_kernels(side, pulls, h):
    layers = [SimpleNamespace(kernel_size=(s, s), pull_kernel_size=(p, p)) for s, p in zip(side, pulls, strict=True)]
    found = canonical_h(layers)
    assert found == pytest.approx(h, abs=1e-6)
    assert [pull_size(s, found) for s in side] == pulls


def test_relevant_training_of_the_defaults():
    assert relevant_training(TrainingSettings(), 958) == {
        "epochs": 8,
        "batch_size": 64,
        "optimizer": "adam",
        "learning_rate": 3e-3,
        "schedule": "one-cycle",
        "weight_decay": 0.0,
        "label_smoothing": 0.0,
        "augmentation": "none",
    }


def test_the_pictures_of_frost_are_in_the_keys_that_they_matter_to(info, monkeypatch):
    class Other:
        key = "other:abc"

    def with_and_without(setting):
        context = {**ALL, "evaluate.table": "cifar-c", **setting}
        before = keys(info, context)
        with monkeypatch.context() as patch:
            patch.setattr("engine.stages.plan_evaluation.frost_source", Other)
            return tuple(stage for stage in STAGES if before[stage] != keys(info, context)[stage])

    assert with_and_without({"evaluate.corruptions": ["frost", "fog"]}) == ("evaluate",)
    assert with_and_without({"evaluate.corruptions": ["fog"]}) == ()
    assert with_and_without({"evaluate.objective": ["frost"], "evaluate.corruptions": ["fog"]}) == ("evaluate",)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model.name": "resnet-9"}, "resnet-9|6n"),
        ({"model.name": "resnt-8"}, r"unknown model 'resnt-8' \(did you mean 'resnet-8'\?\)"),
        ({"push_pull.where": "conv9"}, "unknown convolution 'conv9'"),
        (
            {"push_pull.variant": "2024", "push_pull.learn_alpha": "layer"},
            "`push_pull.variant`=2024 learns a strength for each kernel: `push_pull.learn_alpha` must be kernel",
        ),
        ({**ALL, "finetune.layers": "conv9"}, "unknown layer for `finetune.layers` 'conv9'"),
        ({**ALL, "finetune.layers": "first-8"}, "needs K from 1 to the network's 7 layers, got 'first-8'"),
        ({**ALL, "finetune.layers": "first-0"}, "needs K from 1 to the network's 7 layers"),
        ({**ALL, "finetune.layers": "first-x"}, "needs K from 1 to the network's 7 layers"),
        ({**ALL, "finetune.layers": ""}, "`finetune.layers` must be first, all, first-K or layer names, got ''"),
        ({**ALL, "finetune.count": 17}, "layer's 16 filters, got 17"),
        ({**ALL, "rank.distance": "emd1d"}, r"unknown distance .*'emd1d' \(did you mean 'emd_1d'\?\)|unknown .*emd1d"),
        ({**ALL, "rank.election": "bordo"}, r"'bordo' \(did you mean 'borda'\?\)"),
        ({**ALL, "distortion.name": "awg"}, r"unknown distortion 'awg' \(did you mean 'awgn'\?\)"),
        ({**ALL, "distortion.level": 300.0}, r"must lie in \[0, 255\], got 300"),
        ({**ALL, "distortion.n_images": 959}, "at most the 958 training images, got 959"),
        ({**UNPAIRED, "distortion.n_images": 957, "rank.n_exemplars": 2}, "needs at least 2 clean images"),
        ({"evaluate.table": "digit"}, r"unknown severity table 'digit' \(did you mean 'digits'\?\)"),
        (
            {"evaluate.corruptions": ["fog"]},
            "severity table 'digits' has no corruption 'fog', but 'cifar-c' has: evaluate.table=cifar-c; known: bright",
        ),
        (
            {"evaluate.objective": ["c-bar"]},
            "severity table 'digits' has no suite of corruptions 'c-bar', but 'cifar-c' has: evaluate.table=cifar-c;",
        ),
        ({"evaluate.corruptions": ["saturate"]}, "severity table 'digits': unknown corruption 'saturate'"),  # grey
        ({"evaluate.objective": ["gausian_noise"]}, r"did you mean 'gaussian_noise'"),
    ],
    ids=lambda value: ",".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else "",
)
def test_settings_that_cannot_work_are_refused_before_anything_runs(info, settings, message):
    with pytest.raises(InputError, match=message):
        keys(info, settings)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        ALL,
        {**ALL, "rank.pairing": "unpaired", "rank.n_exemplars": 2},
        {**ALL, "finetune.method": "retrain"},
        {**ALL, "finetune.method": "classifier"},
        {"model.weights": "ab" * 16},
    ],
)
def test_keys_are_made_without_any_check(info, monkeypatch, settings):
    checked = keys(info, settings)
    modules = [module for name, module in sys.modules.items() if name.startswith("engine.stages")]
    checks = {
        (module, name)
        for module in modules
        for name in vars(module)
        if name.lstrip("_").startswith("check_") and callable(vars(module)[name])
    }
    assert {"check_network", "check_evaluation", "check_noisy_images", "check_tuning"} <= {name for _, name in checks}
    for module, name in checks:
        monkeypatch.setattr(module, name, lambda *args, name=name, **others: pytest.fail(f"{name} was asked"))
    for name, stage in list(STAGE_KINDS.items()):
        asked = dataclasses.replace(stage, check=lambda planning, name=name: pytest.fail(f"{name} was checked"))
        monkeypatch.setitem(STAGE_KINDS._entries, name, asked)
    assert keys(info, settings, check=False) == checked


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("own-too-small", r"'own-too-small' cannot take images of 1×16×16: .*[Kk]ernel size"),
        ("own-headless", r"'own-headless' must return logits \(n, 10\), got \(2, 4, 14, 14\) for 2 images"),
        ("own-tuple", "'own-tuple' must return logits .* got tuple"),
    ],
)
@pytest.mark.parametrize("few_weights", [plan_network.FEW_WEIGHTS, 0], ids=["small", "large"])
def test_a_model_of_ones_own_is_tried_on_the_images_before_anything_runs(
    info, own_models, tried_anew, name, message, few_weights
):
    tried_anew(few_weights)
    with pytest.raises(InputError, match=message):
        keys(info, {"model.name": name})


def test_a_model_that_needs_its_weights_to_run_is_tried_with_them(info, own_models, tried_anew):
    tried_anew(0)
    assert keys(info, {"model.name": "own-by-value"})["pretrain"]


def test_a_large_model_is_tried_without_weights_to_the_same_end(info, monkeypatch, tried_anew):
    small = keys(info, ALL)
    tried_anew(0)
    monkeypatch.setattr(plan_network, "build_network", lambda settings, seed: pytest.fail("it was given weights"))
    assert keys(info, ALL) == small


@pytest.fixture
def tried_anew(monkeypatch):
    """Give what says how many weights are few; models that have been tried are tried again."""

    def forget() -> None:
        for function in (plan_network.check_network, plan_network.check_maps, plan_network.units_of):
            function.cache_clear()

    def change(few_weights: int) -> None:
        monkeypatch.setattr(plan_network, "FEW_WEIGHTS", few_weights)
        forget()

    yield change
    forget()


@pytest.fixture
def own_models(monkeypatch):
    """Register models that do what a user's may do, for a test."""
    monkeypatch.setattr(MODELS, "_entries", dict(MODELS._entries))
    module = importlib.import_module("engine.models.model_names")  # a function of the room has its name
    monkeypatch.setattr(module, "_EXAMPLES", dict(module._EXAMPLES))

    class ByValue(nn.Linear):
        def forward(self, images):
            values = images.mean((1, 2, 3))
            return super().forward(values[:, None] if float(values.sum()) >= 0 else -values[:, None])

    class Tuple(nn.Conv2d):
        def forward(self, images):
            return super().forward(images), None

    @register_model("own-too-small")
    def too_small(**settings):
        return nn.Sequential(nn.Conv2d(1, 4, 17), nn.Flatten(), nn.Linear(4, 10))

    @register_model("own-headless")
    def headless(**settings):
        return nn.Sequential(nn.Conv2d(1, 4, 3))

    @register_model("own-tuple")
    def returns_two(**settings):
        return Tuple(1, 4, 3)

    @register_model("own-by-value")
    def by_value(**settings):
        return ByValue(1, 10)


def test_a_cifar_like_data_set_is_tested_on_all_nineteen_and_chosen_by_the_four_set_aside(info):
    colour = dataclasses.replace(info, channels=3, image_size=32, severity_table="cifar-c")
    evaluate = plan_trial(TrialConfig(), colour).stages[-1]
    assert evaluate.settings["corruptions"] == list(CORRUPTIONS)
    assert evaluate.settings["objective"] == ["speckle_noise", "gaussian_blur", "spatter", "saturate"]
    assert evaluate.seed is None


COLOUR = {"channels": 3, "image_size": 32, "severity_table": "cifar-c"}


@pytest.mark.parametrize(
    ("about", "asked", "objective"),
    [
        (COLOUR, ["defocus_blur", "motion_blur"], ["gaussian_blur"]),
        (COLOUR, ["fog", "gaussian_noise"], ["speckle_noise", "spatter"]),
        ({**COLOUR, "channels": 1}, ["pixelate", "fog"], ["pixelate", "spatter"]),  # grey has no saturation
        ({}, ["contrast"], ["contrast"]),  # digits are compared by noise: there is none of this kind
        ({}, ["contrast", "impulse_noise"], ["gaussian_noise", "shot_noise", "contrast"]),
        ({}, [], ["gaussian_noise", "shot_noise"]),
        (COLOUR, ["c-bar"], ["speckle_noise", "gaussian_blur", "spatter", "saturate"]),
        (COLOUR, ["ripple", "fog"], ["speckle_noise", "gaussian_blur", "spatter", "saturate"]),
    ],
)
def test_the_objective_is_of_the_kinds_that_are_asked_for(info, about, asked, objective):
    config = TrialConfig().with_settings({"evaluate.corruptions": asked})
    evaluate = plan_trial(config, dataclasses.replace(info, **about)).stages[-1]
    assert evaluate.settings["objective"] == objective
    given = config.with_settings({"evaluate.objective": ["brightness"]})
    assert plan_trial(given, dataclasses.replace(info, **about)).stages[-1].settings["objective"] == ["brightness"]


def test_a_suite_of_corruptions_is_what_it_stands_for_and_keys_are_those_of_its_names(info):
    colour = dataclasses.replace(info, **COLOUR)

    def planned(*names):
        config = TrialConfig().with_settings({"evaluate.corruptions": names, "evaluate.table": "imagenet-c"})
        return plan_trial(config, colour).stages[-1]

    suite, names = planned("c-bar", "fog"), planned("fog", *IMAGENET_C_BAR)
    assert set(suite.settings["corruptions"]) == {"fog", *IMAGENET_C_BAR}
    assert suite.key == names.key
    with pytest.raises(
        InputError, match=r"severity table 'imagenet-c': unknown corruption 'c-baar' .did you mean 'c-bar'"
    ):
        planned("c-baar")


def test_of_a_suite_is_left_out_what_the_images_cannot_have_and_of_names_nothing_is(info):
    def planned(*names, objective=()):
        asked = {"evaluate.corruptions": names, "evaluate.objective": objective, "evaluate.table": "cifar-c"}
        return plan_trial(TrialConfig().with_settings(asked), info).stages[-1].settings  # of grey images

    assert planned("c") == planned()
    missing = set(CIFAR_C_BAR) - set(planned("c-bar", objective=("c-bar",))["objective"])
    assert "transverse_chromatic_abberation" in missing
    assert len(missing) < len(CIFAR_C_BAR)
    for names, objective in ((("c-bar", "saturate"), ()), (("c",), ("c", "saturate"))):
        with pytest.raises(InputError, match="'saturate' cannot be had of these images"):
            planned(*names, objective=objective)


def test_a_corruption_of_ones_own_is_chosen_by_where_it_is_asked_for(info, monkeypatch):
    monkeypatch.setattr(CORRUPTION_REGISTRY, "_entries", dict(CORRUPTION_REGISTRY._entries))
    monkeypatch.setattr("engine.corruptions.apply._own_constants", {})

    @register_corruption("invert", constants=(1, 2, 3, 4, 5))
    def invert(images, constant, draws):
        return 255 - images

    config = TrialConfig().with_settings({"evaluate.corruptions": ["invert"]})
    assert plan_trial(config, info).stages[-1].settings["objective"] == ["invert"]


def test_what_cannot_be_had_is_refused_when_it_is_planned(info, monkeypatch):
    monkeypatch.setattr(DISTORTION_REGISTRY, "_entries", dict(DISTORTION_REGISTRY._entries))
    monkeypatch.setattr(MODELS, "_entries", dict(MODELS._entries))

    @register_distortion("broken")
    def broken(images, level, draws):
        return images[level]

    @register_model("takes-nothing")
    def build():
        return torch.nn.Identity()

    tuned = {"finetune.which": "most"}
    for settings, words in {
        ("push_pull.h", 1e6): r"`h` makes pull kernels of 3,000,001×3,000,001 of kernels of 3×3: more than",
        ("distortion.name", "broken"): "distortion 'broken' of level 25 fails: IndexError: ",
        ("model.name", "takes-nothing"): "model 'takes-nothing' cannot be built: TypeError: .* unexpected keyword",
        ("finetune.layers", "conv1,all"): "unknown layer for `finetune.layers` 'all'; known: conv1",
    }.items():
        config = TrialConfig().with_settings({**tuned, "push_pull.where": "first", settings[0]: settings[1]})
        with pytest.raises(InputError, match=words):
            plan_trial(config, info)
