"""What ``--list`` shows: every name that an option or a setting can have."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console

from engine.corruptions import DISTORTIONS, SEVERITY_TABLES, table_corruptions
from engine.data import READERS
from engine.models import model_names
from engine.orchestration.options import SweepOptions
from engine.orchestration.printing import say
from engine.orchestration.search import PRUNERS, SAMPLERS
from engine.orchestration.tables import Table
from engine.ranking import DISTANCES, ELECTIONS
from engine.settings import TrialConfig
from engine.spaces import load_space, space_names
from engine.stages.catalogue import STAGES
from engine.training import RECIPES


def print_lists(console: Console, options: SweepOptions) -> None:
    """Print the spaces, and the names of everything that is registered."""
    rows: list[tuple[str, ...]]
    spaces = {name: load_space(name) for name in space_names()}
    rows = [
        (name, space.description, str(len(space.axes)), f"{len(space.arms)} × {space.n_seeds}")
        for name, space in spaces.items()
    ]
    say(console, Table("Search spaces (--space)", ("space", "what it asks", "axes", "arms × seeds"), rows))
    for option, kinds in (("sampler", SAMPLERS), ("pruner", PRUNERS)):
        rows = [(choice, about.description) for choice, about in kinds.items()]
        say(console, Table(f"{option.capitalize()}s (--{option})", (option, "what it does"), rows))
    rows = [(name, RECIPES[name].description) for name in RECIPES]
    say(console, Table("Training recipes (--recipe)", ("recipe", "what it is"), rows))
    registered: dict[str, Iterable[str]] = {
        "data sets (--dataset)": [name if name != "folder" else "folder:PATH" for name in READERS],
        "models (model.name)": model_names(),
        "distances (rank.distance)": DISTANCES,
        "elections (rank.election)": ELECTIONS,
        "distortions (distortion.name)": DISTORTIONS,
        "stages": STAGES,
        **{f"corruptions, table {table}": table_corruptions(table) for table in SEVERITY_TABLES},
    }
    rows = [(kind, ", ".join(known)) for kind, known in registered.items()]
    say(console, Table("Registered names", ("what", "names"), rows))
    rows = [(path, str(value)) for path, value in TrialConfig().flat().items()]
    say(console, Table("Settings (--set PATH=VALUE)", ("setting", "default"), rows))
