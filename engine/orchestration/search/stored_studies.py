"""Studies as they lie in their database: opened or made anew, their names, and what their trials came to."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Literal

import optuna
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from engine.errors import InputError, unknown_name
from engine.orchestration.databases.addresses import check_sqlite, sqlite_file
from engine.orchestration.databases.patience import UnusableError
from engine.orchestration.databases.servers import check_driver
from engine.orchestration.search.driver_lease import is_driven
from engine.orchestration.search.importances import importances_of
from engine.orchestration.search.study_storage import holds_studies, open_storage
from engine.orchestration.search.study_trials import ENDED
from engine.redaction import hide_credentials
from engine.report.reasons import Reason
from engine.report.results import Results
from engine.report.trial_results import CORRUPTED, TrialResult
from engine.result_names import OfStudy, OfTrial
from engine.spaces import Space
from engine.spaces.differences import differences


def open_study(
    space: Space, study_seed: int, *, storage: str, name: str, objectives: tuple[str, ...] = (CORRUPTED,)
) -> optuna.Study:
    """Return a study, new or as it was left.

    Raises:
        InputError: the storage cannot be used, or the study exists with another space, seed or objectives, or with
            proposals on the seeds of the comparison.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = _create(storage, name, n_objectives=len(objectives))
    if not _check_same(study, space, study_seed, objectives):
        study.set_user_attr(OfStudy.SPACE, space.to_json())
        study.set_user_attr(OfStudy.STUDY_SEED, study_seed)
        study.set_user_attr(OfStudy.OBJECTIVES, list(objectives))
        study.set_user_attr(OfStudy.SPACE_DIGEST, space.digest)
    return study


def results_so_far(
    space: Space, study_seed: int, *, storage: str, name: str, objectives: tuple[str, ...] = (CORRUPTED,)
) -> Results | None:
    """Return what the study says already that a sweep would go on with; None where it would be a new one.

    Nothing is made or changed.

    Raises:
        InputError: as of ``open_study``.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    file = sqlite_file(storage)
    if file is not None and not file.exists():
        return None
    try:
        if not holds_studies(storage):
            return None
    except Exception as error:  # each storage has its own kinds of errors
        raise _refusal(storage, error) from error
    if name not in study_names(storage):
        return None
    study = _load(storage, name)
    return results_of(study) if _check_same(study, space, study_seed, objectives) else None


@contextmanager
def gone_if_refused(study: optuna.Study, storage: str) -> Iterator[None]:
    """Remove a study that has no trial where what is to run on it is refused: nothing was begun."""
    try:
        yield
    except InputError:
        with suppress(Exception):  # a database that is away must not hide why
            if not study.get_trials(deepcopy=False):
                optuna.delete_study(study_name=study.study_name, storage=open_storage(storage))
        raise


def _check_same(study: optuna.Study, space: Space, study_seed: int, objectives: tuple[str, ...]) -> bool:
    """Return whether a study has been begun, by a sweep of the same space, seed and objectives.

    Raises:
        InputError: it is another's.
    """
    name, known = study.study_name, study.user_attrs.get(OfStudy.SPACE_DIGEST)
    if known is None:
        if study.get_trials(deepcopy=False):
            raise InputError(
                f"study {name!r} exists in this storage, but was not made by a sweep; choose another --study"
            )
        return False
    if known != space.digest:
        other = study.user_attrs[OfStudy.SPACE]
        how = differences(other, space.to_json())
        raise InputError(
            f"study {name!r} exists with another space ({other['name']}, digest {known}; this one: {space.name}, "
            f"digest {space.digest}{'; ' * bool(how)}{how}); choose another --study, or the space that it was made with"
        )
    known_seed = study.user_attrs[OfStudy.STUDY_SEED]
    if known_seed != study_seed:
        raise InputError(f"study {name!r} exists with seed {known_seed}, got {study_seed}; choose another --study")
    if objectives_of(study) != objectives:
        raise InputError(
            f"study {name!r} exists with the objectives {', '.join(objectives_of(study))}, got "
            f"{', '.join(objectives)}; choose another --study"
        )
    if any(seed != space.search_seed(study_seed) for seed in _proposals_seeds(study)):
        raise InputError(
            f"study {name!r} is an earlier version's, whose proposals ran on a seed that the winner is compared on; "
            "choose another --study: the store has the stages that are the same"
        )
    return True


def _proposals_seeds(study: optuna.Study) -> set[int]:
    trials = study.get_trials(deepcopy=False)
    return {
        trial.user_attrs.get(OfTrial.SEED, 0)
        for trial in trials
        if trial.user_attrs.get(OfTrial.SLOT, "").startswith("proposal/")
    }


def objectives_of(study: optuna.Study) -> tuple[str, ...]:
    """Return the objectives of a study that a sweep made."""
    return tuple(study.user_attrs.get(OfStudy.OBJECTIVES, (CORRUPTED,)))


def _create(storage: str, name: str, *, n_objectives: int) -> optuna.Study:
    directions: list[Literal["minimize", "maximize"] | StudyDirection] = ["minimize"] * n_objectives
    try:
        logging.getLogger("alembic").setLevel(logging.WARNING)
        return optuna.create_study(
            storage=open_storage(storage), study_name=name, directions=directions, load_if_exists=True
        )
    except InputError:
        raise
    except Exception as error:  # each storage has its own kinds of errors
        raise _refusal(storage, error) from error


def study_names(storage: str) -> list[str]:
    """Return the names of the studies in a storage.

    Raises:
        InputError: there is no such storage, or it cannot be used.
    """
    opened = _open_existing(storage)
    try:
        return sorted(optuna.get_all_study_names(opened))
    except Exception as error:  # each storage has its own kinds of errors
        raise _refusal(storage, error) from error


def _open_existing(storage: str) -> BaseStorage:
    """Return a storage that holds studies, without making or changing anything.

    Raises:
        InputError: it is not there, is damaged, has no studies, or cannot be used.
    """
    check_sqlite(storage, "Optuna", must_exist=True)
    check_driver(storage)
    try:
        if holds_studies(storage):
            return open_storage(storage, to_write=False)
    except Exception as error:  # each storage has its own kinds of errors
        raise _refusal(storage, error) from error
    raise InputError(f"no studies in the database {hide_credentials(storage)}: no sweep has written there")


def _refusal(storage: str, error: Exception) -> UnusableError:
    """Return the error for a storage that refuses; what it says may repeat the address, with its credentials."""
    lines = str(getattr(error, "orig", None) or error).splitlines() or [type(error).__name__]
    return UnusableError(hide_credentials(f"study storage cannot be used: {storage} ({lines[0]})"))


def read_results(storage: str, name: str) -> Results:
    """Return what a study says, without changing it.

    Raises:
        InputError: there is no such study, it was not made by a sweep, or by one of another version whose space
            cannot be read, or the storage cannot be used.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = _load(storage, name)
    if OfStudy.SPACE not in study.user_attrs:
        raise InputError(f"study {name!r} was not made by a sweep")
    found = with_importances(results_of(study), study.get_trials(deepcopy=False))
    return dataclasses.replace(found, is_running=is_driven(study))


def with_importances(results: Results, trials: Sequence[FrozenTrial]) -> Results:
    """Return results with the importances of the settings in their search.

    Args:
        results: of a study.
        trials: its own.
    """
    return dataclasses.replace(results, importances=importances_of(trials, results.objectives))


def _load(storage: str, name: str) -> optuna.Study:
    opened = _open_existing(storage)
    try:
        return optuna.load_study(storage=opened, study_name=name)
    except KeyError:
        where = f"storage {hide_credentials(storage)}"
        raise unknown_name("study", name, study_names(storage), of=where) from None
    except Exception as error:  # each storage has its own kinds of errors
        raise _refusal(storage, error) from error


def results_of(study: optuna.Study, trials: Iterable[FrozenTrial] | None = None, space: Space | None = None) -> Results:
    """Return what an open study of a sweep says.

    Args:
        study: that a sweep made.
        trials: its ended ones, where somebody has them; None to read them.
        space: its own, where somebody has it; None to read it.
    """
    objectives = objectives_of(study)
    ended = list(study.get_trials(deepcopy=False, states=ENDED) if trials is None else trials)
    experiment = study.user_attrs.get(OfStudy.EXPERIMENT, "")
    return Results(
        study.study_name,
        recorded_space(study) if space is None else space,
        tuple(_result(trial, objectives) for trial in without_retried(ended)),
        experiment,
        objectives,
        command=study.user_attrs.get(OfStudy.COMMAND, ""),
    )


def recorded_space(study: optuna.Study) -> Space:
    """Return the space that a study was begun with.

    Raises:
        InputError: it is of another version, and cannot be read.
    """
    try:
        return Space.from_json(study.user_attrs[OfStudy.SPACE], of_record=True)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        what = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise InputError(
            f"study {study.study_name!r} was made by another version, whose space this one cannot read ({what}); read "
            "it with that version, or run the space anew: the store has the stages that are the same"
        ) from error


def counts(trial: FrozenTrial) -> bool:
    """Return whether a trial is one of a sweep's, and was not interrupted."""
    return OfTrial.SLOT in trial.user_attrs and not trial.user_attrs.get(OfTrial.INTERRUPTED)


def is_result(trial: FrozenTrial) -> bool:
    """Return whether an ended trial says something of its settings, and not of what happened to the machines."""
    reason = trial.user_attrs.get(OfTrial.REASON)
    return trial.state != TrialState.FAIL or reason is None or not Reason.from_json(reason).is_of_machines


def without_retried(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials that count, without the failed ones that were run again since."""
    counted = [trial for trial in trials if counts(trial)]
    last = {trial.user_attrs[OfTrial.SLOT]: trial.number for trial in counted}
    return [
        trial
        for trial in counted
        if trial.state != TrialState.FAIL or last[trial.user_attrs[OfTrial.SLOT]] == trial.number
    ]


def _result(trial: FrozenTrial, objectives: tuple[str, ...]) -> TrialResult:
    noted = trial.user_attrs
    complete = trial.state == TrialState.COMPLETE
    values = dict(zip(objectives, trial.values, strict=True)) if complete else {}
    return TrialResult(
        number=trial.number,
        slot=noted[OfTrial.SLOT],
        group=noted.get(OfTrial.GROUP, ""),
        seed=noted.get(OfTrial.SEED, 0),
        state=trial.state.name,
        settings=noted.get(OfTrial.SETTINGS, {}),
        objective=values.get(CORRUPTED),
        errors=noted.get(OfTrial.ERRORS),
        reason=Reason.from_json(noted[OfTrial.REASON]) if OfTrial.REASON in noted else None,
        stages=noted.get(OfTrial.STAGES, {}),
        values=values,
        repeat_of=noted.get(OfTrial.REPEAT_OF),
        identity=noted.get(OfTrial.IDENTITY),
        steps=dict(trial.intermediate_values),
        started_at=_seconds(trial.datetime_start),
        ended_at=_seconds(trial.datetime_complete),
    )


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()
