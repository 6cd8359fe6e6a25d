import math

import pytest

from engine.errors import InputError
from engine.spaces import Choice, Float, Int
from engine.spaces.axes import applies, can_take, n_values, nearest_value, value_at


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Choice("push_pull.h", ()), r"axis 'push_pull.h' needs values, each once, got \(\)"),
        (lambda: Choice("push_pull.h", (1.5, 2.0, 1.5)), "needs values, each once"),
        (lambda: Choice("push_pull.h", (1.5, 1.5), label="other"), "axis 'other' needs values"),
        (lambda: Choice("push_pull.h", (2, 3.0, 2.0)), r"needs values, each once, got \(2, 3.0, 2.0\)"),
        (lambda: Choice("push_pull.where", "first"), "axis 'push_pull.where' needs a list of values, got 'first'"),
        (lambda: Choice("pretrain.milestones", ([0.5],)), r"needs words, numbers, .* as values, got \[0.5\]; several"),
        (
            lambda: Choice("push_pull.h", (2.0,), when=("push_pull.where",)),
            r"needs conditions as {setting: values}, got",
        ),
        (lambda: Float("push_pull.h", "1.5", 2.0), "axis 'push_pull.h' needs a number for low, got '1.5'"),
        (lambda: Float("push_pull.h", 1.5, None), "axis 'push_pull.h' needs a number for high, got None"),
        (lambda: Float("push_pull.h", 1.5, 2.0, step="0.1"), "axis 'push_pull.h' needs a number for step, got '0.1'"),
        (lambda: Float("push_pull.h", False, True), "axis 'push_pull.h' needs a number for low, got False"),
        (lambda: Int("pretrain.epochs", "1", 3), "axis 'pretrain.epochs' needs a number for low, got '1'"),
        (lambda: Int("pretrain.epochs", 1, 3.5), "axis 'pretrain.epochs' needs a whole number for high, got 3.5"),
        (lambda: Int("pretrain.epochs", 1, math.inf), "axis 'pretrain.epochs' needs a whole number for high, got inf"),
        (
            lambda: Float("push_pull.alpha", 1.0, 3.0, step=0.75),
            "needs a step that leads from low to high, got 0.75 from 1.0 to 3.0: its last value would be 2.5",
        ),
        (lambda: Float("push_pull.alpha", 0.25, 1.0, step=0.3), "from 0.25 to 1.0: its last value would be 0.85"),
        (lambda: Int("pretrain.epochs", 1, 4, step=2), "got 2 from 1 to 4: its last value would be 3"),
        (lambda: Float("push_pull.h", 2.0, 2.0), "needs finite low < high, got 2.0 and 2.0"),
        (lambda: Float("push_pull.h", 1.0, math.inf), "needs finite low < high"),
        (lambda: Float("push_pull.h", math.nan, 2.0), "needs finite low < high"),
        (lambda: Float("push_pull.alpha", 0.0, 1.0, log=True), "with log needs low > 0 and no step"),
        (lambda: Float("push_pull.alpha", 0.5, 1.0, log=True, step=0.1), "with log needs low > 0 and no step"),
        (lambda: Float("push_pull.alpha", 0.5, 1.0, step=0.6), r"needs a step in \(0, high − low\], got 0.6"),
        (lambda: Float("push_pull.alpha", 0.5, 1.0, step=0.0), r"needs a step in \(0, high − low\]"),
        (lambda: Int("pretrain.epochs", 3, 3), "needs low < high, got 3 and 3"),
        (lambda: Int("pretrain.epochs", 0, 3, log=True), "with log needs low ≥ 1 and step 1"),
        (lambda: Int("pretrain.epochs", 1, 3, log=True, step=2), "with log needs low ≥ 1 and step 1"),
        (lambda: Int("pretrain.epochs", 1, 3, step=3), "needs a step from 1 to high − low, got 3"),
    ],
)
def test_bad_axes_are_refused_by_their_label(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_an_axis_is_labelled_by_its_setting_unless_named():
    assert Choice("push_pull.h", (1.5,)).label == "push_pull.h"
    assert Choice("push_pull.h", (1.5,), label="h").label == "h"


@pytest.mark.parametrize(
    ("axis", "values"),
    [
        (Float("push_pull.alpha", 0.1, 0.5, step=0.1), [0.1, 0.2, 0.3, 0.4, 0.5]),
        (Float("push_pull.alpha", 0.0, 1.0, step=0.05), [place / 20 for place in range(21)]),
        (Float("pretrain.learning_rate", 1e-3, 1e-2, step=1e-3), [place / 1000 for place in range(1, 11)]),
        (Float("push_pull.alpha", 0, 0.1 + 0.2, step=0.1), [0.0, 0.1, 0.2, 0.3]),
        (Float("push_pull.alpha", 1.0, 2.5, step=0.75), [1.0, 1.75, 2.5]),
        (Float("pretrain.weight_decay", 0.0, 1e-3, step=1e-3), [0.0, 0.001]),
        (Int("pretrain.epochs", 2.0, 8.0, step=3), [2, 5, 8]),
        (Choice("push_pull.h", (1.5, None)), [1.5, None]),
    ],
)
def test_values_are_as_a_person_would_write_them(axis, values):
    listed = [value_at(axis, place) for place in range(n_values(axis))]
    assert [repr(value) for value in listed] == [repr(value) for value in values]
    assert all(can_take(axis, value) for value in listed)
    if not isinstance(axis, Choice):
        drawn = [axis.low + place * axis.step for place in range(n_values(axis))]
        assert [nearest_value(axis, value) for value in drawn] == values
        assert [nearest_value(axis, value) for value in (axis.low - 1, axis.high + 1)] == [values[0], values[-1]]


def test_a_continuous_range_has_no_values_and_is_not_left_by_rounding():
    axis = Float("push_pull.alpha", 1 / 3, 0.1 + 0.2 + 0.4)
    assert n_values(axis) is None
    assert (axis.low, axis.high) == (1 / 3, 0.7)
    assert [nearest_value(axis, value) for value in (0.0, 0.5, 0.1 + 0.3 + 0.2, 1.0)] == [1 / 3, 0.5, 0.6, 0.7]


def test_extremes():
    assert Choice("push_pull.h", [1.5, None, 3.0]).extremes() == (1.5, None, 3.0)
    assert Float("push_pull.h", 1.0, 3.0).extremes() == (1.0, 3.0)
    assert Int("pretrain.epochs", 1, 9).extremes() == (1, 9)


def test_conditions_must_all_hold_and_take_single_values():
    axis = Choice("push_pull.h", (2.0,), when={"push_pull.where": "first", "model.name": ["resnet-8", "cnn-2"]})
    assert axis.when == {"push_pull.where": ("first",), "model.name": ("resnet-8", "cnn-2")}
    assert applies(axis, {"push_pull.where": "first", "model.name": "cnn-2"})
    assert not applies(axis, {"push_pull.where": "first", "model.name": "allconv"})
    assert not applies(axis, {"push_pull.where": "none", "model.name": "cnn-2"})
    assert applies(Choice("push_pull.h", (2.0,)), {})
