"""The contract with Optuna's inner parts: each test fails where a new version has changed what is used of it."""

import re
from pathlib import Path

import optuna
import pytest
import sqlalchemy
from optuna.storages import BaseStorage, InMemoryStorage, RDBStorage

from engine.orchestration.search import optuna_internals
from engine.orchestration.search.optuna_internals import (
    STUDIES_TABLE,
    storage_of,
    study_id,
    trial_id,
)

ENGINE = Path(optuna_internals.__file__).parents[2]


def changed(what: str) -> str:
    """Return what to say of a part that is not as it was."""
    return f"Optuna {optuna.__version__} has changed {what}: mend {optuna_internals.__name__}, which is written for 5"


@pytest.fixture
def storage() -> RDBStorage:
    return RDBStorage("sqlite://")


def test_a_study_and_its_trials_are_known_to_their_storage_by_what_they_say() -> None:
    storage = InMemoryStorage()
    for name in ("another", "this one"):
        study = optuna.create_study(storage=storage, study_name=name)
        study.ask()
    assert storage_of(study) is storage, changed("Study._storage")
    assert storage.get_study_name_from_id(study_id(study)) == "this one", changed("Study._study_id")
    (trial,) = study.get_trials()
    assert trial.number == 0
    storage.set_trial_user_attr(trial_id(trial), "noted", True)
    assert study.get_trials()[0].user_attrs == {"noted": True}, changed("FrozenTrial._trial_id")


def test_a_study_in_a_database_is_written_through_the_storage_that_it_was_given(storage) -> None:
    study = optuna.create_study(storage=storage)
    held = storage_of(study)  # Optuna puts a cache in front
    number = held.create_new_trial(study_id(study))
    held.set_trial_state_values(number, optuna.trial.TrialState.COMPLETE, [0.5])
    found = optuna.load_study(storage=storage, study_name=study.study_name).best_value
    assert found == 0.5, changed("Study._storage of a database")


def test_the_methods_of_a_storage_that_trials_are_written_by_are_there() -> None:
    used = (
        "create_new_trial",
        "get_all_trials",
        "set_trial_intermediate_value",
        "set_trial_state_values",
        "set_trial_system_attr",
        "set_trial_user_attr",
    )
    missing = [name for name in used if not callable(getattr(BaseStorage, name, None))]
    assert missing == [], changed(f"BaseStorage's {missing}")


def test_a_database_has_a_table_of_studies(tmp_path) -> None:
    storage = RDBStorage(f"sqlite:///{tmp_path / 'optuna.db'}")
    assert sqlalchemy.inspect(storage.engine).has_table(STUDIES_TABLE), changed("the name of its table of studies")


def test_no_other_file_uses_what_is_private_of_optuna() -> None:
    private = re.compile(r"\boptuna\.(\w+\.)*_[a-z]|(?<!self)\._(storage|study_id|trial_id)\b")
    found = [
        f"{file.relative_to(ENGINE)}: {line.strip()}"
        for file in ENGINE.rglob("*.py")
        if file.name != "optuna_internals.py"
        for line in file.read_text().splitlines()
        if private.search(line)
    ]
    assert found == []
