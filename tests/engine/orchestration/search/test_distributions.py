import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from engine.orchestration.search.distributions import distribution, parameters_of, suggest_settings
from engine.spaces import Choice, Float, Int
from engine.spaces.axes import can_take
from tests.engine.orchestration.spaces import SPACE


@pytest.mark.parametrize(
    ("axis", "expected"),
    [
        (Choice("push_pull.h", (1.5, 2.0)), CategoricalDistribution((1.5, 2.0))),
        (Float("push_pull.alpha", 0.1, 2.0, log=True), FloatDistribution(0.1, 2.0, log=True)),
        (Float("push_pull.alpha", 0.0, 2.0, step=0.5), FloatDistribution(0.0, 2.0, step=0.5)),
        (Int("finetune.count", 1, 9, step=2), IntDistribution(1, 9, step=2)),
    ],
)
def test_each_kind_of_axis_has_its_distribution(axis, expected) -> None:
    assert distribution(axis) == expected


def test_suggest_settings_asks_only_for_axes_that_apply() -> None:
    trial = optuna.trial.FixedTrial({"push_pull.where": "none", "finetune.which": "none"})
    assert suggest_settings(trial, SPACE) == {"push_pull.where": "none", "finetune.which": "none"}
    trial = optuna.trial.FixedTrial(
        {"push_pull.where": "first", "push_pull.h": 1.5, "finetune.which": "most", "finetune.fraction": 0.3}
    )
    assert suggest_settings(trial, SPACE)["finetune.fraction"] == 0.3


def test_parameters_of_leaves_out_what_no_axis_can_express() -> None:
    settings = {"push_pull.where": "first", "push_pull.h": 1.0, "finetune.which": "none"}
    assert parameters_of(settings, SPACE) == {"push_pull.where": "first", "finetune.which": "none"}


@pytest.mark.parametrize(
    ("axis", "inside", "outside"),
    [
        (Choice("x", (None, "kernel")), [None, "kernel"], ["layer", 0]),
        (Choice("x", (1.0, 2.0)), [1.0], [True, "1.0"]),
        (Float("x", 0.0, 1.0, step=0.25), [0.0, 0.75, 1.0], [0.3, 1.25, None, True]),
        (Int("x", 1, 9, step=4), [1, 5, 9], [2, 13, None]),
    ],
)
def test_can_take(axis, inside, outside) -> None:
    assert all(can_take(axis, value) for value in inside)
    assert not any(can_take(axis, value) for value in outside)
