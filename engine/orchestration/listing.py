"""What ``--list`` shows: every name that an option or a setting can have."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

from engine.corruptions import DISTORTIONS, SEVERITY_TABLES, table_corruptions
from engine.data import READERS
from engine.models import model_names
from engine.orchestration.options import SweepOptions
from engine.orchestration.search import PRUNERS, SAMPLERS
from engine.ranking import DISTANCES, ELECTIONS
from engine.settings import TrialConfig
from engine.spaces import load_space, space_names
from engine.stages.catalogue import STAGES
from engine.training import RECIPES


def print_lists(console: Console, options: SweepOptions) -> None:
    """Print the spaces, and the names of everything that is registered."""
    spaces = Table(
        "space", "what it asks", "axes", "arms × seeds", title="Search spaces (--space)", title_justify="left"
    )
    for name in space_names():
        space = load_space(name)
        spaces.add_row(name, space.description, str(len(space.axes)), f"{len(space.arms)} × {space.n_seeds}")
    console.print(spaces)
    for option, kinds in (("sampler", SAMPLERS), ("pruner", PRUNERS)):
        table = Table(option, "what it does", title=f"{option.capitalize()}s (--{option})", title_justify="left")
        for choice, about in kinds.items():
            table.add_row(choice, about.description)
        console.print(table)
    recipes = Table("recipe", "what it is", title="Training recipes (--recipe)", title_justify="left")
    for name in RECIPES:
        recipes.add_row(name, RECIPES[name].description)
    console.print(recipes)
    names = Table("what", "names", title="Registered names", title_justify="left")
    registered: dict[str, Iterable[str]] = {
        "data sets (--dataset)": [name if name != "folder" else "folder:PATH" for name in READERS],
        "models (model.name)": model_names(),
        "distances (rank.distance)": DISTANCES,
        "elections (rank.election)": ELECTIONS,
        "distortions (distortion.name)": DISTORTIONS,
        "stages": STAGES,
        **{f"corruptions, table {table}": table_corruptions(table) for table in SEVERITY_TABLES},
    }
    for kind, known in registered.items():
        names.add_row(kind, ", ".join(known))
    console.print(names)
    settings = Table("setting", "default", title="Settings (--set PATH=VALUE)", title_justify="left")
    for path, value in TrialConfig().flat().items():
        settings.add_row(path, str(value))
    console.print(settings)
