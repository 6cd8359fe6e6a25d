import math

import pytest

from engine.errors import InputError
from engine.spaces import Choice, Float, Int
from engine.spaces.axes import applies


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Choice("push_pull.h", ()), r"axis 'push_pull.h' needs values, each once, got \(\)"),
        (lambda: Choice("push_pull.h", (1.5, 2.0, 1.5)), "needs values, each once"),
        (lambda: Choice("push_pull.h", (1.5, 1.5), label="other"), "axis 'other' needs values"),
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
