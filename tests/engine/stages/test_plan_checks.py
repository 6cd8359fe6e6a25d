"""What cannot work is refused when it is planned, and networks of one's own are tried then."""

import dataclasses
import importlib
import sys

import pytest
from torch import nn

from engine.errors import InputError
from engine.models import MODELS, register_model
from engine.stages import STAGES as STAGE_KINDS
from engine.stages import plan_network
from tests.engine.stages.plan_keys import ALL, UNPAIRED, keys


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
