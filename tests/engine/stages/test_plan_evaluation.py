"""On what a trial is tested, and by what it is compared."""

import dataclasses

import pytest
import torch

from engine.corruptions import CORRUPTION_REGISTRY, CORRUPTIONS, register_corruption, register_distortion
from engine.corruptions.c_bar_tables import CIFAR_C_BAR, IMAGENET_C_BAR
from engine.corruptions.distortions import DISTORTION_REGISTRY
from engine.errors import InputError
from engine.models import MODELS, register_model
from engine.settings import TrialConfig
from engine.stages import plan_trial


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
