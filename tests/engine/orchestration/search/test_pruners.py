import optuna
import pytest

from engine.errors import InputError
from engine.orchestration.search.horizon import Horizon
from engine.orchestration.search.pruner_kinds import PRUNERS
from engine.orchestration.search.pruners import make_pruner, parse_pruner
from engine.spaces import Choice, Space
from tests.engine.orchestration.spaces import INHIBITED, SPACE, TINY

NAMES = [f"{name}:0.6" if name == "threshold" else name for name in PRUNERS]


@pytest.mark.parametrize("name", NAMES)
def test_every_pruner_can_be_made_and_gives_its_reason(name: str) -> None:
    pruner = make_pruner(parse_pruner(name), SPACE)
    assert isinstance(pruner.optuna, optuna.pruners.BasePruner)
    if not pruner.by_cells:
        words = str(pruner.reason(4, 0.9, [0.1, 0.2]))
        assert words.startswith(f"{name.split(':')[0]} pruner at step 4: probe error 0.9000")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("median", "median pruner at step 4: probe error 0.9000, median of the 3 complete trials 0.2000"),
        ("percentile:50", "percentile pruner at step 4: probe error 0.9000, median of the 3 complete trials 0.2000"),
        (
            "percentile",
            "percentile pruner at step 4: probe error 0.9000, 25th percentile of the 3 complete trials 0.1500",
        ),
        ("threshold:0.6", "threshold pruner at step 4: probe error 0.9000, above 0.6"),
        (
            "successive-halving",
            "successive-halving pruner at step 4: probe error 0.9000, not in the better half of those that reached "
            "this rung",
        ),
    ],
)
def test_reasons(name: str, reason: str) -> None:
    assert str(make_pruner(parse_pruner(name), SPACE).reason(4, 0.9, [0.1, 0.2, 0.3])) == reason


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("medien", r"unknown pruner 'medien' \(did you mean 'median'"),
        ("median:3", "pruner 'median' takes no number, got 'median:3'"),
        ("threshold", r"pruner 'threshold' is given as threshold:BOUND with BOUND in \(0, 1\), got 'threshold'"),
        ("threshold:2", r"with BOUND in \(0, 1\), got 'threshold:2'"),
        ("threshold:nan", r"with BOUND in \(0, 1\), got 'threshold:nan'"),
        ("wilcoxon:1", r"with P in \(0, 1\), got 'wilcoxon:1'"),
        ("percentile:x", r"percentile:PERCENT with PERCENT in \(0, 100\), got 'percentile:x'"),
    ],
)
def test_wrong_pruners_are_one_sentence(name: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        parse_pruner(name)


def test_the_horizon_is_the_longest_trial() -> None:
    assert Horizon.of(SPACE) == Horizon(2, 2)
    longer = Space(
        name="longer",
        base=TINY,
        axes=(Choice("finetune.which", ("all", "none")), Choice("finetune.training.epochs", (3, 9))),
    )
    assert Horizon.of(longer) == Horizon(2, 9)
    assert Horizon.of(Space(name="plain", base=INHIBITED, axes=(Choice("push_pull.h", (1.0, 2.0)),))) == Horizon(2, 0)


@pytest.mark.parametrize(
    ("horizon", "first"),
    [
        (Horizon(6, 6), 2),  # rungs 2, 4, 8: the second epoch of fine-tuning
        (Horizon(40, 6), 21),  # rungs 21, 42
        (Horizon(30, 10), 2),  # rungs 2, 4, 8, 16, 32
        (Horizon(20, 0), 2),
        (Horizon(1, 0), 1),
        (Horizon(1, 1), 2),
    ],
)
def test_a_rung_lies_in_the_first_half_of_fine_tuning(horizon: Horizon, first: int) -> None:
    assert horizon.first_rung() == first
