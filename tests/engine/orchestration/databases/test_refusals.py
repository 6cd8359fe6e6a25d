"""What a sweep is refused for good is noted once, and of its end the rest is done."""

import pytest

from engine.errors import InputError
from engine.orchestration.databases.refusals import Refusals
from engine.store import StoreFaultError


def refuse() -> None:
    raise OSError(28, "No space left on device", "/runs/optuna.db")


def test_the_first_refusal_is_the_fault_and_nothing_is_waited_for_after_it() -> None:
    refusals = Refusals()
    refusals.unless_refused(lambda: None)
    assert refusals.fault == ""
    assert refusals.patience.limit_s > 0
    refusals.unless_refused(refuse)
    refusals.note(StoreFaultError("the store failed"))
    assert refusals.fault == "the disk says: No space left on device: /runs/optuna.db"
    assert refusals.patience.limit_s == 0


def test_all_steps_of_an_end_are_taken_in_their_order_whatever_is_refused() -> None:
    refusals, taken = Refusals(), []
    refusals.each(lambda: taken.append("first"), refuse, lambda: taken.append("last"))
    assert taken == ["first", "last"]
    assert refusals.fault.startswith("the disk says: ")


@pytest.mark.parametrize("error", [ValueError("a fault of ours"), InputError("no such study")])
def test_any_other_error_is_raised_once_the_other_steps_are_taken(error) -> None:
    refusals, taken = Refusals(), []

    def fail() -> None:
        raise error

    with pytest.raises(type(error), match=str(error)):
        refusals.each(fail, lambda: taken.append("last"))
    assert taken == ["last"]
    assert refusals.fault == ""
