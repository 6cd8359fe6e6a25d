"""An axis is idle if no proposal shows a difference, and not before all of them were looked at."""

from dataclasses import dataclass

import pytest

from engine.errors import InputError
from engine.settings import TrialConfig
from engine.spaces import Choice, Float, Space
from engine.stages import idle_axes, register_stage
from engine.stages.idle_axes import check_axis_changes_something
from tests.registered import taken_back

BASE = TrialConfig().with_settings({"finetune.which": "most", "push_pull.where": "first"})
PAIRING = Choice("rank.pairing", ("paired", "unpaired"))
FRACTION = Float("finetune.fraction", 0.1, 0.5)


def space_of(*axes) -> Space:
    return Space("test", base=BASE, axes=axes)


def check(space: Space, setting: str, identity) -> None:
    (axis,) = (axis for axis in space.axes if axis.setting == setting)
    check_axis_changes_something(space, axis, identity)


def unpaired_alone(config: TrialConfig) -> str:
    return str(config.finetune.fraction) if config.rank.pairing == "unpaired" else ""


def test_an_axis_that_matters_beside_one_value_of_another_is_none():
    check(space_of(PAIRING, FRACTION), "finetune.fraction", unpaired_alone)
    check(space_of(FRACTION, PAIRING), "finetune.fraction", unpaired_alone)
    with pytest.raises(
        InputError, match=r"axis 'finetune.fraction' can change nothing: .* \(0.1, 0.5\), network resnet-8"
    ):
        check(space_of(FRACTION), "finetune.fraction", unpaired_alone)


def test_where_there_are_too_many_to_look_at_it_counts_as_one_that_matters(monkeypatch):
    monkeypatch.setattr(idle_axes, "MAX_CONTEXTS", 1)
    check(space_of(PAIRING, FRACTION), "finetune.fraction", lambda config: "")


def test_of_what_the_network_has_no_part_in_nothing_is_asked():
    rate = Choice("pretrain.learning_rate", (0.1, 0.2))
    check(space_of(rate), rate.setting, lambda config: "")


def test_batches_of_more_images_than_there_are_are_one():
    def identity(config: TrialConfig) -> str:
        return f"{min(config.pretrain.batch_size, 958)} {min(config.finetune.training.batch_size, 20)}"

    for setting in ("pretrain.batch_size", "finetune.training.batch_size"):
        check(space_of(Choice(setting, (10, 5000))), setting, identity)
        with pytest.raises(InputError, match=r"\(5000, 6000\), all images are in one batch"):
            check(space_of(Choice(setting, (5000, 6000))), setting, identity)


def test_what_cannot_be_planned_is_not_called_idle():
    def refuse(config: TrialConfig) -> str:
        raise InputError("too small")

    check(space_of(FRACTION), "finetune.fraction", refuse)


@dataclass(frozen=True)
class Mine:
    """Settings of a test.

    Attributes:
        share: a number.
    """

    share: float = 0.5


def test_a_setting_of_a_user_s_stage_may_depend_on_anything():
    with taken_back():
        register_stage("mine", version=1, settings=Mine)(lambda context: None)
        rate, share = Choice("pretrain.learning_rate", (0.1, 0.2)), Choice("mine.share", (0.1, 0.2))
        space = Space("test", axes=(rate, share))
        check(
            space,
            share.setting,
            lambda config: str(config.section("mine").share * (config.pretrain.learning_rate == 0.2)),
        )
        with pytest.raises(InputError, match=r"axis 'mine\.share' can change nothing"):
            check(space, share.setting, lambda config: "")
