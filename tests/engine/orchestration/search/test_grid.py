import itertools

import pytest

from engine.errors import InputError
from engine.orchestration.search import grid
from engine.orchestration.search.grid import axis_values, grid_settings
from engine.spaces import Choice, Float, Int, Space
from tests.engine.orchestration.spaces import TINY

WHERE = Choice("push_pull.where", ("none", "first"))
H = Choice("push_pull.h", (1.5, 2.0), when={"push_pull.where": ("first",)})
EPOCHS = Int("pretrain.epochs", 1, 5, step=2)


@pytest.mark.parametrize(
    ("axis", "values"),
    [
        (Choice("push_pull.h", (1.5, 2.0)), (1.5, 2.0)),
        (EPOCHS, (1, 3, 5)),
        (Float("push_pull.alpha", 0.0, 1.0, step=0.25), (0.0, 0.25, 0.5, 0.75, 1.0)),
        (Float("push_pull.alpha", 0.1, 0.5, step=0.1), (0.1, 0.2, 0.3, 0.4, 0.5)),
        (Float("pretrain.learning_rate", 1e-3, 1e-2, step=1e-3), tuple(place / 1000 for place in range(1, 11))),
    ],
)
def test_axis_values(axis, values) -> None:
    assert tuple(axis_values(axis)) == values


def test_the_grid_is_the_product_where_axes_apply() -> None:
    space = Space(name="grid", base=TINY, axes=(WHERE, H, EPOCHS))
    networks = [
        {"push_pull.where": "none"},
        {"push_pull.where": "first", "push_pull.h": 1.5},
        {"push_pull.where": "first", "push_pull.h": 2.0},
    ]
    expected = [{**network, "pretrain.epochs": n} for network, n in itertools.product(networks, (1, 3, 5))]
    assert grid_settings(space) == expected


def test_a_space_of_arms_only_has_no_points() -> None:
    from tests.engine.orchestration.spaces import SPACE

    assert grid_settings(Space(name="arms", base=TINY, arms=SPACE.arms)) == []


def test_a_grid_has_its_limit(monkeypatch) -> None:
    monkeypatch.setattr(grid, "MAX_POINTS", 5)
    with pytest.raises(InputError, match="has more than 5 points"):
        grid_settings(Space(name="grid", base=TINY, axes=(WHERE, H, EPOCHS)))
