import math
import subprocess
import sys
from collections import Counter

import pytest

from engine.settings import TrialConfig
from engine.spaces import Choice, Float, Int, Space, draw_settings, load_space


def one_axis(axis, **base) -> Space:
    return Space(name="one", base=TrialConfig().with_settings(base), axes=(axis,))


def draws(axis, n: int = 2000) -> list:
    space = one_axis(axis, **{"push_pull.where": "first", "finetune.which": "most"})
    return [draw_settings(space, seed=0, index=index)[axis.setting] for index in range(n)]


def test_a_draw_depends_on_seed_and_index_alone():
    space = load_space("push-pull")
    forwards = [draw_settings(space, seed=4, index=index) for index in range(30)]
    backwards = [draw_settings(space, seed=4, index=index) for index in reversed(range(30))]
    assert forwards == backwards[::-1]
    assert draw_settings(space, seed=5, index=0) != forwards[0]
    assert len({str(drawn) for drawn in forwards}) > 25


def test_a_draw_is_the_same_in_another_process():
    script = (
        "from engine.spaces import draw_settings, load_space;"
        "print([draw_settings(load_space('push-pull'), seed=4, index=i) for i in range(5)])"
    )
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    space = load_space("push-pull")
    assert printed.strip() == str([draw_settings(space, seed=4, index=index) for index in range(5)])


def test_choices_are_drawn_evenly():
    counts = Counter(draws(Choice("push_pull.where", ("none", "first", "all"))))
    assert set(counts) == {"none", "first", "all"}
    assert all(abs(count - 2000 / 3) < 5 * (2000 * 2 / 9) ** 0.5 for count in counts.values())


def test_integers_are_drawn_evenly_with_both_ends():
    counts = Counter(draws(Int("pretrain.epochs", 3, 7)))
    assert sorted(counts) == [3, 4, 5, 6, 7]
    assert all(abs(count - 400) < 5 * (2000 * 0.16) ** 0.5 for count in counts.values())
    assert set(draws(Int("pretrain.epochs", 2, 8, step=3))) == {2, 5, 8}


def test_integers_are_drawn_evenly_in_their_logarithm():
    counts = Counter(draws(Int("pretrain.epochs", 1, 100, log=True), 4000))
    assert min(counts) == 1
    assert max(counts) == 100
    below_ten = sum(count for value, count in counts.items() if value < 10)
    share = math.log(9.5 / 0.5) / math.log(100.5 / 0.5)
    assert abs(below_ten - 4000 * share) < 5 * (4000 * share * (1 - share)) ** 0.5


def test_floats_are_drawn_evenly_within_their_range():
    values = draws(Float("push_pull.alpha", 0.5, 1.5))
    assert all(0.5 <= value <= 1.5 for value in values)
    assert abs(sum(values) / 2000 - 1.0) < 5 * (1 / 12 / 2000) ** 0.5
    low = sum(value < 1e-3 for value in draws(Float("pretrain.learning_rate", 1e-4, 1e-2, log=True)))
    assert abs(low - 1000) < 5 * 500**0.5


@pytest.mark.parametrize(
    ("low", "high", "step"), [(0.1, 0.3, 0.1), (0.1, 0.7, 0.1), (0.2, 1.0, 0.1), (0.25, 1.0, 0.25)]
)
def test_stepped_floats_never_leave_their_range(low, high, step):
    values = set(draws(Float("finetune.fraction", low, high, step=step), 300))
    assert len(values) == math.floor((high - low) / step + 1e-9) + 1
    assert all(low <= value <= high for value in values)
    assert all(value == round(value, 10) for value in values), "as a person would write them"
    assert max(values) == high


def test_conditions_hold_in_every_draw():
    space = load_space("push-pull")
    for index in range(200):
        drawn = draw_settings(space, seed=0, index=index)
        assert ("push_pull.h" in drawn) == (drawn["push_pull.where"] != "none")
        assert ("rank.pairing" in drawn) == (drawn["finetune.which"] in ("most", "least"))
        assert ("distortion.level" in drawn) == (drawn["finetune.which"] != "none")
        if "distortion.level" in drawn:
            assert (drawn["distortion.level"] <= 2) == (drawn["distortion.name"] == "blur")
