"""Which stages a trial has, what each is made from, and what they are stored under."""

import json

import pytest

from engine.settings import TrialConfig
from engine.stages import StageSpec, plan_trial
from tests.engine.stages.plan_keys import ALL, STAGES, changed, keys


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


def test_a_spec_survives_json(info):
    for spec in plan_trial(TrialConfig().with_settings(ALL), info):
        again = StageSpec.from_json(json.loads(json.dumps(spec.to_json())))
        assert again.key == spec.key
        assert len(spec.key) == 32
