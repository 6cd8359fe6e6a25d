"""From a trial's settings to what its network is tested on and compared by."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from typing import Any

from engine.corruption_kinds import C_BAR, kind_of
from engine.corruptions import check_constants, frost_source, table_corruptions, why_impossible
from engine.corruptions.apply import CORRUPTION_REGISTRY
from engine.corruptions.frost_pictures import FrostPicturesError
from engine.corruptions.sequence_tables import P
from engine.corruptions.tables import (
    AUTOMATIC,
    OBJECTIVES,
    REPORTED,
    SUITES,
    not_in_table,
    table_digest,
    tables_with,
    with_suites,
)
from engine.data import DataInfo
from engine.errors import InputError
from engine.settings import EvaluateSettings
from engine.stages.along_sequences import check_sequences, plan_sequences


def check_evaluation(evaluate: EvaluateSettings, data: DataInfo) -> None:
    """Check what networks are to be tested on and compared by.

    Raises:
        InputError: a corruption that the table or the images do not have, a user's own constant that fails, or a file
            of corrupted images that is missing.
    """
    table = _table(evaluate, data)
    covered = table_corruptions(table)
    named = with_suites((*evaluate.corruptions, *evaluate.objective), table)
    for name in named:
        if name == P:
            raise InputError(f"{P!r} is no suite of corruptions but of perturbation sequences: evaluate.sequences={P}")
        if name not in covered:
            known = (*covered, *SUITES.get(table, ()))
            raise not_in_table(name, table, known, _table_with(name, data), "evaluate.table=")
    chosen = (*OBJECTIVES.get(table, covered), *REPORTED.get(table, covered))
    for name in dict.fromkeys((*named, *chosen)):
        check_constants(name, table, sorted(set(evaluate.severities)), data.channels, data.image_size)
    for words in (evaluate.corruptions, evaluate.objective):
        of_suites = not _asked_for(words, table, data)  # where the images can have nothing of them, the first is told
        for name in with_suites(words, table):
            why_not = why_impossible(name, table, data.channels, data.image_size)
            if why_not is not None and (name in words or of_suites):
                raise InputError(f"corruption {name!r} cannot be had of these images: {why_not}")
    missing = [name for name in _tested_on(evaluate, data) if name not in data.corruption_files]
    if data.corruption_folder is not None and missing:
        files = ", ".join(f"{name}.npy" for name in missing)
        raise InputError(f"folder of corrupted images {data.corruption_folder} lacks {files}")
    check_sequences(evaluate, table, data)


def left_out(evaluate: EvaluateSettings, data: DataInfo) -> list[str]:
    """Return a sentence for each corruption of a suite, or of the usual ones, that the images cannot have."""
    table = _table(evaluate, data)
    usual = REPORTED.get(table, table_corruptions(table))
    lines = []
    for name in with_suites(evaluate.corruptions, table) or usual:
        why_not = why_impossible(name, table, data.channels, data.image_size)
        if why_not is not None:
            lines.append(f"left out: {why_not}")
    return lines


def plan_evaluation(evaluate: EvaluateSettings, data: DataInfo) -> dict[str, Any]:
    """Return what networks are tested on and compared by, JSON: "table", "corruptions", "objective", "severities"."""
    table = _table(evaluate, data)
    covered = table_corruptions(table)
    corruptions = _tested_on(evaluate, data)
    usual = [name for name in OBJECTIVES.get(table, covered) if _is_possible(name, table, data)]
    objective = _asked_for(evaluate.objective, table, data) or _following(evaluate.corruptions, usual, table)
    files = {name: data.corruption_files[name] for name in corruptions if name in data.corruption_files}
    return {
        "table": table,
        "corruptions": _in_order(corruptions, covered),
        "objective": _in_order(objective, covered),
        "severities": sorted(set(evaluate.severities)),
        **table_source(table),
        **({"files": files} if files else {}),
        **corruption_sources(objective if files else (*corruptions, *objective)),
        **plan_sequences(evaluate, table, data),
    }


def _table(evaluate: EvaluateSettings, data: DataInfo) -> str:
    """Return the severity table: the data set's own where none is named."""
    return data.severity_table if evaluate.table == AUTOMATIC else evaluate.table


def _table_with(word: str, data: DataInfo) -> str | None:
    """Return a table that has a corruption, or a suite of some, which the images can have: the data set's own first."""
    found = tables_with(word)
    usual = [data.severity_table] if data.severity_table in found else []
    for table in (*usual, *found):
        with contextlib.suppress(FrostPicturesError):
            if any(_is_possible(name, table, data) for name in with_suites((word,), table)):
                return table
    return None


def _tested_on(evaluate: EvaluateSettings, data: DataInfo) -> Sequence[str]:
    """Return the corruptions that networks are tested on: those of the table, where none are named."""
    table = _table(evaluate, data)
    usual = REPORTED.get(table, table_corruptions(table))
    return _asked_for(evaluate.corruptions, table, data) or [name for name in usual if _is_possible(name, table, data)]


def _asked_for(words: Sequence[str], table: str, data: DataInfo) -> list[str]:
    """Return the corruptions that words name; of a suite those that have a meaning for the images."""
    return [name for name in with_suites(words, table) if name in words or _is_possible(name, table, data)]


def _is_possible(name: str, table: str, data: DataInfo) -> bool:
    """Return whether a corruption has a meaning for the images."""
    return why_impossible(name, table, data.channels, data.image_size) is None


def _in_order(names: Iterable[str], covered: Sequence[str]) -> list[str]:
    """Return corruptions, each once, in the table's order, then a user's own by their names."""
    own = {name for name in covered if CORRUPTION_REGISTRY.source_digest(name) is not None}
    return sorted(set(names), key=lambda name: (name in own, name if name in own else covered.index(name)))


def _following(words: Sequence[str], usual: Sequence[str], table: str) -> list[str]:
    """Return the corruptions that choices are made by where networks are tested on those that words name.

    They are the usual ones of the kinds asked for, so that what is tested stays unseen; a kind that has none is chosen
    by what is asked for itself. All usual ones where nothing in particular is asked for, as by a suite, and where
    C-bar's are, which are there to be unlike what anybody has chosen by.
    """
    suites = SUITES.get(table, {})
    of_suites = {name for word in words for name in suites.get(word, ())}
    asked = [word for word in words if word not in suites and word not in of_suites]
    kinds = {kind_of(name) for name in asked}
    takes_all = of_suites or not asked or C_BAR in kinds
    held_out = [name for name in usual if takes_all or kind_of(name) in kinds]
    covered = {kind_of(name) for name in held_out} | ({C_BAR} if held_out else set())
    return [*held_out, *(name for name in dict.fromkeys(asked) if kind_of(name) not in covered)]


def table_source(table: str) -> dict[str, Any]:
    """Return {"table_source": hash of a user's own severity table}, or nothing."""
    source = table_digest(table)
    return {"table_source": source} if source else {}


def corruption_sources(names: Iterable[str]) -> dict[str, Any]:
    """Return {"source": {corruption: hash of a user's own code, or the pictures of frost}}, or nothing."""
    sources = {name: CORRUPTION_REGISTRY.source_digest(name) for name in sorted(set(names))}
    if "frost" in sources and sources["frost"] is None:
        sources["frost"] = frost_source().key
    own = {name: source for name, source in sources.items() if source}
    return {"source": own} if own else {}
