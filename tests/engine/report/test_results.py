"""A study's trials together: one of its groups is the one that is among all of them."""

import copy
import dataclasses
import itertools

import numpy as np
import pytest

from engine.errors import InputError
from engine.report.trial_results import exact_errors
from engine.report.verdicts import findings
from engine.spaces import Arm, Factor, Factorial, Space
from tests.engine.report.studies import complete, study

SPACE = Space(name="s", arms=(Arm("plain", {}), Arm("push-pull", {"push_pull.where": "first"})), n_seeds=2)


def test_one_group_is_what_it_is_among_all() -> None:
    results = study(SPACE, {"plain": [0.4, None], "push-pull": [0.3, 0.2]})
    with_another_corruption = complete(4, "plain", 7, 0.1, blur=0.5)
    results = dataclasses.replace(results, trials=(*results.trials, with_another_corruption))
    for group in results.groups():
        assert results.group(group.name) == group
    assert results.group("plain").count == "2 of 3"


@pytest.mark.parametrize("trials", [{}, {"plain": [0.4]}], ids=["no trial", "one"])
def test_a_group_that_is_none_is_refused(trials) -> None:
    with pytest.raises(InputError, match="unknown group 'push-pul'"):
        study(SPACE, trials).group("push-pul")


def as_measured(errors, n_images: int):
    """Return a record with test errors of 32 bits, as an evaluation writes them."""
    found = copy.deepcopy(errors)
    test = found["test"]
    test["n_images"] = n_images
    for holder, name in ((test, "clean"), *((row, "error") for row in test["corrupted"])):
        holder[name] = float(np.float32(holder[name]))
    return found


@pytest.mark.parametrize("n_images", [1, 97, 599, 10_000, 50_000])
def test_errors_of_32_bits_are_read_as_the_shares_of_images_that_they_are(n_images):
    for wrong in {0, 1, n_images // 3, n_images // 2, n_images - 1, n_images}:
        made = complete(0, "a", 0, wrong / n_images, clean=wrong / n_images)
        read = dataclasses.replace(made, errors=as_measured(made.errors, n_images))
        assert read.test_errors()["clean"] == read.test_errors()["all"] == wrong / n_images


def test_what_is_no_share_of_so_many_images_or_of_nobody_knows_how_many_is_left():
    made = complete(0, "a", 0, 0.4, clean=0.0213).errors
    assert made is not None
    assert exact_errors(made["test"]) == made["test"]
    older = {name: value for name, value in made["test"].items() if name != "n_images"}
    assert exact_errors(older) == older


def test_ties_are_ties_though_errors_were_measured_in_32_bits():
    """Of 150 images: interactions that add up to the same number of them, with either sign, on every seed."""
    factors = (
        Factor("a", {"push_pull.where": "first"}, {"push_pull.where": "none"}),
        Factor("b", {"rank.top": 3, "finetune.which": "most"}, {"rank.top": 4, "finetune.which": "random"}),
    )
    space = Space(name="s", ablations=(Factorial("f", factors, outcomes=("noise",)),), n_seeds=6)
    wrong = {"a + b": (60, 51, 70, 44, 39, 58), "a": (50, 43, 61, 38, 31, 49), "b": (41, 29, 52, 30, 22, 40)}
    wrong["nothing"] = (30, 22, 42, 25, 15, 30)
    trials = [
        dataclasses.replace(trial, errors=as_measured(trial.errors, 150))
        for trial in study(space, {arm: [count / 150 for count in counts] for arm, counts in wrong.items()}).trials
    ]
    found = findings(dataclasses.replace(study(space, {}), trials=tuple(trials)))[-1]
    signs = {"a + b": 1, "a": -1, "b": -1, "nothing": 1}
    images = [sum(sign * wrong[arm][seed] for arm, sign in signs.items()) for seed in range(6)]
    flips = [
        abs(sum(s * v for s, v in zip(flip, images, strict=True))) for flip in itertools.product((1, -1), repeat=6)
    ]
    assert found.evidence is not None
    assert found.evidence.sign_flip_p == sum(far >= abs(sum(images)) for far in flips) / 64
