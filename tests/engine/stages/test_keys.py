"""What is in the keys of stages: each setting that changes numbers, where it does, and nothing else."""

import dataclasses
from types import SimpleNamespace
from typing import Any

import pytest

from engine.corruptions import CORRUPTION_REGISTRY
from engine.layers.pull_kernel import pull_size
from engine.ranking import ELECTIONS, register_election
from engine.settings import TrainingSettings, TrialConfig
from engine.stages import plan_trial
from engine.stages.plan_network import canonical_h
from engine.stages.planning import relevant_training
from tests.engine.stages.plan_keys import ALL, STAGES, UNPAIRED, changed, keys

DOWN_FROM_RANK = ("rank", "finetune", "evaluate")


DOWN_FROM_FINETUNE = ("finetune", "evaluate")


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
