"""What a database or a disk refuses for now is waited for; what it refuses for good is one sentence."""

import errno
import sqlite3

import optuna
import pytest
import sqlalchemy

from engine.errors import InputError
from engine.orchestration.databases import patience as patience_module
from engine.orchestration.databases.patience import Patience, RefusedError, passing_reason
from engine.store import StoreFaultError


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch) -> None:
    monkeypatch.setattr(patience_module, "PAUSE_S", 0.01)


def locked() -> Exception:
    return sqlalchemy.exc.OperationalError("UPDATE …", {}, sqlite3.OperationalError("database is locked"))


class Refusing:
    """A call that is refused some times, and notes what is said of the wait before each attempt."""

    def __init__(self, error: Exception, n_times: int, patience: Patience) -> None:
        self.error, self.n_left, self.patience = error, n_times, patience
        self.said: list[str] = []

    def __call__(self, value: int, *, more: int) -> int:
        self.said.append(self.patience.waits)
        if self.n_left:
            self.n_left -= 1
            raise self.error
        return value + more


def test_what_is_refused_for_now_is_called_again_and_said() -> None:
    patience = Patience(60)
    call = Refusing(locked(), 2, patience)
    assert patience.call(call, 1, more=2) == 3
    assert call.said == ["", *["waiting for 0 s: the study's database says: database is locked"] * 2]
    assert patience.waits == ""


def test_a_refusal_without_end_is_one_sentence() -> None:
    patience = Patience(0.05)
    with pytest.raises(RefusedError, match=r"^the study's database says: database is locked$"):
        patience.call(Refusing(locked(), 10_000, patience), 1, more=2)
    assert patience.waits == ""


def test_any_other_error_is_not_waited_for() -> None:
    patience = Patience(60)
    call = Refusing(ValueError("wrong"), 1, patience)
    with pytest.raises(ValueError, match="wrong"):
        patience.call(call, 1, more=2)
    assert len(call.said) == 1


def test_reasons_are_found_beneath_what_hides_them() -> None:
    hidden = optuna.exceptions.StorageInternalError("An exception is raised during the commit.")
    hidden.__cause__ = locked()
    assert passing_reason(hidden) == "the study's database says: database is locked"
    full = OSError(errno.ENOSPC, "No space left on device", "/home/me/spool")
    assert passing_reason(full) == "the disk says: No space left on device: /home/me/spool"
    data = optuna.exceptions.StorageInternalError("An exception is raised during the commit.")
    data.__cause__ = sqlalchemy.exc.DataError("INSERT", {}, Exception("value too long"))
    assert passing_reason(data) is None, "sent again it would be refused again"


def test_a_store_that_refuses_is_one_of_them() -> None:
    assert passing_reason(StoreFaultError("the service answers 503")) == "the service answers 503"
    full = StoreFaultError("the store failed while publishing")
    full.__cause__ = OSError(errno.ENOSPC, "No space left on device", "/store")
    assert passing_reason(full) == "the disk says: No space left on device: /store"
    closed = InputError("store cannot be read: s3://team/store")
    closed.__cause__ = StoreFaultError("the service answers 503")
    assert passing_reason(closed) is None, "a store is opened before anything starts"


def test_a_callers_mistake_is_none_of_it() -> None:
    mistake = InputError("no such folder")
    mistake.__cause__ = OSError(errno.ENOENT, "No such file or directory", "/nowhere")
    assert passing_reason(mistake) is None


def test_credentials_are_not_said() -> None:
    error = sqlalchemy.exc.OperationalError("", {}, Exception("no route to postgresql://me:hunter2@host/db"))
    assert "hunter2" not in str(passing_reason(error))
