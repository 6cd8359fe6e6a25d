import pytest

from engine.errors import InputError
from engine.settings import TrialConfig
from engine.training import RECIPES, learning_rate, recipe_settings, register_recipe

PAPERS = {
    # name: (epochs, batch size, {epoch: learning rate from it on}, weight decay, augmentation)
    "lenet": (90, 128, {0: 0.1, 30: 0.01, 60: 0.001}, 5e-4, "none"),
    "resnet": (200, 128, {0: 0.1, 80: 0.01, 120: 1e-3, 160: 1e-4}, 1e-4, "crop-flip"),
    "densenet": (350, 64, {0: 0.1, 150: 0.01, 225: 1e-3, 300: 1e-4}, 1e-4, "crop-flip"),
    "alexnet": (200, 128, {0: 0.01, 80: 1e-3, 120: 1e-4, 160: 1e-5}, 1e-4, "crop-flip"),
}


def training(name: str, **changes):
    return TrialConfig().with_settings({**recipe_settings(name), **changes}).pretrain


@pytest.mark.parametrize("name", PAPERS)
def test_recipes_of_the_push_pull_paper_are_its_text_s(name):
    epochs, batch_size, rates, weight_decay, augmentation = PAPERS[name]
    found = training(name)
    assert (found.epochs, found.batch_size, found.weight_decay) == (epochs, batch_size, weight_decay)
    assert (found.optimizer, found.momentum, found.augmentation) == ("sgd", 0.9, augmentation)
    assert (found.patience, found.label_smoothing) == (None, 0.0)
    assert found.max_gradient_norm == (1.0 if name == "lenet" else None)
    for epoch in range(epochs):
        expected = rates[max(start for start in rates if start <= epoch)]
        for share in (0.0, 0.999):
            assert learning_rate(found, (epoch + share) / epochs) == pytest.approx(expected), epoch


def test_adam_is_the_filter_paper_s_text():
    config = TrialConfig().with_settings(recipe_settings("adam"))
    found = config.pretrain
    assert (found.optimizer, found.learning_rate, found.schedule, found.patience) == ("adam", 1e-3, "constant", 15)
    assert (found.weight_decay, found.label_smoothing, found.augmentation) == (0.0, 0.0, "none")
    assert config.data.validation_fraction == 0.2


def test_fast_is_short_one_cycle_smoothed_and_in_large_batches():
    fast, full = training("fast"), training("resnet")
    assert fast.epochs <= full.epochs / 10
    assert fast.batch_size > full.batch_size
    assert (fast.schedule, fast.augmentation) == ("one-cycle", "crop-alternate")
    assert fast.label_smoothing > 0


def test_fewer_epochs_keep_the_shape_of_a_schedule():
    found = training("lenet", **{"pretrain.epochs": 9})
    rates = [learning_rate(found, epoch / 9) for epoch in range(9)]
    assert rates == pytest.approx([0.1] * 3 + [0.01] * 3 + [0.001] * 3)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_says_what_it_is_and_sets_training_and_data_only(name):
    recipe = RECIPES[name]
    assert recipe.name == name
    assert recipe.description
    assert all(path.startswith(("pretrain.", "data.")) for path in recipe.settings)
    assert recipe.training("finetune.training")["finetune.training.epochs"] == recipe.settings["pretrain.epochs"]
    assert not any(path.startswith("data.") for path in recipe.training())


def test_a_recipe_of_ones_own(monkeypatch):
    monkeypatch.setattr(RECIPES, "_entries", dict(RECIPES._entries))
    register_recipe("mine", "two epochs", {"pretrain.epochs": 2})
    register_recipe("mine", "two epochs", {"pretrain.epochs": 2})  # the module again
    assert recipe_settings("mine") == {"pretrain.epochs": 2}
    with pytest.raises(InputError, match="recipe 'mine' is already registered: two epochs"):
        register_recipe("mine", "three epochs", {"pretrain.epochs": 3})
    with pytest.raises(InputError, match=r"unknown setting 'pretrain.epoch' \(did you mean 'pretrain.epochs'\?\)"):
        register_recipe("typo", "", {"pretrain.epoch": 2})
    with pytest.raises(InputError, match=r"`pretrain\.epochs` must be ≥ 1, got 0"):
        register_recipe("none", "", {"pretrain.epochs": 0})


def test_an_unknown_recipe_suggests_the_nearest():
    with pytest.raises(InputError, match=r"unknown recipe 'resnt' \(did you mean 'resnet'\?\); known: adam, alexnet"):
        recipe_settings("resnt")
