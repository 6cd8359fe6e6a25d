"""What ``--list`` shows: every name that an option or a setting can have."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from rich.console import Console

from engine.corruptions import SEVERITY_TABLES, default_levels, table_corruptions
from engine.corruptions.distortions import DISTORTION_REGISTRY
from engine.corruptions.sequence_tables import SCORED, SEQUENCES, P
from engine.corruptions.tables import SUITES
from engine.data import READERS
from engine.errors import unknown_name
from engine.explanation import COLUMNS, Explanation, explain, explain_settings, grouped, sections
from engine.extensions import import_modules
from engine.models import model_names
from engine.models.libraries import library_forms
from engine.orchestration.options import SweepOptions
from engine.orchestration.search import PRUNERS, SAMPLERS
from engine.orchestration.tracking import TRACKERS
from engine.ranking import DISTANCES, ELECTIONS
from engine.registry import Registry
from engine.report.terminal import say
from engine.report.text_tables import Table
from engine.spaces import datasets_of, load_space, space_names
from engine.stages.catalogue import STAGES
from engine.training import RECIPES


def print_lists(console: Console, options: SweepOptions) -> None:
    """Print what ``--list`` asks for: all lists, some of them, or the settings of some names ("rank", "rank.top").

    Raises:
        InputError: a name that no list, and no setting, has.
    """
    import_modules(options.imports)
    lists: dict[str, Callable[[], Iterable[Table]]] = {
        "spaces": _spaces,
        "samplers": lambda: [_choices("sampler", SAMPLERS)],
        "pruners": lambda: [_choices("pruner", PRUNERS)],
        "trackers": lambda: [_choices("tracker", TRACKERS)],
        "recipes": _recipes,
        "names": _names,
        "settings": lambda: _settings(explain_settings().values()),
    }
    asked = options.list or tuple(lists)
    for name in asked:
        if "." not in name and name not in {*lists, *sections(), "seed"}:
            raise unknown_name("list, or beginning of settings,", name, [*lists, *filter(None, sections()), "seed"])
    tables = [lists[name]() if name in lists else _settings(explain([name])) for name in asked]
    for table in itertools.chain.from_iterable(tables):
        say(console, table)


def _spaces() -> Iterator[Table]:
    spaces = {name: load_space(name) for name in space_names()}
    rows = [
        (
            name,
            space.description,
            str(len(space.axes)),
            f"{len(space.arms)} × {space.n_seeds}",
            ", ".join((space.base.data.name.partition(":")[0], *datasets_of(name))),
        )
        for name, space in spaces.items()
    ]
    yield Table("Search spaces (--space)", ("space", "what it asks", "axes", "arms × seeds", "made for"), rows)


def _choices(option: str, kinds: Registry[Any]) -> Table:
    rows = [(choice, about.description) for choice, about in kinds.items()]
    return Table(f"{option.capitalize()}s (--{option})", (option, "what it does"), rows)


def _recipes() -> Iterator[Table]:
    rows = [(name, RECIPES[name].description) for name in RECIPES]
    yield Table("Training recipes (--recipe)", ("recipe", "what it is"), rows)


def _names() -> Iterator[Table]:
    registered: dict[str, Iterable[str]] = {
        "data sets (--dataset)": [f"{name}:PATH" if name in ("folder", "imagefolder") else name for name in READERS],
        "models (model.name)": model_names(),
        "networks of libraries (model.name)": library_forms(),
        "distances (rank.distance)": DISTANCES,
        "elections (rank.election)": ELECTIONS,
        "distortions (distortion.name) and their usual levels": map(_with_levels, DISTORTION_REGISTRY),
        "stages": STAGES,
        **{f"corruptions, table {table}": table_corruptions(table) for table in SEVERITY_TABLES},
        **{
            f"of table {table} all that {suite} stands for": names
            for table, suites in SUITES.items()
            for suite, names in suites.items()
        },
        "perturbation sequences (evaluate.sequences)": SEQUENCES,
        f"of these all that {P} stands for": SCORED,
    }
    yield Table("Registered names", ("what", "names"), [(kind, ", ".join(known)) for kind, known in registered.items()])


def _with_levels(distortion: str) -> str:
    levels = ", ".join(f"{level:g}" for level in default_levels(distortion))
    return f"{distortion} ({levels})" if levels else distortion


def _settings(explanations: Iterable[Explanation]) -> Iterator[Table]:
    for group in grouped(explanations):
        yield Table(f"Settings of {group.name} (--set PATH=VALUE): {group.what}", COLUMNS, group.rows)
