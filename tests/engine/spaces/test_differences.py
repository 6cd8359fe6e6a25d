"""What is said of two spaces that differ."""

import dataclasses

import pytest

from engine.spaces import Arm, Choice, Comparison, Space
from engine.spaces.differences import differences

SPACE = Space(
    name="s",
    axes=(Choice("push_pull.where", ("none", "first")), Choice("push_pull.h", (1.5, 2.0))),
    arms=(
        Arm("plain", {"push_pull.where": "none"}, control=True),
        Arm("push-pull", {"push_pull.where": "first", "push_pull.alpha": 0.5}),
    ),
    n_seeds=6,
)


def with_arm(arm: Arm) -> Space:
    return dataclasses.replace(SPACE, arms=(SPACE.arms[0], arm))


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (dataclasses.replace(SPACE, description="told otherwise"), ""),
        (SPACE.with_base({"pretrain.epochs": 5}), "pretrain.epochs 8 before, 5 now"),
        (dataclasses.replace(SPACE, n_seeds=3), "seeds: 6 before, 3 now"),
        (
            with_arm(Arm("push-pull", {"push_pull.where": "first", "push_pull.alpha": 1.5})),
            "arm 'push-pull': push_pull.alpha 0.5 before, 1.5 now",
        ),
        (
            with_arm(Arm("push-pull", {"push_pull.where": "first"}, control=True)),
            "arm 'push-pull': push_pull.alpha 0.5 before, not set now; arm 'push-pull': a control now",
        ),
        (with_arm(Arm("mine", {"push_pull.where": "first"})), "arm 'push-pull': no more; arm 'mine': new"),
        (
            dataclasses.replace(SPACE, axes=(SPACE.axes[0], Choice("push_pull.h", (2.0, 3.0)))),
            "axis 'push_pull.h': values 1.5|2 before, 2|3 now",
        ),
        (dataclasses.replace(SPACE, axes=SPACE.axes[:1]), "axis 'push_pull.h': no more"),
        (dataclasses.replace(SPACE, comparisons=(Comparison("push-pull", "plain"),)), "other comparisons"),
    ],
)
def test_each_part_that_decides_trials_is_told(other: Space, words: str) -> None:
    assert differences(SPACE.to_json(), other.to_json()) == words
    assert (other.digest == SPACE.digest) == (words == "")


def test_of_many_differences_the_first_are_told_and_the_others_counted() -> None:
    settings = {"pretrain.epochs": 5, "pretrain.batch_size": 8, "data.n_train": 100, "data.n_test": 50}
    other = dataclasses.replace(SPACE.with_base(settings), n_seeds=2, comparisons=(Comparison("push-pull", "plain"),))
    told = differences(SPACE.to_json(), other.to_json())
    assert told.count(" before, ") == 4
    assert told.endswith("; and 2 more")
