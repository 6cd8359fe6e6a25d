"""Numbers of absurd size are one short sentence, at once."""

import pytest

from engine.errors import InputError
from engine.orchestration.options import SweepOptions
from engine.orchestration.search.grid import count_of_few
from engine.settings import TrialConfig
from engine.spaces import Arm, Choice, Float, Int, Space
from engine.stages import plan_trial
from pipelines import responses, trial
from tests.engine.made_up import DIGITS

COUNTS = [path for path, value in TrialConfig().flat().items() if type(value) is int]
DIGITS_OF_A_NUMBER = "9" * 10_000


@pytest.mark.parametrize("path", COUNTS)
def test_a_count_that_nothing_has_room_for_is_refused(path):
    for value in (2**63, 1e300, 10**400, 10**10_000):
        with pytest.raises(InputError, match=f"`{path}` must be ") as refused:
            TrialConfig().with_settings({path: value})
        assert len(str(refused.value)) < 300


@pytest.mark.parametrize("path", ["pretrain.epochs", "pretrain.learning_rate", "model.name", "evaluate.severities"])
def test_a_value_of_very_many_letters_is_not_said_in_full(path):
    with pytest.raises(InputError) as refused:
        plan_trial(TrialConfig().with_settings({path: DIGITS_OF_A_NUMBER}), DIGITS)
    assert len(str(refused.value)) < 2000


def test_a_network_that_is_too_wide_for_torch_cannot_be_built():
    config = TrialConfig().with_settings({"model.width": 10**12})
    with pytest.raises(InputError, match="model 'resnet-8' cannot be built"):
        plan_trial(config, DIGITS)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Choice("pretrain.epochs", tuple(range(1, 1_000_001))), "can have 1,000 values at most, got 1,000,000"),
        (lambda: Int("pretrain.epochs", 1, 10**30), "in 1,000,000,000 steps at most, got 1 from 1 to 1000000000"),
        (lambda: Float("push_pull.alpha", 0.0, 1.0, step=1e-300), "in 1,000,000,000 steps at most, got 1e-300"),
        (
            lambda: Space(name="s", base=TrialConfig(), arms=(Arm("a", {}),), n_seeds=10**12),
            "`n_seeds` must be at most 10,000, got 1000000000000",
        ),
        (lambda: SweepOptions(n_trials=10**12).check_values(), "--n-trials must be at most 100,000, got 1000000000000"),
        (lambda: SweepOptions(seed=10**30).check_values(), r"`seed` must be a whole number below 2\*\*63"),
    ],
)
def test_what_would_take_for_ever_to_list_is_refused(make, match):
    with pytest.raises(InputError, match=match):
        make()


@pytest.mark.parametrize("name", ["resnet-8000000000000000000", "densenet-bc-8000000000000000002-12"])
def test_a_network_of_more_layers_than_anybody_waits_for_is_refused(name):
    with pytest.raises(InputError, match="must be at most 2,000, got 8000000000"):
        plan_trial(TrialConfig().with_settings({"model.name": name}), DIGITS)


def test_points_of_a_very_long_axis_are_counted_no_further_than_needed():
    space = Space(name="s", base=TrialConfig(), axes=(Int("pretrain.epochs", 1, 10**9),))
    assert count_of_few(space, 10) is None


def test_more_threads_than_any_machine_has_are_refused(capsys, tmp_path):
    assert trial.command_line(["--home", str(tmp_path), "--threads", str(10**12)]) == 2
    assert "`--threads` must be at most 1,024, got 1000000000000" in capsys.readouterr().err


def test_a_level_that_cannot_be_is_told_before_anything_is_trained(capsys, tmp_path):
    where = ["--home", str(tmp_path), "--output", str(tmp_path / "x.png")]
    assert responses.command_line([*where, "--levels", "0.1", "1e300"]) == 2
    assert "must lie in [0, 1], got 1e+300" in capsys.readouterr().err
    assert not (tmp_path / "store").exists()
