import dataclasses
import importlib
import subprocess
import sys
import types

import pytest
import torch
from torch import nn

from engine.errors import InputError
from engine.layers import Normalise, PushPull2d
from engine.models import (
    MODELS,
    build_model,
    find_model,
    model_names,
    model_source_digest,
    register_model,
)
from engine.settings import PushPullSettings

EXAMPLES_OF = importlib.import_module("engine.models.model_names")  # a function of the room has its name


@pytest.fixture
def own_models(monkeypatch):
    """Let a test register models that are gone after it."""
    monkeypatch.setattr(MODELS, "_entries", dict(MODELS._entries))
    monkeypatch.setattr(EXAMPLES_OF, "_EXAMPLES", dict(EXAMPLES_OF._EXAMPLES))


def build(name="cnn-2", **settings):
    return build_model(name, **({"num_classes": 10, "in_channels": 1, "image_size": 16} | settings))


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("resnt-20", r"unknown model 'resnt-20' \(did you mean 'resnet-20'\?\); known: .*lenet-a"),
        ("cnn2", "did you mean 'cnn-2'"),
        ("resnet-", "unknown model"),
        ("resnet-020", "unknown model"),
        ("resnet-20-x", "unknown model"),
        ("", "unknown model"),
        (None, "unknown model 'None'"),
    ],
)
def test_unknown_models_are_refused(name, match):
    with pytest.raises(InputError, match=match):
        build(name)


@pytest.mark.parametrize("field", ["num_classes", "in_channels", "image_size", "width"])
@pytest.mark.parametrize("value", [0, -3, 2.5, "8", True])
def test_counts_are_checked(field, value):
    with pytest.raises(InputError, match=f"`{field}` must be a whole number ≥ "):
        build(**{field: value})


def test_one_class_is_too_few():
    with pytest.raises(InputError, match="`num_classes` must be a whole number ≥ 2, got 1"):
        build(num_classes=1)


def test_images_of_another_kind_are_refused_at_the_first_layer():
    with pytest.raises(InputError, match=r"images of 1 channel\(s\), got shape \(2, 3, 16, 16\)"):
        build()(torch.rand(2, 3, 16, 16))
    with pytest.raises(InputError, match="float images"):
        build()(torch.zeros(2, 1, 16, 16, dtype=torch.uint8))


@pytest.mark.parametrize(
    "settings",
    [
        {"where": "first", "h": 1.5, "alpha": 0.5, "learn_alpha": "layer"},
        PushPullSettings("first", 1.5, 0.5, "layer"),
        PushPullSettings(" conv1, ", 1.5, 0.5, "layer"),
        {"h": 1.5, "alpha": 0.5, "learn_alpha": "layer"},
        types.SimpleNamespace(where=("conv1",), h=1.5, alpha=0.5, learn_alpha="layer", digest="more than is needed"),
    ],
)
def test_push_pull_settings_may_be_a_mapping_or_an_object(settings):
    model = build(push_pull=settings)
    assert isinstance(model.conv1, PushPull2d)
    assert not isinstance(model.conv2, PushPull2d)
    assert (model.conv1.h, model.conv1.learn_alpha) == (1.5, "layer")
    assert model.conv1.alpha.item() == pytest.approx(0.5)


@pytest.mark.parametrize("settings", [None, {"where": "none"}, {"where": "none", "h": 3.0}, PushPullSettings()])
def test_no_push_pull_is_the_plain_model(settings):
    assert not any(isinstance(module, PushPull2d) for module in build(push_pull=settings).modules())


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"alhpa": 1.0}, r"unknown push–pull setting 'alhpa' \(did you mean 'alpha'\?\)"),
        ({"h": 0.5}, "`h` must be a finite number ≥ 1"),
        ({"where": "conv3"}, "unknown convolution 'conv3'"),
        ({"where": "first_block"}, "declares no first block"),
        (
            "first",
            "`push_pull` must be None or have the fields where, h, alpha, learn_alpha, variant, average, got 'first'",
        ),
    ],
)
def test_bad_push_pull_settings_are_refused(settings, match):
    with pytest.raises(InputError, match=match):
        build(push_pull=settings)


@pytest.mark.parametrize(
    "change", [{"where": "all"}, {"h": 1.5}, {"alpha": 0.5}, {"learn_alpha": "kernel", "alpha": 0.7}]
)
def test_every_push_pull_field_is_live(change):
    def respond(settings):
        torch.manual_seed(0)
        return build(push_pull=settings)(torch.linspace(0, 1, 256).reshape(1, 1, 16, 16))

    first = PushPullSettings("first")
    assert not torch.equal(respond(first), respond(dataclasses.replace(first, **change)))


@pytest.mark.usefixtures("own_models")
def test_a_model_of_ones_own():
    @register_model("mlp-{layers}x{units}", examples=("mlp-2x8",))
    def build_mlp(layers, units, *, num_classes, in_channels, image_size, width):
        model = nn.Sequential(nn.Flatten(), nn.Linear(in_channels * image_size**2, units))
        for _ in range(layers - 1):
            model.append(nn.Linear(units, units))
        return model.append(nn.Linear(units, num_classes))

    assert "mlp-2x8" in model_names()
    assert find_model("mlp-3x16") == ("mlp-{layers}x{units}", {"layers": 3, "units": 16})
    assert build("mlp-3x16")(torch.rand(2, 1, 16, 16)).shape == (2, 10)
    assert model_source_digest("mlp-3x16") is not None
    assert model_source_digest("resnet-20") is None
    with pytest.raises(InputError, match=r"has no nn\.Conv2d"):
        build("mlp-2x8", push_pull={})


@pytest.mark.usefixtures("own_models")
def test_an_exact_name_wins_over_a_pattern():
    @register_model("resnet-20")
    def build_mine(*, num_classes, in_channels, image_size, width):
        return Normalise(in_channels)

    assert isinstance(build("resnet-20"), Normalise)
    assert not isinstance(build("resnet-14"), Normalise)


@pytest.mark.usefixtures("own_models")
def test_bad_registrations_are_refused():
    with pytest.raises(InputError, match=r"the example 'my' does not fit the model name 'my-\{n\}'"):
        register_model("my-{n}", examples=("my",))
    with pytest.raises(InputError, match=r"the model name 'my-\{n\}' is a pattern: give names that exist as examples="):
        register_model("my-{n}")
    with pytest.raises(InputError, match="model 'cnn-2' is already registered"):

        @register_model("cnn-2")
        def build_other(**settings):
            return nn.Identity()

    @register_model("nothing")
    def build_nothing(**settings):
        return None

    with pytest.raises(InputError, match=r"must return a torch.nn.Module, got NoneType"):
        build("nothing")


def test_a_seed_gives_the_same_weights_in_another_process_that_has_torch_and_numpy_only():
    code = """
import sys
for name in ("ray", "optuna", "mlflow", "torchvision", "sklearn", "scipy", "PIL"):
    sys.modules[name] = None
import torch
from engine.models import build_model
torch.manual_seed(5)
model = build_model("resnet-8", num_classes=10, in_channels=1, image_size=16, push_pull={"h": 2.0})
print(repr(sum(parameter.double().sum().item() for parameter in model.parameters())))
"""
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    torch.manual_seed(5)
    model = build("resnet-8", push_pull={"h": 2.0})
    assert float(output) == sum(parameter.double().sum().item() for parameter in model.parameters())


def test_a_network_without_weights_draws_none(monkeypatch):
    """Thousands are built where trials are planned."""

    def refuse(*arguments, **options):
        raise AssertionError("drawn")

    monkeypatch.setattr(torch.nn.init, "kaiming_normal_", refuse)
    with torch.device("meta"):
        assert all(value.is_meta for value in build_model("resnet-8", num_classes=10).parameters())
    with pytest.raises(AssertionError, match="drawn"):
        build_model("resnet-8", num_classes=10)
