"""Learning rates by relative gradient norms: what a step comes to, and that an interrupted training goes on alike."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from engine.ranking.gradients import rate_multipliers, relative_gradient_norms
from engine.settings import TrainingSettings
from engine.training import SelectiveFilters, Trainer
from tests.engine.training.test_selective import EXAMPLE, SELECTED, make_network, make_split

ONE_STEP = TrainingSettings(
    epochs=1, batch_size=64, optimizer="sgd", learning_rate=0.1, momentum=0.0, schedule="constant"
)
WHOLE = {"selected": {}, "whole": ["layer1.0.conv1.weight", "fc.weight", "fc.bias"]}


def make_trainer(settings: TrainingSettings, **options) -> Trainer:
    module = SelectiveFilters(make_network(), **options, example=EXAMPLE)
    judge = {"validation_error": 0.5}
    return Trainer(module, make_split(), settings, seed=0, judge=lambda _: judge, rates=module.own_rates())


def gradients_of(trainer: Trainer) -> dict[str, torch.Tensor]:
    module, split = trainer.module, trainer.split
    loss = F.cross_entropy(module(split.images.float() / 255), split.labels)
    return dict(zip(dict(module.named_parameters()), torch.autograd.grad(loss, list(module.parameters())), strict=True))


def values_of(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in trainer.module.named_parameters()}


def test_a_tensor_s_step_is_multiplied_by_its_relative_gradient_norm_over_the_largest():
    trainer = make_trainer(ONE_STEP, **WHOLE)
    before, gradients = values_of(trainer), gradients_of(trainer)
    ratios = relative_gradient_norms(before, {name: gradient[None] for name, gradient in gradients.items()})
    multipliers = rate_multipliers(ratios)
    assert sorted(map(float, multipliers.values()))[0] < 0.9
    trainer.train_epoch()
    for name, value in values_of(trainer).items():
        expected = before[name] - 0.1 * float(multipliers[name]) * gradients[name]
        torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-7)
    assert trainer.rates.described().keys() == before.keys()


def test_a_filter_s_step_is_multiplied_by_its_own():
    trainer = make_trainer(ONE_STEP, selected=SELECTED)
    before, gradients = values_of(trainer), gradients_of(trainer)
    rows = {
        (name, row): (gradients[name][row].norm() / values[row].norm())
        for name, values in before.items()
        for row in range(len(values))
    }
    largest = max(rows.values())
    trainer.train_epoch()
    for name, value in values_of(trainer).items():
        for row in range(len(value)):
            expected = before[name][row] - 0.1 * rows[name, row] / largest * gradients[name][row]
            torch.testing.assert_close(value[row], expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("augmentation", ["none", "crop-flip"])
def test_going_on_from_a_checkpoint_is_bit_identical(augmentation):
    settings = replace(ONE_STEP, epochs=3, batch_size=16, optimizer="adam", augmentation=augmentation)
    whole = make_trainer(settings, **WHOLE)
    whole.train_epoch()
    tensors, state = whole.checkpoint()
    after = make_trainer(settings, **WHOLE)
    after.restore({name: value.clone() for name, value in tensors.items()}, dict(state))
    while not whole.finished:
        assert whole.train_epoch()["loss"] == after.train_epoch()["loss"]
    assert all(torch.equal(value, values_of(after)[name]) for name, value in values_of(whole).items())
