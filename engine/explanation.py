"""Every setting explained, by its class's docstring and declared type: for ``--list``, and as a page of the docs."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.conversion import leaves
from engine.documentation import allowed_values, attribute_texts, first_line, without_range
from engine.errors import unknown_name
from engine.relevance import conditions_of
from engine.settings import TrialConfig, all_leaves

WRITTEN_BY = "Written by `python -m tests.engine.test_explanation`"


@dataclass(frozen=True)
class Explanation:
    """What a person should know of a setting.

    Attributes:
        setting: dotted path.
        text: what it is, in which unit.
        allowed: the values that it may have.
        default: the value that it has unless given another.
        only_where: what must hold for it to matter, clause by clause.
    """

    setting: str
    text: str
    allowed: str
    default: str
    only_where: tuple[str, ...]

    def in_words(self, left_out: Iterable[str] = ()) -> str:
        """Return what the setting is, and where alone it matters but for some clauses."""
        clauses = [clause for clause in self.only_where if clause not in left_out]
        text = without_range(self.text).replace("None", "`none`")
        return text + (f" Only where {' and '.join(clauses)}." if clauses else "")


def explain_settings() -> dict[str, Explanation]:
    """Return {dotted path: explanation} of all settings."""
    defaults = TrialConfig().flat()
    explained = {}
    for path, leaf in all_leaves().items():
        if path not in defaults:  # a record has it, and nobody explains it
            continue
        text = attribute_texts(leaf.owner).get(leaf.name, "")
        where = tuple(condition.words for condition in conditions_of(path) if condition.reads != (path,))
        explained[path] = Explanation(path, text, allowed_values(leaf.hint, text), as_typed(defaults[path]), where)
    return explained


def explain(names: Iterable[str]) -> list[Explanation]:
    """Return the explanations of some settings, or of all under a name such as "rank" or "finetune.training".

    Raises:
        InputError: a name that no setting has or begins with.
    """
    explained = explain_settings()
    chosen: dict[str, Explanation] = {}
    for name in names:
        found = {path: about for path, about in explained.items() if f"{path}.".startswith(f"{name}.")}
        if not found:
            raise unknown_name("setting", name, [*explained, *filter(None, sections())])
        chosen |= found
    return list(chosen.values())


def sections() -> dict[str, str]:
    """Return {beginning of settings' paths: what these settings are}, "" for those that stand alone."""
    found: dict[str, str] = {}
    for path, leaf in all_leaves().items():
        found.setdefault(path.rpartition(".")[0], first_line(leaf.owner))
    return found


@dataclass(frozen=True)
class Group:
    """Explanations of settings whose paths begin alike, as rows of a table.

    Attributes:
        name: how the paths begin; "seed" for the one that stands alone.
        what: what these settings are, and where alone all of them matter.
        rows: setting, allowed values, default, what it is.
    """

    name: str
    what: str
    rows: list[tuple[str, str, str, str]]


COLUMNS = ("setting", "allowed", "default", "what it is")


def grouped(explanations: Iterable[Explanation]) -> list[Group]:
    """Return explanations by section; what holds for all of a section is said once."""
    explanations = list(explanations)
    groups = []
    for section, what in sections().items():
        own = [about for about in explanations if about.setting.rpartition(".")[0] == section]
        if not own:
            continue
        shared = [clause for clause in own[0].only_where if all(clause in about.only_where for about in own)]
        shared = shared if len(own) > 1 else []
        note = f" All of it matters only where {' and '.join(shared)}." if shared else ""
        rows = [(about.setting, about.allowed, about.default, about.in_words(shared)) for about in own]
        groups.append(Group(section or "seed", what + note, rows))
    return groups


def as_typed(value: Any) -> str:
    """Return a value as a person types it after ``--set PATH=``."""
    if isinstance(value, list | tuple):
        return ",".join(map(as_typed, value)) or "[]"
    if isinstance(value, float) and float(f"{value:g}") == value:
        return f"{value:g}"
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def set_words(settings: Mapping[str, Any]) -> str:
    """Return settings as they are pasted into a command line: --set PATH=VALUE …, nothing rounded."""
    return shlex.join(["--set", *(f"{path}={as_typed(value)}" for path, value in settings.items())])


def settings_page() -> str:
    """Return the page of all settings, in Markdown."""
    lines = [
        "# Settings",
        "",
        f"<!-- {WRITTEN_BY} from the docstrings of engine/settings.py -->",
        "",
        "`--set PATH=VALUE …` gives them to every command; in a space they are the base, the axes and the arms",
        "([spaces.md](spaces.md)). `python -m pipelines.sweep --list settings` prints the same, `--list rank` a part.",
        "A list has commas (`evaluate.corruptions=fog,frost`); nothing is `none`, a switch is `true` or `false`.",
        "A stage of yours brings settings of its own ([extending.md](extending.md)).",
    ]
    explained = explain_settings()
    for group in grouped(explained[path] for path in leaves(TrialConfig)):
        lines += ["", f"## {group.name}", "", group.what, "", f"| {' | '.join(COLUMNS)} |", "|---|---|---|---|"]
        lines += [
            f"| `{setting}` | {allowed} | `{default}` | {what} |" for setting, allowed, default, what in group.rows
        ]
    return "\n".join(lines) + "\n"
