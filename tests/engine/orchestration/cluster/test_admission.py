"""What a store's answers say of a machine: that it is not fit, or only that the store is away."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.errors import InputError
from engine.orchestration.cluster import admission as admission_module
from engine.orchestration.cluster.admission import Admission, UnfitError
from engine.orchestration.cluster.inspection import NodeFacts, StoreMark
from engine.store import Store, StoreFaultError

BUCKET = "s3://team/store"


def admission() -> Admission:
    facts = NodeFacts.__new__(NodeFacts)  # they are not asked here
    return Admission(facts, StoreMark("0" * 32, "driver", BUCKET))


def opening(monkeypatch, outcome: Callable[[], Any]) -> list[dict[str, Any]]:
    """Have a store's opening come to something; return how it was asked for."""
    asked: list[dict[str, Any]] = []

    def open_store(place: str, **options: Any) -> Any:
        asked.append(options)
        return outcome()

    monkeypatch.setattr(admission_module, "open_store", open_store)
    monkeypatch.setattr(admission_module, "_SIGHT_S", 0.05)
    return asked


class Away:
    """A store that was opened and then refuses."""

    def look_at(self, key: str) -> None:
        raise StoreFaultError("the service answers 503")

    remove = look_at


def refused(cause: Exception) -> Callable[[], Any]:
    def fail() -> None:
        raise InputError(f"store cannot be read: {BUCKET} ({cause})") from cause

    return fail


@pytest.mark.parametrize("cause", [StoreFaultError("the service answers 503"), OSError(5, "Input/output error")])
def test_a_store_that_is_away_is_waited_for_and_says_nothing_of_the_machine(monkeypatch, cause: Exception) -> None:
    asked = opening(monkeypatch, refused(cause))
    with pytest.raises(InputError, match=r"^store cannot be read"):
        admission().check_store(BUCKET)
    assert asked == [{"read_only": True, "patient": True}]


def test_a_store_that_refuses_a_look_says_nothing_of_the_machine(monkeypatch) -> None:
    opening(monkeypatch, Away)
    with pytest.raises(StoreFaultError):
        admission().check_store(BUCKET)


@pytest.mark.parametrize("cause", [None, ImportError("obstore")])
def test_a_machine_where_there_is_no_such_store_is_unfit(monkeypatch, cause: Exception | None) -> None:
    def fail() -> None:
        raise InputError(f"there is no store in {BUCKET}") from cause

    opening(monkeypatch, fail)
    with pytest.raises(UnfitError, match=r"does not share the sweep's store s3://team/store: there is no store in"):
        admission().check_store(BUCKET)


def test_a_machine_that_does_not_see_the_mark_is_unfit(monkeypatch, tmp_path: Path) -> None:
    opening(monkeypatch, lambda: Store(tmp_path))
    with pytest.raises(UnfitError, match="what driver has written there for this sweep is not seen"):
        admission().check_store(str(tmp_path))


def test_a_mark_that_a_store_does_not_let_go_ends_no_sweep() -> None:
    admission().end(Away())
