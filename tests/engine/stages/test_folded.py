"""Tests of networks with folded batch normalisations: their keys, their records, and what cannot be folded."""

import pytest
import torch
from torch import nn

from engine.settings import TrialConfig
from engine.stages import folded, plan_trial
from engine.stages.folded import check_alike
from engine.stages.numerics import Numerics
from tests.engine.stages.conftest import TINY

NETWORK = {**TINY, "model.name": "resnet-8", "finetune.which": "none", "pretrain.epochs": 1}


def run_both(workshop):
    """Return the errors of a trial tested as it is, and folded, which pretrains nothing anew."""
    workshop.plan()
    config = TrialConfig().with_settings(NETWORK)
    found = []
    for asked in (False, True):
        plan = plan_trial(config, workshop.info, folded=asked)
        outcomes = {one.spec.stage: one for one in workshop.run(plan)}
        assert outcomes["pretrain"].from_store == asked
        assert not outcomes["evaluate"].from_store
        found.append(outcomes["evaluate"].artifact.json("errors"))
    return found


def test_a_folded_test_has_a_key_of_its_own_answers_alike_and_says_what_was_folded(workshop) -> None:
    plain, found = run_both(workshop)
    assert "passes" not in plain
    passes = found["passes"]
    assert passes["folded"] is True
    assert passes["layers"]["conv1"] == "bn1"
    assert len(passes["layers"]) == 9
    assert found["objective"] == pytest.approx(plain["objective"], abs=0.02)
    losses = [errors["test"]["calibration"] for errors in (plain, found)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)


def test_a_network_that_would_answer_otherwise_is_tested_as_it_is(workshop, monkeypatch) -> None:
    def wrong(network: nn.Module) -> tuple[nn.Module, dict[str, str]]:
        return nn.Sequential(network, nn.Linear(10, 10)), {"conv1": "bn1"}

    monkeypatch.setattr(folded, "fold_batch_norm", wrong)
    with pytest.warns(UserWarning, match="tested without folding.*of the largest one off"):
        plain, found = run_both(workshop)
    passes = found.pop("passes")
    assert passes["folded"] is False
    assert passes["reason"].startswith("ValueError: its answers would be ")
    assert found == plain, "to the bit"


def test_answers_that_are_no_numbers_are_not_alike() -> None:
    images = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    same = nn.Flatten()
    with pytest.raises(ValueError, match="nan of the largest one off"):
        check_alike(same, nn.Sequential(same, nn.BatchNorm1d(48)).eval(), images)  # of 0 nothing is a share
    check_alike(same, same, images + 1)


def test_keys_of_tests_alone_say_that_networks_are_folded() -> None:
    assert Numerics("cpu", 2, folded=True).to_key() == {"device": "cpu", "threads": 2, "folded": True}
    assert Numerics("cpu", 2, folded=True).to_key(tests=False) == Numerics("cpu", 2).to_key()
    assert Numerics("cuda", folded=True).to_key() == {"device": "cuda", "precision": "fp32", "folded": True}
    assert Numerics.of_key(Numerics("cuda", folded=True).to_key()).folded
