"""What every registered model keeps to; a new family is found here by its registration."""

import re

import pytest
import torch
from torch import nn

from engine.errors import InputError
from engine.layers import Normalise, PushPull2d
from engine.models import build_model, model_names

NAMES = model_names()


def build_small(name, **settings):
    """Build a model from seed 0, as narrow as its family allows."""
    settings = {"num_classes": 3, "in_channels": 1, "image_size": 16, "width": 4} | settings
    if name.startswith("densenet"):
        settings["width"] = None
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_model(name, **settings)


def smallest_image(name):
    """Return the smallest image that a model takes, from the sentence that refuses a smaller one."""
    with pytest.raises(InputError, match=f"{name} needs images of at least") as caught, torch.device("meta"):
        build_model(name, num_classes=2, image_size=1)
    found = re.search(r"at least (\d+)×", str(caught.value))
    assert found is not None
    return int(found.group(1))


@pytest.mark.parametrize("name", NAMES)
def test_pixels_go_in_and_logits_come_out(name):
    for in_channels, image_size in ((1, 16), (3, 19)):
        model = build_small(name, in_channels=in_channels, image_size=image_size).eval()
        with torch.no_grad():
            logits = model(torch.rand(2, in_channels, image_size, image_size))
        assert logits.shape == (2, 3)
        assert logits.dtype == torch.float32
        assert logits.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_smallest_image_is_the_smallest(name):
    side = smallest_image(name)
    with torch.device("meta"):
        model = build_model(name, num_classes=2, image_size=side).eval()
        assert model(torch.rand(2, 3, side, side)).shape == (2, 2)
        with pytest.raises(InputError, match=f"got {side - 1}×{side - 1}"):
            build_model(name, num_classes=2, image_size=side - 1)


@pytest.mark.parametrize("name", NAMES)
def test_meta_device_plans_without_memory(name):
    with torch.device("meta"):
        model = build_model(name, num_classes=10, push_pull={"where": "all", "learn_alpha": "kernel"})
        assert model(torch.rand(2, 3, 32, 32)).shape == (2, 10)
    assert all(tensor.is_meta for tensor in [*model.parameters(), *model.buffers()])


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_decides_the_weights_and_push_pull_draws_the_same(name):
    plain, again = build_small(name).state_dict(), build_small(name).state_dict()
    assert all(torch.equal(plain[key], again[key]) for key in plain)
    for where in ("none", "first", "all"):
        push_pull = build_small(name, push_pull={"where": where, "h": 1.5}).state_dict()
        assert push_pull.keys() == plain.keys()
        assert all(torch.equal(plain[key], push_pull[key]) for key in plain)


@pytest.mark.parametrize("name", NAMES)
def test_placebo_is_the_plain_model_and_inhibition_is_not(name):
    images = torch.rand(2, 1, 16, 16)
    settings = {"where": "all", "alpha": 1.0}
    plain, placebo, inhibited = (
        build_small(name, push_pull=push_pull).eval()
        for push_pull in (None, settings | {"h": 1.0}, settings | {"h": 2.0})
    )
    with torch.no_grad():
        assert torch.equal(placebo(images), plain(images))
        assert not torch.equal(inhibited(images), plain(images))


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_gets_a_gradient(name):
    model = build_small(name, push_pull={"where": "first", "learn_alpha": "kernel"}, width=16)
    model(torch.rand(8, 1, 16, 16)).square().sum().backward()
    without = [key for key, parameter in model.named_parameters() if parameter.grad is None or not parameter.grad.any()]
    # A bias before batch normalisation cancels, and so does nothing else.
    assert all(key.startswith("conv") and key.endswith(".bias") for key in without), without


@pytest.mark.parametrize("name", NAMES)
def test_normalisation_is_a_layer_of_the_model(name):
    model = build_small(name).eval()
    assert isinstance(model.normalise, Normalise)
    images = torch.rand(2, 1, 16, 16)
    before = model(images)
    model.normalise.set_statistics(0.3, 0.1)
    assert not torch.equal(model(images), before)
    torch.testing.assert_close(model(images * 0.4 + 0.1), before, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_width_is_the_number_of_filters_of_the_first_convolution(name):
    with torch.device("meta"):
        if name.startswith("densenet"):
            with pytest.raises(InputError, match="is twice its growth rate"):
                build_model(name, num_classes=2, width=7)
            return
        model = build_model(name, num_classes=2, width=7)
    first = next(module for module in model.modules() if isinstance(module, nn.Conv2d))
    assert first.out_channels == 7


@pytest.mark.parametrize("name", NAMES)
def test_first_block_where_declared_is_part_of_all_and_more_than_the_first(name):
    with torch.device("meta"):
        if not getattr(build_model(name, num_classes=2), "first_block", ()):
            with pytest.raises(InputError, match="declares no first block"):
                build_model(name, num_classes=2, push_pull={"where": "first_block"})
            return
        chosen = {}
        for where in ("first", "first_block", "all"):
            model = build_model(name, num_classes=2, push_pull={"where": where})
            chosen[where] = {key for key, module in model.named_modules() if isinstance(module, PushPull2d)}
    assert chosen["first"] < chosen["first_block"] < chosen["all"]
