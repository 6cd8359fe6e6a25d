"""Axes that ask for more images than there are: what is left of them, and what is said."""

from dataclasses import replace

import pytest

from engine.errors import DataLimitError, InputError
from engine.settings import TrialConfig
from engine.spaces import Arm, Choice, Int, Space, draw_settings
from engine.stages import plan_trial, prepare_data
from engine.stages.axis_limits import fit_axes, with_limited
from engine.store import Store
from search_spaces.push_pull import SPACE

TUNED = {"finetune.which": ("most", "random")}
PLAIN = (Arm("plain", {"finetune.which": "none"}, control=True),)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """Return what gives a data set of some training images."""
    info, _ = prepare_data(TrialConfig().data, Store(tmp_path_factory.mktemp("store")))
    return lambda n_train: replace(info, n_train=n_train)


def space(*axes, base: TrialConfig | None = None) -> Space:
    which = Choice("finetune.which", ("most", "random", "none"))
    base = base or TrialConfig().with_settings({"model.width": 2})
    return Space("limited", base=base, axes=(which, *axes), arms=PLAIN, n_seeds=1)


def values(space: Space, setting: str) -> tuple:
    return next(axis.values for axis in space.axes if axis.setting == setting)


def all_can_be_planned(space: Space, info) -> bool:
    for index in range(60):
        plan_trial(space.config(draw_settings(space, seed=0, index=index), seed=0), info)
    return True


def test_a_space_that_the_data_can_give_stays_the_same_space(digits):
    assert fit_axes(SPACE, digits(958)) == (SPACE, ())


def test_a_place_that_the_network_does_not_have_is_left_out_and_said(digits):
    of = SPACE.with_base({"model.name": "torchvision:regnet_x_400mf", "model.width": None, "data.channels": 3})
    info = replace(digits(958), channels=3, image_size=32)
    fitted, notes = fit_axes(of, info)
    assert values(fitted, "push_pull.where") == ("none", "first")
    (note,) = (note for note in notes if "push_pull.where" in note)
    assert note.startswith(
        "1 of 3 values of axis 'push_pull.where' are left out: first_block (RegNet declares no first block ("
    )
    assert {axis.when["push_pull.where"] for axis in fitted.axes if "push_pull.where" in axis.when} == {("first",)}
    assert all_can_be_planned(fitted, info)


def test_values_that_are_too_many_are_left_out_and_said(digits):
    paired = space(Choice("distortion.n_images", (50, 200, 400), when=TUNED))
    fitted, notes = fit_axes(paired, digits(399))
    assert values(fitted, "distortion.n_images") == (50, 200)
    assert notes == (
        "1 of 3 values of axis 'distortion.n_images' are left out: 400 (`distortion.n_images` must be at most the 399 "
        "training images, got 400: ask for fewer)",
    )
    assert fit_axes(paired, digits(400)) == (paired, ())
    assert fit_axes(paired, digits(199))[1][0].startswith(
        "2 of 3 values of axis 'distortion.n_images' are left out: 200, 400 ("
    )
    assert fitted.digest != paired.digest


@pytest.mark.parametrize(("n_train", "kept"), [(401, (50, 200, 400)), (400, (50, 200)), (200, (50,)), (60, (50,))])
def test_what_some_proposal_could_not_have_is_left_out_too(digits, n_train, kept):
    fitted, _ = fit_axes(SPACE, digits(n_train))  # 400 of 400 leave no other image for an unpaired ranking
    assert values(fitted, "distortion.n_images") == kept
    assert all_can_be_planned(fitted, digits(n_train))


def test_an_axis_of_which_nothing_is_left_is_refused(digits):
    match = r"axis 'distortion.n_images' has no value .*: `distortion.n_images` must be at most the 40 .*, got 50"
    with pytest.raises(InputError, match=match):
        fit_axes(SPACE, digits(40))


@pytest.mark.parametrize(("n_train", "high"), [(1000, 410), (400, 390), (399, 390), (30, 30)])
def test_a_range_ends_where_the_data_do(digits, n_train, high):
    ranged = space(Int("distortion.n_images", 10, 410, step=20, when=TUNED))
    fitted, notes = fit_axes(ranged, digits(n_train))
    assert fitted.axes[1].extremes() == (10, high)
    assert bool(notes) == (high < 410)
    assert all_can_be_planned(fitted, digits(n_train))


def test_a_range_of_which_one_value_is_left_is_that_value(digits):
    ranged = space(Int("distortion.n_images", 10, 410, step=20, when=TUNED))
    fitted, notes = fit_axes(ranged, digits(20))
    assert values(fitted, "distortion.n_images") == (10,)
    assert notes[0].startswith("the values of axis 'distortion.n_images' over 10 are left out (")
    with pytest.raises(
        InputError, match=r"has no value .*: `distortion.n_images` must be at most the 9 training images, got 10"
    ):
        fit_axes(ranged, digits(9))


def test_exemplars_are_limited_too_by_what_is_left_of_the_images(digits):
    unpaired = TrialConfig().with_settings({"model.width": 2, "rank.pairing": "unpaired"})
    both = space(
        Choice("rank.n_exemplars", (1, 5, 50), when={"finetune.which": ("most",)}),
        Choice("distortion.n_images", (50, 200), when=TUNED),
        base=unpaired,
    )
    fitted, notes = fit_axes(both, digits(220))
    assert values(fitted, "distortion.n_images") == (50, 200)
    assert values(fitted, "rank.n_exemplars") == (1, 5)
    assert len(notes) == 1
    assert all_can_be_planned(fitted, digits(220))


def test_what_asks_for_a_value_that_went_goes_with_it(digits):
    conditional = space(
        Choice("distortion.n_images", (50, 400), when=TUNED),
        Choice("finetune.train_classifier", (False, True), when={**TUNED, "distortion.n_images": (400,)}),
        Choice("rank.distance", ("l1", "l2"), when={"finetune.which": ("most",), "distortion.n_images": (50, 400)}),
    )
    fitted, notes = fit_axes(conditional, digits(100))
    assert [axis.label for axis in fitted.axes] == ["finetune.which", "distortion.n_images", "rank.distance"]
    assert fitted.axes[2].when["distortion.n_images"] == (50,)
    assert notes[1] == "axis 'finetune.train_classifier' is left out, which is for `distortion.n_images` 400 alone"


def test_the_base_s_own_number_counts_only_where_no_axis_gives_one(digits):
    fitted, _ = fit_axes(SPACE, digits(60))
    assert fitted.base.distortion.n_images > 60
    assert with_limited(fitted, {"finetune.which": "most"}) == {"finetune.which": "most", "distortion.n_images": 50}
    assert with_limited(fitted, {"finetune.which": "none"}) == {"finetune.which": "none"}
    alone = space(Choice("finetune.layers", ("first", "all"), when=TUNED))
    with pytest.raises(DataLimitError, match="at most the 60 training images, got 200: ask for fewer"):
        plan_trial(alone.config({"finetune.which": "most"}, seed=0), digits(60))
